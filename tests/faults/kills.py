"""Each command killed at moments of chance, and run again: the same bytes, nothing left beside them, no process."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.commands import RUNS, lay_out, make_inputs

MARK = "E2GAN_FAULTS"  # in the environment of all that a run starts
WAYS = ("SIGKILL", "SIGTERM", "SIGINT", "SIGINT twice")
STOPS = 20.0  # seconds in which a program that is asked to stop must have done so
ENDS = 8.0  # and those in which what it started must be gone after it
WHOLE = 0.1  # of the tries begin a new Python, which is killed while it imports too
BEGINS = 0.3  # seconds that Python itself needs, in which nobody can tell it anything
TWICE = 0.2  # of the tries kill the rerun too
TIMES = frozenset(
    {"seconds", "milliseconds", "seconds a concept", "this machine (ms)", "step (s)"}
)  # what differs from run to run
TIMED = ("seconds", "(ms)", "(s)")
TEXTS = (".json", ".jsonl", ".md", ".csv")
UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
NOT_COMPARED = frozenset({"teacher.log"})


class Forks:
    """The process of forks.py."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.forks"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.line()

    def line(self, timeout: float | None = None) -> str | None:
        """What it answers; None where it does not in time."""
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], timeout)
        if not ready:
            return None
        if not (line := self.process.stdout.readline()):
            raise RuntimeError("the process that forks has ended")
        return line.strip()

    def begin(self, order: dict[str, Any]) -> int:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return int(self.line() or 0)

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@dataclass
class Program:
    """Runs of the program in `place`, one at a time. lines: what the last one printed."""

    place: Path
    forks: Forks
    pid: int = 0
    whole: subprocess.Popen[bytes] | None = None
    count: int = 0

    @property
    def log(self) -> Path:
        return self.place / "log"

    @property
    def temporary(self) -> Path:
        return self.place / "temporary"

    def begin(self, words: Sequence[str], folder: Path, *, whole: bool = False) -> None:
        self.count += 1
        self.temporary.mkdir(exist_ok=True)
        environment = {"TMPDIR": str(self.temporary), MARK: self.mark, "HF_HUB_OFFLINE": "1"}
        if whole:
            with self.log.open("wb") as log:
                self.whole = subprocess.Popen(
                    [sys.executable, "-m", "e2gan", *words],
                    cwd=folder,
                    env=os.environ | environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
                )
            self.pid = self.whole.pid
        else:
            order = {"arguments": list(words), "folder": str(folder), "log": str(self.log)}
            self.whole, self.pid = None, self.forks.begin(order | {"environment": environment})

    @property
    def mark(self) -> str:
        return f"{os.getpid()}-{self.count}"

    def ended(self, timeout: float | None) -> int | None:
        """Its status, below 0 for a signal; None where it runs on."""
        if self.whole is not None:
            with suppress(subprocess.TimeoutExpired):
                return self.whole.wait(timeout)
            return None
        line = self.forks.line(timeout)
        return None if line is None else os.waitstatus_to_exitcode(int(line))

    def run(self, words: Sequence[str], folder: Path, timeout: float = 600.0) -> int | None:
        """Run to the end: the status; None where it does not end."""
        self.begin(words, folder)
        status = self.ended(timeout)
        if status is None:
            self.kill_all()
            self.ended(None)
        return status

    def left(self) -> list[int]:
        """The processes that the last run left."""
        return [pid for pid in processes() if pid not in (os.getpid(), self.forks.process.pid) and self._own(pid)]

    def _own(self, pid: int) -> bool:
        with suppress(OSError):
            stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            if stat[0] == "Z":
                return False
            environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            return int(stat[3]) == self.pid or f"{MARK}={self.mark}".encode() in environment
        return False

    def kill_all(self) -> None:
        for pid in self.left():
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)

    def printed(self) -> str:
        return self.log.read_text("utf-8", errors="replace")


def processes() -> Iterator[int]:
    for path in Path("/proc").iterdir():
        if path.name.isdecimal():
            yield int(path.name)


