"""Memory and time of `photos`, `pairs`, `edit` and `evaluate` as the number of photos grows, each beside its own limit.

    python benchmarks/stages.py [--counts 100 1000 10000] [--place FOLDER]

The photos are made: smooth colours, noise and rectangles, 640×480, no two alike, JPEG. Each command runs in a process
of its own. Memory is the peak of the largest of its processes; time is processor time of all of them, since others may
use the machine. `edit` and `evaluate` take a colour table, which costs next to nothing, so that what is timed is the
stage. The limit is what the work itself takes in one thread: for `photos` to decode, crop and encode; for `pairs` to
read, filter and write; for `edit` to read, edit and write. "elsewhere" is the share of a photo's time, from the fewest
photos to the most, that lies beyond it. Writes stages.json and stages.md there. Needs Linux.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from e2gan import InputError, Model, Predictor
from e2gan.core.files import write_json
from e2gan.core.images import encode_jpeg, read_image, read_picture, square, write_png
from e2gan.core.outputs import make_folder
from e2gan.teachers.filters.filters import FILTERS, apply

sys.path[:0] = [str(Path(__file__).resolve().parent)]
from runs import exit_status, markdown  # noqa: E402 (a script beside this one, found by the line above)

SIZE, FILTER = 256, "sepia"
SAMPLE = 40  # photos that the limit is measured on


def picture(number: int) -> np.ndarray:
    rng = np.random.default_rng(number)
    ground = Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8)).resize((640, 480), Image.Resampling.BICUBIC)
    pixels = np.asarray(ground).astype(int) + rng.integers(-12, 13, (480, 640, 3))
    for _ in range(8):
        top, left = rng.integers(0, 400, 2)
        pixels[top : top + 60, left : left + 90] = rng.integers(0, 256, 3)
    return pixels.clip(0, 255).astype(np.uint8)


def make_photos(folder: Path, count: int) -> None:
    """The first so many of one endless row, those that are there left as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        path = folder / f"{number:06}.jpg"
        if not path.exists():
            path.write_bytes(encode_jpeg(picture(number)))


def measured(arguments: Sequence[str]) -> dict[str, float]:
    """Runs the program: seconds, processor seconds of all of its processes, peak MB of the largest.

    Raises InputError where it fails.
    """
    script = "import resource, subprocess, sys; r = subprocess.run(sys.argv[1:], capture_output=True, text=True); "
    script += "u = resource.getrusage(resource.RUSAGE_CHILDREN); "
    script += "print(r.returncode, u.ru_utime + u.ru_stime, u.ru_maxrss); print(r.stderr[-500:])"
    begun = time.perf_counter()
    # A process between, since the peak of children is that of all that this one has ever had.
    command = [sys.executable, "-c", script, sys.executable, "-m", "e2gan", *arguments]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    seconds = time.perf_counter() - begun
    first, _, rest = told.partition("\n")
    status, processor, kilobytes = first.split()
    if status != "0":
        raise InputError(f"e2gan {' '.join(arguments)} ended with status {status}: {rest.strip()}")
    return {"seconds": seconds, "processor": float(processor), "megabytes": int(kilobytes) / 1024}


def stages(place: Path, count: int) -> dict[str, list[str]]:
    """The commands, in the order in which each finds what it needs."""
    photos, pairs = str(place / f"photos-{count}"), str(place / f"pairs-{count}")
    table = str(place / f"table-{count}")
    model = ["--model", table, "--device", "cpu"]
    return {
        "photos": ["photos", str(place / f"camera-{count}"), "--out", photos, "--size", str(SIZE)],
        "pairs": ["pairs", "--photos", photos, "--concept", FILTER, "--out", pairs],
        "scratch": ["scratch", "--pairs", pairs, "--model", "lut", "--out", table],
        "edit": ["edit", f"{photos}/images", "--out", str(place / f"edits-{count}"), *model],
        "evaluate": ["evaluate", "--pairs", pairs, "--out", str(place / f"evaluation-{count}"), *model],
    }


def limits(place: Path, count: int) -> dict[str, float]:
    """Processor milliseconds of one photo's work alone, in one thread."""
    camera = sorted((place / f"camera-{count}").iterdir())[:SAMPLE]
    squares = sorted((place / f"photos-{count}" / "images").iterdir())[:SAMPLE]
    out = place / "limit.png"
    predictor = Predictor(Model.load(model=place / f"table-{count}"), "cpu")
    return {
        "photos": processor(lambda path: write_png(out, square(read_image(path), SIZE)), camera),
        "pairs": processor(lambda path: write_png(out, apply(FILTERS[FILTER], read_image(path))), squares),
        "edit": processor(lambda path: write_png(out, predictor.edit(read_picture(path).pixels)), squares),
    }


def processor(work: Callable[[Path], object], paths: Sequence[Path]) -> float:
    work(paths[0])
    before = resource.getrusage(resource.RUSAGE_SELF)
    for path in paths:
        work(path)
    after = resource.getrusage(resource.RUSAGE_SELF)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return 1000 * spent / len(paths)


def table(found: Mapping[str, Mapping[int, Mapping[str, float]]], limit: Mapping[str, float]) -> str:
    counts = sorted(next(iter(found.values())))
    header = ["", *(f"MB, {n:,}" for n in counts), *(f"s, {n:,}" for n in counts), "ms a photo", "limit", "elsewhere"]
    rows = []
    for name, by_count in found.items():
        few, many = by_count[counts[0]], by_count[counts[-1]]
        each = 1000 * (many["processor"] - few["processor"]) / max(1, counts[-1] - counts[0])
        beyond = f"{max(0.0, 1 - limit[name] / each):.0%}" if name in limit and each > 0 else "–"
        memory = [f"{by_count[n]['megabytes']:.0f}" for n in counts]
        times = [f"{by_count[n]['processor']:.1f}" for n in counts]
        rows.append([name, *memory, *times, f"{each:.1f}", f"{limit[name]:.1f}" if name in limit else "–", beyond])
    return "\n".join(markdown(header, rows))


def run(place: Path, counts: Sequence[int]) -> str:
    if len(counts) < 2 or min(counts) < 30:
        raise InputError("--counts: two numbers of photos at least, of 30 and more")
    make_folder(place)
    found: dict[str, dict[int, dict[str, float]]] = {}
    for count in sorted(counts):
        print(f"{count:,} photos are made", flush=True)
        make_photos(place / f"camera-{count}", count)
        for name, command in stages(place, count).items():
            out = Path(command[command.index("--out") + 1])
            shutil.rmtree(out, ignore_errors=True)
            found.setdefault(name, {})[count] = told = measured(command)
            print(f"  {name}: {told['processor']:.1f} s, {told['megabytes']:.0f} MB", flush=True)
    limit = limits(place, max(counts))
    facts: dict[str, Any] = {"stages": found, "limits_ms": limit, "cores": len(os.sched_getaffinity(0))}
    write_json(place / "stages.json", facts)
    text = table(found, limit)
    (place / "stages.md").write_text(f"{text}\n")
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--place", type=Path, default=Path("stages"), help="folder to work in")
    given = parser.parse_args()
    print(run(given.place.resolve(), given.counts))


if __name__ == "__main__":
    sys.exit(exit_status(main, goes_on=False))
