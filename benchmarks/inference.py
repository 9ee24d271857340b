"""What a frame costs: ours and the baselines, in PyTorch, ONNX Runtime and OpenVINO.

    python benchmarks/inference.py [--out inference.json] [--quick] [--threads 1 2] [--rounds 7] [--seconds 1]

Rows: full and small in every runtime and precision at 256 and 512 pixels, one photo at a time and in the best of a few
batches; other widths and the baselines at 256 pixels, one photo at a time. Each row runs in a process of its own, from
which its peak memory is told. All rows of a group, of one size, batch and number of threads, take turns: a figure is
the median of a frame's wall time over all rounds, with the 95th percentile beside it. Before and after a row's turn a
matrix product is timed; where that moved by more than a tenth from the group's fastest, the turn counts for nothing and
is taken again, in up to twice as many rounds: rows that never had a quiet turn are marked. The peak is what the same
number of threads reach on a large matrix product in the row's precision. --quick: five minutes, 256 pixels, one photo,
two threads. Stopped and run again, it goes on with the groups that are not in --out, if machine, PyTorch and runtimes
are the same.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from e2gan import PRESETS
from e2gan.config import PIX2PIX
from e2gan.config.checks import need
from e2gan.core.files import read_json, write_json
from e2gan.core.images import Pixels, square
from e2gan.core.progress import track
from e2gan.data.builtin_photos import builtin_pictures
from e2gan.export.onnx import OnnxModel, to_onnx
from e2gan.export.onnx_int8 import quantized
from e2gan.export.pixel_model import PixelModel
from e2gan.measure.cost import multiply_accumulates
from e2gan.networks.models import build_generator

sys.path[:0] = [str(Path(__file__).resolve().parent)]
import turns  # noqa: E402 (scripts beside this one, found by the line above)
from runs import exit_status  # noqa: E402
from small import in_openvino, in_torch, sized, stirred  # noqa: E402

TORCH, ONNX, OPENVINO = "PyTorch", "ONNX Runtime", "OpenVINO"
RUNTIMES = {TORCH: ("fp32", "bf16", "bf16 compiled"), ONNX: ("fp32", "int8"), OPENVINO: ("fp32", "bf16", "int8")}
MODULES = {ONNX: "onnxruntime", OPENVINO: "openvino"}
BATCHES = {256: (1, 2, 4, 8), 512: (1, 2, 4)}  # the rows of a group stay in memory beside each other
CALIBRATED_ON = 8
MODELS: dict[str, tuple[str, Any]] = {
    "full": ("e2gan", PRESETS["device"]),
    "small": ("e2gan", PRESETS["small"]),
    "width 48": ("e2gan", sized(48, 1)),
    "width 32": ("e2gan", sized(32, 1)),
    "width 16": ("e2gan", sized(16, 1)),
    "width 48, folded": ("e2gan", sized(48, 2)),
    "width 16, folded": ("e2gan", sized(16, 2)),
    "pix2pix, 9 RBs": ("pix2pix", PIX2PIX),
    "pix2pix, U-Net": ("pix2pix-unet", PIX2PIX),
    "Co-Mod-GAN": ("comodgan", PIX2PIX),
}
OURS = ("full", "small")
BASELINE = "pix2pix, 9 RBs"


@dataclass(frozen=True)
class Row:
    """A model in a runtime and precision, at a size and batch, on so many threads."""

    model: str
    runtime: str
    precision: str
    size: int
    batch: int
    threads: int

    @property
    def int8(self) -> bool:
        return self.precision == "int8"


# -- a row's own process ----------------------------------------------------------------------------------------------


def pixel_model(name: str, size: int) -> PixelModel:
    """The model with random weights: a frame costs the same whatever it has learned."""
    torch.manual_seed(0)
    kind, config = MODELS[name]
    return stirred(build_generator(kind, config, size), size)


def run_in_torch(row: Row) -> Callable[[Pixels], Pixels]:
    model: Any = pixel_model(row.model, row.size)
    if "compiled" in row.precision:
        model = torch.compile(model, dynamic=False)
    return in_torch(model, bf16=row.precision.startswith("bf16"))


def serve(row: Row, file: Path) -> None:
    """Load the row, then time frames for as many seconds as each line of the input says; one JSON a line."""
    torch.set_num_threads(row.threads)
    load: dict[str, Callable[[], Callable[[Pixels], Pixels]]] = {
        TORCH: lambda: run_in_torch(row),
        ONNX: lambda: OnnxModel(file, row.threads),
        OPENVINO: lambda: in_openvino(file, row.threads, bf16=row.precision == "bf16"),
    }
    run = load[row.runtime]()
    photos = np.stack([calibration(row.size)[0]] * row.batch)
    turns.serve(lambda: run(photos), row.batch)


# -- all of them ------------------------------------------------------------------------------------------------------


def calibration(size: int) -> list[Pixels]:
    """The built-in photos in crops of this size."""
    pictures = list(builtin_pictures().values())
    return [square(pictures[i % len(pictures)], size) for i in range(CALIBRATED_ON)]


def rows(quick: bool, threads: Sequence[int]) -> Iterator[list[Row]]:
    """The groups: rows that take turns."""
    have = {name for name in RUNTIMES if name == TORCH or not missing(name)}
    kinds = [(runtime, precision) for runtime in RUNTIMES if runtime in have for precision in RUNTIMES[runtime]]
    for count in threads:
        for size in (256,) if quick else tuple(BATCHES):
            for batch in (1,) if quick else BATCHES[size]:
                yield [Row(model, *kind, size, batch, count) for model in OURS for kind in kinds]
    others = [name for name in MODELS if name not in OURS]
    plain = [(runtime, p) for runtime, p in kinds if runtime != OPENVINO and p in ("fp32", "bf16")]
    for kind in plain:
        yield [Row(model, *kind, 256, 1, threads[-1]) for model in ("full", *others)]


def missing(runtime: str) -> str | None:
    """Why a runtime cannot be had here."""
    try:
        importlib.import_module(MODULES[runtime])
    except ImportError as error:
        return str(error)
    return None


def machine() -> dict[str, Any]:
    """What the figures depend on beside the command."""
    have = {name: importlib.import_module(MODULES[name]).__version__ for name in MODULES if not missing(name)}
    return {"processor": turns.processor(), "torch": torch.__version__, "runtimes": have}


class Files:
    """The exported files, each made once; int8 where it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def of(self, row: Row) -> Path:
        file = self.folder / f"{row.model}-{row.size}{'-int8' * row.int8}.onnx".replace(" ", "-").replace(",", "")
        if row.runtime != TORCH and not file.exists():
            data = to_onnx(pixel_model(row.model, row.size), row.size, {})
            file.write_bytes(quantized(data, calibration(row.size)) if row.int8 else data)
        return file


