"""What a training costs: pix2pix as published and with our levers, against adapters of the full and the small size.

    python benchmarks/training.py [--out training.json] [--size 256] [--threads 2] [--rounds 7] [--seconds 5]

The rows take turns, each in a process of its own, as in inference.py. A step's time is for each photo. The whole
training is that of the row's pairs and epochs: 800 of 200 for pix2pix, 400 of 100 for ours (Sec. 5.1). The factor
against the first row is taken apart: pairs, epochs, operations a photo, and what is left, how fast the machine does
them. Perceptual losses' operations count, crops as what they are.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from e2gan.config import PAPER, PIX2PIX, PRESETS, RECIPES, GeneratorConfig, Ranks, TrainingConfig, as_published
from e2gan.config.checks import side
from e2gan.core.files import write_json
from e2gan.measure.cost import example, step_flops
from e2gan.networks.discriminator import Discriminator
from e2gan.networks.generator import Generator
from e2gan.networks.lora import attach, rank_of_layers
from e2gan.networks.lora_training import train_mode
from e2gan.train.batches import Batch
from e2gan.train.step import Trainer

sys.path[:0] = [str(Path(__file__).resolve().parent)]
import turns  # noqa: E402 (scripts beside this one, found by the line above)
from runs import exit_status  # noqa: E402

CPU = torch.device("cpu")
PUBLISHED = "pix2pix as published"


@dataclass(frozen=True)
class Training:
    """What is trained, how, and for how long. ranks: of an adapter; None trains all weights."""

    generator: GeneratorConfig
    config: TrainingConfig
    pairs: int
    epochs: int
    ranks: Ranks | None = None


def trainings() -> dict[str, Training]:
    paper, quick = RECIPES["paper"], RECIPES["quick"]
    whole, ours = (800, 200), (400, 100)  # pairs, epochs
    pix2pix = as_published(quick.training["scratch"])
    published = replace(paper.training["scratch"], precision="fp32")
    found = {
        PUBLISHED: Training(PIX2PIX, published, *whole),
        "pix2pix, our levers (bf16, batches of two)": Training(PIX2PIX, pix2pix, *whole),
        "adapter, as the paper trains it": Training(
            PAPER, replace(paper.training["adapt"], precision="fp32"), *ours, ranks=paper.adapter["ranks"]
        ),
    }
    for name in ("full", "small"):
        generator = PRESETS["device" if name == "full" else name]
        for recipe in ("quick", "best"):
            training, ranks = RECIPES[recipe].training["adapt"], RECIPES[recipe].ranks(generator)
            found[f"adapter, {name}, {recipe}"] = Training(generator, training, *ours, ranks=ranks)
        adversarial = found[f"adapter, {name}, quick"]
        adversarial = replace(adversarial, config=as_published(adversarial.config))
        found[f"adapter, {name}, quick with Eq. 1"] = adversarial
    return found


@dataclass(frozen=True)
class Row:
    name: str
    size: int
    threads: int


def network(training: Training) -> Generator:
    """What is trained, an adapter's branches beside its layers."""
    torch.manual_seed(0)
    generator = Generator(training.generator)
    if training.ranks is not None:
        attach(generator, rank_of_layers(generator, training.ranks))
    return generator


def trainer(training: Training, device: torch.device = CPU) -> Trainer:
    return Trainer(train_mode(network(training)).to(device), Discriminator().to(device), training.config)


def random_pairs(of: Trainer, training: Training, size: int) -> Batch:
    """A batch where the trainer is."""
    batch, width = training.config.batch, training.generator.text_width
    photo, _ = example(of.generator, size, of.device)
    photos, tokens = photo.repeat(batch, 1, 1, 1), torch.randn(1, 8, width, device=of.device).repeat(batch, 1, 1)
    return Batch(photos, -photos, tokens, torch.ones(batch, 8, dtype=torch.bool, device=of.device))


def crop_side(training: Training, size: int) -> int:
    return min(size, training.config.crop or size)


def serve(row: Row) -> None:
    torch.set_num_threads(row.threads)
    training = trainings()[row.name]
    of, batch = trainer(training), training.config.batch
    pairs = random_pairs(of, training, crop_side(training, row.size))
    turns.serve(lambda: of.step(pairs, 1), batch)


def facts(name: str, size: int, found: turns.Found) -> dict[str, Any]:
    """Settings, operations and figures of a row. hours: of the whole training."""
    training = trainings()[name]
    flops = step_flops(trainer(training), crop_side(training, size)).total
    told: dict[str, Any] = {"name": name, "gflop": flops / 1e9, "pairs": training.pairs, "epochs": training.epochs}
    told |= {"batch": training.config.batch} | found.facts()
    if "ms" in told:
        told["hours"] = told["ms"] / 1000 * training.pairs * training.epochs / 3600
    return told


def table(rows: list[dict[str, Any]], peak: Mapping[str, float], precision: Mapping[str, str]) -> str:
    """In Markdown. peak: multiply-accumulates a second, by precision. precision: a row's."""
    heads = ["", "GFLOP a photo", "ms a photo", "photos a second", "of peak", "MB", "pairs × epochs", "hours"]
    heads += ["times less", "= pairs", "× epochs", "× operations", "× machine"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    first = rows[0]
    for row in rows:
        if "ms" not in row:
            lines.append(f"| {row['name']} | does not run: {row['error']} |")
            continue
        rate = row["gflop"] * 1e9 / 2 / (row["ms"] / 1000)  # multiply-accumulates a second
        cells = [row["name"], f"{row['gflop']:.0f}", f"{row['ms']:.0f}{'' if row['quiet'] else ' (never quiet)'}"]
        cells += [f"{1000 / row['ms']:.2f}", f"{rate / peak[precision[row['name']]]:.0%}", str(row["peak_megabytes"])]
        cells += [f"{row['pairs']} × {row['epochs']}", f"{row['hours']:.1f}"]
        if "ms" in first:
            parts = [first[key] / row[key] for key in ("pairs", "epochs", "gflop")]
            less = first["hours"] / row["hours"]
            cells += [f"{value:.1f}" for value in (less, *parts, less / (parts[0] * parts[1] * parts[2]))]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def precisions() -> dict[str, str]:
    """Each row's precision, as `auto` decides it here."""
    from e2gan.core.device import bf16_is_fast

    auto = "bf16" if bf16_is_fast(torch.device("cpu")) else "fp32"
    return {name: auto if t.config.precision == "auto" else t.config.precision for name, t in trainings().items()}


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--size", type=int, default=256)
    turns.add_options(made, 7, 5.0)
    return made


def run(options: argparse.Namespace) -> None:
    side("size", options.size)
    turns.check_options(options)
    rows = {name: Row(name, options.size, options.threads) for name in trainings()}
    start = {name: partial(turns.Served, __file__, row, options.threads) for name, row in rows.items()}
    found = turns.take_turns(start, options.threads, options.rounds, options.seconds)
    told = [facts(name, options.size, row) for name, row in found.items()]
    peak = turns.peaks([options.threads])
    print(table(told, peak[options.threads], precisions()))
    print(f"\n{turns.peak_lines(peak)}")
    if options.out:
        write_json(options.out, {"options": {k: str(v) for k, v in vars(options).items()}, "peak": peak, "rows": told})


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    if options.serve:
        serve(Row(**json.loads(options.serve)))
        return 0
    return exit_status(lambda: run(options), goes_on=False)


if __name__ == "__main__":
    sys.exit(main())