@contextmanager
def program(place: Path) -> Iterator[Program]:
    """Where the runs of the program are made."""
    place.mkdir(parents=True, exist_ok=True)
    forks = Forks()
    try:
        yield Program(place, forks)
    finally:
        forks.close()


# -- what a run wrote -------------------------------------------------------------------------------------------------


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_times(part) for key, part in value.items() if key not in TIMES}
    return [without_times(part) for part in value] if isinstance(value, list) else value


def content(path: Path) -> str:
    """A file by its bytes; texts without times, names made by chance, and hashes of files that have such."""
    if path.suffix not in TEXTS:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    text = UUID.sub("", path.read_text("utf-8"))
    if path.suffix in (".json", ".jsonl"):
        rows = [without_times(json.loads(row)) for row in (text.splitlines() if path.suffix == ".jsonl" else [text])]
        if path.name == "config.json":
            rows[0]["files"] = {n: h for n, h in rows[0].get("files", {}).items() if not n.endswith(TEXTS)}
        return json.dumps(rows, sort_keys=True)
    if path.suffix == ".csv":
        return "\n".join(line for line in text.splitlines() if not any(word in line for word in TIMED))
    columns: set[int] = set()
    kept = []
    for line in text.splitlines():
        cells = line.split("|")
        columns |= {i for i, cell in enumerate(cells) if any(word in cell for word in TIMED)}
        kept.append([re.sub(r"\b\d+ s\b", "", cell) for i, cell in enumerate(cells) if i not in columns])
    return json.dumps(kept)


