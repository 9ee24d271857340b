"""Work in several processes, which leave Ctrl-C to their parent and end when it does, however that comes."""

from __future__ import annotations

import multiprocessing.resource_tracker
import os
import signal
import threading
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from joblib import Parallel, parallel_config
from joblib.externals.loky import reusable_executor
from joblib.externals.loky.backend.resource_tracker import ensure_running

from e2gan.core.stopping import is_stopped, with_signals, without_signals


def in_processes(tasks: Iterable[Any], count: int) -> Iterator[Any]:
    """The results of tasks (`joblib.delayed`), in order, from so many processes of one thread each.

    Raises BrokenProcessPool of concurrent.futures where one of them was killed.
    """
    # What a stop leaves undone is told by who is stopped.
    warnings.filterwarnings("ignore", "[0-9]+ tasks which were still being processed", UserWarning)
    settings = {"inner_max_num_threads": 1, "initializer": _begin, "initargs": (os.getpid(),)}
    for begin in (ensure_running, multiprocessing.resource_tracker.ensure_running):
        begin()  # in the midst of what follows, these would let Ctrl-C through again
    try:
        with parallel_config("loky", n_jobs=count, **settings):
            with without_signals():  # here they start
                results = Parallel(return_as="generator")(tasks)
            yield from results
    finally:
        if is_stopped():  # one that is just beginning would miss, and say so, what this process takes away as it ends
            _kill()


def _kill() -> None:
    """End the processes at once. Asked to stop, each would first finish its task."""
    executor = reusable_executor._executor  # which joblib keeps, and has no way to kill
    for pid in [] if executor is None else list(executor._processes or ()):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _begin(parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with_signals()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
