"""Resize and convolution as it is defined, on the enlarged map, and as the transposed convolution that it is run as.

    python benchmarks/resize.py [--size 128] [--threads 1] [--repeat 15]

`resized_conv.ResizedConv2d` on the maps of a generator, and a whole generator, in fp32 and bf16: median milliseconds of
one image and the median of the ratios, both ways in turns. "Edit" is the forward pass with fixed kernels, "training"
forward and backward.
"""

from __future__ import annotations

import argparse
import copy
import statistics
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from e2gan.config import PRESETS
from e2gan.measure.cost import example
from e2gan.networks.generator import Generator
from e2gan.networks.resized_conv import ResizedConv2d, fix_kernels
from step import steady_clock


class EnlargedConv2d(ResizedConv2d):
    """As it is defined."""

    def forward(self, input: Tensor) -> Tensor:
        return nn.Conv2d.forward(self, F.interpolate(input, scale_factor=2.0))


def as_defined(network: nn.Module) -> nn.Module:
    """A copy without the transposed convolution."""
    network = copy.deepcopy(network)
    for module in network.modules():
        if type(module) is ResizedConv2d:
            module.__class__ = EnlargedConv2d
    return network


def cell(one: Callable[[], object], other: Callable[[], object], repeat: int) -> str:
    """Two ways in turns, which of them first in turns too, so that what else the machine does slows both alike."""
    clock, times = steady_clock(), ([], [])
    for i in range(repeat + 2):
        for way in (0, 1) if i % 2 else (1, 0):
            start = clock()
            (one, other)[way]()
            if i >= 2:
                times[way].append(1000 * (clock() - start))
    ratio = statistics.median(a / b for a, b in zip(*times, strict=True))
    return f"{statistics.median(times[0]):.1f} | {statistics.median(times[1]):.1f} | {ratio:.2f}"


def row(name: str, network: nn.Module, inputs: tuple[Any, ...], precision: str, repeat: int) -> str:
    """A network's edit and training, as defined and as run."""

    def run(network: nn.Module) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            return network(*inputs)

    fixed, defined = fix_kernels(copy.deepcopy(network)), as_defined(network)
    with torch.no_grad():
        edit = cell(lambda: run(defined), lambda: run(fixed), repeat)
    training = cell(lambda: run(defined).sum().backward(), lambda: run(network).sum().backward(), repeat)
    return f"| {name} | {precision} | {edit} | {training} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print("| map | | ms edit, as defined | as run | ratio | ms training, as defined | as run | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    for precision in ("fp32", "bf16"):
        for of, to, part in ((256, 256, 8), (256, 128, 4), (128, 64, 2)):
            side = arguments.size // part
            conv = nn.Sequential(ResizedConv2d(of, to, 3, padding=1))
            x = torch.randn(1, of, side, side, requires_grad=True)
            print(row(f"{of}→{to} at {side}×{side}", conv, (x,), precision, arguments.repeat), flush=True)
        whole = Generator(PRESETS["residual"])
        inputs = example(whole, arguments.size, torch.device("cpu"))
        print(row(f"the generator at {arguments.size}", whole, inputs, precision, arguments.repeat), flush=True)


if __name__ == "__main__":
    main()
