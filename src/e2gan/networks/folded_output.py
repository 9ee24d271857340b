"""The convolution that gives three channels, run as one that gives twelve at half the places."""

from __future__ import annotations

import torch
from torch import nn

FOLD = 2  # pixels of a side that are given together
MOST = 4  # channels; from some more on it pays no longer
LEAST_SIDE = 5  # of a kernel: to a small one the larger kernel adds too much


class FoldedConv2d(nn.Module):
    """A convolution of stride 1 to few channels: (N, I, H, W) → (N, O, H, W) for even H and W of what comes out.

    A processor computes 8 or 16 channels at once, and throws away what is more than O. So 2×2 pixels are given
    together, as 4·O channels, by a kernel one larger, of which each of the four has its own part: the same sums.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        O, I, *sides = conv.weight.shape  # noqa: E741
        kernel = conv.weight.new_zeros(O, FOLD, FOLD, I, *(side + FOLD - 1 for side in sides))
        for y in range(FOLD):
            for x in range(FOLD):
                kernel[:, y, x, :, y : y + sides[0], x : x + sides[1]] = conv.weight.detach()
        padding: tuple[int, int] = conv.padding  # pyright: ignore[reportAssignmentType]
        bias = conv.bias is not None
        self.conv = nn.Conv2d(I, O * FOLD**2, kernel.shape[-2:], FOLD, padding, bias=bias, device="meta")  # pyright: ignore
        self.conv.weight = nn.Parameter(kernel.flatten(0, 2))
        if conv.bias is not None:
            self.conv.bias = nn.Parameter(conv.bias.detach().repeat_interleave(FOLD**2))
        self.shuffle = nn.PixelShuffle(FOLD)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.shuffle(self.conv(x))


def fold_output(network: nn.Module) -> nn.Module:
    """For a network on a processor that is trained no more: each convolution that it pays for becomes a `FoldedConv2d`.

    Changes `network` in place, and returns it; the function stays the same.
    """
    found = {name: module for name, module in network.named_modules() if _pays(module)}
    for name, conv in found.items():
        network.set_submodule(name, FoldedConv2d(conv).requires_grad_(False))  # pyright: ignore[reportArgumentType]
    return network


def _pays(module: nn.Module) -> bool:
    return (
        type(module) is nn.Conv2d
        and module.out_channels <= MOST
        and min(module.kernel_size) >= LEAST_SIDE
        and module.stride == module.dilation == (1, 1)
        and module.groups == 1
        and module.padding_mode == "zeros"
        and not isinstance(module.padding, str)
        and all(k == 2 * p + 1 or p == 0 for k, p in zip(module.kernel_size, module.padding, strict=True))
    )
