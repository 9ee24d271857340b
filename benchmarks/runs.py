"""Many independent trainings: each once, several at a time, in processes of one thread; a killed command goes on. And
how a benchmark ends."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from e2gan import InputError
from e2gan.core.files import plain, read_json, write_json
from e2gan.core.outputs import make_folder
from e2gan.core.reruns import differences, in_words

Job = TypeVar("Job")


def once(path: Path, key: Mapping[str, Any], work: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """What `work` gives, kept in the JSON file `path` with its key. Raises InputError where it holds another key's."""
    if path.exists():
        found = read_json(path)
        if changed := differences(found["key"], plain(key)):
            raise InputError(
                f"{path} is of other settings ({in_words(changed, key)}): choose another --out, or delete it"
            )
        return found["result"]
    found = {"key": plain(key), "result": plain(work())}
    make_folder(path.parent)
    write_json(path, found)
    return found["result"]


def check_out(out: Path | None, flag: str = "--out") -> None:
    """Before anything is measured: a file that can be written, its folder made. Raises InputError where it is none."""
    if out is not None:
        if out.is_dir():
            raise InputError(f"{flag} {out} is a folder: name a file")
        make_folder(out.parent)


def in_processes(function: Callable[[Job], Any], jobs: Sequence[Job], count: int) -> Iterator[Any]:
    """function(job) of each, in their order; with one process, in this one. Jobs must not wait for one another."""
    if count == 1 or len(jobs) < 2:
        yield from map(function, jobs)
        return
    from joblib import delayed  # here: gpu.py runs without it

    from e2gan.core import processes

    yield from processes.in_processes((delayed(function)(job) for job in jobs), count)


def exit_status(work: Callable[[], None], *, goes_on: bool = True) -> int:
    """That of a benchmark's command: 0; 2 for a mistake, 130 for Ctrl-C, with one line on standard error.

    goes_on: whether the same command, run again, keeps what a stopped one has measured.
    """
    try:
        work()
    except InputError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"benchmark: stopped{'; the same command goes on' * goes_on}", file=sys.stderr)
        return 130
    return 0


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]
