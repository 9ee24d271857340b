"""One writer for each output: a lock that ends with its process, however that ends."""

from __future__ import annotations

import os
import re
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from e2gan.core.errors import BusyError, InputError

LOCK = ".lock"
OURS, LONGEST = re.compile(rb"(process \d+ on [^\n]*\n)?"), 1000  # bytes; empty at its beginning


@contextmanager
def only_writer(out: Path) -> Iterator[None]:
    """Inside, no other process or thread writes `out`; it may be entered again by who holds it.

    The lock is the file `OUT.lock`, which says who holds it and is gone afterwards; one that a killed process left is
    taken over. Raises BusyError where another one holds it, and InputError where nothing can be written there, or what
    has that name is another program's.
    """
    path = out.with_name(out.name + LOCK)
    _check(path)
    lock = FileLock(path, blocking=False, is_singleton=True)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        if not os.path.lexists(path) and not _can_hold(path):
            raise InputError(f"cannot write to {out}: no file can be made beside it") from None
        raise BusyError(f"{out} is being written by {_holder(path)}: wait for it, or choose another --out") from None
    except OSError as error:
        raise InputError(f"cannot write to {out}: {error.strerror or error}") from error
    try:
        if lock.lock_counter == 1:
            path.write_text(f"process {os.getpid()} on {socket.gethostname()}, since {time.strftime('%H:%M:%S')}\n")
        yield
    finally:
        if lock.lock_counter == 1:
            with suppress(OSError):  # Windows keeps files that are open; on a full or lost disk there is none
                path.unlink()
        lock.release()


def clear_lock(out: Path) -> None:
    """Remove the lock of a process that was killed when all but that was done."""
    if os.path.lexists(out.with_name(out.name + LOCK)):
        with suppress(InputError), only_writer(out):  # BusyError is one: then it is somebody's
            pass


def _check(path: Path) -> None:
    """Raises InputError where something lies there that is no lock of this program, such as poetry.lock of `poetry`."""
    if not os.path.lexists(path):
        return
    if not path.is_symlink() and path.is_file():
        with suppress(OSError), path.open("rb") as file:
            if OURS.fullmatch(file.read(LONGEST)):
                return
    raise InputError(f"{path} is in the way, which this program did not write: move it away, or choose another --out")


def _can_hold(path: Path) -> bool:
    """Whether a file can be made there: filelock takes a place such as /proc for one that is held."""
    with suppress(OSError):
        beside = path.with_name(f"{secrets.token_hex(8)}{LOCK}")
        beside.touch(exist_ok=False)
        beside.unlink()
        return True
    return False


def _holder(path: Path) -> str:
    with suppress(OSError, UnicodeDecodeError):
        if text := path.read_text("utf-8").strip():
            return text
    return "another process"
