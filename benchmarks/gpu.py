"""What a GPU gives: whether its results are the CPU's, and what steps, an adapter, a base and frames cost on it.

    python benchmarks/gpu.py --out gpu.json [--device cuda] [--parts checks steps …] [--seconds 515] [--quick]

Under nine minutes. It needs PyTorch 2.8 or newer, this source, and the wheels that docs/gpu.md lists; no network. Each
part runs in a process of its own, which is killed when its time is over, and writes each row when it has it: a part
that fails or is late loses what it had not yet done, and the JSON says so. --device cpu --quick is the same way in
small. `ms` is for one photo: of steps, the mean of ten without waiting in between, as the training loop runs them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from e2gan import PRESETS, RECIPES, Ranks
from e2gan.core.device import autocast, resolve_device
from e2gan.core.errors import InputError
from e2gan.core.files import write_json
from e2gan.export.pixel_model import PixelModel
from e2gan.measure.cost import step_flops
from e2gan.networks.discriminator import Discriminator
from e2gan.networks.folders import base_folder, shipped_adapters
from e2gan.networks.lora import attach, rank_of_layers
from e2gan.networks.lora_training import train_mode
from e2gan.networks.models import Model, encoder_of, load_discriminator, load_generator
from e2gan.networks.text import pad
from e2gan.train.batches import TrainingData
from e2gan.train.loop import LOG_EVERY, batches, read_log, train
from e2gan.train.step import Trainer

sys.path[:0] = [str(Path(__file__).resolve().parent)]
import training as trainings_  # noqa: E402 (scripts beside this one, found by the line above)
import turns  # noqa: E402
from inference import BASELINE, pixel_model  # noqa: E402
from runs import exit_status  # noqa: E402
from training import PUBLISHED, Training  # noqa: E402

Row = dict[str, Any]
MODES = {"compiled": "default", "CUDA graphs": "reduce-overhead"}  # of torch.compile; "eager" is without
PAIRS, EPOCHS = 400, 100  # of an adapter (Sec. 5.1)
BATCH = 8  # pairs a step of the adapter from end to end
GOALS = {"H200": 20.0, "H100": 30.0}  # seconds of that adapter
TIMES_LESS = 30.0  # than pix2pix's 800 × 200, on the same GPU
LIMITS = {"fp32": 0.05, "TF32": 0.5, "bf16": 2.0}  # mean 8-bit levels from the CPU's edit in fp32
FIRST, LAST = 1e-3, 2e-2  # by how much a loss may differ from the CPU's, in parts of it, at the first and last step


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
    found = turns.Found()
    wait(device)
    begun = time.perf_counter()
    while len(found.times) < 3 or (time.perf_counter() - begun < seconds and len(found.times) < 200):
        start = time.perf_counter()
        for _ in range(LOG_EVERY):
            work()
        wait(device)
        found.times.append([1000 * (time.perf_counter() - start) / LOG_EVERY / photos])
    if device.type == "cuda":
        found.megabytes = torch.cuda.max_memory_allocated(device) / 2**20
    else:
        found.megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
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


def compile_step(trainer: Trainer, how: str) -> Callable[..., dict[str, Tensor]]:
    """The trainer's step, its networks compiled in their place with static shapes."""
    if how == "eager":
        return trainer.step
    for network in (trainer.generator, trainer.discriminator):
        network.compile(mode=MODES[how], dynamic=False)
    step = trainer.step

    def marked(*arguments: Any) -> dict[str, Tensor]:
        torch.compiler.cudagraph_mark_step_begin()  # what the last step's graphs gave is no longer needed
        return step(*arguments)

    return marked


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


def adapter_of(base: str, training: Any, device: torch.device) -> tuple[Trainer, Tensor, Tensor]:
    """A trainer of an adapter on a base that ships, and a prompt's tokens and mask."""
    torch.manual_seed(0)
    folder = base_folder(Path(base))
    generator, told = load_generator(folder)
    attach(generator, rank_of_layers(generator, Ranks()))
    shipped = (folder / "discriminator.safetensors").is_file()
    discriminator = load_discriminator(folder) if shipped else Discriminator()
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


