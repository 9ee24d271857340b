"""Temporary folders, of which a process that was killed leaves none for ever: the next one removes them."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from e2gan.core.errors import MachineError
from e2gan.core.machine import SPACE

PREFIX = "e2gan-"
HELD = ".held"  # the lock inside, which ends with its process: the first file to come and the last to go
HIDDEN = re.compile(rf"\.{PREFIX}[a-z0-9_]{{8}}")  # one that is being made or removed, as `mkdtemp` calls it


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder in the system's place for such, removed afterwards. Raises MachineError where there is no such place."""
    try:
        place = Path(tempfile.gettempdir()).resolve()
    except FileNotFoundError:
        raise MachineError(f"no folder for temporary files can be written to ({SPACE}, by TMPDIR)") from None
    _clear(place)
    folder, lock = _made(place)
    try:
        yield folder
    finally:
        _remove(folder, lock)


@contextmanager
def temporary_files() -> Iterator[None]:
    """What libraries put among the system's temporary files lies in a `temporary_folder`, in all threads."""
    before = tempfile.tempdir
    with temporary_folder() as folder:
        tempfile.tempdir = str(folder)
        try:
            yield
        finally:
            tempfile.tempdir = before


def _made(place: Path) -> tuple[Path, FileLock]:
    """A new folder, held; others see it only then. Until it is, another process may clear it: then one more."""
    while True:
        made = Path(tempfile.mkdtemp(prefix=f".{PREFIX}", dir=place))
        folder, lock = place / made.name.removeprefix("."), FileLock(made / HELD)
        with suppress(FileNotFoundError, FileExistsError, Timeout):
            lock.acquire(timeout=1)
            made.chmod(0o700)  # the lock makes the folder again where it has gone, open to other users
            if (made / HELD).exists():
                made.rename(folder)
                return folder, lock
        lock.release()


def _remove(folder: Path, lock: FileLock) -> None:
    """Out of sight first, so that what a kill leaves of it is known; the lock last, so that all of it has one."""
    doomed = folder
    with suppress(OSError):
        doomed = folder.rename(folder.with_name(f".{folder.name.removeprefix('.')}"))
    with suppress(OSError):
        for path in doomed.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != HELD:
                path.unlink()
    lock.release()
    with suppress(OSError):
        (doomed / HELD).unlink(missing_ok=True)
        doomed.rmdir()


def _clear(place: Path) -> None:
    """Remove the folders that no process holds any more; not those of other users, nor what only has such a name."""
    hidden = [path for path in place.glob(f".{PREFIX}*") if HIDDEN.fullmatch(path.name)]
    for folder in (*place.glob(f"{PREFIX}*"), *hidden):
        with suppress(OSError, Timeout):
            if folder.is_symlink():
                continue
            if (folder / HELD).is_file():
                lock = FileLock(folder / HELD)
                lock.acquire(blocking=False)
                _remove(folder, lock)
            elif folder in hidden:
                folder.rmdir()  # which does nothing to one that has something in it
