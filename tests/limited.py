"""Work in a process of its own, under a limit of memory and of time: a fault takes neither the machine nor the tests.

`Limited` starts one process that imports what is worked with; it forks a child for each piece of work.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
MEMORY = 1500 * 2**20
SECONDS = 20.0


class Limited:
    """A process that waits for work. modules: what it imports before it forks."""

    def __init__(self, *modules: str, cwd: Path | None = None) -> None:
        paths = os.pathsep.join((str(ROOT / "src"), str(ROOT)))
        environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        command = [sys.executable, "-m", "tests.limited", *modules]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, cwd=cwd
        )

    def run(self, function: str, *arguments: Any, memory: int = MEMORY, seconds: float = SECONDS) -> dict[str, Any]:
        """How `module:function` ended with these arguments, which JSON holds.

        ended: "done", "refused" (InputError), "hung", "killed", or the name of another exception; said: its message;
        peak: bytes that it took beyond what was there; value: what it returned, as text.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        work = {"function": function, "arguments": arguments, "memory": memory, "seconds": seconds}
        self.process.stdin.write(json.dumps(work).encode() + b"\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        """End it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


def _child(work: dict[str, Any], answer: int) -> None:
    from e2gan.core.errors import InputError

    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, work["seconds"])
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + work["memory"],) * 2)
    os.dup2(os.open(os.devnull, os.O_RDWR), 1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    module, _, name = work["function"].partition(":")
    found: dict[str, Any] = {"ended": "done", "said": ""}
    try:
        value = getattr(importlib.import_module(module), name)(*work["arguments"])
        found["value"] = str(value)[:2000]
    except InputError as error:
        found = {"ended": "refused", "said": str(error)[:2000]}
    except BaseException as error:
        text = "".join(traceback.format_exception(error))[-3000:]
        found = {"ended": type(error).__name__, "said": str(error)[:500], "traceback": text}
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found["peak"] = (after - before) * 1024
    os.write(answer, json.dumps(found).encode())


def _serve() -> None:
    for line in sys.stdin:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            _child(json.loads(line), writer)
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            text = pipe.read()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if not text:
            ended = "hung" if status == -signal.SIGALRM else "killed"
            text = json.dumps({"ended": ended, "said": f"status {status}", "peak": 0}).encode()
        sys.stdout.buffer.write(text + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    for imported in sys.argv[1:]:
        importlib.import_module(imported)
    _serve()