def checks(settings: Settings) -> Iterator[Row]:
    """Edits and losses against the CPU's. `passed` where they are within LIMITS, FIRST and LAST."""
    photos = pictures(4, settings.size)[0].permute(0, 2, 3, 1).contiguous()
    adapter = shipped_adapters()["golden"]
    models = {"full": Model.load(adapter=(adapter,)), "small": Model.load(base="small", prompt="as an oil painting")}

    def edits(name: str, precision: str) -> Row:
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "TF32"
        pixels = PixelModel(models[name].plain(), models[name].tokens)
        with torch.inference_mode():
            expected = pixels(photos)
            with autocast(settings.device, "bf16" if precision == "bf16" else "fp32"):
                found = pixels.to(settings.device)(photos.to(settings.device)).cpu()
        levels = (found.int() - expected.int()).abs().float()
        moved = (expected.int() - photos.int()).abs().float().mean()
        told = {"mean": float(levels.mean()), "max": int(levels.max()), "edit_moves": float(moved)}
        return told | {"passed": told["mean"] <= LIMITS[precision]}

    for name in models:
        for precision in LIMITS:
            yield attempt(f"edits, {name}, {precision}", lambda n=name, p=precision: edits(n, p), settings, 5)
    for part in ("full", "small"):
        yield attempt(f"losses, {part}", lambda part=part: losses_of(part, settings), settings, 10)


def losses_of(base: str, settings: Settings) -> Row:
    """A training's losses of a few steps on both, fp32 without TF32, the same pairs in the same order."""
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    config = replace(RECIPES["quick"].training["adapt"], precision="fp32")
    size, found = (32 if settings.quick else 64), []
    for device in (torch.device("cpu"), settings.device):
        trainer, tokens, mask = adapter_of(base, config, device)
        data = pairs_for(tokens, mask, 8, size).to(device)
        rows = []
        for number, batch in zip(range(10), batches(data, config, 0), strict=False):
            trainer.set_learning_rate(0.0, number)
            rows.append({name: float(loss) for name, loss in trainer.step(batch, number).items()})
        found.append(rows)
    parts = [
        max(abs(ours[name] - theirs[name]) / abs(theirs[name]) for name in theirs)
        for theirs, ours in zip(*found, strict=True)
    ]
    told = {"first": parts[0], "last": parts[-1], "most": max(parts), "l1": [row["l1"] for row in found[1]]}
    return told | {"passed": parts[0] <= FIRST and parts[-1] <= LAST}


def steps(settings: Settings) -> Iterator[Row]:
    """An adapter's steps and pix2pix's, eager and compiled; the whole training's hours come from them."""
    every = trainings_.trainings()
    ours, theirs = "adapter, full, quick", "pix2pix, our levers (bf16, batches of two)"
    order = [(PUBLISHED, 1, "eager"), ("adapter, as the paper trains it", 1, "eager"), (ours, 1, "eager")]
    order += [(ours, BATCH, "eager"), (ours, BATCH, "CUDA graphs"), (ours, 1, "CUDA graphs")]
    order += [(PUBLISHED, 1, "CUDA graphs"), (ours, 4 * BATCH, "eager"), (theirs, BATCH, "eager")]
    order += [("adapter, small, quick", BATCH, "eager"), ("adapter, small, quick", BATCH, "CUDA graphs")]
    order += [(ours, BATCH, "compiled"), (PUBLISHED, 1, "compiled"), (ours, 4 * BATCH, "CUDA graphs")]
    if settings.quick:
        small = "adapter, small, quick"
        order = [(PUBLISHED, 1, "eager"), (small, 2, "eager"), (small, 2, "compiled")]
    for name, batch, how in order:
        training = replace(every[name], config=replace(every[name].config, batch=batch))
        row = attempt(name, lambda t=training, how=how: step_row(t, how, settings), settings, 8)
        yield row | {"batch": batch, "how": how}


def base_steps(settings: Settings) -> Iterator[Row]:
    """The base recipe's photos a second: all weights trained, its batches."""
    config, sizes = RECIPES["quick"].training["base"], (32,) if settings.quick else (256, 128)
    for how in ("eager",) if settings.quick else ("eager", "CUDA graphs"):
        for name in ("small",) if settings.quick else ("full", "small"):
            generator = PRESETS["device" if name == "full" else name]
            for size in sizes:
                training = Training(generator, config, 0, 0)
                row = attempt(name, lambda t=training, s=size, h=how: step_row(t, h, settings, s), settings, 8)
                yield row | {"batch": config.batch, "how": how, "size": size}


