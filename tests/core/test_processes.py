from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from joblib import delayed

from e2gan.core.processes import in_processes
from tests.teachers.tiny_programs import alive


def facts() -> tuple[int, int, bool]:
    return os.getpid(), torch.get_num_threads(), signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def test_each_process_has_one_thread_and_leaves_ctrl_c_to_its_parent() -> None:
    found: list[Any] = list(in_processes((delayed(facts)() for _ in range(4)), 2))
    assert all((threads, ignores) == (1, True) and pid != os.getpid() for pid, threads, ignores in found)


def test_processes_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    code = (
        "import os, time; from pathlib import Path; from joblib import Parallel, delayed\n"
        "from e2gan.core.processes import in_processes\n"
        f"def work(i):\n    (Path({str(tmp_path)!r}) / str(os.getpid())).touch()\n    time.sleep(60)\n"
        "list(in_processes([delayed(work)(i) for i in range(2)], 2))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    until = time.monotonic() + 60
    while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < until:
        time.sleep(0.1)
    pids = [int(path.name) for path in tmp_path.iterdir()]
    assert len(pids) == 2
    parent.kill()
    parent.wait()
    until = time.monotonic() + 20
    while any(map(alive, pids)) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(map(alive, pids))


@pytest.mark.parametrize("after", [0.0, 0.1, 0.3, 0.6])
def test_a_stop_as_they_begin_is_quiet_and_leaves_none(after: float, tmp_path: Path) -> None:
    code = (
        "import os, time; from pathlib import Path; from joblib import delayed\n"
        "from e2gan.core.processes import in_processes\n"
        "from e2gan.core.stopping import signals_stop, Stopped\n"
        f"def work(i):\n    (Path({str(tmp_path)!r}) / str(os.getpid())).touch()\n    time.sleep(60)\n"
        "try:\n"
        "    with signals_stop():\n"
        "        print('ready', flush=True)\n"
        "        list(in_processes([delayed(work)(i) for i in range(4)], 4))\n"
        "except Stopped:\n"
        "    raise SystemExit(7)\n"
    )
    command = [sys.executable, "-c", code]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert parent.stdout is not None
    assert parent.stdout.readline() == "ready\n"
    time.sleep(after)
    parent.send_signal(signal.SIGTERM)
    assert parent.communicate(timeout=60)[0] == ""  # what any of them prints comes here, so that all have ended
    assert parent.returncode == 7
    assert not any(alive(int(path.name)) for path in tmp_path.iterdir())
