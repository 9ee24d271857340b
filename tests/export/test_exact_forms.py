"""Forms that stand for layers a runtime lacks: the same values."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from e2gan.export.exact_forms import PlainAttention, SlicedReflection, folding, slice_reflections, unfolding
from e2gan.networks.generator import Attention


def test_slices_reflect_as_padding_does() -> None:
    x = torch.randn(2, 3, 9, 7)
    for pad in (1, 3):
        assert torch.equal(SlicedReflection(pad)(x), F.pad(x, (pad,) * 4, mode="reflect"))
    network = nn.Sequential(nn.ReflectionPad2d(2), nn.Conv2d(3, 4, 5))
    expected = network(x)
    slice_reflections(network)
    assert torch.equal(network(x), expected)
    assert not any(isinstance(module, nn.ReflectionPad2d) for module in network.modules())


def test_convolutions_shuffle_pixels_as_the_shuffles_do() -> None:
    photo = torch.randn(2, 3, 8, 12)
    folded = F.pixel_unshuffle(photo, 2)
    assert torch.equal(folding(2)(photo), folded)
    assert torch.equal(unfolding(2)(folded), photo)


def test_attention_in_products_is_attention() -> None:
    attention = Attention(16, 16, 4)
    x = torch.randn(2, 10, 16)
    assert torch.allclose(PlainAttention(attention)(x), attention(x), atol=1e-6)
