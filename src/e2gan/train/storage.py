"""Where a training's pixels lie: in memory, or, beyond a stated part of it, in a file that is mapped."""

from __future__ import annotations

import ctypes
import mmap
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from e2gan.core.errors import MachineError
from e2gan.core.machine import SPACE, raise_machine_fault

WILL_NEED = getattr(mmap, "MADV_WILLNEED", 0)
_madvise: Any = ctypes.CDLL(None).madvise if os.name == "posix" else lambda *_: -1  # advice, which may be ignored


def in_memory(count: int, size: int) -> Tensor:
    """Room for images as uint8 (count, 3, size, size)."""
    return torch.empty(count, 3, size, size, dtype=torch.uint8)


def on_disk(count: int, size: int, folder: Path) -> Tensor:
    """The same in a file that is mapped: what is not looked at takes no memory that others could use.

    The file has no name, on the disk of `folder`, and is gone with the process, however that ends. Raises MachineError
    where the disk has not the space, before anything is written.
    """
    length = count * 3 * size**2
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            _reserve(file.fileno(), length, folder)
            mapped = mmap.mmap(file.fileno(), length)
    except OSError as error:
        raise_machine_fault(error)
        raise MachineError(f"{folder}: {error.strerror or error}") from error
    with suppress(AttributeError, OSError):  # not every system has it: rows are read at random, whole
        mapped.madvise(mmap.MADV_RANDOM)
    return torch.frombuffer(mapped, dtype=torch.uint8).view(count, 3, size, size)


def read_rows(images: Tensor, rows: Tensor) -> Tensor:
    """images[rows], the system told first, of a mapped file, which they are: each is then read in one piece."""
    length = images[0].nbytes
    page = mmap.PAGESIZE
    for row in rows.tolist():
        start = images.data_ptr() + row * length
        first = start // page * page
        _madvise(ctypes.c_void_p(first), ctypes.c_size_t(start + length - first), WILL_NEED)
    return images[rows]


def _reserve(file: int, length: int, folder: Path) -> None:
    """All of the file's space at once: a mapped file on a full disk would kill the process as it is written."""
    space = os.fstatvfs(file)
    if length > space.f_bavail * space.f_frsize:
        raise MachineError(
            f"{folder}: the training pairs need {length / 1e9:.3g} GB on its disk, which has "
            f"{space.f_bavail * space.f_frsize / 1e9:.3g} GB left ({SPACE})"
        )
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, length)
    else:
        os.truncate(file, length)
