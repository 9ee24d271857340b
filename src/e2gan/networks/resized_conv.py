"""Resize and convolution, run as the one transposed convolution that they are."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Row k of a 4×4 kernel of stride 2 and padding 1 takes a pixel to row 2·i + k − 1 of the output. There a 3×3 kernel on
# the enlarged map sees that pixel through these of its rows: two of three neighbours are the same pixel.
ROWS = torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 1.0], [1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
SUMS = torch.einsum("kt,ls->klts", ROWS, ROWS).reshape(16, 9)  # 4×4 place, 3×3 place
STRIDE, PADDING = (2, 2), (1, 1)


def transposed_kernel(weight: Tensor) -> Tensor:
    """A 3×3 kernel (O, I, 3, 3) of resize and convolution → (I, O, 4, 4) of the equal transposed convolution.

    In the weight's own precision; differentiable.
    """
    o, i = weight.shape[:2]
    with torch.autocast(weight.device.type, enabled=False):
        kernel = weight.transpose(0, 1).reshape(i * o, 9) @ SUMS.to(weight).T
    return kernel.view(i, o, 4, 4)


class ResizedConv2d(nn.Conv2d):
    """A 3×3 convolution, padding 1, of the map enlarged twice by nearest neighbours: (N, I, H, W) → (N, O, 2·H, 2·W).

    It runs as a transposed convolution, 4/9 of the products. With a 1×1 kernel, as PEFT gives a branch's B, it is an
    ordinary convolution.
    """

    def forward(self, input: Tensor) -> Tensor:
        if self.kernel_size == (1, 1):
            return super().forward(input)
        return F.conv_transpose2d(input, transposed_kernel(self.weight), self.bias, STRIDE, PADDING)


def fix_kernels(network: nn.Module) -> nn.Module:
    """For a network that is trained no more: each `ResizedConv2d` becomes an `nn.ConvTranspose2d`, computed once.

    Changes `network` in place, and returns it; the function stays the same, the names and shapes of weights do not.
    """
    resized = {n: m for n, m in network.named_modules() if isinstance(m, ResizedConv2d) and m.kernel_size != (1, 1)}
    for name, conv in resized.items():
        kernel = transposed_kernel(conv.weight.detach())
        fixed = nn.ConvTranspose2d(conv.in_channels, conv.out_channels, 4, STRIDE, PADDING, device="meta")
        fixed.weight, fixed.bias = nn.Parameter(kernel), conv.bias
        network.set_submodule(name, fixed.requires_grad_(False))
    return network
