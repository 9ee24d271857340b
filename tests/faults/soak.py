"""`make soak`: all faults in their full number, and the table of docs/reliability.md that says what came of them.

It goes on where it was stopped, as long as its folder is there.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from e2gan.core.files import write_json
from e2gan.core.progress import clock
from tests.conftest import ROOT
from tests.faults import fields, pictures
from tests.faults.commands import LONG, RUNS
from tests.faults.kills import Kills, inputs, program

PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- soak: begin -->", "<!-- soak: end -->"
SAMPLE = 200  # damaged pictures in the folder that the command is given
State = dict[str, Any]


class Soak:
    """What came of all tries so far, in state.json of its folder."""

    def __init__(self, place: Path, minutes: float | None) -> None:
        self.place, self.until = place, None if minutes is None else time.monotonic() + 60 * minutes
        self.file = place / "state.json"
        self.state: State = json.loads(self.file.read_text()) if self.file.exists() else {"seconds": 0.0}
        self.begun, self.before = time.monotonic(), self.state["seconds"]

    @property
    def over(self) -> bool:
        return self.until is not None and time.monotonic() > self.until

    def keep(self, name: str, **found: Any) -> None:
        self.state[name] = found
        self.state["seconds"] = self.before + time.monotonic() - self.begun
        write_json(self.file, self.state)

    def kills(self, count: int, only: Collection[str]) -> None:
        """Each command in turn, so that they have been killed about as often whenever it is stopped."""
        begun, made = time.monotonic(), 0
        left = sum(max(0, count - self.tried(name)) for name in only)
        with program(self.place) as found:
            inputs(found, self.place / "home")
            of: dict[str, Kills] = {}
            for name in rounds(count, only):
                if self.over or (number := self.tried(name)) >= count:
                    continue
                if name not in of:
                    say(f"kills: {name}: undisturbed, twice")
                    of[name] = Kills(name, self.place / "home", found)
                early, faults = of[name].try_once(number)
                row = self.state.get(f"kills: {name}", {"early": 0, "lost": 0, "faults": []})
                self.keep(
                    f"kills: {name}",
                    tries=number + 1,
                    early=row["early"] + early,
                    lost=row["lost"] + bool(faults),
                    faults=[*row["faults"], *(f"{number}: {fault}" for fault in faults)],
                    seconds=round(of[name].seconds, 1),
                )
                made += 1
                remaining = clock((time.monotonic() - begun) / made * (left - made))
                say(f"kills: {name}: {number + 1} of {count}; {made} of {left} in all, {remaining} left", faults)

    def tried(self, name: str) -> int:
        return self.state.get(f"kills: {name}", {}).get("tries", 0)

    def pictures(self, count: int) -> None:
        if self.state.get("pictures", {}).get("tries", 0) >= count or self.over:
            return
        folder = self.place / "pictures"
        folder.mkdir(exist_ok=True)
        last = self._each("pictures", pictures.read_all(folder, range(count)), count)
        facts = {"refused": last.refused, "slowest": round(last.slowest, 2), "most": round(last.most_megabytes)}
        self.keep("pictures", tries=last.tries, lost=len(last.faults), faults=last.faults, **facts)
        camera, out = self.place / "camera", self.place / "photos"
        for path in (camera, out):
            shutil.rmtree(path, ignore_errors=True)
        names = pictures.sample(camera, range(min(count, SAMPLE)))
        command = ["photos", str(camera), "--out", str(out), "--size", "64", "--json"]
        answer = subprocess.run([sys.executable, "-m", "e2gan", *command], capture_output=True, text=True, check=False)
        faults = [f"status {answer.returncode}: {answer.stderr[-500:]}"] if answer.returncode else []
        if not faults:
            taken = {json.loads(line)["source"] for line in (out / "photos.jsonl").read_text().splitlines()}
            told = sorted(taken | {name for name, _ in json.loads(answer.stdout)["skipped"]})
            faults = [] if told == names else [f"{len(names)} files, {len(told)} told"]
        self.keep("photos of pictures", tries=len(names), lost=len(faults), faults=faults)

    def fields(self, each: int) -> None:
        if each == 0 or self.state.get("fields", {}).get("tries", 0) >= fields.count(each) or self.over:
            return
        last = self._each("fields", fields.change_all(self.place / "fields", each), fields.count(each))
        self.keep("fields", tries=last.tries, lost=len(last.faults), faults=last.faults)

    def _each(self, what: str, tries: Iterator[Any], count: int) -> Any:
        begun, shown, last = time.monotonic(), 0.0, None
        for last in tries:
            now = time.monotonic()
            if now - shown > 10:
                say(f"{what}: {last.tries} of {count}, {clock((now - begun) / last.tries * (count - last.tries))} left")
                shown = now
            if self.over:
                break
        return last


def rounds(count: int, only: Collection[str]) -> Iterator[str]:
    """Each command in turn, so many times; then those that take long."""
    for names in ([name for name in only if name not in LONG], [name for name in LONG if name in only]):
        for _ in range(count):
            yield from names


def say(line: str, faults: list[str] | None = None) -> None:
    print(line, *(f"\n    LOST: {fault}" for fault in faults or ()), flush=True)


def table(state: State) -> str:
    """The table, in Markdown."""
    lines = ["| fault | how tested | times tried | lost |", "|---|---|---:|---:|"]
    for name in RUNS:
        if (row := state.get(f"kills: {name}")) is not None:
            how = f"of a run of {row['seconds']} s; {row['early']} found it at work"
            lines.append(f"| kills of `{RUNS[name].command}`: {name} | {how} | {row['tries']} | {row['lost']} |")
    rows: list[tuple[str, str, Callable[[dict], str]]] = [
        (
            "pictures",
            "damaged pictures",
            lambda row: (
                f"through the reader: {row['refused']} refused, the others read; {row['slowest']} s and "
                f"{row['most']} MB at most"
            ),
        ),
        ("photos of pictures", "damaged pictures, `photos`", lambda _: "a folder of them: each is taken or named"),
        ("fields", "fields of files", lambda _: "changed, gone, twice, of another type, in all kinds of files"),
    ]
    for key, what, how in rows:
        if (row := state.get(key)) is not None:
            lines.append(f"| {what} | {how(row)} | {row['tries']:,} | {row['lost']} |")
    machine = f"{len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}, {platform.system()}"
    return "\n".join([*lines, "", f"Made by `make soak` in {clock(state['seconds'])} on {machine}."])


def write_table(state: State, page: Path = PAGE) -> None:
    text = page.read_text("utf-8")
    new = f"{BEGIN}\n{table(state)}\n{END}"
    page.write_text(re.sub(rf"{BEGIN}.*?{END}", lambda _: new, text, flags=re.DOTALL), "utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50, help="of each command")
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--fields", type=int, default=25, help="of each kind of file")
    parser.add_argument("--quick", action="store_true", help="2 kills, 200 pictures, 2 fields; the page stays as it is")
    parser.add_argument(
        "--only", nargs="+", choices=RUNS, metavar="RUN", help="kills of these alone; the page stays as it is"
    )
    parser.add_argument("--minutes", type=float, help="stop after so many; the same command goes on")
    parser.add_argument("--place", type=Path, default=ROOT / "soak", help="folder to work in")
    given = parser.parse_args()
    counts = (2, 200, 2) if given.quick else (given.kills, given.pictures, given.fields)
    given.place.mkdir(parents=True, exist_ok=True)
    soak = Soak(given.place.resolve(), given.minutes)
    if not given.only:
        soak.pictures(counts[1])
        soak.fields(counts[2])
    soak.kills(counts[0], given.only or list(RUNS))
    if not (given.quick or given.only):
        write_table(soak.state)
    print(table(soak.state))
    return int(any(row["lost"] for row in soak.state.values() if isinstance(row, dict)))


if __name__ == "__main__":
    sys.exit(main())
