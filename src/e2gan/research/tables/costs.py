"""What the methods cost: one image (Tab. 1, Tab. 2), and the training of a concept, on one real step each (Fig. 6)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from e2gan.config import COMODGAN_TRAINING, KEPT, PIX2PIX, GeneratorConfig, TableConfig, TrainingConfig
from e2gan.config.schemas import ImagesFile, MeasuredFile
from e2gan.core.device import resolve_device
from e2gan.core.errors import InputError
from e2gan.core.files import plain, read_json, write_json
from e2gan.core.names import slug
from e2gan.core.outputs import claim_in_place
from e2gan.core.plots import Panel, number, plot_bars
from e2gan.core.progress import note
from e2gan.core.record import as_recorded
from e2gan.core.schemas import known
from e2gan.measure.cost import (
    StepFlops,
    example,
    example_batch,
    latencies,
    latency,
    multiply_accumulates,
    step_flops,
    transposed_at_output,
)
from e2gan.networks.generator import Generator
from e2gan.networks.lora import attach, rank_of_layers
from e2gan.networks.lora_training import train_mode
from e2gan.networks.models import build_discriminator, build_generator
from e2gan.networks.resized_conv import fix_kernels
from e2gan.train.step import R1_EVERY, Trainer, parameters

# By table: row → the method that it measures.
ROWS: dict[str, dict[str, str]] = {
    "table1": {"pix2pix 9 RB": "pix2pix", "Co-Mod-GAN": "comodgan", "E2GAN": "adapter"},
    "fig6": {
        "pix2pix": "pix2pix",
        "pix2pix-zero-distilled (Co-Mod-GAN)": "comodgan",
        "E2GAN": "adapter",
        "E2GAN, all weights": "all weights",
    },
}
# The paper names the four places a TB can take (Sec. 4.2.1), but not which ones its Tab. 2 fills first.
PLACES: dict[str, tuple[int, ...]] = {
    "0 TBs": (),
    "1 TB": (2,),
    "2 TBs": (1, 2),
    "3 TBs": (1, 2, 3),
    "4 TBs": (0, 1, 2, 3),
}
PHOTOS, SELECTED = 800, KEPT  # training photos of a concept, and those that SC keeps (Sec. 5.1)
TIMED, IMAGES = 3, 10  # steps and images, of which the median counts
TABLE1_GFLOPS = {"pix2pix": 56.9, "comodgan": 98.2}  # Tab. 1, as printed
PAPER_SIZE = 256

Paper = dict[str, dict[str, float]]


@dataclass(frozen=True)
class TableRow:
    """One row of a table: its cells as text by column, and the numbers behind them."""

    name: str
    cells: dict[str, str]
    values: dict[str, float]


@dataclass(frozen=True)
class ImageCost:
    """One image through a generator: its parameters, multiply-accumulates, and milliseconds on this machine.

    macs: of the layers, transposed convolutions at their input; macs_at_output: at their output, as Tab. 1 counts.
    attention: of the attention products, which have no weights and are in neither.
    """

    parameters: int
    macs: int
    macs_at_output: int
    attention: int
    milliseconds: float


@dataclass(frozen=True)
class Measured:
    """One method: the parameters trained, a step's operations and seconds, bytes stored, steps a concept."""

    trained: int
    flops: StepFlops
    flops_r1: int
    seconds: float
    stored: int
    steps: int

    @property
    def total_flops(self) -> float:
        """Operations of a concept's whole training."""
        return (self.flops.total * (R1_EVERY - 1) + self.flops_r1) / R1_EVERY * self.steps

    @property
    def minutes(self) -> float:
        return self.seconds * self.steps / 60

    @classmethod
    def load(cls, stored: dict[str, Any]) -> Measured:
        return cls(**{**known(cls, stored), "flops": StepFlops(**known(StepFlops, stored["flops"]))})


