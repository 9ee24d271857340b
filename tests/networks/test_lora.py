from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from torch import nn

from e2gan.config import PAPER, PRESETS, Ranks
from e2gan.networks.generator import Generator
from e2gan.networks.lora import (
    adapter_tensors,
    attach,
    attach_tensors,
    grow,
    lora_layers,
    merged,
    rank_of_layers,
    set_strengths,
    start_along,
    start_from,
)
from tests.networks.tiny_lora import RANKS, SMALL, generator, inputs, touched


@pytest.mark.parametrize(
    ("ranks", "count"),
    [(Ranks(), 91_926), (Ranks(level3=16, level4=16), 163_606), (Ranks(level3=4, level4=4), 56_086)],
)
def test_trainable_count_is_the_papers(ranks: Ranks, count: int) -> None:
    g = Generator(PAPER)
    layers = rank_of_layers(g, ranks)
    attach(g, layers)
    assert len(layers) == 20
    assert sum(p.numel() for p in g.parameters() if p.requires_grad) == count
    assert sum(t.numel() for t in adapter_tensors(g).values()) == count


@pytest.mark.parametrize(("preset", "most"), [("paper", [64, 3]), ("device", [64, 3]), ("small", [32, 12])])
def test_a_rank_is_at_most_what_the_layers_weight_can_have(preset: str, most: list[int]) -> None:
    g = Generator(PRESETS[preset])
    layers = rank_of_layers(g, Ranks(level1=4096, level2=4096))
    width = PRESETS[preset].width
    sampling = [(name.split("_")[0], rank) for name, rank in layers.items() if name.startswith("level")]
    assert [rank for level, rank in sampling if level == "level1"] == most
    assert [rank for level, rank in sampling if level == "level2"] == [2 * width, width]  # channels out, down and up
    assert {rank for name, rank in layers.items() if not name.startswith(("level1", "level2"))} == {8, 1}
    attach(g, layers)
    assert rank_of_layers(g, Ranks(level1=4096, level2=4096)) == layers


@pytest.mark.parametrize("preset", list(PRESETS))
def test_untouched_adapter_changes_no_bit(preset: str) -> None:
    g = generator(replace(PRESETS[preset], width=8, heads=2, text_width=16))
    before = g(*inputs())
    attach(g, rank_of_layers(g, RANKS))
    assert torch.equal(g.eval()(*inputs()), before)


@pytest.mark.parametrize("preset", list(PRESETS))
@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_merged_equals_unmerged(preset: str, strength: float) -> None:
    g = touched(generator(replace(PRESETS[preset], width=8, heads=2, text_width=16)))
    set_strengths(g, {"default": strength})
    plain = merged(g)
    out = g(*inputs())
    assert not any("lora" in name for name, _ in plain.named_parameters())
    torch.testing.assert_close(plain(*inputs()), out, atol=1e-5, rtol=0)
    # merging worked on a copy
    assert torch.equal(g(*inputs()), out)


def test_strength_scales_the_edit_continuously() -> None:
    base = generator()(*inputs()).detach()
    g = touched(generator())

    def edit(strength: float) -> torch.Tensor:
        set_strengths(g, {"default": strength})
        return g(*inputs()).detach()

    assert torch.equal(edit(0.0), base)
    far = [float((edit(s / 8) - base).abs().mean()) for s in range(13)]
    assert all(a < b for a, b in itertools.pairwise(far))
    for s in (0.0, 0.5, 1.0, 1.5):
        assert float((edit(s + 1e-3) - edit(s)).abs().mean()) < 1e-2 * far[8]


def test_two_adapters_mix_as_the_sum_of_their_weights() -> None:
    g = touched(touched(generator(), "a"), "b", ranks=replace(RANKS, level2=4), seed=3)
    set_strengths(g, {"a": 0.6, "b": 0.4})
    mixed = g(*inputs())
    torch.testing.assert_close(merged(g)(*inputs()), mixed, atol=1e-5, rtol=0)
    alone = touched(generator(), "a")
    set_strengths(alone, {"a": 0.6})
    assert not torch.allclose(alone(*inputs()), mixed, atol=1e-3)
    set_strengths(g, {"a": 0.6, "b": 0.0})
    torch.testing.assert_close(g(*inputs()), alone(*inputs()), atol=1e-6, rtol=0)
    set_strengths(g, {"a": 0.6})
    torch.testing.assert_close(g(*inputs()), alone(*inputs()), atol=1e-6, rtol=0)


def test_tensors_go_onto_another_copy_of_the_base() -> None:
    g = touched(generator())
    tensors = {k: v.clone() for k, v in adapter_tensors(g).items()}
    other = generator()
    attach_tensors(other, tensors)
    assert torch.equal(other.eval()(*inputs()), g(*inputs()))


def test_tensors_of_another_architecture_are_refused() -> None:
    tensors = adapter_tensors(touched(generator()))
    with pytest.raises(ValueError, match="no layer"):
        attach_tensors(generator(replace(SMALL, transformers=(1,))), tensors)
    with pytest.raises(ValueError, match="another shape"):
        attach_tensors(generator(replace(SMALL, width=16)), tensors)


