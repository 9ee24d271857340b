"""What an image file is made of, told from its headers before a decoder sees it.

Decoders walk through all parts of a file, and some keep each of them: a small file of a million empty frames, or notes,
keeps them busy for hours. Here no part is read, only counted, and no further than to the limit.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable, Iterator
from typing import BinaryIO

from e2gan.core.errors import InputError

MOST_PARTS = 10_000  # frames, pages, notes and other parts of a picture
MOST_DATA_PARTS = 1_000_000  # of a PNG: its pixels come in pieces of 8 KB
MOST_NOTE = 64 * 2**20  # bytes of a part that holds no pixels
MOST_FIELDS = 200_000  # of all of a TIFF's pages
# Bytes of a TIFF field's value, by its type.
FIELD_BYTES = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8)
MANY_SCANS, MOST_WORK = 100, 2_000_000_000  # of a JPEG, each of which goes through all pixels; scans · pixels


def check_header(file: BinaryIO, size: int) -> None:
    """Raises InputError, without the file's name, where a picture of `size` bytes is made of too many or too large
    parts. What is no such picture, or cut off, is the decoder's to tell."""
    head = file.read(16)
    check: Callable[[BinaryIO, int], None] | None = None
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        check = _check_png
    elif head.startswith(b"\xff\xd8"):
        check = _check_jpeg
    elif head.startswith((b"GIF87a", b"GIF89a")):
        check = _check_gif
    elif head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        check = _check_webp
    elif head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        check = _check_tiff
    if check is not None:
        file.seek(0)
        check(file, size)


def _count(parts: Iterator[object], most: int = MOST_PARTS) -> None:
    for number, _ in enumerate(parts):
        if number >= most:
            raise InputError(f"is made of more than {most:,} parts (frames, pages or notes): save it as one picture")


def _note(length: int) -> None:
    if length > MOST_NOTE:
        raise InputError(f"has a note of {length / 1e6:,.0f} MB beside its pixels: save it without")


def _heads(file: BinaryIO, size: int, at: int, length: Callable[[bytes], int]) -> Iterator[bytes]:
    """The first eight bytes of each part of a file, from `at` on. length: by them, of the whole part."""
    while at + 8 <= size:
        file.seek(at)
        head = file.read(8)
        yield head
        at += length(head)


def png_chunks(file: BinaryIO, size: int) -> Iterator[tuple[bytes, int]]:
    """Kind and length of a PNG's chunks, the file at the content of each."""
    for head in _heads(file, size, 8, lambda head: 12 + int.from_bytes(head[:4], "big")):
        yield head[4:], int.from_bytes(head[:4], "big")
        if head[4:] == b"IEND":
            return


def _check_png(file: BinaryIO, size: int) -> None:
    def notes() -> Iterator[bytes]:
        for number, (kind, length) in enumerate(png_chunks(file, size)):
            if kind not in (b"IDAT", b"fdAT"):
                _note(length)
                yield kind
            elif number >= MOST_DATA_PARTS:
                yield kind

    _count(notes(), 2 * MOST_PARTS)


def _check_jpeg(file: BinaryIO, size: int) -> None:
    pixels = 0

    def segments() -> Iterator[int]:
        nonlocal pixels
        at = 2
        while at + 4 <= size:
            file.seek(at)
            head = file.read(9)
            if len(head) < 4 or head[0] != 0xFF or head[1] == 0xDA:
                return
            if head[1] == 0xFF:  # what may fill the space between two
                at += 1
            else:
                if 0xC0 <= head[1] <= 0xCF and head[1] not in (0xC4, 0xC8, 0xCC) and len(head) == 9:
                    pixels = int.from_bytes(head[5:7], "big") * int.from_bytes(head[7:9], "big")
                at += 2 + int.from_bytes(head[2:4], "big")
            yield head[1]

    _count(segments())
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        scans, at = 0, data.find(b"\xff\xda")
        while at >= 0 and scans * pixels <= MOST_WORK:
            scans, at = scans + 1, data.find(b"\xff\xda", at + 2)
    if scans > MANY_SCANS and scans * pixels > MOST_WORK:
        raise InputError("comes in too many scans, each of them over all of its pixels: save it anew")


def _check_gif(file: BinaryIO, size: int) -> None:
    def table(flags: int) -> int:
        return 3 << ((flags & 7) + 1) if flags & 0x80 else 0

    def parts() -> Iterator[bytes]:
        file.seek(10)
        file.seek(13 + table((file.read(1) or b"\0")[0]))
        while (kind := file.read(1)) in (b",", b"!"):
            if kind == b",":
                place = file.read(9)
                file.seek(table(place[-1] if place else 0) + 1, 1)
            else:
                file.read(1)
            while (length := file.read(1)) not in (b"", b"\0"):
                file.seek(length[0], 1)
                if file.tell() > size:
                    return
            yield kind

    _count(parts(), 3 * MOST_PARTS)  # a frame has its delay, and may have a comment, in parts of their own


def _check_webp(file: BinaryIO, size: int) -> None:
    def length(head: bytes) -> int:
        content = int.from_bytes(head[4:], "little")
        return 8 + content + content % 2

    _count(_heads(file, size, 12, length))


def _check_tiff(file: BinaryIO, size: int) -> None:
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    big = b"+" in head[:4]
    count_form, place_form, entry = ("Q", "Q", 20) if big else ("H", "I", 12)
    fields = held = 0

    def number(form: str) -> int:
        data = file.read(struct.calcsize(order + form))
        return struct.unpack(order + form, data)[0] if len(data) == struct.calcsize(order + form) else 0

    def values(page: bytes) -> int:
        """Bytes of a page's fields that lie outside of it."""
        total = 0
        for at in range(0, len(page), entry):
            kind, count = struct.unpack_from(order + "H" + place_form, page, at + 2)
            length = count * (FIELD_BYTES[kind] if kind < len(FIELD_BYTES) else 0)
            total += length if length > struct.calcsize(place_form) else 0
        return total

    def pages() -> Iterator[int]:
        nonlocal fields, held
        file.seek(8 if big else 4)
        while 0 < (place := number(place_form)) < size:
            file.seek(place)
            entries = number(count_form)
            if entries * entry > size:
                return
            if entries > MOST_PARTS:
                raise InputError(f"has a page of {entries:,} fields: save it anew")
            fields += entries
            page = file.read(entries * entry)
            held += values(page[: len(page) // entry * entry])
            if fields > MOST_FIELDS:
                raise InputError(f"has pages of more than {MOST_FIELDS:,} fields: save it anew")
            if held > size + MOST_NOTE:  # a reader reads what they share again for each
                raise InputError("has fields that lie over one another, many times its own size: save it anew")
            yield place
            file.seek(place + struct.calcsize(order + count_form) + entries * entry)

    _count(pages())
