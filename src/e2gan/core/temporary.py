"""Temporary folders, of which a process that was killed leaves none for ever: the next one removes them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

PREFIX = "e2gan-"
HELD = ".held"  # the lock inside, which ends with its process


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder in the system's place for such, removed afterwards."""
    place = Path(tempfile.gettempdir()).resolve()
    _clear(place)
    made = Path(tempfile.mkdtemp(prefix=f".{PREFIX}", dir=place))
    folder = place / made.name.removeprefix(".")
    lock = FileLock(made / HELD)
    try:
        with lock:
            made.rename(folder)  # only now others see it, when it is held
            yield folder
    finally:
        shutil.rmtree(folder if folder.exists() else made, ignore_errors=True)


def _clear(place: Path) -> None:
    """Remove the folders that no process holds any more; not those of other users."""
    for folder in place.glob(f"{PREFIX}*"):
        with suppress(OSError, Timeout):
            if folder.is_symlink() or not (folder / HELD).is_file():
                continue  # of another program, or it is just being made
            with FileLock(folder / HELD, blocking=False):
                shutil.rmtree(folder, ignore_errors=True)
