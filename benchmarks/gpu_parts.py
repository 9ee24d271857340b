"""The parts of gpu.py: what each measures, a row after another."""

from __future__ import annotations

import contextlib
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

import training as others
import turns
from e2gan import PRESETS, RECIPES, TrainingConfig
from e2gan.core.device import autocast, bf16_is_fast
from e2gan.measure.cost import step_flops
from e2gan.networks.folders import base_folder
from e2gan.networks.lora import attach, rank_of_layers
from e2gan.networks.lora_training import train_mode
from e2gan.networks.models import encoder_of, load_discriminator, load_generator
from e2gan.networks.text import pad
from e2gan.train.batches import TrainingData
from e2gan.train.compiled import Mode, Step, compiled_step, in_channels_last
from e2gan.train.loop import LOG_EVERY, read_log, train
from e2gan.train.step import Trainer
from inference import BASELINE, pixel_model
from training import PUBLISHED, Training

Row = dict[str, Any]
# Of torch.compile; "eager" is without.
MODES: dict[str, Mode] = {"compiled": "default", "CUDA graphs": "reduce-overhead"}
CHANNELS_LAST = "channels last"  # the layout that a GPU's matrix units take: after a comma behind the mode
PAIRS, EPOCHS = 400, 100  # of an adapter (Sec. 5.1)
BATCH = 8  # pairs a step of the adapter from end to end
COMPILES = 52.0  # seconds of a row that compiles a step, 44 of them compiling on 16 cores (an H200's machine)


@dataclass(frozen=True)
class Settings:
    """Where and how much. until: the clock's time at which a part has to be done."""

    device: torch.device
    quick: bool
    until: float

    @property
    def size(self) -> int:
        return 32 if self.quick else 256

    @property
    def base(self) -> str:
        return "small" if self.quick else "full"

    @property
    def left(self) -> float:
        return self.until - time.monotonic()


# -- what all parts use -----------------------------------------------------------------------------------------------


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def timed(work: Callable[[], object], device: torch.device, photos: int, seconds: float) -> Row:
    """Figures of a row: milliseconds a photo, in turns of ten pieces of work. photos: in one of them."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    begun = time.perf_counter()
    work()
    wait(device)
    first = time.perf_counter() - begun
    for _ in range(3):  # CUDA graphs are recorded by the second and third
        work()
    found = turns.Found()  # without references: nobody else is on the card
    wait(device)
    begun = time.perf_counter()
    while len(found.turns) < 3 or (time.perf_counter() - begun < seconds and len(found.turns) < 200):
        start = time.perf_counter()
        for _ in range(LOG_EVERY):
            work()
        wait(device)
        found.turns.append((0.0, [1000 * (time.perf_counter() - start) / LOG_EVERY / photos]))
    if device.type == "cuda":
        found.megabytes = torch.cuda.max_memory_allocated(device) / 2**20
    else:
        found.megabytes = turns.most_megabytes()
    told = found.facts()
    return told | {"photos_a_second": 1000 / told["ms"], "first_seconds": round(first, 2)}


def attempt(name: str, work: Callable[[], Row], settings: Settings, needs: float = 0.0) -> Row:
    """A row, or why there is none. needs: seconds that it is not begun without."""
    if settings.left < needs:
        return {"name": name, "error": "not begun: the part's time is over"}
    begun = time.monotonic()
    try:
        told = {"error": None} | work()
    except Exception as error:  # whatever a driver or a compiler may raise: the rows after this one are worth having
        told = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"}
    if settings.device.type == "cuda":
        with contextlib.suppress(RuntimeError):
            torch.cuda.empty_cache()
    return {"name": name} | told | {"row_seconds": round(time.monotonic() - begun, 2)}


def prepared_step(trainer: Trainer, how: str) -> Step:
    """The trainer's step as `how` says: eager or compiled, in channels last or not."""
    mode, _, layout = how.partition(", ")
    if mode == "eager":
        return in_channels_last(trainer) if layout == CHANNELS_LAST else trainer.step
    return compiled_step(trainer, MODES[mode], channels_last=layout == CHANNELS_LAST)


def pictures(count: int, size: int) -> tuple[Tensor, Tensor]:
    """Photos and edits, uint8 (N, 3, size, size): smooth colours with edges, and a warm look that fades downwards."""
    rng = torch.Generator().manual_seed(0)
    photo = torch.zeros(count, 3, size, size)
    for cells, part in ((4, 0.6), (16, 0.3), (min(64, size), 0.1)):
        field = torch.rand(count, 3, cells, cells, generator=rng)
        photo += part * F.interpolate(field, (size, size), mode="bilinear", align_corners=False)
    edges = F.interpolate(torch.rand(count, 1, 6, 6, generator=rng), (size, size), mode="bilinear") > 0.5
    photo = (photo + 0.25 * (edges.float() - 0.5)).clamp(0, 1)
    height = torch.linspace(1, 0, size)[None, None, :, None]
    warm = photo.pow(0.9) * torch.tensor([1.1, 0.95, 0.7])[None, :, None, None] + 0.1 * height
    return (photo * 255).to(torch.uint8), (warm.clamp(0, 1) * 255).to(torch.uint8)