def measure(group: list[Row], files: Files, rounds: int, seconds: float) -> list[dict[str, Any]]:
    """The rows of a group by turns: settings and figures of each, for the JSON."""

    def start(row: Row) -> turns.Served:
        return turns.Served(__file__, row, row.threads, files.of(row))

    found = turns.take_turns({str(row): partial(start, row) for row in group}, group[0].threads, rounds, seconds)
    facts = []
    for row in group:
        kind, config = MODELS[row.model]
        macs, _ = multiply_accumulates(build_generator(kind, config, row.size), row.size)
        file = files.of(row)
        size = round(file.stat().st_size / 1e6, 2) if file.exists() else None
        facts.append(asdict(row) | {"gmacs": round(macs / 1e9, 3), "file_megabytes": size} | found[str(row)].facts())
    return facts


def table(facts: list[dict[str, Any]], peak: dict[int, dict[str, float]]) -> str:
    """In Markdown, with each row's share of the peak and its ratio to pix2pix in the same runtime and precision."""
    heads = ["model", "runtime", "precision", "px", "batch", "threads", "ms a frame", "95 %", "of peak", "MB"]
    heads += ["file MB", "times as fast as pix2pix"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    settings = ("runtime", "precision", "size", "batch", "threads")
    base = {f["group"]: f["ms"] for f in facts if f["model"] == BASELINE and "ms" in f}
    for f in facts:
        cells = [f["model"], *(str(f[s]) for s in settings)]
        if "ms" not in f:
            lines.append("| " + " | ".join([*cells, f"does not run: {f['error']}"]) + " |")
            continue
        most = peak[f["threads"]][f["precision"].split()[0]]
        share = f["gmacs"] * 1e9 / (f["ms"] / 1000) / most
        theirs = base.get(f["group"])
        cells += [f"{f['ms']:.1f}{'' if f['quiet'] else ' (never quiet)'}", f"{f['ms_p95']:.1f}", f"{share:.0%}"]
        cells += [str(f["peak_megabytes"]), str(f["file_megabytes"] or "")]
        lines.append("| " + " | ".join([*cells, "" if theirs is None else f"{theirs / f['ms']:.2f}"]) + " |")
    return "\n".join(lines)


def best_batches(facts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of the batches beyond one, the fastest of each row alone."""
    best: dict[tuple[Any, ...], dict[str, Any]] = {}
    for f in facts:
        alone = f["group"] if f["batch"] == 1 else None
        key = (*(f[s] for s in ("model", "runtime", "precision", "size", "threads")), alone)
        if key not in best or f.get("ms", np.inf) < best[key].get("ms", np.inf):
            best[key] = f
    return list(best.values())


def earlier(out: Path | None, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of groups that the same command has measured before on the same machine. Raises InputError where `out`
    is of another one."""
    if out is None or not out.exists():
        return []
    found = read_json(out)
    need(found.get("settings") == settings, f"--out {out}: has rows of other settings; give another file, or delete it")
    return found["rows"]


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--out", type=Path, help="JSON with every row")
    made.add_argument("--quick", action="store_true")
    made.add_argument("--threads", type=int, nargs="+", default=None)
    made.add_argument("--rounds", type=int, default=None, help="quiet turns wanted of a row")
    made.add_argument("--seconds", type=float, default=None, help="of a turn, at least one frame")
    made.add_argument("--serve", nargs=2, metavar=("ROW", "FILE"), help=argparse.SUPPRESS)
    return made


def main() -> int:
    options = parser().parse_args()
    if options.serve:
        serve(Row(**json.loads(options.serve[0])), Path(options.serve[1]))
        return 0
    return exit_status(lambda: measured(options), goes_on=options.out is not None)


def measured(options: argparse.Namespace) -> None:
    turns.check_options(options)
    threads = options.threads or ([2] if options.quick else [1, 2])
    rounds = (3 if options.quick else 7) if options.rounds is None else options.rounds
    seconds = (0.3 if options.quick else 1.0) if options.seconds is None else options.seconds
    settings = {"quick": options.quick, "threads": threads, "rounds": rounds, "seconds": seconds, "machine": machine()}
    facts = earlier(options.out, settings)
    with tempfile.TemporaryDirectory() as folder:
        files, done = Files(Path(folder)), {f["group"] for f in facts}
        for i, group in enumerate(track(list(rows(options.quick, threads)), "groups")):
            if i not in done:
                facts += [{"group": i} | found for found in measure(group, files, rounds, seconds)]
                if options.out:
                    write_json(options.out, {"settings": settings, "rows": facts})
    peak = turns.peaks(threads)
    print(table(best_batches(facts), peak))
    print(f"\n{turns.peak_lines(peak)}")
    for runtime in (ONNX, OPENVINO):
        if why := missing(runtime):
            print(f"{runtime} was not timed: {why}")
    if options.out:
        write_json(options.out, {"settings": settings, "peak": peak, "rows": facts})


if __name__ == "__main__":
    sys.exit(main())
