"""Damaged picture files: each is read, or refused in one line, in bounded time and memory."""

from __future__ import annotations

import io
import random
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, features

from e2gan.core.errors import InputError
from e2gan.core.images import read_image, read_picture
from tests.faults.commands import picture

SECONDS = 5.0  # that a damaged file of this size may take
MEGABYTES = 300  # of memory that Python and numpy may take for one
FORMATS: dict[str, dict[str, Any]] = {
    "jpg": {"format": "JPEG", "quality": 90},
    "progressive.jpg": {"format": "JPEG", "progressive": True},
    "png": {"format": "PNG"},
    "palette.png": {"format": "PNG"},
    "webp": {"format": "WEBP"},
    "lossless.webp": {"format": "WEBP", "lossless": True},
    "tif": {"format": "TIFF"},
    "lzw.tif": {"format": "TIFF", "compression": "tiff_lzw"},
    "gif": {"format": "GIF"},
    "bmp": {"format": "BMP"},
    "ppm": {"format": "PPM"},
    "jp2": {"format": "JPEG2000"},
    "avif": {"format": "AVIF"},
}


def whole() -> dict[str, bytes]:
    """Ending → a small picture of the format, with metadata where it has such; those that Pillow can write here."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a picture"
    found = {}
    for ending, options in FORMATS.items():
        if options["format"] == "AVIF" and not features.check("avif"):
            continue
        image = picture(7, 64)
        image = image.quantize(64) if ending in ("palette.png", "gif") else image
        more: dict[str, Any] = {"exif": exif} if options["format"] in ("JPEG", "PNG", "WEBP", "TIFF") else {}
        file = io.BytesIO()
        image.save(file, **options, **more)
        found[ending] = file.getvalue()
    return found


def _cut(data: bytearray, chance: random.Random) -> bytearray:
    return data[: chance.randrange(len(data))]


def _flipped(data: bytearray, chance: random.Random) -> bytearray:
    for _ in range(chance.choice((1, 1, 3, 20))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return data


def _header(data: bytearray, chance: random.Random) -> bytearray:
    for _ in range(chance.choice((1, 2, 8))):
        data[chance.randrange(min(len(data), 128))] = chance.choice((0, 1, 127, 128, 255, chance.randrange(256)))
    return data


def _zeros(data: bytearray, chance: random.Random) -> bytearray:
    start = chance.randrange(len(data))
    end = min(len(data), start + chance.choice((4, 64, 1024)))
    data[start:end] = bytes(end - start)
    return data


def _moved(data: bytearray, chance: random.Random) -> bytearray:
    """A part that is gone, or is there twice."""
    start, length = chance.randrange(len(data)), chance.choice((1, 7, 300))
    part = data[start : start + length]
    return data[:start] + (part * 2 if chance.random() < 0.5 else b"") + data[start + length :]


WAYS: tuple[Callable[[bytearray, random.Random], bytearray], ...] = (_cut, _flipped, _header, _zeros, _moved)


def damaged(number: int, files: dict[str, bytes]) -> tuple[str, bytes]:
    """The file of this number: its name and bytes; each 20th has another format's ending."""
    chance = random.Random(f"picture {number}")
    ending = list(files)[number % len(files)]
    data = chance.choice(WAYS)(bytearray(files[ending]), chance)
    if number % 20 == 0:
        ending = chance.choice(list(files))
    return f"{number}.{ending}", bytes(data)


@dataclass
class Read:
    """What came of damaged files so far."""

    tries: int = 0
    refused: int = 0
    slowest: float = 0.0
    most_megabytes: float = 0.0
    faults: list[str] = field(default_factory=list)


def read_all(folder: Path, numbers: range) -> Iterator[Read]:
    """Each of the files through both doors of the one reader."""
    files, read = whole(), Read()
    tracemalloc.start()
    try:
        for number in numbers:
            name, data = damaged(number, files)
            path = folder / name
            path.write_bytes(data)
            _read(path, read_picture if number % 2 else read_image, read)
            path.unlink()
            yield read
    finally:
        tracemalloc.stop()


def _read(path: Path, reader: Callable[[Path], object], read: Read) -> None:
    read.tries += 1
    tracemalloc.reset_peak()
    begun = time.perf_counter()
    try:
        found = reader(path)
        pixels = found if isinstance(found, np.ndarray) else found.pixels  # type: ignore[attr-defined]
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
            read.faults.append(f"{path.name}: read as {pixels.dtype} {pixels.shape}")
    except InputError as error:
        read.refused += 1
        if "\n" in str(error) or not str(error).startswith(str(path)):
            read.faults.append(f"{path.name}: refused by {error!r}")
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        read.faults.append(f"{path.name}: {type(error).__name__}: {error}")
    seconds, megabytes = time.perf_counter() - begun, tracemalloc.get_traced_memory()[1] / 1e6
    read.slowest, read.most_megabytes = max(read.slowest, seconds), max(read.most_megabytes, megabytes)
    if seconds > SECONDS or megabytes > MEGABYTES:
        read.faults.append(f"{path.name}: {seconds:.1f} s, {megabytes:.0f} MB")


def sample(folder: Path, numbers: range) -> list[str]:
    """Damaged files in a folder, beside three that are whole; the names of all."""
    files = whole()
    folder.mkdir(parents=True)
    for i in range(3):
        picture(200 + i, 64).save(folder / f"whole{i}.png")
    for number in numbers:
        name, data = damaged(number, files)
        (folder / name).write_bytes(data)
    return sorted(path.name for path in folder.iterdir())