def adapter_of(base: str, training: TrainingConfig, device: torch.device) -> tuple[Trainer, Tensor, Tensor]:
    """A trainer of an adapter with `quick`'s ranks on a base that ships, and a prompt's tokens and mask."""
    torch.manual_seed(0)
    folder = base_folder(Path(base))
    generator, told = load_generator(folder)
    attach(generator, rank_of_layers(generator, RECIPES["quick"].ranks(generator.config)))
    discriminator = load_discriminator(folder)
    tokens, mask = pad([encoder_of(told).encode("make it golden hour")])
    return Trainer(train_mode(generator).to(device), discriminator.to(device).train(), training), tokens, mask


def pairs_for(tokens: Tensor, mask: Tensor, count: int, size: int) -> TrainingData:
    photos, edits = pictures(count, size)
    return TrainingData(photos, edits, torch.arange(count), torch.zeros(count, dtype=torch.int64), tokens, mask)


# -- the parts --------------------------------------------------------------------------------------------------------


def machine(settings: Settings) -> Iterator[Row]:
    """What it is, and the peak of a matrix product in each precision."""
    device = settings.device
    about: Row = {"torch": torch.__version__, "python": platform.python_version(), "cores": os.cpu_count()}
    about |= {"device": str(device), "card": platform.processor() or platform.machine()}
    if device.type == "cuda":
        card = torch.cuda.get_device_properties(device)
        about |= {"card": card.name, "memory_gib": round(card.total_memory / 2**30, 1), "cuda": torch.version.cuda}
        about |= {"capability": f"{card.major}.{card.minor}", "cudnn": torch.backends.cudnn.version()}
    yield {"name": "machine", "error": None} | about
    side = 512 if settings.quick else 8192

    def peak(dtype: torch.dtype, tf32: bool) -> Row:
        torch.backends.cuda.matmul.allow_tf32 = tf32
        a = torch.randn(side, side, device=device).to(dtype)
        told = timed(lambda: a @ a, device, 1, 1.0)
        return {"macs_a_second": side**3 / (told["ms"] / 1000)}

    for name, dtype, tf32 in (("fp32", torch.float32, False), ("TF32", torch.float32, True)):
        yield attempt(f"peak, {name}", lambda dtype=dtype, tf32=tf32: peak(dtype, tf32), settings)
    yield attempt("peak, bf16", lambda: peak(torch.bfloat16, False), settings)


def steps(settings: Settings) -> Iterator[Row]:
    """An adapter's steps and pix2pix's, eager and compiled; the whole training's hours come from them."""
    every = others.trainings()
    ours, theirs = "adapter, full, quick", "pix2pix, our levers (bf16, batches of two)"
    order = [(PUBLISHED, 1, "eager"), ("adapter, as the paper trains it", 1, "eager"), (ours, 1, "eager")]
    order += [(ours, BATCH, "eager"), (ours, BATCH, "eager, channels last"), (ours, 4 * BATCH, "eager, channels last")]
    order += [(theirs, BATCH, "eager"), ("adapter, small, quick", BATCH, "eager")]
    order += [(ours, BATCH, "CUDA graphs, channels last"), (PUBLISHED, 1, "CUDA graphs")]
    if settings.quick:
        small = "adapter, small, quick"
        order = [(PUBLISHED, 1, "eager"), (small, 2, "eager"), (small, 2, "eager, channels last")]
        order += [(small, 2, "compiled")]
    for name, batch, how in order:
        training = replace(every[name], config=replace(every[name].config, batch=batch))
        needs = 8.0 if how.startswith("eager") or settings.quick else COMPILES
        row = attempt(name, lambda t=training, how=how: step_row(t, how, settings), settings, needs)
        yield row | {"batch": batch, "how": how}


def base_steps(settings: Settings) -> Iterator[Row]:
    """The base recipe's photos a second: all weights trained, its batches."""
    config, sizes = RECIPES["quick"].training["base"], (32,) if settings.quick else (256, 128)
    for how in ("eager",) if settings.quick else ("eager", "eager, channels last"):
        for name in ("small",) if settings.quick else ("full", "small"):
            generator = PRESETS["device" if name == "full" else name]
            for size in sizes:
                training = Training(generator, config, 0, 0)
                row = attempt(name, lambda t=training, s=size, h=how: step_row(t, h, settings, s), settings, 8)
                yield row | {"batch": config.batch, "how": how, "size": size}