def written(folder: Path, *, exact: bool) -> dict[str, str]:
    """What lies in a folder, by name; without `exact` the names alone."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir():
            found[f"{name}/"] = ""
        elif name not in NOT_COMPARED:
            found[name] = content(path) if exact else ""
    return found


def difference(found: dict[str, str], wanted: dict[str, str]) -> str:
    """In words; nothing where they are the same."""
    more, less = sorted(found.keys() - wanted.keys()), sorted(wanted.keys() - found.keys())
    other = [name for name in found if name in wanted and found[name] != wanted[name]]
    told = (("left behind", more), ("missing", less), ("of other content", other))
    return "; ".join(f"{what}: {', '.join(names[:3])} ({len(names)})" for what, names in told if names)


# -- the tries --------------------------------------------------------------------------------------------------------


@dataclass
class Tried:
    """What came of the kills of a command. early: those that found it at work; the others it had just finished."""

    name: str
    seconds: float
    tries: int = 0
    early: int = 0
    faults: list[str] = field(default_factory=list)


class Kills:
    """The kills of one command. Raises RuntimeError where the undisturbed run fails, or is another one each time."""

    def __init__(self, name: str, home: Path, program: Program) -> None:
        self.name, self.run, self.home, self.program = name, RUNS[name], home, program
        self.folder = program.place / "trial"
        self.wanted: dict[str, str] = {}
        seconds = []
        for turn in range(2):
            lay_out(home, self.run, self.folder)
            begun = time.monotonic()
            status = program.run(self.run.words(), self.folder)
            seconds.append(time.monotonic() - begun)
            if status != self.run.status or "Traceback" in program.printed():
                raise RuntimeError(f"{name}: status {status}: {program.printed()[-1500:]}")
            found = written(self.folder, exact=self.run.exact)
            if turn and (differs := difference(found, self.wanted)):
                raise RuntimeError(f"{name}: two undisturbed runs differ: {differs}")
            self.wanted = found
        self.seconds = min(seconds)
        self.temporary = {path.name for path in program.temporary.iterdir()}

    def try_once(self, number: int) -> tuple[bool, list[str]]:
        """Whether the program was at work when it was killed, and what is wrong."""
        chance = random.Random(f"{self.name} {number}")
        lay_out(self.home, self.run, self.folder)
        early, faults, ways = False, [], []
        for _ in range(1 + (chance.random() < TWICE)):
            way, whole = chance.choice(WAYS), chance.random() < WHOLE
            at = chance.random() * self.seconds
            at += BEGINS + chance.random() * 2 if whole else 0
            ways.append(f"{way} at {at:.2f} s{' of a new Python' if whole else ''}")
            was_early, wrong = self._kill(way, at, chance, whole=whole)
            early |= was_early
            faults += wrong
        faults += self._again()
        return early, [f"{', '.join(ways)}: {fault}" for fault in faults]

    def _kill(self, way: str, at: float, chance: random.Random, *, whole: bool) -> tuple[bool, list[str]]:
        program = self.program
        program.begin(self.run.words(), self.folder, whole=whole)
        status = program.ended(at)
        early = status is None
        if early:
            _send(program.pid, way, chance)
            status = program.ended(STOPS)
        faults = []
        if status is None:
            faults.append(f"it runs on {STOPS:.0f} s after")
            program.kill_all()
            program.ended(None)
        number = {"SIGKILL": signal.SIGKILL, "SIGTERM": signal.SIGTERM}.get(way, signal.SIGINT)
        if status is not None and status not in (self.run.status, -number, 128 + number):
            faults.append(f"status {status}: {program.printed()[-300:]}")
        return early, faults + self._left()

    def _left(self) -> list[str]:
        faults = []
        printed = self.program.printed()
        for sign in ("Traceback", "Exception ignored", "Fatal Python error"):
            if sign in printed:
                faults.append(f"it shows {sign}: {printed[printed.index(sign) :][-600:]}")
        until = time.monotonic() + ENDS
        while (left := self.program.left()) and time.monotonic() < until:
            time.sleep(0.1)
        if left:
            faults.append(f"{len(left)} processes are left")
            self.program.kill_all()
        return faults

    def _again(self) -> list[str]:
        status = self.program.run(self.run.words(), self.folder, timeout=60 + 20 * self.seconds)
        faults = self._left()
        if status != self.run.status:
            faults.append(f"the rerun's status is {status}: {self.program.printed()[-300:]}")
        else:
            faults += filter(None, [difference(written(self.folder, exact=self.run.exact), self.wanted)])
        if more := {path.name for path in self.program.temporary.iterdir()} - self.temporary:
            faults.append(f"temporary files are left: {', '.join(sorted(more)[:3])}")
            shutil.rmtree(self.program.temporary)
        return faults


def _send(pid: int, way: str, chance: random.Random) -> None:
    """SIGTERM to the process, or as `timeout` to all of its group; Ctrl-C to the group, as a terminal does."""
    with suppress(ProcessLookupError):
        if way == "SIGKILL":
            os.kill(pid, signal.SIGKILL)
        elif way == "SIGTERM":
            (os.killpg if chance.random() < 0.5 else os.kill)(pid, signal.SIGTERM)
        else:
            os.killpg(pid, signal.SIGINT)
            if way == "SIGINT twice":
                time.sleep(chance.choice((0.02, 0.1, 0.5, 1.2)))
                os.killpg(pid, signal.SIGINT)


def inputs(program: Program, home: Path) -> None:
    """`make_inputs`, unless they are there."""
    if home.exists():
        return
    making = home.with_name(f"{home.name}.making")
    shutil.rmtree(making, ignore_errors=True)

    def run(words: Sequence[str], folder: Path) -> None:
        if program.run(words, folder) != 0:
            raise RuntimeError(f"{' '.join(words)}: {program.printed()[-1500:]}")

    make_inputs(making, run)
    making.rename(home)


def kills(name: str, home: Path, program: Program, numbers: Sequence[int]) -> Iterator[Tried]:
    """What has come of the kills of these numbers so far, after each of them."""
    of = Kills(name, home, program)
    tried = Tried(name, of.seconds)
    yield tried
    for number in numbers:
        early, faults = of.try_once(number)
        tried.tries += 1
        tried.early += early
        tried.faults += [f"{name}, {number}: {fault}" for fault in faults]
        yield tried
