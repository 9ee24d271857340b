"""A program of the user's: run until it ends, or its time is over; and the last that it printed."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from e2gan.core.errors import InputError
from e2gan.core.images import IMAGE_SUFFIXES

GRACE = 3.0  # seconds between asking a program to end and killing it
LINES, CHARACTERS = 12, 240  # how much of what it printed is kept: lines, and characters of each
LIBC = ctypes.PyDLL(None) if sys.platform == "linux" else None  # loaded here: after a fork nothing may wait for a lock
PDEATHSIG = 1  # PR_SET_PDEATHSIG of <linux/prctl.h>


@dataclass(frozen=True)
class Ending:
    """How a program ended. failure: in words, empty where its status was 0. late: it was stopped after its time."""

    failure: str
    late: bool
    printed: list[str]

    def error(self) -> Exception | None:
        if not self.failure:
            return None
        if self.late:
            return TimeoutError(f"the program {self.failure}")
        last = f": {self.printed[-1]}" if self.printed else ", and said nothing"
        return RuntimeError(f"the program {self.failure}{last}")


def run_program(arguments: Sequence[str], work: Path, timeout: float | None) -> Ending:
    """Run a program until it ends, at most for `timeout` seconds. work: the folder of its photos and edits.

    It is stopped, with all that it started, where this process is interrupted. Raises InputError where it cannot be
    started.
    """
    # Files, since a pipe that nobody reads would stop it.
    with (work / "stdout").open("wb") as out, (work / "stderr").open("wb") as err:
        try:
            process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
                preexec_fn=_end_with_parent if LIBC is not None else None,
            )
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EACCES, errno.ENOEXEC):
                raise  # want of memory or processes: this batch's alone
            why = error.strerror or str(error)
            raise InputError(f"--teacher command: '{arguments[0]}' cannot be started: {why}") from None
    try:
        failure, late = _failure(process.wait(timeout)), False
    except subprocess.TimeoutExpired:
        failure, late = f"took longer than {timeout:g} s and was stopped", True
    finally:  # also on Ctrl-C, which does not reach it, since it runs in a session of its own
        if process.returncode is None:
            _stop(process)
    return Ending(failure, late, _last_lines(work / "stderr", work) or _last_lines(work / "stdout", work))


def _end_with_parent() -> None:
    """In the new process: have it asked to end when this one is gone, by kill -9 too. Linux has that."""
    if LIBC is not None:
        LIBC.prctl(PDEATHSIG, int(signal.SIGTERM))


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the program and all that it started: asked first, then killed."""

    def send(number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):  # all of them have ended
            os.killpg(process.pid, number)

    if not hasattr(os, "killpg"):  # Windows
        process.kill()
        return
    try:
        send(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
    finally:
        send(signal.SIGKILL)
        process.wait()


def _failure(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}" if status else ""
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return f"was killed by {name}" + (" (perhaps for want of memory)" if name == "SIGKILL" else "")


def _last_lines(path: Path, work: Path) -> list[str]:
    """The last lines of an output, without colours and the earlier states of progress bars."""
    with path.open("rb") as f:
        f.seek(0, os.SEEK_END)
        f.seek(max(0, f.tell() - 16384))
        text = f.read().decode("utf-8", "replace")
    text = _in_words(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text), work)
    lines = [line.rstrip("\r").rpartition("\r")[2].rstrip() for line in text.split("\n")]
    return [line[:CHARACTERS] for line in lines if line][-LINES:]


def _in_words(text: str, work: Path) -> str:
    """Without the names of temporary files: they tell the user nothing, and would make equal failures differ."""
    roots = sorted({str(work), str(work.resolve())}, key=len, reverse=True)
    root = "(?:" + "|".join(map(re.escape, roots)) + ")"
    suffix = "(?:" + "|".join(map(re.escape, sorted(IMAGE_SUFFIXES))) + r")\b"
    here = r"(?<![\w/\\])(?:\.[/\\]+)?"  # a program may have gone into the folder
    for pattern, words in (
        (rf"(?:{root}[/\\]+|{here})input[/\\]+\d{{4,}}{suffix}", "the photo"),
        (rf"(?:{root}[/\\]+|{here})output[/\\]+\d{{4,}}{suffix}", "the edit"),
        (rf"{root}[/\\]+(input|output|seeds)\b(?:\.txt)?", r"{\1}"),
        (root, "its folder"),
        (rf"{here}\d{{4,}}{suffix}", "the photo"),
    ):
        text = re.sub(pattern, words, text)
    return text
