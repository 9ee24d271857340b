"""The adapter's fast path in training, against the branch beside the layer."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from e2gan.config import PRESETS
from e2gan.networks.generator import Generator
from e2gan.networks.lora import grow, merged, rank_of_layers
from e2gan.networks.lora_training import train_mode
from tests.networks.tiny_lora import RANKS, generator, inputs, touched


@pytest.mark.parametrize("preset", list(PRESETS))
def test_training_computes_the_same_function_and_gradients(preset: str) -> None:
    """W + BA in one convolution against the branch beside the layer."""
    config = replace(PRESETS[preset], width=8, heads=2, text_width=16)
    found = []
    for way in (Generator.train, train_mode):
        g = touched(generator(config))
        way(g)
        out = g(*inputs())
        out.square().mean().backward()
        found.append((out, {n: p.grad for n, p in g.named_parameters() if p.requires_grad}))
    (one, grads_one), (two, grads_two) = found
    torch.testing.assert_close(one, two, atol=1e-5, rtol=0)
    assert grads_one.keys() == grads_two.keys()
    for name, grad in grads_one.items():
        torch.testing.assert_close(grad, grads_two[name], atol=1e-5, rtol=1e-3)


def test_merged_and_grown_in_the_midst_of_training() -> None:
    g = train_mode(touched(generator()))
    photo, text = inputs()
    out = g(photo, text)
    torch.testing.assert_close(merged(g)(photo, text), out, atol=1e-5, rtol=0)
    grow(g, rank_of_layers(g, replace(RANKS, level2=3)))  # pyright: ignore[reportArgumentType]
    torch.testing.assert_close(g(photo, text), out, atol=1e-5, rtol=0)
