"""Where a frame's time goes in PyTorch, and so what holds it back from the machine's peak.

    python benchmarks/frame_profile.py [--size 256] [--threads 1] [--frames 10] [--preset device small]

PyTorch's profiler on the full and the small generator, in fp32 and bf16: the share of the time in convolutions, in the
transformer block (products, attention, norms), in copies (casts of weights and pixels, other layouts), and in what goes
element by element, each with the number of its calls a frame. Beside it the convolutions' own speed as a share of the
peak of a matrix product, measured before and after: what lies between it and 100 % is theirs, the rest is what else
there is. Shares stand still where others use the machine evenly; milliseconds do not.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from e2gan import PRESETS
from e2gan.config.checks import at_least
from e2gan.core.images import Pixels
from e2gan.core.progress import track
from e2gan.networks.generator import Generator

sys.path[:0] = [str(Path(__file__).resolve().parent)]
import small  # noqa: E402 (scripts beside this one, found by the line above)
import turns  # noqa: E402
from runs import exit_status, markdown  # noqa: E402

KINDS = {
    "convolutions": ("convolution", "conv2d", "conv_transpose"),
    "transformer block": ("addmm", "bmm", "::mm", "attention", "softmax", "norm", "gelu", "linear", "matmul"),
    "copies": ("copy_", "::to", "empty", "clone", "contiguous", "cat", "pixel_", "permute", "resize_"),
}
REST = "element by element, and the rest"
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def kind_of(name: str) -> str:
    return next((kind for kind, parts in KINDS.items() if any(part in name for part in parts)), REST)


def shares(model: torch.nn.Module, photo: Pixels, frames: int, *, bf16: bool) -> tuple[float, dict[str, float], int]:
    """Milliseconds of a frame's operations, the part of each kind, 0..1, and the operations a frame."""
    run = small.in_torch(model, bf16=bf16)
    for _ in range(3):
        run(photo)
    with profile(activities=[ProfilerActivity.CPU]) as found:
        for _ in range(frames):
            run(photo)
    taken, calls = dict.fromkeys([*KINDS, REST], 0.0), 0
    for row in found.key_averages():
        if row.key.startswith("aten::"):
            taken[kind_of(row.key)] += row.self_cpu_time_total
            calls += row.count
    total = sum(taken.values())
    return total / 1000 / frames, {kind: of / total for kind, of in taken.items()}, calls // frames


def convolved_macs(model: torch.nn.Module, photo: Pixels) -> int:
    """Multiply-accumulates of a frame's convolutions; a transposed one counts once for each pixel of its input."""
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model(torch.from_numpy(photo))
    return counter.get_flop_counts()["Global"][torch.ops.aten.convolution] // 2


def table(options: argparse.Namespace) -> str:
    torch.set_num_threads(options.threads)
    photo = np.random.default_rng(0).integers(0, 256, (1, options.size, options.size, 3), dtype=np.uint8)
    rows = []
    for preset, precision in track([(preset, p) for preset in options.preset for p in TYPES], "profiles"):
        torch.manual_seed(0)
        model = small.stirred(Generator(PRESETS[preset]), options.size)
        side, dtype = 2048, TYPES[precision]
        before = min(turns.product(options.threads, dtype, side) for _ in range(5))
        ms, parts, calls = shares(model, photo, options.frames, bf16=precision == "bf16")
        peak = side**3 / min(before, *(turns.product(options.threads, dtype, side) for _ in range(5)))
        rate = convolved_macs(model, photo) / (parts["convolutions"] * ms / 1000)
        shown = [f"{100 * part:.0f} %" for part in parts.values()]
        rows.append([preset, precision, f"{ms:.1f}", *shown, f"{100 * rate / peak:.0f} %", str(calls)])
    heads = ["preset", "precision", "ms", *KINDS, REST, "convolutions, of the peak", "operations"]
    return "\n".join(markdown(heads, rows)) + "\n"


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--size", type=int, default=256)
    made.add_argument("--threads", type=int, default=1)
    made.add_argument("--frames", type=int, default=10)
    made.add_argument("--preset", nargs="+", default=["device", "small"], choices=list(PRESETS))
    return made


def work(options: argparse.Namespace) -> None:
    for name in ("size", "threads", "frames"):
        at_least(name, getattr(options, name), 1)
    print(table(options), end="")


def main(arguments: Sequence[str] | None = None) -> int:
    return exit_status(lambda: work(parser().parse_args(arguments)), goes_on=False)


if __name__ == "__main__":
    sys.exit(main())
