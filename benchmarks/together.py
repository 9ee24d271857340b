"""Seconds a step of a base in one process and in several, of one thread each, at the same global batch.

    python benchmarks/together.py [--processes 2] [--batch 8] [--size 64] [--steps 20] [--rounds 3] [--out FILE]

The small generator with its discriminator, on random pixels, on the CPU: the processes talk by gloo on this machine. In
turns, so that what else runs here meets both; each time is the median of its steps, each row the fastest of its rounds.
`mean` is the part of a step in which gradients are averaged, waiting for the slower process among it.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

WARM = 3  # steps that are not counted


def serve(options: argparse.Namespace) -> None:
    """One process of a round; the first prints its times, in milliseconds."""
    import torch

    from e2gan.config import PRESETS, TrainingConfig
    from e2gan.core.group import Group, joined
    from e2gan.networks.discriminator import Discriminator
    from e2gan.networks.generator import Generator
    from e2gan.train.batches import TrainingData
    from e2gan.train.loop import batches
    from e2gan.train.step import Trainer

    torch.set_num_threads(1)
    torch.manual_seed(0)
    config, count = TrainingConfig(batch=options.batch, precision="fp32"), 4 * options.batch
    generator = Generator(PRESETS["small"]).train()
    trainer = Trainer(generator, Discriminator().train(), config)
    pixels = torch.randint(0, 256, (2, count, 3, options.size, options.size), dtype=torch.uint8)
    tokens = torch.rand(1, 8, generator.config.text_width)
    zeros, mask = torch.zeros(count, dtype=torch.long), torch.ones(1, 8, dtype=torch.bool)
    data = TrainingData(pixels[0], pixels[1], torch.arange(count), zeros, tokens, mask)
    averaging: list[float] = []
    with joined() as group:

        class Timed(Group):
            def mean_(self, tensors: Sequence[torch.Tensor]) -> None:
                begun = time.perf_counter()
                super().mean_(tensors)
                averaging.append(time.perf_counter() - begun)

        trainer.group = Timed(group.number, group.size, group.local)
        steps: list[float] = []
        for step, batch in enumerate(batches(data, config, 0, group.part(config.batch))):
            if step == WARM + options.steps:
                break
            begun = time.perf_counter()
            trainer.step(batch, 1)
            steps.append(time.perf_counter() - begun)
    mean = sum(averaging[2 * WARM :]) / options.steps  # D's and G's
    if group.first:
        print(json.dumps({"step": 1000 * statistics.median(steps[WARM:]), "mean": 1000 * mean}))


def measure(count: int, arguments: Sequence[str]) -> dict[str, float]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    every = []
    for number in range(count):
        own = {"RANK": str(number), "LOCAL_RANK": str(number), "WORLD_SIZE": str(count), "OMP_NUM_THREADS": "1"}
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "GLOO_SOCKET_IFNAME": "lo"}
        if sys.platform != "linux":
            del place["GLOO_SOCKET_IFNAME"]
        command = [sys.executable, __file__, "--serve", *arguments]
        every.append(subprocess.Popen(command, env=os.environ | own | place, stdout=subprocess.PIPE, text=True))
    texts = [process.communicate()[0] for process in every]
    if any(process.returncode for process in every):
        raise SystemExit("a process of the benchmark failed: see above")
    return json.loads(texts[0])


def table(found: dict[int, list[dict[str, float]]]) -> tuple[str, list[dict[str, Any]]]:
    best = {count: min(rounds, key=lambda times: times["step"]) for count, rounds in found.items()}
    lines, rows = ["| processes | ms a step | of which mean | speed | each round |", "|---|---|---|---|---|"], []
    for count, times in best.items():
        speed = best[1]["step"] / times["step"]
        each = [round(x["step"], 1) for x in found[count]]
        rows.append({"processes": count, "speed": round(speed, 3), "rounds": each} | times)
        spread = ", ".join(f"{x:.0f}" for x in each)
        lines.append(f"| {count} | {times['step']:.1f} | {times['mean']:.1f} | {speed:.2f} | {spread} |")
    return "\n".join(lines), rows


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("processes", 2), ("batch", 8), ("size", 64), ("steps", 20), ("rounds", 3)):
        made.add_argument(f"--{name}", type=int, default=default)
    made.add_argument("--out", type=Path)
    made.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser().parse_args(arguments)
    if options.serve:
        serve(options)
        return
    same = [word for name in ("batch", "size", "steps") for word in (f"--{name}", str(getattr(options, name)))]
    found: dict[int, list[dict[str, float]]] = {1: [], options.processes: []}
    for _ in range(options.rounds):
        for count, rounds in found.items():
            rounds.append(measure(count, same))
    text, rows = table(found)
    print(text)
    if options.out:
        options.out.write_text(json.dumps({"batch": options.batch, "size": options.size, "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
