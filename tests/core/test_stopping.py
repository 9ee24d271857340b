from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from e2gan.core.stopping import Stopped, signals_stop, without_signals

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")


def _as_in_a_terminal() -> None:
    """These tests may run where signals are ignored, as nohup does, which a program takes over."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def begin(code: str, tmp_path: Path) -> subprocess.Popen[str]:
    """Python that runs the code, once it has made the file `ready`."""
    ready = tmp_path / "ready"
    head = "import os, signal, sys, time\nfrom pathlib import Path\nfrom e2gan.core.stopping import *\n"
    head += f"ready = Path({str(ready)!r}).touch\n"
    process = subprocess.Popen(
        [sys.executable, "-c", head + code],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_as_in_a_terminal,
    )
    until = time.monotonic() + 30
    while not ready.exists() and time.monotonic() < until:
        time.sleep(0.02)
    return process


CLEARS_UP = """
stops_for_good()
try:
    ready()
    time.sleep(30)
except Stopped as stop:
    time.sleep({seconds})
    sys.exit(128 + stop.number)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_more_of_them_within_a_second_do_not_interrupt_the_clearing_up(number: int, tmp_path: Path) -> None:
    process = begin(CLEARS_UP.format(seconds=0.5), tmp_path)
    for _ in range(3):
        process.send_signal(number)
        time.sleep(0.05)
    assert process.communicate(timeout=30) == (None, "")
    assert process.returncode == 128 + number


def test_a_later_one_ends_the_program_at_once(tmp_path: Path) -> None:
    process = begin(CLEARS_UP.format(seconds=30), tmp_path)
    process.send_signal(signal.SIGINT)
    time.sleep(1.2)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=10) == (None, "")
    assert process.returncode == 130


def test_one_that_a_destructor_swallows_comes_again(tmp_path: Path) -> None:
    code = """
class Slow:
    def __del__(self):
        ready()
        time.sleep(0.5)
try:
    with signals_stop():
        Slow()
        time.sleep(30)
except Stopped:
    sys.exit(7)
"""
    process = begin(code, tmp_path)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=10) == (None, "")
    assert process.returncode == 7


def imports() -> None:
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
    except KeyboardInterrupt:
        raise ImportError("numpy could not be imported") from None


def test_what_it_makes_others_raise_is_its_own() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped), signals_stop():
        imports()
    assert signal.getsignal(signal.SIGTERM) == before


def logs() -> None:
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
    except KeyboardInterrupt:
        logging.getLogger("torch").exception("fake tensor raised TypeError")
        raise TypeError from None


def test_what_libraries_log_as_they_are_torn_from_their_work_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Stopped), signals_stop():
        logs()
    assert not caplog.records
    logging.getLogger("torch").error("afterwards")
    assert [record.message for record in caplog.records] == ["afterwards"]


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_processes_that_are_begun_without_signals_see_none_until_they_ask_for_them(name: str) -> None:
    number = getattr(signal, name)
    if signal.getsignal(number) == signal.SIG_IGN:
        pytest.skip("it is ignored here, as under nohup")
    wait = "import time; time.sleep(0.5)"
    ask = "from e2gan.core.stopping import with_signals; with_signals()"
    for code, status in ((wait, 0), (f"{wait}; {ask}; time.sleep(5)", -number)):
        with without_signals():
            process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
        process.send_signal(number)
        said = process.communicate(timeout=20)[1]
        assert process.returncode == status
        assert (said == b"") == (status != -signal.SIGINT)  # where Python shows KeyboardInterrupt
    assert number not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


SWALLOWED = """
stops_for_good()
try:
    ready()
    time.sleep(30)
except BaseException:  # as a library may have it
    pass
for _ in range({times}):
    try:
        time.sleep(0.1)
    except BaseException:
        pass
time.sleep(30)
"""


@pytest.mark.parametrize("times", [0, 3, 300])
def test_one_that_a_library_swallows_comes_again(times: int, tmp_path: Path) -> None:
    process = begin(SWALLOWED.format(times=times), tmp_path)
    process.terminate()
    stderr = process.communicate(timeout=25)[1]
    assert process.returncode == (1 if times < 300 else 143)
    assert ("Stopped" in stderr) == (times < 300)


CAUGHT = """
try:
    with signals_stop():
        try:
            ready()
            time.sleep(30)
        finally:
            try:
                raise ValueError  # another one, as it clears up
            except ValueError:
                time.sleep(1.2)
            print("cleared up", file=sys.stderr)
except Stopped:
    time.sleep(1.2)  # and nothing comes after it
    print("goes on", file=sys.stderr)
"""


def test_the_clearing_up_is_not_torn_and_nothing_comes_after_it(tmp_path: Path) -> None:
    process = begin(CAUGHT, tmp_path)
    process.terminate()
    assert process.communicate(timeout=30)[1] == "cleared up\ngoes on\n"
    assert process.returncode == 0