def compare_costs(
    config: TableConfig, name: str, out: Path, paper: Paper, write: Callable[..., object] = lambda *_: None
) -> tuple[list[TableRow], list[str]]:
    """Rows and notes of table1, table2 or fig6: everything is counted or timed here, and nothing is trained.

    Writes a chart; write(rows, notes): what else is to be in `out` when its record is made. What was measured before is
    read, so that a rerun goes on. Raises InputError where a generator cannot work at the size, or has too few residual
    blocks for Tab. 2.
    """
    size = config.size or PAPER_SIZE
    if name == "table2":
        decisive = ("generator", "device")
        if config.generator.blocks < max(place for places in PLACES.values() for place in places):
            raise InputError(
                f"Table 2 puts a TB after each of 3 residual blocks; --blocks is {config.generator.blocks}"
            )
    else:
        decisive = ("epochs", "baseline_epochs", "generator", "ranks", "precision", "device", "seed")
    settings = {k: v for k, v in plain(config).items() if k in decisive} | {"size": size}
    with claim_in_place(out, name, settings, reads={}):  # noise is as good as a photo to time on
        found = _table2(config, size, out) if name == "table2" else _of_steps(config, name, size, out, paper)
        write(*found)
        return found


def _of_steps(config: TableConfig, name: str, size: int, out: Path, paper: Paper) -> tuple[list[TableRow], list[str]]:
    """Of the tables for which a step of each method is measured."""
    measured = {}
    for row, method in ROWS[name].items():
        file = out / f"step-{slug(method)}.json"
        if not file.exists() or not as_recorded(file, out):
            note(f"{row}: one step at {size} pixels")
            write_json(file, measure(method, size, config))
        measured[row] = Measured.load(read_json(file, MeasuredFile))
    table = _table1 if name == "table1" else _fig6
    return table(config, size, out, measured, paper)


def image_costs(
    generators: Mapping[str, tuple[str, GeneratorConfig]], size: int, device: torch.device, file: Path
) -> dict[str, ImageCost]:
    """Count and time one image of `size` pixels through each generator (kind, settings), in turns; or read `file`.

    Raises InputError where the file has other rows.
    """
    if not file.exists() or not as_recorded(file, file.parent):
        note(f"{', '.join(generators)}: an image at {size} pixels")
        built = {row: build_generator(kind, settings, size) for row, (kind, settings) in generators.items()}
        counts = {row: multiply_accumulates(generator, size) for row, generator in built.items()}

        def run_of(generator: nn.Module) -> Callable[[], object]:
            photo, tokens = example(generator, size, device)
            twin = fix_kernels(copy.deepcopy(generator)).to(device).eval()
            return lambda: twin(photo, tokens)

        with torch.inference_mode():
            times = latencies({row: run_of(generator) for row, generator in built.items()}, IMAGES, device)
        costs = {}
        for row, generator in built.items():
            macs, attention = counts[row]
            at_output = macs + transposed_at_output(generator, size)
            costs[row] = ImageCost(parameters(generator), macs, at_output, attention, times[row])
        write_json(file, costs)
    stored = read_json(file, ImagesFile)
    if stored.keys() != generators.keys():
        raise InputError(f"{file} has not the rows {', '.join(generators)}: delete it")
    return {row: ImageCost(**known(ImageCost, cost)) for row, cost in stored.items()}


def _kind(method: str, config: TableConfig) -> tuple[str, GeneratorConfig]:
    """A method's generator, as `build_generator` takes it."""
    return (method, PIX2PIX) if method in ("pix2pix", "comodgan") else ("e2gan", config.generator)


def measure(method: str, size: int, config: TableConfig) -> Measured:
    """Build a method's networks as its training does, and count and time a step."""
    device = resolve_device(config.device)
    torch.manual_seed(config.seed)
    ours, adapter = method in ("adapter", "all weights"), method == "adapter"
    epochs, photos = (config.epochs, SELECTED) if ours else (config.baseline_epochs, PHOTOS)
    training = TrainingConfig(precision=config.precision, r1=COMODGAN_TRAINING.r1 if method == "comodgan" else 0.0)
    kind, settings = _kind(method, config)
    generator = build_generator(kind, settings, size)
    if adapter and isinstance(generator, Generator):
        attach(generator, rank_of_layers(generator, config.ranks))
    generator = train_mode(generator) if adapter else generator.train()
    discriminator = build_discriminator(kind, size).train()
    trainer = Trainer(generator.to(device), discriminator.to(device), training)
    flops = step_flops(trainer, size, number=1)
    flops_r1 = step_flops(trainer, size, number=0).total if training.r1 else flops.total
    batch = example_batch(generator, size, device)
    with_r1 = latency(lambda: trainer.step(batch, 0), 1, device) if training.r1 else 0.0
    usual = latency(lambda: trainer.step(batch, 1), TIMED, device)
    milliseconds = usual if not training.r1 else (usual * (R1_EVERY - 1) + with_r1) / R1_EVERY
    trained = sum(p.numel() for p in trainer.trained.values())
    return Measured(
        trained=trained,
        flops=flops,
        flops_r1=flops_r1,
        seconds=milliseconds / 1000,
        stored=trained * (2 if adapter else 4),
        steps=epochs * photos,
    )


