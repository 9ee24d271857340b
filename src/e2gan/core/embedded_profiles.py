"""Colour profiles that lie in a picture's file where Pillow does not look: PNG's cICP, JPEG 2000, BMP, GIF, AVIF, HEIC.

Only headers are read, and no more of a profile than MOST_PROFILE.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from typing import BinaryIO

from e2gan.core.colour import cicp_profile
from e2gan.core.picture_headers import png_chunks

MOST_PROFILE = 16 * 2**20  # bytes; the largest of printers' profiles have a few millions
HEAD = 2**20  # bytes of a file in which its headers lie
# Of ITU-T H.273: unsaid; primaries that are sRGB's, or television's, which are near; curves shown as sRGB's is.
UNSPECIFIED, LIKE_SRGB, SRGB_CURVES = 2, (1, 2, 5, 6), (1, 6, 13, 14, 15)


def embedded_profile(kind: str | None, file: BinaryIO) -> bytes | None:
    """The ICC profile in a file of this kind, as Pillow calls it; None where it has none of these; empty for sRGB that
    goes before any other profile of the file.

    The file's position is kept. Raises ProfileError for a code of colours that is not read, and OSError.
    """
    if kind is None or (read := READERS.get(kind)) is None:
        return None
    at = file.tell()
    try:
        file.seek(0)
        return read(file)
    finally:
        file.seek(at)


def _of_png(file: BinaryIO) -> bytes | None:
    """By cICP (PNG, third edition), which stands before the pixels, and before a profile beside it."""
    for kind, length in png_chunks(file, file.seek(0, os.SEEK_END)):
        if kind == b"cICP":
            return cicp_profile(file.read(length) if length < 1000 else b"") or b""
        if kind == b"IDAT":
            break
    return None


def _boxes(file: BinaryIO, end: int) -> Iterator[tuple[bytes, int]]:
    """Kind and end of the boxes (ISO/IEC 15444-1, Annex I) from where the file stands; it is set to their content."""
    while file.tell() + 8 <= end and len(head := file.read(8)) == 8:
        start, length = file.tell() - 8, int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(file.read(8), "big")
        ends = end if length == 0 else min(end, start + length)
        if ends < file.tell():
            return
        yield head[4:], ends
        file.seek(ends)


def _of_jpeg2000(file: BinaryIO) -> bytes | None:
    """By the box `colr` in `jp2h`, of the method 2 or 3: an ICC profile."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    for kind, end in _boxes(file, size):
        if kind != b"jp2h":
            continue
        for inner, inner_end in _boxes(file, end):
            head = file.read(3) if inner == b"colr" else b""
            if head[:1] in (b"\2", b"\3"):
                return file.read(min(MOST_PROFILE, inner_end - file.tell()))
    return None


def _of_bmp(file: BinaryIO) -> bytes | None:
    """By a header of version 5 (BITMAPV5HEADER) that says a profile is embedded."""
    head = file.read(14 + 124)
    if len(head) < 14 + 124 or struct.unpack_from("<I", head, 14)[0] < 124 or head[14 + 56 : 14 + 60] != b"DEBM":
        return None
    offset, length = struct.unpack_from("<II", head, 14 + 112)
    file.seek(14 + offset)
    return file.read(min(length, MOST_PROFILE)) or None


def _of_gif(file: BinaryIO) -> bytes | None:
    """By the application extension ICCRGBG1012."""
    data = file.read(HEAD)
    at = data.find(b"\x21\xff\x0bICCRGBG1012")
    if at < 0:
        return None
    file.seek(at + 14)
    parts = bytearray()
    while (length := file.read(1)) not in (b"", b"\0") and len(parts) < MOST_PROFILE:
        parts += file.read(length[0])
    return bytes(parts) or None


def _of_heif(file: BinaryIO) -> bytes | None:
    """By the colour box `nclx`: codes of H.273 in place of a profile."""
    data = file.read(HEAD)
    at = data.find(b"colrnclx")
    if at < 0 or len(data) < at + 12:
        return None
    primaries, curve = struct.unpack_from(">HH", data, at + 8)
    if curve == UNSPECIFIED or primaries in LIKE_SRGB:
        return None
    # Decoders give RGB of full range; cameras write a film's curve for what screens show by sRGB's.
    return cicp_profile(bytes([min(primaries, 255), 13 if curve in SRGB_CURVES else min(curve, 255), 0, 1]))


READERS: dict[str, Callable[[BinaryIO], bytes | None]] = {
    "PNG": _of_png,
    "JPEG2000": _of_jpeg2000,
    "BMP": _of_bmp,
    "GIF": _of_gif,
    "AVIF": _of_heif,
    "HEIF": _of_heif,
}
