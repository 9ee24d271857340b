"""A process that has loaded the program and forks for each run of it, which then begins at its first line.

It reads a run a line, JSON, on standard input: `arguments`, `folder`, `log`, `environment`; and answers on standard
output, first with the number of the process, then with its status as `os.waitpid` gives it.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import signal
import sys
import tempfile
import warnings
from pathlib import Path

# Imported by functions of the program; onnxruntime begins a thread, which a fork would lack.
MORE = ("onnx", "onnxscript", "scipy.optimize", "skimage.data", "sklearn.cluster", "matplotlib.figure")


def load() -> None:
    import e2gan

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in pkgutil.walk_packages(e2gan.__path__, "e2gan."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
        for name in MORE:
            importlib.import_module(name)


def begin(run: dict) -> None:
    """In the child: into a session of its own, where a terminal's Ctrl-C reaches what it starts too."""
    os.setsid()
    os.chdir(run["folder"])
    nothing, log = os.open(os.devnull, os.O_RDONLY), os.open(run["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    answer = os.dup(1)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.environ.update(run["environment"])
    tempfile.tempdir = None
    sys.argv = ["e2gan", *run["arguments"]]
    from e2gan.core.stopping import stops_for_good

    stops_for_good()
    os.write(answer, f"{os.getpid()}\n".encode())
    os.close(answer)


def main() -> None:
    load()
    if len(list(Path("/proc/self/task").iterdir())) > 1:  # a fork would lack them
        raise SystemExit("a module that is imported begins threads")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    gc.collect()
    gc.freeze()  # else a fork's collector, at its end, would have to copy all of it
    os.write(1, b"ready\n")
    for line in iter(sys.stdin.readline, ""):
        child = os.fork()
        if child == 0:
            begin(json.loads(line))
            from e2gan.__main__ import run

            run()
        _, status = os.waitpid(child, 0)
        os.write(1, f"{status}\n".encode())


if __name__ == "__main__":
    main()
