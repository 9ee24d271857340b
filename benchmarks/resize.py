"""Resize and convolution, folded and not: `resized_conv.ResizedConv2d` on the maps of a generator, and a whole one.

    python benchmarks/resize.py [--size 128] [--threads 1] [--repeat 15]

Prints median milliseconds of one image, forward and with backward, in one run.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from torch import Tensor

from e2gan.config import PRESETS
from e2gan.measure.cost import example, latency
from e2gan.networks import generator, resized_conv
from step import steady_clock


def measured(run: Callable[[], Tensor], repeat: int) -> tuple[float, float]:
    """Forward, and forward with backward."""
    clock = steady_clock()
    with torch.no_grad():
        forward = latency(run, repeat, clock=clock)
    return forward, latency(lambda: run().sum().backward(), repeat, clock=clock)


def row(name: str, run: Callable[[], Tensor], repeat: int) -> str:
    """Both ways of a network: `LEAST_AREA` decides."""
    found, least = {}, resized_conv.LEAST_AREA
    for way, area in (("enlarged", 2**62), ("folded", 0)):
        resized_conv.LEAST_AREA = area
        found[way] = measured(run, repeat)
    resized_conv.LEAST_AREA = least
    cells = [f"{a:.1f} | {b:.1f} | {a / b:.2f}" for a, b in zip(found["enlarged"], found["folded"], strict=True)]
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print("| map | ms forward, enlarged | folded | ratio | ms with backward, enlarged | folded | ratio |")
    print("|---|---|---|---|---|---|---|")
    for of, to, part in ((256, 256, 8), (256, 128, 4), (128, 64, 2)):
        side = arguments.size // part
        conv = resized_conv.ResizedConv2d(of, to, 3, padding=1)
        x = torch.randn(1, of, side, side, requires_grad=True)
        print(row(f"{of}→{to} at {side}×{side}", lambda conv=conv, x=x: conv(x), arguments.repeat), flush=True)
    whole = generator.Generator(PRESETS["residual"])
    photo, tokens = example(whole, arguments.size, torch.device("cpu"))
    print(row(f"the generator at {arguments.size}", lambda: whole(photo, tokens), arguments.repeat))


if __name__ == "__main__":
    main()
