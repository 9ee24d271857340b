"""Work in several processes, which leave Ctrl-C to their parent and end when it does, however that comes."""

from __future__ import annotations

import os
import signal
import threading
import time

from joblib import parallel_config


def processes(count: int) -> parallel_config:
    """A context in which `joblib.Parallel` runs in so many processes, of one thread each."""
    settings = {"inner_max_num_threads": 1, "initializer": _begin, "initargs": (os.getpid(),)}
    return parallel_config("loky", n_jobs=count, **settings)


def _begin(parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