def _row(name: str, values: dict[str, float]) -> TableRow:
    return TableRow(name, {k: number(v) for k, v in values.items()}, values)


def _chart(out: Path, name: str, rows: list[TableRow], columns: dict[str, str]) -> None:
    """A panel of bars for each of the columns; columns: name → unit. Logarithmic, where there is no zero."""
    names = [row.name for row in rows]
    panels = []
    for column, unit in columns.items():
        values = [row.values[column] for row in rows]
        panels.append(Panel(column, unit, names, values, logarithmic=max(values) > 20 * min(values) > 0))
    plot_bars(out / f"{name}.png", panels)


def _image_note(config: TableConfig, size: int) -> str:
    device = resolve_device(config.device)
    return (
        f"One image at {size} pixels. GFLOPs are billions of multiply-accumulates of the layers, with transposed "
        "convolutions counted at their output, which is what meets the 56.9 of pix2pix in Tab. 1; the attention "
        f"products come on top. Latency: PyTorch in fp32 on {device} ({torch.get_num_threads()} threads), the median "
        f"of {IMAGES}, the rows in turns. The paper's is of an iPhone 14 Pro, which cannot be measured here."
    )


def _step_note(config: TableConfig, size: int) -> str:
    device = resolve_device(config.device)
    return (
        f"One step at batch 1 and {size} pixels on {device} ({torch.get_num_threads()} threads, {config.precision}), "
        f"the median of {TIMED}; a concept is that times its steps: {config.epochs} epochs of {SELECTED} photos for "
        f"E2GAN, {config.baseline_epochs} of {PHOTOS} for the others. Minutes are therefore computed."
    )


def _image_values(image: ImageCost) -> dict[str, float]:
    return {
        "parameters (M)": image.parameters / 1e6,
        "GFLOPs": image.macs_at_output / 1e9,
        "GFLOPs, transposed convolutions at their input": image.macs / 1e9,
        "attention products (GFLOPs)": image.attention / 1e9,
        "this machine (ms)": image.milliseconds,
    }


IMAGE_PANELS = {"parameters (M)": "millions", "GFLOPs": "billions", "this machine (ms)": "ms"}


def _table1(
    config: TableConfig, size: int, out: Path, measured: dict[str, Measured], paper: Paper
) -> tuple[list[TableRow], list[str]]:
    kinds = {row: _kind(method, config) for row, method in ROWS["table1"].items()}
    images = image_costs(kinds, size, resolve_device(config.device), out / "images.json")
    rows = [
        _row(row, _image_values(image) | {"training (minutes)": measured[row].minutes}) for row, image in images.items()
    ]
    _chart(out, "table1", rows, {**IMAGE_PANELS, "training (minutes)": "minutes"})
    notes = [_image_note(config, size), _step_note(config, size)]
    printed = paper.get("Co-Mod-GAN", {}).get("GFLOPs")
    if size == PAPER_SIZE and printed is not None:
        image = images["Co-Mod-GAN"]
        notes.append(
            f"Co-Mod-GAN: {image.macs / 1e9:.1f} G with its transposed convolutions at their input, "
            f"{image.macs_at_output / 1e9:.1f} G at their output; the paper's {printed:g} lies between, and neither "
            "this nor the parameters, which agree, tell how it was counted: not explained."
        )
    if "SnapFusion" in paper:
        notes.append("SnapFusion is a published row only: it is neither part of this program nor measured.")
    return rows, notes


def _table2(config: TableConfig, size: int, out: Path) -> tuple[list[TableRow], list[str]]:
    kinds = {row: ("e2gan", replace(config.generator, transformers=places)) for row, places in PLACES.items()}
    images = image_costs(kinds, size, resolve_device(config.device), out / "images.json")
    rows = [_row(row, _image_values(image)) for row, image in images.items()]
    _chart(out, "table2", rows, IMAGE_PANELS)
    places = "1 after RB 2; 2 after RB 1 and 2; 3 after RB 1, 2 and 3; 4 before RB 1 too"
    return rows, [_image_note(config, size), f"The TBs' places are our choice, since the paper names none: {places}."]


