"""Layers that a runtime lacks, as others that give the same: borders, folded pixels, max unpooling, attention."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from e2gan.networks.generator import Attention, Generator, TransformerBlock, TransformerStage
from e2gan.networks.resized_conv import PADDING, STRIDE


class SlicedReflection(nn.Module):
    """`nn.ReflectionPad2d` as concatenated slices, bit for bit: (N, C, H, W) → (N, C, H + 2·pad, W + 2·pad)."""

    def __init__(self, pad: int) -> None:
        super().__init__()
        self.pad = pad

    def forward(self, x: Tensor) -> Tensor:
        for dim in (2, 3):
            last = x.shape[dim] - 1
            before = [x.narrow(dim, i, 1) for i in range(self.pad, 0, -1)]
            after = [x.narrow(dim, last - i, 1) for i in range(1, self.pad + 1)]
            x = torch.cat([*before, x, *after], dim)
        return x


def slice_reflections(network: nn.Module) -> None:
    """Each reflection padding becomes concatenated slices. Changes `network` in place; the function stays the same."""
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.ReflectionPad2d):
            left, right, top, bottom = module.padding
            assert left == right == top == bottom
            network.set_submodule(name, SlicedReflection(left))


Window = tuple[Tensor, Tensor, Tensor, Tensor]  # of 2×2: top left, top right, bottom left, bottom right
Maxima = tuple[Tensor, Window]  # the largest of each window, and its entries


class SlicedMaxPool(nn.Module):
    """`nn.MaxPool2d(2)` of slices: (N, C, 2·H, 2·W) → (N, C, H, W), and in place of indices what tells where the maxima
    lie."""

    def forward(self, x: Tensor) -> tuple[Tensor, Maxima]:
        window = x[:, :, ::2, ::2], x[:, :, ::2, 1::2], x[:, :, 1::2, ::2], x[:, :, 1::2, 1::2]
        a, b, c, d = window
        largest = torch.maximum(torch.maximum(a, b), torch.maximum(c, d))
        return largest, (largest, window)


class SlicedMaxUnpool(nn.Module):
    """`nn.MaxUnpool2d(2)` after `SlicedMaxPool`, bit for bit: (N, C, H, W) → (N, C, 2·H, 2·W).

    Of equal entries the first in the order of rows has the value, as PyTorch's indices have it.
    """

    def forward(self, x: Tensor, maxima: Maxima) -> Tensor:
        largest, window = maxima
        zero, placed = torch.zeros_like(x), []
        for entry in window:
            here = entry == largest
            placed.append(torch.where(here, x, zero))
            x = torch.where(here, zero, x)  # what the later ones have to share
        return interleaved(*placed)


def interleaved(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """Maps (N, C, H, W) as the entries of windows of 2×2: (N, C, 2·H, 2·W), by tensors of four dimensions at most."""
    batch, channels, height, width = a.shape
    rows = []
    for left, right in ((a, b), (c, d)):
        pairs = [each.reshape(batch, channels * height, width, 1) for each in (left, right)]
        rows.append(torch.cat(pairs, 3).reshape(batch, channels * height, 1, 2 * width))
    return torch.cat(rows, 2).reshape(batch, channels, 2 * height, 2 * width)


def slice_pooling(network: nn.Module) -> None:
    """Max pooling and unpooling around a TB become slices. Changes `network` in place; the function stays the same."""
    for stage in [module for module in network.modules() if isinstance(module, TransformerStage)]:
        if stage.around == "max":
            stage.add_module("down", SlicedMaxPool())
            stage.add_module("up", SlicedMaxUnpool())


def even_kernels(network: nn.Module) -> None:
    """A 3×3 transposed convolution whose output has a row and a column added, which LiteRT's converter does not know,
    becomes a 4×4 one, zeros at its ends. Changes `network` in place; the function stays the same."""
    for name, conv in list(network.named_modules()):
        if not isinstance(conv, nn.ConvTranspose2d) or conv.output_padding != (1, 1):
            continue
        assert (conv.kernel_size, conv.stride, conv.padding) == ((3, 3), STRIDE, PADDING)
        even = nn.ConvTranspose2d(conv.in_channels, conv.out_channels, 4, STRIDE, PADDING, device="meta")
        even.weight, even.bias = nn.Parameter(F.pad(conv.weight.detach(), (0, 1, 0, 1))), conv.bias
        network.set_submodule(name, even.requires_grad_(False))


class PlainAttention(nn.Module):
    """Attention of a map to itself, (N, L, C) → (N, L, C), in products and a softmax.

    PyTorch's own call comes apart into these and a guard against rows that are masked as a whole, which there are none.
    """

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.heads, self.to_out = attention.heads, attention.to_out
        self.to_q, self.to_k, self.to_v = attention.to_q, attention.to_k, attention.to_v

    def forward(self, x: Tensor, *_: object) -> Tensor:
        q, k, v = (to(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for to in (self.to_q, self.to_k, self.to_v))
        attended = (q * q.shape[-1] ** -0.5 @ k.transpose(2, 3)).softmax(-1) @ v
        return self.to_out(attended.transpose(1, 2).flatten(2))


def plain_attention(network: nn.Module) -> None:
    """Each attention of a map to itself becomes products and a softmax. Changes `network` in place."""
    for block in [module for module in network.modules() if isinstance(module, TransformerBlock)]:
        setattr(block, "self_attention", PlainAttention(block.self_attention))  # noqa: B010


def convolve_shuffles(generator: Generator) -> None:
    """Folding pixels into channels and back become convolutions with fixed kernels of ones and zeros, bit for bit.

    Changes `generator` in place; the function stays the same.
    """
    fold = generator.config.fold
    if fold > 1:
        generator.fold, generator.unfold = folding(fold), unfolding(fold)


def folding(fold: int) -> nn.Conv2d:
    """`nn.PixelUnshuffle` of three colours as a convolution: (N, 3, H, W) → (N, 3·fold², H/fold, W/fold)."""
    conv = nn.Conv2d(3, 3 * fold**2, fold, fold, bias=False)
    conv.weight = nn.Parameter(_places(fold), requires_grad=False)
    return conv


def unfolding(fold: int) -> nn.ConvTranspose2d:
    """`nn.PixelShuffle` to three colours as a transposed convolution, the opposite of `folding`."""
    conv = nn.ConvTranspose2d(3 * fold**2, 3, fold, fold, bias=False)
    conv.weight = nn.Parameter(_places(fold), requires_grad=False)
    return conv


def _places(fold: int) -> Tensor:
    """(3·fold², 3, fold, fold): one where a channel, colour·fold² + row·fold + column, has its pixel."""
    return torch.eye(3 * fold**2).reshape(-1, 3, fold, fold)
