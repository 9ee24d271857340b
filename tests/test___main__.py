from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
@pytest.mark.parametrize("seconds", [0.05, 0.3])
def test_ctrl_c_while_modules_are_imported_shows_no_traceback(seconds: float) -> None:
    code = "import sys; from e2gan.__main__ import run\nsys.argv[1:] = ['cost', '--size', '64']\n"
    code += "print(1, flush=True); run()"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors in (b"", b"e2gan: stopped; the same command goes on from where it can\n")


def test_it_is_the_program() -> None:
    answer = subprocess.run([sys.executable, "-m", "e2gan", "--version"], capture_output=True, text=True, check=True)
    assert answer.stdout.startswith("e2gan ")
