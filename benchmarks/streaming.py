"""Training on pairs that do not fit in memory: steps a second from disk, against the same pairs in memory.

    python benchmarks/streaming.py --out streaming.json [--pairs 4000] [--size 256] [--preset small] [--rounds 5]

The pairs take four times the memory that they are allowed. Rounds alternate: so many steps with a quarter of them in
memory, so many with them in a mapped file whose pages were all dropped from memory before each round, and which are
read ahead in a thread. Prints the median of the rounds' ratios, the part of the file that was in memory after a round,
and a row for each round. Pixels are noise, since nothing is learned here. Needs Linux.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from e2gan.config import PRESETS, RECIPES
from e2gan.core.errors import InputError
from e2gan.core.files import write_json
from e2gan.core.progress import track
from e2gan.networks.discriminator import Discriminator
from e2gan.networks.models import build_generator
from e2gan.train.batches import Batch, TrainingData
from e2gan.train.loop import batches
from e2gan.train.step import Trainer
from e2gan.train.storage import in_memory, on_disk

sys.path[:0] = [str(Path(__file__).resolve().parent)]
from runs import exit_status  # noqa: E402 (a script beside this one, found by the line above)

PAGE = os.sysconf("SC_PAGESIZE")
LIBC = ctypes.CDLL(None, use_errno=True)


def filled(images: Tensor, seed: int) -> Tensor:
    """Noise, a picture at a time, so that nothing else is held."""
    rng = np.random.default_rng(seed)
    for image in images.numpy():
        image[:] = rng.integers(0, 256, image.shape, np.uint8)
    return images


class Mapped:
    """Pixels in a mapped file, whose pages can be dropped and counted."""

    def __init__(self, images: Tensor) -> None:
        self.images = images
        self.start, self.length = images.data_ptr(), images.nbytes

    def drop(self) -> None:
        """Written, and out of memory: this process's and the system's. The nameless file is opened by its mapping."""
        address, length = ctypes.c_void_p(self.start), ctypes.c_size_t(self.length)
        for call in (LIBC.msync, LIBC.madvise):
            if call(address, length, 4):  # MS_SYNC; MADV_DONTNEED
                raise OSError(ctypes.get_errno(), "the mapped pages cannot be dropped")
        ranges = [path.name for path in Path("/proc/self/map_files").iterdir()]
        name = next(name for name in ranges if int(name.split("-")[0], 16) == self.start)
        file = os.open(f"/proc/self/map_files/{name}", os.O_RDONLY)
        try:
            os.fsync(file)
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(file)

    def resident(self) -> float:
        """The part of the file that is in memory."""
        pages = -(-self.length // PAGE)
        seen = (ctypes.c_ubyte * pages)()
        if LIBC.mincore(ctypes.c_void_p(self.start), ctypes.c_size_t(self.length), seen):
            raise OSError("mincore failed")
        return sum(page & 1 for page in bytes(seen)) / pages


def seconds(trainer: Trainer, stream: Iterator[Batch], steps: int) -> float:
    begun = time.perf_counter()
    for _ in range(steps):
        trainer.step(next(stream))
    return time.perf_counter() - begun


def measure(options: argparse.Namespace) -> dict[str, Any]:
    config = replace(RECIPES["best"].training["base"], batch=options.batch, crop=min(128, options.size))
    torch.manual_seed(0)
    network = PRESETS[options.preset]
    generator = build_generator("e2gan", network, options.size)
    trainer = Trainer(generator.train(), Discriminator(), config)
    each = options.pairs // 2
    tokens, mask = torch.randn(1, 4, network.text_width), torch.ones(1, 4, dtype=torch.bool)
    photo_of, concept_of = torch.arange(each), torch.zeros(each, dtype=torch.int64)
    few = each // 4  # what is allowed in memory
    held = [filled(in_memory(few, options.size), seed) for seed in (0, 1)]
    in_ram = TrainingData(held[0], held[1], photo_of[:few], concept_of[:few], tokens, mask)
    files = [filled(on_disk(each, options.size, options.out.absolute().parent), seed) for seed in (0, 1)]
    from_disk = TrainingData(files[0], files[1], photo_of, concept_of, tokens, mask, streams=True)
    mapped = [Mapped(x) for x in files]
    streams = batches(in_ram, config, 0), batches(from_disk, config, 0)
    for stream in streams:
        seconds(trainer, stream, 3)
    rows = []
    for number in track(range(options.rounds), "rounds"):
        row: dict[str, Any] = {}
        for name in ("memory", "disk") if number % 2 else ("disk", "memory"):
            if name == "disk":
                for file in mapped:
                    file.drop()
                row["resident_before"] = max(file.resident() for file in mapped)
            row[name] = options.steps / seconds(trainer, streams[name == "disk"], options.steps)
        row["resident_after"] = max(file.resident() for file in mapped)
        rows.append(row | {"ratio": row["disk"] / row["memory"]})
    return {
        "bytes": sum(x.nbytes for x in files),
        "allowed": in_ram.photos.nbytes + in_ram.edits.nbytes,
        "megabytes_a_step": 2 * options.batch * 3 * options.size**2 / 1e6,
        "ratio": statistics.median(row["ratio"] for row in rows),
        "rounds": rows,
        "settings": {k: v for k, v in vars(options).items() if k != "out"},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=4000, help="pictures of both kinds together")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--preset", default="small", choices=list(PRESETS))
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=20, help="of each round")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if options.pairs < 8 * options.batch:
        raise InputError(f"--pairs {options.pairs}: must be at least eight times --batch")
    found = measure(options)
    write_json(options.out, found)
    for row in found["rounds"]:
        print({name: round(value, 3) for name, value in row.items()})
    print(f"{found['bytes'] / 1e9:.2f} GB from disk at {found['ratio']:.3f} of the speed from memory")


if __name__ == "__main__":
    sys.exit(exit_status(main, goes_on=False))
