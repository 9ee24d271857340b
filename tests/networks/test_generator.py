from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch

from e2gan.config import PAPER, PIX2PIX, PRESETS, GeneratorConfig
from e2gan.networks.discriminator import Discriminator
from e2gan.networks.generator import (
    Generator,
    TransformerStage,
    place_signal,
    sampling_layers,
    transformer_layers,
)
from e2gan.train.step import parameters

SMALL = GeneratorConfig(width=8, blocks=3, heads=2, text_width=16)


def edit(config: GeneratorConfig, height: int = 32, width: int = 32, *, seed: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    generator = Generator(config).eval()
    return generator(torch.rand(2, 3, height, width) * 2 - 1, torch.randn(2, 4, config.text_width))


def test_parameter_counts_are_the_papers() -> None:
    generator = Generator(PAPER)
    assert parameters(generator) == 7_055_619  # Tab. 10: 7.1 M
    assert parameters(generator.blocks) == 3_540_480  # Fig. 4: 3.54 M
    assert parameters(generator.transformers["2"].block) == 1_578_240  # Fig. 4: 1.58 M # pyright: ignore
    assert sum(parameters(generator.get_submodule(n)) for n in sampling_layers(generator)) == 1_936_899
    assert parameters(Generator(replace(PAPER, around="max"))) == 5_875_459  # Tab. 10: 5.9 M
    assert parameters(Generator(PIX2PIX)) == 11_378_179  # Tab. 1: 11.4 M
    assert parameters(Discriminator()) == 2_767_809  # 2.77 M


@pytest.mark.parametrize("preset", [name for name in PRESETS if name != "small"])
def test_every_preset_but_the_small_one_has_the_papers_parameters(preset: str) -> None:
    assert parameters(Generator(PRESETS[preset])) == 7_055_619


def test_crucial_layers_are_the_papers() -> None:
    generator = Generator(PAPER)
    levels = sorted(sampling_layers(generator).values())
    assert levels == [1, 1, 2, 2, 3, 3, 4, 4]
    assert len(transformer_layers(generator)) == 12


@pytest.mark.parametrize(
    ("norm", "padding", "upsample", "skip"),
    list(
        itertools.product(
            ["instance", "batch", "layer", "none"], ["reflect", "zero"], ["transpose", "resize"], [True, False]
        )
    ),
)
def test_variants_keep_size_and_range(norm: str, padding: str, upsample: str, skip: bool) -> None:
    config = replace(SMALL, norm=norm, padding=padding, upsample=upsample, skip=skip)
    out = edit(config, 24, 40)
    assert out.shape == (2, 3, 24, 40)
    assert out.abs().max() <= 1


@pytest.mark.parametrize("transformers", [(), (0,), (1,), (3,), (0, 2), (0, 1, 2, 3)])
@pytest.mark.parametrize("around", ["conv", "pool", "max", "none"])
def test_transformers_go_where_they_are_put(transformers: tuple[int, ...], around: str) -> None:
    config = replace(SMALL, transformers=transformers, around=around)
    assert edit(config).shape == (2, 3, 32, 32)
    generator = Generator(config)
    assert len(transformer_layers(generator)) == 12 * len(transformers)
    expected = 6 + (2 * len(transformers) if around == "conv" else 0)
    assert len(sampling_layers(generator)) == expected


def test_unpooling_puts_the_blocks_values_where_the_maxima_were() -> None:
    """A block that changes nothing leaves each 2×2 window's largest value in its place, and zeros beside it."""
    stage = TransformerStage(32, replace(SMALL, around="max", skip=False)).eval()
    x = torch.randn(2, 32, 6, 10)
    out = stage(x, torch.randn(2, 4, 16), None)
    largest = x.unfold(2, 2, 2).unfold(3, 2, 2).amax((-2, -1)).repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert torch.equal(out, torch.where(x == largest, x, 0))
    with_skip = TransformerStage(32, replace(SMALL, around="max")).eval()
    assert torch.equal(with_skip(x, torch.randn(2, 4, 16), None), x + out)


def test_max_pooling_trains_in_bf16() -> None:
    generator = with_every_layer_awake(replace(SMALL, around="max", transformers=(1,)))
    photo, tokens = torch.rand(2, 3, 32, 48) * 2 - 1, torch.randn(2, 4, 16)
    exact = generator(photo, tokens)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = generator(photo, tokens)
    out.square().mean().backward()
    assert (out - exact).abs().mean() < 0.05
    assert all(p.grad is not None and p.grad.isfinite().all() for p in generator.parameters())
    assert generator.transformers["1"].block.mlp.expand.weight.grad.any()  # pyright: ignore


def test_without_cross_attention_the_prompt_is_not_needed() -> None:
    generator = Generator(replace(SMALL, cross_attention=False)).eval()
    assert generator(torch.zeros(1, 3, 32, 32)).shape == (1, 3, 32, 32)


def with_every_layer_awake(config: GeneratorConfig) -> Generator:
    torch.manual_seed(0)
    generator = Generator(config).eval()
    with torch.no_grad():
        for p in generator.parameters():
            if not p.any():
                p.normal_(0, 0.1)
    return generator


def test_the_prompt_changes_the_edit_and_padding_does_not() -> None:
    generator = with_every_layer_awake(SMALL)
    photo, tokens = torch.rand(1, 3, 32, 32), torch.randn(1, 4, 16)
    out = generator(photo, tokens)
    assert not torch.allclose(out, generator(photo, -tokens), atol=1e-3)
    padded = torch.cat([tokens, torch.full((1, 3, 16), 9.0)], dim=1)
    mask = torch.tensor([[True] * 4 + [False] * 3])
    torch.testing.assert_close(generator(photo, padded, mask), out, atol=1e-5, rtol=0)


def test_with_the_skip_an_untrained_generator_returns_the_photo() -> None:
    photo = torch.rand(1, 3, 32, 32) * 1.98 - 0.99
    out = Generator(SMALL).eval()(photo, torch.randn(1, 4, 16))
    torch.testing.assert_close(out, photo, atol=1e-3, rtol=0)


def test_z_is_dropout_while_training_only() -> None:
    generator = with_every_layer_awake(replace(SMALL, z=0.5))
    photo, tokens = torch.rand(1, 3, 32, 32), torch.randn(1, 4, 16)
    assert torch.equal(generator(photo, tokens), generator(photo, tokens))
    generator.train()
    assert not torch.equal(generator(photo, tokens), generator(photo, tokens))


@pytest.mark.parametrize(("fold", "skip"), list(itertools.product([1, 2], [True, False])))
@pytest.mark.parametrize(("activation", "output"), list(itertools.product(["relu", "leaky"], ["tanh", "clamp"])))
def test_every_activation_output_and_fold_keep_size_and_range(
    activation: str, output: str, fold: int, skip: bool
) -> None:
    config = replace(SMALL, activation=activation, output=output, fold=fold, skip=skip)
    out = edit(config, 32, 48)
    assert out.shape == (2, 3, 32, 48)
    assert out.abs().max() <= 1
    assert Generator(config).multiple == 8 * fold


def test_a_fold_runs_at_half_the_size_and_sees_every_pixel() -> None:
    generator = Generator(replace(SMALL, fold=2, output="clamp")).eval()
    photo = torch.rand(1, 3, 32, 32) * 2 - 1
    assert torch.equal(generator(photo, torch.randn(1, 4, 16)), photo)  # untrained, with the skip
    assert generator.level1_in(generator.fold(photo)).shape == (1, 8, 16, 16)
    assert torch.equal(generator.fold(photo)[0, :, 3, 5].sort().values, photo[0, :, 6:8, 10:12].flatten().sort().values)


def saturated(config: GeneratorConfig) -> Generator:
    """A generator whose last bias puts every pixel far beyond white."""
    generator = Generator(config).train()
    bias = generator.level1_out[-1].bias
    assert isinstance(bias, torch.Tensor)
    torch.nn.init.constant_(bias, 20.0)
    return generator


def test_a_clamp_passes_its_gradient_where_tanh_has_none() -> None:
    slopes = {}
    for output in ("tanh", "clamp"):
        generator = saturated(replace(SMALL, output=output))
        out = generator(torch.zeros(1, 3, 32, 32), torch.randn(1, 4, 16))
        assert (out.min(), out.max()) == (1, 1)
        out.mean().backward()
        slopes[output] = float(generator.level1_out[-1].bias.grad.abs().sum())  # pyright: ignore
    assert slopes["tanh"] < 1e-6
    assert slopes["clamp"] == pytest.approx(1, abs=1e-4)


def test_a_leaky_body_still_learns_where_every_relu_is_dead() -> None:
    slopes = {}
    for activation in ("relu", "leaky"):
        generator = Generator(replace(SMALL, activation=activation)).train()
        torch.nn.init.constant_(generator.level1_in[1].bias, -50.0)  # pyright: ignore
        torch.nn.init.normal_(generator.level1_out[-1].weight)  # pyright: ignore
        generator(torch.rand(1, 3, 32, 32) * 2 - 1, torch.randn(1, 4, 16)).mean().backward()
        slopes[activation] = float(generator.level1_in[1].weight.grad.abs().sum())  # pyright: ignore
    assert slopes["relu"] == 0
    assert slopes["leaky"] > 0


def test_a_part_of_a_photo_is_told_the_place_that_it_has_in_the_whole() -> None:
    whole = place_signal(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), 4, 8, 32).view(4, 8, 32)
    right = place_signal(torch.tensor([[0.5, 0.0, 1.0, 1.0]]), 4, 4, 32).view(4, 4, 32)
    mirrored = place_signal(torch.tensor([[1.0, 0.0, 0.0, 1.0]]), 4, 8, 32).view(4, 8, 32)
    lower = place_signal(torch.tensor([[0.0, 0.75, 1.0, 1.0]]), 1, 8, 32).view(1, 8, 32)
    assert torch.allclose(right, whole[:, 4:], atol=1e-6)
    assert torch.allclose(mirrored, whole.flip(1), atol=1e-6)
    assert torch.allclose(lower, whole[3:], atol=1e-6)
    assert torch.pdist(whole.flatten(0, 1)).min() > 0.1  # no two places look the same


def test_with_a_sense_of_place_the_edit_depends_on_it_and_without_it_does_not() -> None:
    for place, differs in ((False, False), (True, True)):
        torch.manual_seed(0)
        generator = Generator(replace(SMALL, skip=False, place=place)).eval()
        torch.nn.init.normal_(generator.transformers["2"].block.proj_out.weight)  # pyright: ignore
        photo, tokens = torch.rand(1, 3, 32, 32) * 2 - 1, torch.randn(1, 4, 16)
        whole, part = generator(photo, tokens), generator(photo, tokens, None, torch.tensor([[0.5, 0.0, 1.0, 0.5]]))
        assert torch.equal(whole, generator(photo, tokens, None, torch.tensor([[0.0, 0.0, 1.0, 1.0]])))
        assert (not torch.equal(whole, part)) == differs
