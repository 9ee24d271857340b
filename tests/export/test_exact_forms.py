"""Forms that stand for layers a runtime lacks: the same values."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from e2gan.export.exact_forms import (
    PlainAttention,
    SlicedMaxPool,
    SlicedMaxUnpool,
    SlicedReflection,
    even_kernels,
    folding,
    interleaved,
    slice_reflections,
    unfolding,
)
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


def test_maxima_are_pooled_and_put_back_as_pytorch_does() -> None:
    torch.manual_seed(0)
    pool, unpool = SlicedMaxPool(), SlicedMaxUnpool()
    ties = torch.randint(-1, 2, (2, 3, 12, 8)).float()  # nearly each window has its maximum more than once
    for x in (torch.randn(2, 3, 12, 8), ties, torch.zeros(1, 2, 4, 4), F.relu(torch.randn(1, 5, 16, 16) - 1)):
        largest, indices = F.max_pool2d(x, 2, return_indices=True)
        found, maxima = pool(x)
        assert torch.equal(found, largest)
        for value in (torch.randn_like(largest), largest):
            assert torch.equal(unpool(value, maxima), F.max_unpool2d(value, indices, [2, 2]))


def test_interleaved_maps_are_the_entries_of_windows() -> None:
    x = torch.randn(2, 3, 4, 6)
    assert torch.equal(interleaved(*(x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1))), x)


@pytest.mark.parametrize("bias", [True, False])
def test_a_kernel_of_four_is_one_of_three_and_zeros(bias: bool) -> None:
    odd = nn.ConvTranspose2d(5, 4, 3, 2, 1, 1, bias=bias)
    network, x = nn.Sequential(odd, nn.ReLU()), torch.randn(2, 5, 7, 9)
    expected = network(x)
    even_kernels(network)
    assert network[0].kernel_size == (4, 4)
    assert torch.allclose(network(x), expected, atol=1e-6)
    assert odd.kernel_size == (3, 3)


def test_attention_in_products_is_attention() -> None:
    attention = Attention(16, 16, 4)
    x = torch.randn(2, 10, 16)
    assert torch.allclose(PlainAttention(attention)(x), attention(x), atol=1e-6)
