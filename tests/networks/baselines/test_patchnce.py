from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from e2gan.config import PIX2PIX, GeneratorConfig
from e2gan.networks.baselines.patchnce import PatchNCE, channels_of, contrastive_loss, features
from e2gan.networks.generator import Generator
from e2gan.train.step import parameters
from tests.networks.baselines.tiny_baselines import pairs

SMALL = GeneratorConfig(width=8, blocks=2, transformers=(0, 1), heads=2, text_width=16)


def test_features_are_what_the_generator_itself_computes() -> None:
    torch.manual_seed(0)
    generator = Generator(SMALL).eval()
    layers = ("level1_in", "level2_down", "level3_down", "transformers.0", "blocks.0", "transformers.1", "blocks.1")
    seen: dict[str, Tensor] = {}
    for name in layers:
        generator.get_submodule(name).register_forward_hook(lambda _, __, out, name=name: seen.update({name: out}))
    photo, tokens = pairs(2)[0], torch.randn(2, 4, 16)
    mask = torch.tensor([[True, True, True, False], [True] * 4])
    generator(photo, tokens, mask)
    expected = dict(seen)
    found = features(generator, photo, tokens, mask, layers=layers)
    assert [f.shape[1] for f in found] == channels_of(SMALL, layers)
    for name, feature in zip(layers, found, strict=True):
        assert torch.equal(feature, expected[name]), name


def test_features_run_no_further_than_asked() -> None:
    generator = Generator(SMALL).eval()
    ran = []
    for name, module in generator.named_children():
        module.register_forward_hook(lambda *_, name=name: ran.append(name))
    features(generator, pairs(1)[0], None, None, layers=("level2_down",))
    assert ran == ["fold", "level1_in", "level2_down"]


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_patchnce_is_least_for_the_same_places() -> None:
    torch.manual_seed(0)
    nce = PatchNCE([64, 128], locations=48)
    key = [torch.randn(2, 64, 8, 8), torch.randn(2, 128, 6, 6)]
    disturbed = [k + 0.3 * torch.randn_like(k) for k in key]
    shuffled = [k.flatten(2)[:, :, torch.randperm(k.shape[2] * k.shape[3])].reshape(k.shape) for k in key]
    strangers = [torch.randn_like(k) for k in key]
    losses = [float(nce.loss(query, key, rng()).detach()) for query in (key, disturbed, strangers, shuffled)]
    assert losses[0] < losses[1] < losses[2]
    assert losses[1] < losses[3]
    chance = (math.log(48) + math.log(36)) / 2  # all of the smaller map's 36 places
    assert losses[2] == pytest.approx(chance, rel=0.5)
    assert losses[2] > 0.8 * chance


def test_identical_features_are_the_minimum_where_places_are_at_right_angles() -> None:
    """With keys that have nothing in common, no other query is better: checked along many ways out."""
    nce = PatchNCE([16], width=16, locations=16)
    head = nce.heads[0]
    assert isinstance(head, nn.Sequential)
    for i in (0, 2):
        layer = head[i]
        assert isinstance(layer, nn.Linear)
        nn.init.eye_(layer.weight)
    key = torch.eye(16).reshape(1, 16, 4, 4)
    least = float(nce.loss([key], [key], rng()).detach())
    assert least == pytest.approx(math.log(1 + 15 * math.exp(-1 / 0.07)), abs=1e-6)
    torch.manual_seed(0)
    for _ in range(50):
        away = (key + 0.2 * torch.rand_like(key)).relu()
        assert float(nce.loss([away], [key], rng()).detach()) > least


def test_patchnce_teaches_the_query_and_the_heads_but_not_the_key() -> None:
    torch.manual_seed(0)
    nce = PatchNCE([8], locations=16)
    query, key = (torch.randn(1, 8, 6, 6, requires_grad=True) for _ in range(2))
    nce.loss([query], [key], rng()).backward()
    assert query.grad is not None
    assert query.grad.abs().max() > 0
    assert key.grad is None
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in nce.parameters())
    assert int((query.grad.abs().sum(dim=1) > 0).sum()) == 16  # the patches that were picked, and no others


def test_patchnce_picks_by_the_generator_it_is_given() -> None:
    torch.manual_seed(0)
    nce, query, key = PatchNCE([8], locations=8), [torch.randn(1, 8, 8, 8)], [torch.randn(1, 8, 8, 8)]
    losses = [nce.loss(query, key, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(losses[0], losses[1])
    assert not torch.equal(losses[0], losses[2])


def test_patchnce_is_the_same_in_bf16_autocast() -> None:
    torch.manual_seed(0)
    nce, key = PatchNCE([64]), [torch.randn(2, 64, 8, 8)]
    query = [k + 0.5 * torch.randn_like(k) for k in key]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        coarse = nce.loss(query, key, rng())
    assert torch.equal(coarse, nce.loss(query, key, rng()))


def test_training_without_pairs_learns_to_keep_the_places() -> None:
    """Generator and heads together lower the contrastive loss of photos and their edits."""
    torch.manual_seed(0)
    config = replace(SMALL, transformers=(), cross_attention=False, norm="instance", skip=False)
    layers = ("level1_in", "level3_down", "blocks.0")
    generator = Generator(config).train()
    nce = PatchNCE(channels_of(config, layers), locations=64)
    optimizer = torch.optim.Adam([*generator.parameters(), *nce.parameters()], lr=2e-3)
    photo = pairs(2)[0]
    losses = []
    for step in range(30):
        chance = torch.Generator().manual_seed(step)
        loss = contrastive_loss(generator, nce, photo, generator(photo), None, None, None, chance, layers)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


def test_parameter_counts_are_the_published_ones() -> None:
    with torch.device("meta"):
        assert parameters(PatchNCE(channels_of(PIX2PIX))) == 576_000