def step_row(training: Training, how: str, settings: Settings, size: int | None = None) -> Row:
    size = size or settings.size
    trainer = trainings_.trainer(training, settings.device)
    pairs = trainings_.random_pairs(trainer, training, size)
    flops = step_flops(trainings_.trainer(training), min(size, 64)).total * (size / min(size, 64)) ** 2
    step = compile_step(trainer, how)
    first = {name: float(loss) for name, loss in step(pairs, 1).items()}
    told = timed(lambda: step(pairs, 1), settings.device, training.config.batch, 0.2 if settings.quick else 3.0)
    told |= {"gflop": flops / 1e9, "gmacs_a_second": flops / 2e9 / (told["ms"] / 1000), "first_losses": first}
    if training.pairs:
        told["hours"] = told["ms"] / 1000 * training.pairs * training.epochs / 3600
    return told


def adapter(settings: Settings) -> Iterator[Row]:
    """400 pairs of 256 pixels, 100 epochs, by the training loop itself, from the base that ships to the last step."""
    count, epochs = (16, 2) if settings.quick else (PAIRS, EPOCHS)
    batch = 4 if settings.quick else BATCH
    quick = replace(RECIPES["quick"].training["adapt"], minutes=None, batch=batch, device=str(settings.device))

    def run(how: str, epochs: int) -> Row:
        config = replace(quick, epochs=epochs)
        trainer, tokens, mask = adapter_of(settings.base, config, settings.device)
        begun = time.perf_counter()
        data = pairs_for(tokens, mask, count, settings.size).to(settings.device)
        made = time.perf_counter() - begun
        trainer.step = compile_step(trainer, how)  # pyright: ignore[reportAttributeAccessIssue]
        with tempfile.TemporaryDirectory() as folder:
            result = train(trainer, data, Path(folder))
            log = read_log(Path(folder), ["l1"])
        first = min(log[0]["seconds"], result.seconds)  # of ten steps, with what is compiled and measured there
        steady = (result.seconds - first) / max(1, result.steps - log[0]["step"]) * result.steps
        photo_l1 = float((data.photos.float() - data.edits.float()).abs().mean())
        told = {"how": how, "pairs": count, "epochs": epochs, "batch": batch, "size": settings.size}
        told |= {"steps": result.steps, "seconds": result.seconds, "first_ten_steps_seconds": first}
        told |= {"making_pairs_seconds": round(made, 2), "seconds_of_100_epochs": first + steady * EPOCHS / epochs}
        return told | {"l1": result.l1, "photo_l1": photo_l1, "l1_of_first_steps": log[0]["l1"] * 127.5}

    short = attempt("a few epochs", lambda: run("eager", max(1, epochs // 25)), settings)
    yield short
    for how in ("compiled",) if settings.quick else ("CUDA graphs", "eager"):
        # Not slower than eager: as many epochs as fit into what is left, less a reserve for compiling.
        reserve = 5 if how == "eager" else 45
        whole = short.get("seconds_of_100_epochs", 60.0) * epochs / EPOCHS
        fits = max(1, min(epochs, int(epochs * (settings.left - reserve) / max(whole, 1e-9))))
        yield attempt("an adapter", lambda how=how, fits=fits: run(how, fits), settings, reserve)


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
    if "channels last" in how:
        model = model.to(memory_format=torch.channels_last)
    mode = MODES.get(how.partition(", ")[2])
    run = model if mode is None else torch.compile(model, mode=mode, dynamic=False)
    photos = pictures(batch, size)[0].permute(0, 2, 3, 1).contiguous().to(settings.device)

    @torch.inference_mode()
    def work() -> Tensor:
        with autocast(settings.device, "bf16" if how.startswith("bf16") else "fp32"):
            return run(photos)

    return timed(work, settings.device, batch, 0.2 if settings.quick else 1.0)


PARTS: dict[str, tuple[Callable[[Settings], Iterator[Row]], float]] = {
    "machine": (machine, 35.0),
    "checks": (checks, 65.0),
    "steps": (steps, 160.0),
    "adapter": (adapter, 110.0),
    "base": (base_steps, 60.0),
    "inference": (inference, 80.0),
}
"""Name → what yields its rows, and its seconds, the start of its process among them. Together 510."""


# -- all of them ------------------------------------------------------------------------------------------------------


def serve(name: str, device: str, quick: bool, seconds: float) -> None:
    """A part in its own process: a JSON line for each row."""
    settings = Settings(resolve_device(device), quick, time.monotonic() + seconds)
    for row in PARTS[name][0](settings):
        print(json.dumps(row), flush=True)


def run_part(name: str, device: str, quick: bool, seconds: float) -> dict[str, Any]:
    """A part's rows, its seconds, and what became of it where it did not come to its end."""
    begun = time.monotonic()
    # A process takes some seconds to start, and the compiler's processes end with it.
    command = [sys.executable, __file__, "--device", device, *["--quick"] * quick]
    command += ["--serve", name, "--seconds", str(max(1.0, seconds - 8))]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=out, stderr=log, start_new_session=True)
        error = None
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            status, error = None, f"stopped after {seconds:.0f} s"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        out.seek(0)
        log.seek(0)
        said = log.read().decode(errors="replace").strip().splitlines() or ["ended without a word"]
        rows = list(whole_rows(out.read().decode(errors="replace")))
    if status not in (0, None):
        error = f"status {status}: {said[-1][:400]}"
    return {"rows": rows, "error": error, "seconds": round(time.monotonic() - begun, 1)}


def whole_rows(text: str) -> Iterator[Row]:
    """The rows of a process that may have been stopped within one."""
    for line in text.splitlines():
        with contextlib.suppress(json.JSONDecodeError):
            if line.startswith("{"):
                yield json.loads(line)


def summary(parts: dict[str, Any]) -> Row:
    """The goals and what became of them; None where a figure is missing."""

    def rows(part: str) -> list[Row]:
        return [row for row in parts.get(part, {}).get("rows", []) if not row.get("error")]

    card = next((row["card"] for row in rows("machine") if "card" in row), "")
    checked = [row["passed"] for row in rows("checks")]
    adapters = [row for row in rows("adapter") if row["name"] == "an adapter"]
    best = min(adapters, key=lambda row: row["seconds_of_100_epochs"], default=None)
    theirs = [row["hours"] * 3600 for row in rows("steps") if row["name"] == PUBLISHED]
    seconds = best and best["seconds_of_100_epochs"]
    return {
        "card": card,
        "checks_passed": f"{sum(checked)} of {len(checked)}",
        "adapter_seconds": seconds,
        "adapter_how": best and f"{best['how']}, batches of {best['batch']}, {best['epochs']} epochs run",
        "adapter_goal_seconds": next((goal for name, goal in GOALS.items() if name in card), None),
        "pix2pix_seconds": min(theirs, default=None),
        "times_less": min(theirs) / seconds if theirs and seconds else None,
        "times_less_goal": TIMES_LESS,
        "failed": [name for name, part in parts.items() if part["error"] or any(r["error"] for r in part["rows"])],
    }


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--out", type=Path, help="JSON with every row")
    made.add_argument("--device", default="cuda")
    made.add_argument("--quick", action="store_true")
    made.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    made.add_argument("--seconds", type=float, default=515.0, help="of all parts together")
    made.add_argument("--serve", metavar="PART", help=argparse.SUPPRESS)
    return made


def work(options: argparse.Namespace) -> None:
    """All parts, one after the other; the JSON is written anew after each."""
    if options.out and options.out.is_dir():
        raise InputError(f"--out {options.out} is a folder: name a file")
    resolve_device(options.device)
    begun, parts = time.monotonic(), {}
    for name in options.parts:
        seconds = min(PARTS[name][1], options.seconds - (time.monotonic() - begun))
        parts[name] = run_part(name, options.device, options.quick, seconds) if seconds > 10 else late()
        for row in parts[name]["rows"]:
            print(f"{name}: {json.dumps(row)}", flush=True)
        told = {"summary": summary(parts), "parts": parts, "seconds": round(time.monotonic() - begun, 1)}
        if options.out:
            write_json(options.out, {"options": {k: str(v) for k, v in vars(options).items()}} | told)
    print(json.dumps(summary(parts), indent=2))
    if any(row.get("passed") is False for part in parts.values() for row in part["rows"]):
        raise InputError("a result differs from the CPU's by more than is allowed: see the rows of the part checks")


def late() -> dict[str, Any]:
    return {"rows": [], "error": "not begun: the time of all parts is over", "seconds": 0.0}


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    if options.serve:
        serve(options.serve, options.device, options.quick, options.seconds)
        return 0
    return exit_status(lambda: work(options))


if __name__ == "__main__":
    sys.exit(main())