def step_row(training: Training, how: str, settings: Settings, size: int | None = None) -> Row:
    size = size or settings.size
    trainer = others.trainer(training, settings.device)
    pairs = others.random_pairs(trainer, training, size)
    flops = step_flops(trainer, size).total
    step, begun = prepared_step(trainer, how), time.perf_counter()
    first = {name: float(loss) for name, loss in step(pairs, 1).items()}
    compiling = time.perf_counter() - begun
    told = timed(lambda: step(pairs, 1), settings.device, training.config.batch, 0.2 if settings.quick else 3.0)
    told |= {"gflop": flops / 1e9, "gmacs_a_second": flops / 2e9 / (told["ms"] / 1000), "first_losses": first}
    told["first_seconds"] = round(compiling, 2)
    fast, asked = bf16_is_fast(settings.device), training.config.precision
    told["precision"] = ("bf16" if fast else "fp32") if asked == "auto" else asked
    if training.pairs:
        told["hours"] = told["ms"] / 1000 * training.pairs * training.epochs / 3600
    return told


def adapter(settings: Settings) -> Iterator[Row]:
    """400 pairs of 256 pixels, 100 epochs, by the training loop itself, from the base that ships to the last step."""
    epochs = 8 if settings.quick else EPOCHS
    yield attempt("a few epochs", lambda: train_adapter("eager", max(1, epochs // 25), settings), settings)
    how = "eager" if settings.quick else "--compile"
    yield attempt("an adapter", lambda: train_adapter(how, epochs, settings), settings, 15)


class TimeOverError(Exception):
    """A part's time is over within a training."""


def train_adapter(how: str, epochs: int, settings: Settings) -> Row:
    """One training. Where the part's time does not do, as much of it, and what the whole would come to."""
    count, batch = (16, 4) if settings.quick else (PAIRS, BATCH)
    recipe = RECIPES["quick"].training["adapt"]
    config = replace(recipe, minutes=None, epochs=epochs, batch=batch, device=str(settings.device))
    config = replace(config, compile=how == "--compile")
    trainer, tokens, mask = adapter_of(settings.base, config, settings.device)
    data = pairs_for(tokens, mask, count, settings.size).to(settings.device)
    step = trainer.step

    def timely(*arguments: Any) -> dict[str, Tensor]:
        if settings.left < 4:
            raise TimeOverError
        return step(*arguments)

    trainer.step, began = timely, time.monotonic()  # pyright: ignore[reportAttributeAccessIssue]
    with tempfile.TemporaryDirectory() as folder:
        with contextlib.suppress(TimeOverError):
            train(trainer, data, Path(folder))
        whole = time.monotonic() - began  # with the compiling, which the loop's own clock leaves out
        log = read_log(Path(folder), ["l1"])
    first, last, total = log[0], log[-1], epochs * (count // batch)
    # What is compiled, and whether bf16 is fast, costs time in the first ten steps and never again.
    begun = first if last is not first else {"seconds": 0.0, "step": 0}
    steady = (last["seconds"] - begun["seconds"]) / (last["step"] - begun["step"])
    told = {"how": how, "pairs": count, "batch": batch, "size": settings.size, "steps": last["step"]}
    told |= {"epochs": last["step"] * batch / count, "whole": last["step"] == total, "seconds": last["seconds"]}
    told |= {"first_seconds": first["seconds"], "ms_a_step": 1000 * steady}
    told["other_seconds"] = whole - last["seconds"]
    told["seconds_of_100_epochs"] = whole + steady * (EPOCHS * count // batch - last["step"])
    photo_l1 = float((data.photos.float() - data.edits.float()).abs().mean())
    return told | {"l1": last["l1"] * 127.5, "photo_l1": photo_l1, "l1_of_first_steps": first["l1"] * 127.5}


def inference(settings: Settings) -> Iterator[Row]:
    """Frames: ours and pix2pix, uint8 in and out on the device."""
    hows = ("fp32", "bf16", "bf16, channels last", "bf16, compiled", "bf16, CUDA graphs")
    names = ("small",) if settings.quick else ("full", "small", BASELINE)
    sizes = [(settings.size, 1)] if settings.quick else [(256, 1), (256, 16), (512, 1)]
    for size, batch in sizes:
        for name in names:
            for how in hows[:4] if settings.quick else hows:
                row = attempt(name, lambda n=name, s=size, b=batch, h=how: frame_row(n, s, b, h, settings), settings, 6)
                yield row | {"how": how, "size": size, "batch": batch}


def frame_row(name: str, size: int, batch: int, how: str, settings: Settings) -> Row:
    model: Any = pixel_model(name, size).to(settings.device)
    if CHANNELS_LAST in how:
        model = model.to(memory_format=torch.channels_last)
    mode = MODES.get(how.partition(", ")[2])
    run = model if mode is None else torch.compile(model, mode=mode, dynamic=False)
    photos = pictures(batch, size)[0].permute(0, 2, 3, 1).contiguous().to(settings.device)

    @torch.inference_mode()
    def work() -> Tensor:
        with autocast(settings.device, "bf16" if how.startswith("bf16") else "fp32"):
            return run(photos)

    return timed(work, settings.device, batch, 0.2 if settings.quick else 1.0)