def test_a_rank_grows_without_changing_the_function() -> None:
    g = touched(generator())
    before = g(*inputs())
    count = sum(t.numel() for t in adapter_tensors(g).values())
    more = Ranks(level1=2, level2=2, level3=6, level4=8, tb=2)
    grow(g, rank_of_layers(generator(), more))
    tensors = adapter_tensors(g)
    torch.testing.assert_close(g(*inputs()), before, atol=1e-5, rtol=0)
    fresh = generator()
    attach(fresh, rank_of_layers(fresh, more))
    assert sum(t.numel() for t in tensors.values()) == sum(t.numel() for t in adapter_tensors(fresh).values()) > count
    # what is new must be able to learn: A of the new ranks is not zero
    assert all(bool(t.flatten(2).any()) for k, t in tensors.items() if "lora_A" in k and t.ndim == 4)
    assert all(p.requires_grad for n, p in g.named_parameters() if "lora" in n)
    with pytest.raises(ValueError, match="cannot grow"):
        grow(g, rank_of_layers(generator(), RANKS))


@pytest.mark.parametrize("preset", ["paper", "residual"])
def test_an_adapter_starts_as_another_one(preset: str) -> None:
    config = replace(SMALL, **{k: getattr(PRESETS[preset], k) for k in ("skip", "norm", "upsample")})
    known, fresh = touched(generator(config)), generator(config)
    tensors = adapter_tensors(known)
    attach(fresh, rank_of_layers(fresh, RANKS))
    assert start_from(fresh, [tensors]) == pytest.approx(1)
    photo, text = inputs()
    assert torch.allclose(fresh(photo, text), known(photo, text), atol=1e-4)
    # A higher rank than the known one's begins the same, and its new channels can still learn.
    more = generator(config)
    attach(more, rank_of_layers(more, replace(RANKS, level3=5)))
    start_from(more, [tensors])
    assert torch.allclose(more(photo, text), known(photo, text), atol=1e-4)
    assert all(t.any() for key, t in adapter_tensors(more).items() if "lora_A" in key)


def test_the_mean_of_two_is_cut_to_the_ranks() -> None:
    one, two = (adapter_tensors(touched(generator(), seed=seed)) for seed in (2, 3))
    wide = generator()
    attach(wide, rank_of_layers(wide, Ranks(level1=2, level2=4, level3=6, level4=6, tb=2)))
    assert start_from(wide, [one, two]) == pytest.approx(1)
    mean = generator()
    attach_tensors(mean, one, "one")
    attach_tensors(mean, two, "two")
    set_strengths(mean, {"one": 0.5, "two": 0.5})
    photo, text = inputs()
    assert torch.allclose(wide.eval()(photo, text), mean.eval()(photo, text), atol=1e-4)
    narrow = generator()
    attach(narrow, rank_of_layers(narrow, RANKS))
    assert 0.3 < start_from(narrow, [one, two]) < 0.95
    less = generator()
    attach(less, rank_of_layers(less, replace(RANKS, tb=0, level1=0)))
    assert 0.1 < start_from(less, [one]) < 0.95  # of layers that it has not
    assert not torch.allclose(narrow(photo, text), mean(photo, text), atol=1e-3)


def test_a_start_of_another_shape_is_refused() -> None:
    other = adapter_tensors(touched(generator(replace(SMALL, width=16))))
    g = generator()
    attach(g, rank_of_layers(g, RANKS))
    with pytest.raises(ValueError, match="another shape"):
        start_from(g, [other])


@pytest.mark.parametrize("preset", ["paper", "residual"])
def test_an_adapter_along_a_gradient_changes_nothing_and_reaches_it(preset: str) -> None:
    config = replace(SMALL, **{k: getattr(PRESETS[preset], k) for k in ("skip", "norm", "upsample")})
    g, bare = generator(config), generator(config)
    layers = rank_of_layers(g, RANKS)
    attach(g, layers)
    before = {name: t.clone() for name, t in adapter_tensors(g).items()}
    rng = torch.Generator().manual_seed(4)
    weights = {name: bare.get_submodule(name).get_parameter("weight") for name in layers}
    slopes = {}
    for name, weight in weights.items():  # of rank one by construction: its direction must be A's first
        out = 1 if isinstance(bare.get_submodule(name), nn.ConvTranspose2d) else 0
        by_out = weight.transpose(0, out)
        rows, row = torch.randn(len(by_out), generator=rng), torch.randn(by_out[0].numel(), generator=rng)
        slopes[name] = torch.outer(rows, row).view_as(by_out).transpose(0, out)
    start_along(g, slopes)
    photo, text = inputs()
    assert torch.equal(g.eval()(photo, text), bare.eval()(photo, text))
    for name, layer in lora_layers(g).items():
        out = 1 if isinstance(layer.get_base_layer(), nn.ConvTranspose2d) else 0
        A, slope = layer.lora_A["default"].weight.detach(), slopes[name].detach()
        first = A.transpose(0, out)[0].flatten()
        assert torch.cosine_similarity(first, slope.transpose(0, out)[0].flatten(), dim=0).abs() > 0.999
        old = before[f"base_model.model.{name}.lora_A.weight"]
        assert A.norm() == pytest.approx(float(old.norm()), rel=0.1)
    with pytest.raises(ValueError, match="is missing or has another shape"):
        start_along(g, {})
