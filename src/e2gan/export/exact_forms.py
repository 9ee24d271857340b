"""Layers that a runtime lacks, as others that give the same: reflected borders, folded pixels, attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from e2gan.networks.generator import Attention, Generator, TransformerBlock


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
