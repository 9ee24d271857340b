"""Many independent trainings: each once, several at a time, in processes of one thread; a killed command goes on."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from joblib import Parallel, delayed, parallel_config

from e2gan import InputError
from e2gan.core.files import plain, read_json, write_json
from e2gan.core.outputs import differences, make_folder

Job = TypeVar("Job")


def once(path: Path, key: Mapping[str, Any], work: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """What `work` gives, kept in the JSON file `path` with its key. Raises InputError where it holds another key's."""
    if path.exists():
        found = read_json(path)
        if changed := differences(found["key"], plain(key)):
            raise InputError(f"{path} is of other settings ({', '.join(changed)}): choose another --out, or delete it")
        return found["result"]
    found = {"key": plain(key), "result": plain(work())}
    make_folder(path.parent)
    write_json(path, found)
    return found["result"]


def in_processes(function: Callable[[Job], Any], jobs: Sequence[Job], processes: int) -> Iterator[Any]:
    """function(job) of each, in their order; with one process, in this one. Jobs must not wait for one another."""
    if processes == 1 or len(jobs) < 2:
        yield from map(function, jobs)
        return
    options = {"n_jobs": processes, "inner_max_num_threads": 1, "initializer": _start, "initargs": (os.getpid(),)}
    with parallel_config("loky", **options):
        yield from Parallel(return_as="generator", pre_dispatch="2*n_jobs")(delayed(function)(job) for job in jobs)


def _start(parent: int) -> None:
    """In each process: one thread, and an end when the parent ends, however that comes: else a killed command's last
    trainings would go on beside those of its rerun."""
    import torch

    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]
