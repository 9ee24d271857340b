"""What a run is made of: hashes of the bytes of the files that it reads; names, sizes and times stand for nothing.

A stage hands them to `core/outputs.py` as `reads`, by what they are to it: `pairs`, `photos`, `base`. Nothing is
remembered between two questions, since a file may be replaced under the same name, size and time.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from e2gan.core.errors import InputError
from e2gan.core.files import sha256
from e2gan.core.images import is_too_large
from e2gan.core.progress import in_threads

UNREAD = "-"  # what stands for the bytes of a file that is gone or may not be read
Reads = Mapping[str, str | Sequence[str] | None]
"""What a stage reads → the hash of it; one a folder or file where there are several; None where it is left out."""


def hash_files(named: Iterable[tuple[str, Path]], *, unreadable: bool = False) -> str:
    """SHA-256 of files, in hexadecimal: of each one's name and the SHA-256 of its bytes, in the order given.

    Read in threads, a part of a file at a time. unreadable: files that cannot be read count as such, for stages that
    leave those out; else InputError is raised.
    """
    return _hash_of(named, _or_unread if unreadable else sha256)


def _hash_of(named: Iterable[tuple[str, Path]], digest: Callable[[Path], str]) -> str:
    named = list(named)
    total = hashlib.sha256()
    for (name, _), bytes_hash in zip(named, in_threads(digest, (path for _, path in named)), strict=True):
        total.update(f"{len(name)} {name} {bytes_hash}\n".encode("utf-8", "surrogateescape"))
    return total.hexdigest()


def hash_pictures(named: Iterable[tuple[str, Path]]) -> str:
    """`hash_files` of pictures; those that cannot be read, or are too large to be, count as such."""
    return _hash_of(named, _of_picture)


def hash_below(root: Path, files: Iterable[Path]) -> str:
    """`hash_pictures` by their paths from `root`."""
    return hash_pictures((path.relative_to(root).as_posix(), path) for path in files)


def hash_of_named(name: str | None) -> str | None:
    """Of a network that a user named: of the files of a folder, or of a file; None for a name that lies nowhere here.

    A hub's name stands for itself: what it was when it was downloaded, its cache says.
    """
    if name is None:
        return None
    path = Path(name).expanduser()
    try:
        if path.is_file():
            return sha256(path)
        if not path.is_dir():
            return None
        files = files_below(path)
        named = ((file.relative_to(path).as_posix(), file) for file in files)
        return hash_files(((name, file) for name, file in named if ".cache" not in Path(name).parts), unreadable=True)
    except OSError:  # what is too long to be a path, or has characters that no path has
        return None


def files_below(folder: Path) -> list[Path]:
    """All files below a folder, through links to other folders too, each of which is entered once; sorted."""
    found, entered = [], set()
    for parent, subfolders, names in os.walk(folder, followlinks=True):
        place = (stat := os.stat(parent)).st_dev, stat.st_ino  # noqa: PTH116
        if place in entered:
            subfolders.clear()
            continue
        entered.add(place)
        found += [path for name in names if (path := Path(parent, name)).is_file()]
    return sorted(found)


def _or_unread(path: Path) -> str:
    try:
        return sha256(path)
    except (InputError, OSError):
        return UNREAD


def _of_picture(path: Path) -> str:
    try:
        return UNREAD if is_too_large(path) else _or_unread(path)
    except OSError:
        return UNREAD
