"""The generator's fast path for resize and convolution: on the map before it is enlarged."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Two of three neighbours in a map enlarged twice are the same pixel, so their weights add up: which of a kernel's three
# rows each of two rows is, for the upper and the lower half of a pixel. As (16, 9): corner and 2×2 place, 3×3 place.
HALVES = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]], [[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]])
CORNERS = torch.einsum("ath,bsw->abtshw", HALVES, HALVES).reshape(16, 9)
# On smaller maps the folding costs more than it saves (benchmarks/resize.py).
LEAST_AREA = 256


def fold(weight: Tensor) -> Tensor:
    """A 3×3 kernel (O, I, 3, 3) for a map enlarged twice → 2×2 kernels (4·O, I, 2, 2) for the map as it was.

    Four for each output channel: its pixels' corners, row by row. In the weight's own precision.
    """
    o, i = weight.shape[:2]
    with torch.autocast(weight.device.type, enabled=False):
        four = weight.reshape(o * i, 9) @ CORNERS.to(weight).T
    return four.view(o, i, 4, 4).transpose(1, 2).reshape(4 * o, i, 2, 2)


def fold_bias(bias: Tensor | None) -> Tensor | None:
    """The bias (O,) of folded kernels: (4·O,)."""
    return None if bias is None else bias.repeat_interleave(4)


def enlarge(x: Tensor) -> Tensor:
    """Nearest neighbours, twice as large."""
    return F.interpolate(x, scale_factor=2.0)


def unfold(corners: Tensor) -> Tensor:
    """What folded kernels give at padding 1, (N, 4·O, H + 1, W + 1) → (N, O, 2·H, 2·W)."""
    h, w = corners.shape[2] - 1, corners.shape[3] - 1
    four = corners.unflatten(1, (-1, 4)).unbind(2)
    places = [part[:, :, i // 2 : i // 2 + h, i % 2 : i % 2 + w] for i, part in enumerate(four)]
    return F.pixel_shuffle(torch.stack(places, 2).flatten(1, 2), 2)


def folds(x: Tensor) -> bool:
    """Whether to fold for this map: where it was measured to be faster, and not in a graph for other machines."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling() and x.shape[2] * x.shape[3] >= LEAST_AREA


class ResizedConv2d(nn.Conv2d):
    """A 3×3 convolution, padding 1, of the map enlarged twice by nearest neighbours: (N, I, H, W) → (N, O, 2·H, 2·W).

    Where it pays, it runs on the map before it is enlarged: the same sums with 4/9 of the products. With a 1×1 kernel,
    as PEFT gives a branch's B, it is an ordinary convolution.
    """

    def forward(self, input: Tensor) -> Tensor:
        if self.kernel_size == (1, 1):
            return super().forward(input)
        if not folds(input):
            return super().forward(enlarge(input))
        return unfold(F.conv2d(input, fold(self.weight), fold_bias(self.bias), padding=1))
