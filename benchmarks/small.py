"""What a frame costs for generators of several sizes, in PyTorch, ONNX Runtime, OpenVINO and WASM.

    python benchmarks/small.py [--plain 64 48 32 24 16] [--folded 64 48 40 32] [--size 256] [--threads 1 2]
                               [--rounds 5] [--seconds 0.3] [--node-modules DIR]

Folded generators see the photo 2×2 folded into channels. The first of --plain is the full size, which the others are
compared with. Every runtime gets the same model, uint8 in and out, and must give PyTorch's edit. All take turns for
several rounds: a cell is the median milliseconds of a frame, and how many times as fast as the full size it is (the
median of the rounds' ratios). With one thread the time is the processor's own, whatever else the machine does; with
more it is the wall's, which is worth something on an idle machine only. WASM runs in Node, and is left out without:
npm install --prefix DIR onnxruntime-web
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import nn

from e2gan import PRESETS, GeneratorConfig, InputError
from e2gan.core.images import Pixels
from e2gan.export.onnx import OnnxModel, to_onnx
from e2gan.export.pixel_model import PixelModel
from e2gan.measure.cost import example, multiply_accumulates
from e2gan.networks.generator import Generator
from e2gan.train.step import parameters

sys.path[:0] = [str(Path(__file__).resolve().parent)]
import wasm  # noqa: E402 (scripts beside this one, found by the line above)
from step import steady_clock  # noqa: E402
from wasm import WASM, Wasm  # noqa: E402

FRAMES = 30.0  # a second, in the best runtime
TIMES = 15.0  # as fast as the full size, in WASM
CLOSE = {"fp32": 1, "bf16": 24}  # 8-bit levels that a runtime may differ from PyTorch in fp32


@dataclass(frozen=True)
class Candidate:
    """A generator to time, exported."""

    name: str
    generator: Generator
    model: PixelModel
    file: Path

    @classmethod
    def of(cls, name: str, generator: Generator, size: int, folder: Path) -> Candidate:
        """Writes FOLDER/NAME.onnx."""
        model = stirred(generator, size)
        file = folder / f"{name}.onnx"
        file.write_bytes(to_onnx(model, size, {}))
        return cls(name, generator, model, file)


def stirred(generator: nn.Module, size: int) -> PixelModel:
    """The model with weights that move every layer: as it starts it is the identity, in which no fault would show."""
    for weight in generator.parameters():
        if not weight.any() and weight.dim() > 1:
            nn.init.normal_(weight, 0.0, 0.02)
    return PixelModel(generator, example(generator, size, torch.device("cpu"))[1])


def sized(width: int, fold: int) -> GeneratorConfig:
    return replace(PRESETS["device"], width=width, fold=fold)


class Runtime(Protocol):
    """What runs the exported models: one photo, uint8 (1, H, W, 3), the same at every call."""

    def edit(self, candidate: Candidate) -> Pixels: ...
    def time(self, candidate: Candidate, seconds: float) -> float:
        """Milliseconds of a frame, the mean of as many as fit in these seconds, at least one."""
        ...


class InProcess:
    """A runtime of this process. load: a candidate → what edits the photo."""

    def __init__(self, load: Callable[[Candidate], Callable[[Pixels], Pixels]], photo: Pixels) -> None:
        self.load, self.photo = load, photo
        self.loaded: dict[str, Callable[[Pixels], Pixels]] = {}

    def edit(self, candidate: Candidate) -> Pixels:
        if candidate.name not in self.loaded:
            self.loaded[candidate.name] = self.load(candidate)
        return self.loaded[candidate.name](self.photo)

    def time(self, candidate: Candidate, seconds: float) -> float:
        clock, frames = steady_clock(), 0
        start = clock()
        while not frames or clock() - start < seconds:
            self.edit(candidate)
            frames += 1
        return 1000 * (clock() - start) / frames


@dataclass(frozen=True)
class InWasm:
    """Candidates in onnxruntime-web."""

    wasm: Wasm

    def edit(self, candidate: Candidate) -> Pixels:
        return self.wasm.edit(candidate.file)

    def time(self, candidate: Candidate, seconds: float) -> float:
        return self.wasm.time(candidate.file, seconds)


def in_torch(model: Callable[[torch.Tensor], torch.Tensor], *, bf16: bool) -> Callable[[Pixels], Pixels]:
    @torch.inference_mode()
    def run(photos: Pixels) -> Pixels:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            return model(torch.from_numpy(photos)).numpy()

    return run


def in_openvino(file: Path, threads: int, *, bf16: bool) -> Callable[[Pixels], Pixels]:
    hint = "bf16" if bf16 else "f32"
    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"}
    compiled = importlib.import_module("openvino").Core().compile_model(str(file), "CPU", settings)
    return lambda photos: compiled([photos])[0]


def absent(modules: Path | None) -> dict[str, str]:
    """The runtimes that cannot be had here → why."""
    why: dict[str, str] = {}
    try:
        importlib.import_module("openvino")
    except ImportError as error:
        why["OpenVINO"] = str(error)
    if (reason := wasm.absent(modules)) is not None:
        why[WASM] = reason
    return why


@contextmanager
def runtimes(photo: Pixels, threads: int, modules: Path | None, folder: Path) -> Iterator[dict[str, Runtime]]:
    """Name → runtime, of those that are there."""
    torch.set_num_threads(threads)
    missing = absent(modules)
    found: dict[str, Runtime] = {}
    for p in ("fp32", "bf16"):
        found[f"PyTorch {p}"] = InProcess(lambda c, bf16=p == "bf16": in_torch(c.model, bf16=bf16), photo)
    found["ONNX Runtime fp32"] = InProcess(lambda candidate: OnnxModel(candidate.file, threads), photo)
    if "OpenVINO" not in missing:
        for p in ("fp32", "bf16"):
            load = partial(in_openvino, threads=threads, bf16=p == "bf16")
            found[f"OpenVINO {p}"] = InProcess(lambda c, load=load: load(c.file), photo)
    if WASM in missing or modules is None:
        yield found
        return
    with wasm.in_node(modules, threads, photo, folder) as node:
        yield found | {f"{WASM} fp32": InWasm(node)}


Times = Mapping[str, Mapping[str, list[float]]]
"""Runtime → candidate → milliseconds of a frame in each round."""


def measure(found: Mapping[str, Runtime], candidates: list[Candidate], rounds: int, seconds: float) -> Times:
    """Raises InputError where a runtime's edit is not PyTorch's."""
    for candidate in candidates:
        right = found["PyTorch fp32"].edit(candidate).astype(int)
        for name, runtime in found.items():
            off = int(np.abs(runtime.edit(candidate) - right).max())
            if off > CLOSE[name.split()[-1]]:
                raise InputError(f"{name}, {candidate.name}: its edit is {off} levels from PyTorch's")
    times: dict[str, dict[str, list[float]]] = {name: {c.name: [] for c in candidates} for name in found}
    for _ in range(rounds):
        for name, runtime in found.items():
            for candidate in candidates:
                times[name][candidate.name].append(runtime.time(candidate, seconds))
    return times


def speedup(times: Mapping[str, list[float]], name: str) -> float:
    """How many times as fast as the first."""
    return statistics.median(a / b for a, b in zip(next(iter(times.values())), times[name], strict=True))


def verdict(times: Times, name: str) -> tuple[str, str]:
    """Frames a second in the best runtime; whether a candidate meets both wishes."""
    best = min(times, key=lambda runtime: statistics.median(times[runtime][name]))
    of_best = times[best][name]
    frames = 1000 / statistics.median(of_best)
    said = f"{frames:.1f} ({best}; fastest round {1000 / min(of_best):.1f})"
    in_wasm = [speedup(of_runtime, name) for runtime, of_runtime in times.items() if runtime.startswith(WASM)]
    if not in_wasm:
        return said, "not known without WASM"
    return said, "yes" if frames >= FRAMES and in_wasm[0] >= TIMES else "no"


def table(title: str, times: Times, candidates: list[Candidate], size: int) -> str:
    heads = [title, "parameters", "GMACs", *(f"{name}, ms" for name in times)]
    heads += ["frames a second in the best", f"{FRAMES:.0f} frames a second, and {TIMES:.0f}× in WASM"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for candidate in candidates:
        name, generator = candidate.name, candidate.generator
        cells = [name, f"{parameters(generator):,}", f"{multiply_accumulates(generator, size)[0] / 1e9:.2f}"]
        for of_runtime in times.values():
            cells.append(f"{statistics.median(of_runtime[name]):.1f} ({speedup(of_runtime, name):.1f}×)")
        lines.append("| " + " | ".join([*cells, *verdict(times, name)]) + " |")
    return "\n".join(lines)


def compare(generators: Mapping[str, Generator], options: argparse.Namespace) -> None:
    """Prints a table for each number of threads, and what could not be timed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        candidates = [Candidate.of(name, g, options.size, folder) for name, g in generators.items()]
        photo = np.random.default_rng(0).integers(0, 256, (1, options.size, options.size, 3), dtype=np.uint8)
        for threads in options.threads:
            with runtimes(photo, threads, options.node_modules, folder) as found:
                times = measure(found, candidates, options.rounds, options.seconds)
            title = f"{threads} thread{'s' * (threads > 1)}, {options.size} px"
            print(f"{table(title, times, candidates, options.size)}\n", flush=True)
    for runtime, why in absent(options.node_modules).items():
        print(f"{runtime} was not timed: {why}")


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--plain", type=int, nargs="+", default=[64, 48, 32, 24, 16], help="widths; the first is full")
    made.add_argument("--folded", type=int, nargs="*", default=[64, 48, 40, 32], help="widths")
    made.add_argument("--size", type=int, default=256)
    made.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    made.add_argument("--rounds", type=int, default=5)
    made.add_argument("--seconds", type=float, default=0.3, help="of each cell in each round, at least one frame")
    made.add_argument("--node-modules", type=Path, metavar="DIR", help="where onnxruntime-web is installed")
    return made


def main() -> None:
    options = parser().parse_args()
    torch.manual_seed(0)
    generators = {f"width {width}": Generator(sized(width, 1)) for width in options.plain}
    generators |= {f"width {width}, folded": Generator(sized(width, 2)) for width in options.folded}
    compare(generators, options)


if __name__ == "__main__":
    main()