def _fig6(
    config: TableConfig, size: int, out: Path, measured: dict[str, Measured], paper: Paper
) -> tuple[list[TableRow], list[str]]:
    ours = measured["E2GAN"]
    rows = [
        _row(
            name,
            {
                "PFLOP a concept": m.total_flops / 1e15,
                "minutes a concept": m.minutes,
                "trained parameters (M)": m.trained / 1e6,
                "stored (MB)": m.stored / 1e6,
                "training FLOPs against E2GAN": m.total_flops / ours.total_flops,
                "training time against E2GAN": m.minutes / ours.minutes,
                "trained parameters against E2GAN": m.trained / ours.trained,
                "step: G forward (GFLOP)": m.flops.generator_forward / 1e9,
                "step: G backward (GFLOP)": m.flops.generator_backward / 1e9,
                "step: D (GFLOP)": m.flops.discriminator / 1e9,
                "step (GFLOP)": m.flops.total / 1e9,
                "step (s)": m.seconds,
            },
        )
        for name, m in measured.items()
    ]
    panels = {"PFLOP a concept": "PFLOP", "minutes a concept": "minutes", "trained parameters (M)": "millions"}
    _chart(out, "fig6", rows, {**panels, "stored (MB)": "MB"})
    notes = [_step_note(config, size), "E2GAN, all weights, is no row of the paper's: the same base, fine-tuned whole."]
    notes += [_saving_note(row, measured[row], ours, paper) for row in list(measured)[:2]]
    if size == PAPER_SIZE:
        notes.append(_guess_note(config, measured, ours))
    for row, printed in paper.items():
        if "trained parameters against E2GAN" in printed and row in measured:
            notes.append(
                f"Trained parameters, {row}: {measured[row].trained / ours.trained:.0f} times E2GAN's; the paper "
                f"prints {printed['trained parameters against E2GAN']:g}, where its own 79.2 M and 0.092 M give 861."
            )
    notes.append(
        "A multiply-accumulate is two operations; Co-Mod-GAN's R1 counts on one step in "
        f"{R1_EVERY}. Stored: adapters in half precision, the others as they are, fp32."
    )
    return rows, notes


def _saving_note(row: str, theirs: Measured, ours: Measured, paper: Paper) -> str:
    """How a saving of operations comes about: fewer steps, and fewer operations a step."""
    saving, steps = theirs.total_flops / ours.total_flops, theirs.steps / ours.steps
    printed = paper.get(row, {}).get("training FLOPs against E2GAN")
    beside = "" if printed is None else f"the paper prints {printed:g}, which needs {printed / steps:.3g} a step: "
    g, g_ours = (m.flops.generator_forward + m.flops.generator_backward for m in (theirs, ours))
    forward = theirs.flops.generator_forward / ours.flops.generator_forward
    return (
        f"Training FLOPs, {row}: {saving:.1f} times E2GAN's, {steps:g} times the steps and {saving / steps:.3g} times "
        f"the operations of a step ({beside}counted are the passes of G and D; G's alone give "
        f"{steps * g / g_ours:.1f}, its forward passes alone {steps * forward:.1f})."
    )


def _guess_note(config: TableConfig, measured: dict[str, Measured], ours: Measured) -> str:
    """A way of counting that gives the paper's 14 and 25, from Tab. 1's FLOPs: a guess, and told as one."""
    image = sum(multiply_accumulates(Generator(config.generator), PAPER_SIZE)) / 1e9
    guesses = []
    for row, m in measured.items():
        if printed := TABLE1_GFLOPS.get(ROWS["fig6"][row]):
            guesses.append(f"{3 * printed * m.steps / (2 * image * ours.steps):.1f} for {row}")
    return (
        f"A guess at the paper's count: G alone, its FLOPs of Tab. 1 three times a step for the baselines (forward, "
        f"gradients of the maps and of the weights) and {image:.1f} G twice for E2GAN, whose frozen weights need no "
        f"gradient: {', '.join(guesses)}. It counts transposed convolutions at their output in pix2pix alone, and "
        "the paper does not say how it counted: the difference is not explained."
    )
