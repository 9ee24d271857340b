"""Faults of the machine, told from faults of the file at hand: the first end a run, the second that file's part."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from e2gan.core.errors import MachineError

SPACE = "free some space, or choose another place"
PLACE = "choose another place, or make this one writable"
DISK = "the disk or its connection is failing: mend that"
FILES = "too many files are open: end other programs, or raise the limit (ulimit -n)"
MEMORY = "end other programs"
SIZE = "no file may be so large here: raise the limit (ulimit -f), or choose another place"
WHAT_TO_DO = {
    errno.ENOSPC: SPACE,
    errno.EDQUOT: SPACE,
    errno.EROFS: PLACE,
    errno.EMFILE: FILES,
    errno.ENFILE: FILES,
    errno.ENOMEM: MEMORY,
    errno.EFBIG: SIZE,
    errno.EIO: DISK,
    errno.ENODEV: DISK,
    errno.ENXIO: DISK,
    errno.ESTALE: DISK,
    errno.ENOTCONN: DISK,
    errno.EHOSTDOWN: DISK,
}
LEAST = 2**20  # bytes free: where a disk has less, it is full


def machine_fault(error: BaseException) -> MachineError | None:
    """What an error says of the machine: no space, memory or open files left, or a disk that fails. None for others."""
    while error is not None:
        if isinstance(error, MachineError):
            return error
        if isinstance(error, OSError) and error.errno in WHAT_TO_DO:
            where = f": {error.filename}" if error.filename else ""
            return MachineError(f"{os.strerror(error.errno)}{where} ({WHAT_TO_DO[error.errno]})")
        error = error.__cause__  # pyright: ignore[reportAssignmentType]
    return None


def raise_machine_fault(error: BaseException) -> None:
    """Raises MachineError where the error is a fault of the machine."""
    if fault := machine_fault(error):
        raise fault from error


def need_space(folder: Path) -> None:
    """Raises MachineError where a folder's disk is full, as another program that failed to write may not tell."""
    if shutil.disk_usage(folder).free < LEAST:
        raise MachineError(f"{os.strerror(errno.ENOSPC)}: {folder} ({SPACE})")
