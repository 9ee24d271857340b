"""How a sweep grows with its workers, and what a task costs beside its work. Needs Ray (pip install 'e2gan[sweep]').

    python benchmarks/sweep_scaling.py --photos PHOTOS --out scaling [--concepts 6] [--tasks 1 2] [--steps 400]

The same concepts by one task at a time and by two, each in a folder of its own, one thread a task, on this machine
alone; each sweep twice, of which the second finds all done: what it takes is the driver's start and Ray's. Prints and
writes to OUT/scaling.json: seconds of each, the speed-up, and of a task the seconds of its work and of its training
alone. What all cores together were kept from working (start, import, hand over) is the rest. Run again, it measures
anew.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from e2gan.config.checks import at_least, need
from e2gan.core.errors import InputError
from e2gan.core.files import read_json, read_jsonl, write_bytes, write_json
from e2gan.core.outputs import make_folder
from e2gan.core.progress import note
from e2gan.teachers.filters.filters import FILTERS
from e2gan.train.loop import METRICS

sys.path[:0] = [str(Path(__file__).resolve().parent)]
from runs import exit_status  # noqa: E402 (a script beside this one, found by the line above)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Measure how a sweep grows with its workers."""

    photos: Path
    """Photo set."""
    out: Path
    """Folder to work in; the sweeps in it are made anew."""
    concepts: int = 6
    """So many built-in filters."""
    tasks: tuple[int, ...] = (1, 2)
    """Tasks at once."""
    steps: int = 400
    """Of each adapter, four pairs a step."""
    base: str = "small"
    """Base that is adapted."""

    def check(self) -> None:
        at_least("concepts", self.concepts, 1, len(FILTERS))
        at_least("steps", self.steps, 1)
        need(bool(self.tasks) and min(self.tasks) > 0, "--tasks: each must be at least 1")


def sweep(settings: Settings, concepts: Path, out: Path, tasks: int) -> float:
    """Seconds of the command."""
    command = [sys.executable, "-m", "e2gan", "sweep", str(concepts), "--photos", str(settings.photos)]
    command += ["--out", str(out), "--base", settings.base, "--tasks", str(tasks), "--steps", str(settings.steps)]
    command += ["--batch", "4", "--lr", "2e-3", "--gan", "0", "--perceptual", "20", "--warmup", "20", "--export"]
    begun = time.monotonic()
    done = subprocess.run(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise InputError(f"the sweep ended with status {done.returncode}: {done.stderr.strip().splitlines()[-1:]}")
    return time.monotonic() - begun


def tasks_of(out: Path) -> dict[str, list[float]]:
    """Seconds of each kind's tasks, and of the trainings alone."""
    found: dict[str, list[float]] = {}
    for manifest in sorted((out / "manifests").rglob("*.json")):
        facts: dict[str, Any] = read_json(manifest)["facts"]
        if "seconds" in facts:
            found.setdefault(manifest.relative_to(out / "manifests").parts[0], []).append(facts["seconds"])
    logs = [read_jsonl(path) for path in sorted(out.rglob(METRICS))]
    found["training alone"] = [rows[-1]["seconds"] for rows in logs if rows]
    return found


def measure(settings: Settings) -> dict[str, Any]:
    settings.check()
    make_folder(settings.out)
    lines = [f'[[concept]]\nname = "{f.name}"\nprompt = "{f.prompt}"\n' for f in list(FILTERS.values())]
    concepts = settings.out / "concepts.toml"
    write_bytes(concepts, "\n".join(lines[:: max(1, len(lines) // settings.concepts)][: settings.concepts]).encode())
    rows = []
    for tasks in settings.tasks:
        out = settings.out / f"tasks-{tasks}"
        shutil.rmtree(out, ignore_errors=True)
        note(f"{settings.concepts} concepts, {tasks} at a time")
        row: dict[str, Any] = {"tasks": tasks, "seconds": sweep(settings, concepts, out, tasks)}
        row["seconds_when_done"] = sweep(settings, concepts, out, tasks)
        of = tasks_of(out)
        row["seconds_of_tasks"] = {kind: round(sum(times), 2) for kind, times in of.items()}
        row["median_of_a_task"] = {kind: round(statistics.median(times), 2) for kind, times in of.items() if times}
        work = sum(sum(times) for kind, times in of.items() if kind != "training alone")
        row["rest"] = tasks * (row["seconds"] - row["seconds_when_done"]) - work
        rows.append(row)
    return {"rows": rows, "speed_up": rows[0]["seconds"] / rows[-1]["seconds"], "settings": settings}


def main() -> None:
    settings = tyro.cli(Settings)
    found = measure(settings)
    write_json(settings.out / "scaling.json", found)
    for row in found["rows"]:
        told = f"{row['tasks']} at a time: {row['seconds']:.1f} s; again, all done: {row['seconds_when_done']:.1f} s"
        print(f"{told}; a task's median, s: {row['median_of_a_task']}; rest of the cores' time {row['rest']:.1f} s")
    print(f"{found['speed_up']:.2f} times as fast")


if __name__ == "__main__":
    sys.exit(exit_status(main, goes_on=False))
