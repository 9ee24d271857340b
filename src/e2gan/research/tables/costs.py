"""What training a concept costs (Tab. 1, Fig. 6): an adapter, pix2pix and Co-Mod-GAN, on one real step each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from e2gan.config import COMODGAN_TRAINING, PIX2PIX, TableConfig, TrainingConfig
from e2gan.core.device import resolve_device
from e2gan.core.files import plain, read_json, write_json
from e2gan.core.names import slug
from e2gan.core.outputs import claim_in_place
from e2gan.core.plots import Panel, number, plot_bars
from e2gan.core.progress import note
from e2gan.measure.cost import StepFlops, example_batch, latency, multiply_accumulates, step_flops, transposed_at_output
from e2gan.networks.generator import Generator
from e2gan.networks.lora import attach, rank_of_layers
from e2gan.networks.lora_training import train_mode
from e2gan.networks.models import build_discriminator, build_generator
from e2gan.train.step import R1_EVERY, Trainer, parameters

METHODS = ("e2gan", "e2gan, all weights", "pix2pix", "comodgan")
PHOTOS, SELECTED = 800, 400  # training photos of a concept, and those that SC keeps (Sec. 5.1)
TIMED = 3  # steps, of which the median counts


@dataclass(frozen=True)
class TableRow:
    """One row of a table: its cells as text by column, and the numbers behind them."""

    name: str
    cells: dict[str, str]
    values: dict[str, float]


@dataclass(frozen=True)
class Measured:
    """One method: its parameters, trained and in all, MACs of one image, a step's operations and seconds, bytes."""

    parameters: int
    trained: int
    macs: int
    flops: StepFlops
    flops_r1: int
    seconds: float
    stored: int
    steps: int


def compare_costs(
    config: TableConfig, name: str, out: Path, paper: dict[str, dict[str, float]]
) -> tuple[list[TableRow], list[str]]:
    """Count and time one training step of each method at batch 1, and what a whole training comes to: rows and notes.

    Writes a chart; each method is measured once, and a rerun goes on. Raises InputError where Co-Mod-GAN cannot work at
    the size.
    """
    size = config.size or 256
    decisive = ("epochs", "baseline_epochs", "generator", "ranks", "precision", "device", "seed")
    claim_in_place(out, name, {k: v for k, v in plain(config).items() if k in decisive} | {"size": size})
    measured: dict[str, Measured] = {}
    for method in METHODS:
        known = out / f"{slug(method)}.json"
        if not known.exists():
            note(f"{method}: one step at {size} pixels")
            write_json(known, measure(method, size, config))
        found = read_json(known)
        measured[method] = Measured(**{**found, "flops": StepFlops(**found["flops"])})
    chart(out / f"{name}.png", measured, paper)
    rows = [_row(method, m) for method, m in measured.items()]
    device = resolve_device(config.device)
    ours, theirs = (total_flops(measured[m]) for m in ("e2gan", "pix2pix"))
    notes = [
        f"One step at batch 1 and {size} pixels on {device} ({torch.get_num_threads()} threads, {config.precision}), "
        f"the median of {TIMED}; a concept is that times its steps: {config.epochs} epochs of {SELECTED} photos for "
        f"E²GAN, {config.baseline_epochs} of {PHOTOS} for the others. Seconds a concept are therefore computed.",
        f"An adapter's training is {theirs / ours:.1f} times fewer operations than pix2pix's (the paper: 14 times).",
        "R1 counts for Co-Mod-GAN on one step in 16. Stored: adapters in half precision, the others as they are, fp32.",
    ]
    return rows, notes


def measure(method: str, size: int, config: TableConfig) -> Measured:
    """Build a method's networks as its training does, and count and time a step."""
    device = resolve_device(config.device)
    torch.manual_seed(config.seed)
    ours, adapter = method.startswith("e2gan"), method == "e2gan"
    epochs, photos = (config.epochs, SELECTED) if ours else (config.baseline_epochs, PHOTOS)
    training = TrainingConfig(precision=config.precision, r1=COMODGAN_TRAINING.r1 if method == "comodgan" else 0.0)
    generator = build_generator(method, PIX2PIX if method == "pix2pix" else config.generator, size)
    plain_count = parameters(generator)
    macs = multiply_accumulates(generator.eval(), size)[0] + transposed_at_output(generator, size)
    if adapter and isinstance(generator, Generator):
        attach(generator, rank_of_layers(generator, config.ranks))
    generator = train_mode(generator) if adapter else generator.train()
    discriminator = build_discriminator(method, size).train()
    trainer = Trainer(generator.to(device), discriminator.to(device), training)
    flops = step_flops(trainer, size, number=1)
    flops_r1 = step_flops(trainer, size, number=0).total if training.r1 else flops.total
    batch = example_batch(generator, size, device)
    with_r1 = latency(lambda: trainer.step(batch, 0), 1, device) if training.r1 else 0.0
    usual = latency(lambda: trainer.step(batch, 1), TIMED, device)
    milliseconds = usual if not training.r1 else (usual * (R1_EVERY - 1) + with_r1) / R1_EVERY
    trained = sum(p.numel() for p in trainer.trained.values())
    return Measured(
        parameters=plain_count,
        trained=trained,
        macs=macs,
        flops=flops,
        flops_r1=flops_r1,
        seconds=milliseconds / 1000,
        stored=trained * (2 if adapter else 4),
        steps=epochs * photos,
    )


def total_flops(m: Measured) -> float:
    """Operations of a concept's whole training."""
    step = (m.flops.total * (R1_EVERY - 1) + m.flops_r1) / R1_EVERY
    return step * m.steps


def _row(method: str, m: Measured) -> TableRow:
    values: dict[str, Any] = {
        "parameters (M)": m.parameters / 1e6,
        "GMACs": m.macs / 1e9,
        "trained (M)": m.trained / 1e6,
        "stored (MB)": m.stored / 1e6,
        "step: G forward (GFLOP)": m.flops.generator_forward / 1e9,
        "step: G backward (GFLOP)": m.flops.generator_backward / 1e9,
        "step: D (GFLOP)": m.flops.discriminator / 1e9,
        "step (GFLOP)": m.flops.total / 1e9,
        "step (s)": m.seconds,
        "a concept (PFLOP)": total_flops(m) / 1e15,
        "seconds a concept": m.seconds * m.steps,
    }
    return TableRow(method, {k: number(v) for k, v in values.items()}, values)


def chart(path: Path, measured: dict[str, Measured], paper: dict[str, dict[str, float]]) -> None:
    names, costs = list(measured), list(measured.values())
    published = [paper.get(name, {}).get("seconds a concept") for name in names]
    seconds = [m.seconds * m.steps for m in costs]
    panels = [
        Panel("operations of a concept's training", "PFLOP", names, [total_flops(m) / 1e15 for m in costs], (), True),
        Panel("time of a concept's training", "seconds", names, seconds, published, logarithmic=True),
        Panel("stored a concept", "MB", names, [m.stored / 1e6 for m in costs], (), True),
    ]
    plot_bars(path, panels)
