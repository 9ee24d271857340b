"""What an MP4 or QuickTime file says of its samples, told from its boxes before a demuxer makes a table of them.

Samples of one size are a single number in the file, and 24 bytes each in the demuxer's memory.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO

from e2gan.core.errors import InputError

MOST_SAMPLES = 6_000_000  # frames of 24 hours at 60 a second
MOST_BOXES = 1_000_000
PARENTS = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf"})
FIRST = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"styp", b"moof"})


def check_boxes(file: BinaryIO) -> None:
    """Raises InputError for an MP4 file whose tables claim more samples than any video has; other files pass.

    No box is read but the few bytes that say how many samples there are.
    """
    size = os.fstat(file.fileno()).st_size
    sound, samples = False, 0
    for kind, start in _boxes(file, size):
        if kind == b"cmov":
            raise InputError("has a compressed header, which is not read")
        if kind == b"hdlr":  # comes before its track's tables
            sound = _numbers(file, start + 8, ">4s")[0] == b"soun"
        elif kind == b"stsz":  # version and flags, the size of all samples or 0, and their number
            of_each, count = _numbers(file, start, ">4xII")
            # Values of sound, which are there: of them no table is made.
            if not (sound and 0 < of_each * count <= 4 * size):
                samples += count
        elif kind in (b"stz2", b"trun"):
            samples += _numbers(file, start, ">4xI" if kind == b"trun" else ">8xI")[0]
        if samples > MOST_SAMPLES:
            raise InputError(f"claims {samples:,} frames and pieces of sound: up to {MOST_SAMPLES:,} are read")


def _boxes(file: BinaryIO, size: int) -> Iterator[tuple[bytes, int]]:
    """Kind and first byte of the content of all boxes that tell of samples; none of a file that has no boxes."""
    ends, at, count = [size], 0, 0
    while ends:
        found = _head(file, at, ends[-1])
        if found is None or (count == 0 and found[0] not in FIRST):
            at = ends.pop()
            continue
        kind, start, end = found
        count += 1
        if count > MOST_BOXES:
            raise InputError(f"has more than {MOST_BOXES:,} boxes")
        yield kind, start
        if kind in PARENTS:
            ends.append(end)
        at = start if kind in PARENTS else end


def _head(file: BinaryIO, at: int, limit: int) -> tuple[bytes, int, int] | None:
    """Kind, first byte of its content, and end of the box at a place; None where there is none."""
    file.seek(at)
    data = file.read(16)
    if len(data) < 8 or at + 8 > limit:
        return None
    length, kind = struct.unpack(">I4s", data[:8])
    header = 8
    if length == 1 and len(data) == 16:
        length, header = struct.unpack(">Q", data[8:])[0], 16
    end = limit if length == 0 else at + length
    # One that is cut off ends with what is around it.
    return (kind, at + header, min(end, limit)) if end >= at + header else None


def _numbers(file: BinaryIO, start: int, form: str) -> tuple:
    """Zeros where the file ends before."""
    file.seek(start)
    length = struct.calcsize(form)
    return struct.unpack(form, file.read(length).ljust(length, b"\0"))
