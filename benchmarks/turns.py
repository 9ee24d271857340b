"""Rows of a benchmark in processes of their own that take turns, and what tells whether others use the machine."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from e2gan import InputError
from e2gan.config.checks import at_least
from runs import check_out

MOVED = 1.1  # of the reference's fastest time, beyond which a turn is taken again
SETTLED = 0.3  # seconds after a turn: ONNX Runtime's threads go on spinning for the next frame


@dataclass
class Found:
    """Of a row: its turns and the peak memory of its process.

    turns: of each, the slower of the references before and after it, and milliseconds of each piece of work.
    fastest: reference of the whole group, by which the turns are judged: a load from the start on shows only later.
    """

    turns: list[tuple[float, list[float]]] = field(default_factory=list)
    fastest: float = 0.0
    megabytes: float = 0.0
    error: str | None = None

    @property
    def quiet(self) -> list[list[float]]:
        """Milliseconds of the turns in which nobody else used the machine."""
        return [times for reference, times in self.turns if reference <= MOVED * self.fastest]

    def facts(self) -> dict[str, Any]:
        """The median and the 95th percentile of the quiet turns; of all where there were none. Nothing of a row with an
        error: what broke later may have been slow before."""
        facts: dict[str, Any] = {"error": self.error, "peak_megabytes": round(self.megabytes)}
        quiet = self.quiet
        if self.error is None and (turns := quiet or [times for _, times in self.turns]):
            used = [ms for turn in turns for ms in turn]
            facts |= {"ms": statistics.median(used), "ms_p95": float(np.percentile(used, 95)), "turns": len(turns)}
            facts["quiet"] = bool(quiet)
        return facts


def serve(work: Callable[[], object], pieces: int = 1) -> None:
    """In a row's own process: do the work for as many seconds as each line of the input says, and tell in a line how
    long each of its pieces took."""
    for _ in range(2):
        work()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        begun, times = time.perf_counter(), []
        while not times or time.perf_counter() - begun < float(line):
            start = time.perf_counter()
            work()
            times.append(1000 * (time.perf_counter() - start) / pieces)
        print(json.dumps({"ms": times, "megabytes": most_megabytes()}), flush=True)


def most_megabytes() -> float:
    """Peak memory of this process: by Linux's account of what it runs, since getrusage has its parent's in it."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def add_options(made: argparse.ArgumentParser, rounds: int | None, seconds: float | None) -> None:
    """What every benchmark of rows that take turns is asked. rounds, seconds: where nothing is said."""
    made.add_argument("--out", type=Path, help="JSON with every row")
    made.add_argument("--threads", type=int, default=2)
    made.add_argument("--rounds", type=int, default=rounds, help="quiet turns wanted of a row")
    made.add_argument("--seconds", type=float, default=seconds, help="of a turn, at least one step")
    made.add_argument("--serve", metavar="ROW", help=argparse.SUPPRESS)


def check_options(options: argparse.Namespace) -> None:
    """Raises InputError for what cannot be measured, or written, before anything is. None is a default of the row's."""
    for name in ("threads", "rounds"):
        given = getattr(options, name)
        for value in given if isinstance(given, list) else [given]:
            at_least(name, value, 1)
    at_least("seconds", options.seconds, 0)
    check_out(options.out)


def processor() -> str:
    """The processor's name, as far as the system tells it, and how many of its cores there are."""
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    return f"{name}, {os.cpu_count()} cores"


class Served:
    """A row's process: `SCRIPT --serve ROW FURTHER…`."""

    def __init__(self, script: str, row: Any, threads: int, *further: object) -> None:
        """Raises InputError with the last line that the process said, where the row does not run."""
        command = [sys.executable, script, "--serve", json.dumps(asdict(row)), *map(str, further)]
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as the process)
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True, env=environment
        )
        try:
            self._answer()
        except InputError:
            self.stop()
            raise

    def time(self, seconds: float) -> dict[str, Any]:
        """Raises InputError with the last line that the process said, where it ended."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended: the answer says how
            print(seconds, file=self.process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in iter(self.process.stdout.readline, ""):
            if line.startswith("{") and line.endswith("\n"):  # not of a process that was killed within its line
                return json.loads(line)
        self.log.seek(0)
        said = self.log.read().decode(errors="replace").strip().splitlines() or ["ended without a word"]
        raise InputError(said[-1])

    def stop(self) -> None:
        self.process.kill()
        # What was written for a process that had ended cannot be flushed.
        with self.log, contextlib.suppress(BrokenPipeError), self.process:
            pass


def take_turns(
    start: Mapping[str, Callable[[], Served]], threads: int, rounds: int, seconds: float
) -> dict[str, Found]:
    """Time each row for so many quiet turns, in up to twice as many rounds. start: a row's name → its process.

    A row whose process does not begin, or ends, has its error; the others go on.
    """
    found = {name: Found() for name in start}
    served: dict[str, Served] = {}
    try:
        for name, begin in start.items():
            try:
                served[name] = begin()
            except InputError as error:
                found[name].error = str(error)
        fastest = min(reference(threads) for _ in range(5))
        for _ in range(2 * rounds):
            for name in [name for name in served if len(found[name].quiet) < rounds]:
                row = found[name]
                before = reference(threads)
                try:
                    told = served[name].time(seconds)
                except InputError as error:
                    row.error = str(error)
                    served.pop(name).stop()
                    continue
                time.sleep(SETTLED)
                after = reference(threads)
                fastest = min(fastest, before, after)
                row.turns.append((max(before, after), told["ms"]))
                row.megabytes = told["megabytes"]
            for row in found.values():
                row.fastest = fastest
    finally:
        for process in served.values():
            process.stop()
    return found


def reference(threads: int) -> float:
    """Seconds of a matrix product, the median of three."""
    return statistics.median(product(threads, torch.float32) for _ in range(3))


def product(threads: int, dtype: torch.dtype, side: int = 1024) -> float:
    """Seconds of a square matrix product."""
    torch.set_num_threads(threads)
    a = torch.ones(side, side).to(dtype)
    start = time.perf_counter()
    torch._int_mm(a, a) if dtype == torch.int8 else a @ a  # pyright: ignore[reportPrivateImportUsage]
    return time.perf_counter() - start


def peaks(threads: Sequence[int]) -> dict[int, dict[str, float]]:
    """Multiply-accumulates a second of a large matrix product, by threads and precision: the best of many."""
    side = 2048
    types = {"fp32": torch.float32, "bf16": torch.bfloat16, "int8": torch.int8}
    return {
        count: {name: side**3 / min(product(count, dtype, side) for _ in range(20)) for name, dtype in types.items()}
        for count in threads
    }


def peak_lines(peak: Mapping[int, Mapping[str, float]]) -> str:
    lines = []
    for count, of in peak.items():
        said = ", ".join(f"{name} {rate / 1e9:.0f}" for name, rate in of.items())
        lines.append(f"Peak of a matrix product on {count} thread{'s' * (count > 1)}, GMAC/s: {said}.")
    return "\n".join(lines)
