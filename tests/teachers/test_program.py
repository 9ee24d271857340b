"""A user's program: how it ends, when it is stopped, and what it says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from e2gan.teachers.command import CommandTeacher
from tests.teachers.tiny_programs import ASK, HANG, PYTHON, photos, vanishes

pytestmark = pytest.mark.usefixtures("temporary")

DRIVER = """
import sys
import numpy as np
from e2gan.teachers.command import CommandTeacher
from e2gan.teachers.teacher import Ask
CommandTeacher(sys.argv[1]).edit([np.zeros((8, 8, 3), np.uint8)], Ask("inverted"), [0])
"""


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import sys; print('only here'); sys.exit(3)", "ended with status 3: only here"),
        ("import sys; sys.exit(3)", "ended with status 3, and said nothing"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", r"killed by SIGKILL \(perhaps for want of memory"),
    ],
)
def test_how_a_program_ended_is_told(code: str, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        CommandTeacher(f'{PYTHON} -c "{code}"').edit(photos(2), ASK, [0, 0])


@pytest.mark.parametrize("kind", ["polite", "stubborn"])
@pytest.mark.slow
def test_a_program_that_takes_too_long_is_killed_with_what_it_started(
    kind: str, script: Callable[..., Path], tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("e2gan.teachers.program.GRACE", 0.3)
    teacher = CommandTeacher(f"{PYTHON} {script(HANG)} {tmp_path / 'pid'} {kind}", timeout=2.5)
    start = time.monotonic()
    with pytest.raises(TimeoutError, match=r"longer than 2\.5 s"):
        teacher.edit(photos(2), ASK, [0, 0])
    assert time.monotonic() - start < 10
    assert vanishes(int((tmp_path / "pid").read_text()))
    assert not list(temporary.iterdir())


def test_ctrl_c_kills_the_program_with_what_it_started(
    script: Callable[..., Path], tmp_path: Path, temporary: Path
) -> None:
    pid = tmp_path / "pid"

    def press() -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and not (pid.exists() and pid.read_text()):
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        CommandTeacher(f"{PYTHON} {script(HANG)} {pid}").edit(photos(2), ASK, [0, 0])
    thread.join()
    signal.signal(signal.SIGINT, before)
    assert vanishes(int(pid.read_text()))
    assert not list(temporary.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a program that its parent was killed")
def test_a_killed_process_leaves_no_program_running(
    steps: Callable[..., CommandTeacher], script: Callable[..., Path], tmp_path: Path, temporary: Path
) -> None:
    program = steps("import os; (here / 'pid').write_text(str(os.getpid())); time.sleep(60)")
    pid = tmp_path / "pid"
    driver = [PYTHON, script(DRIVER, "driver.py"), program.command]
    with subprocess.Popen(driver, env=os.environ | {"TMPDIR": str(temporary)}) as process:
        deadline = time.monotonic() + 60
        while not (pid.exists() and pid.read_text()) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        process.kill()
    assert vanishes(int(pid.read_text()))


@pytest.mark.parametrize("arguments", ["{input} {output}", "{photo} {edit}"])
def test_what_a_program_says_of_temporary_files_is_in_words(arguments: str, script: Callable[..., Path]) -> None:
    program = script("""
import os, sys
from pathlib import Path
source, target = map(Path, sys.argv[1:])
photo = max(source.iterdir()) if source.is_dir() else source
os.chdir(photo.parents[1])
sys.exit(f"{photo} {photo.name} ./{photo.name} input/{photo.name} {photo.parents[1]}/output/{photo.stem}.jpg "
         f"{photo.parent} {photo.parents[1]}/seeds.txt {photo.parents[1]}: style/1234.png")
""")
    for count in (1, 3):
        with pytest.raises(RuntimeError) as failed:
            CommandTeacher(f"{PYTHON} {program} {arguments}").edit(photos(count), ASK, [0] * count)
        said = str(failed.value).removeprefix("the program ended with status 1: ")
        assert said == "the photo the photo the photo the photo the edit {input} {seeds} its folder: style/1234.png"
