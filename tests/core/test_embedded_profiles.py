"""Profiles that Pillow leaves in the file: read from files, and of images that Python code has opened."""

from __future__ import annotations

import io
import struct
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from e2gan.core.errors import InputError
from e2gan.core.images import Pixels, read_image, read_picture
from e2gan.core.pixel_input import as_pixels
from tests.core.profiles import WIDE, as_in, smooth

ICC = WIDE["adobe"]


def jpeg2000(pixels: Pixels, icc: bytes) -> bytes:
    """With a restricted profile in place of the code of sRGB."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG2000", no_jp2=False)
    data = file.getvalue()
    at, outer = data.find(b"colr") - 4, data.find(b"jp2h") - 4
    length, whole = (struct.unpack_from(">I", data, place)[0] for place in (at, outer))
    box = struct.pack(">I", 11 + len(icc)) + b"colr\2\0\0" + icc
    head = struct.pack(">I", whole - length + len(box))
    return data[:outer] + head + data[outer + 4 : at] + box + data[at + length :]


def bmp(pixels: Pixels, icc: bytes) -> bytes:
    """BITMAPV5HEADER with an embedded profile."""
    height, width = pixels.shape[:2]
    row = (width * 3 + 3) // 4 * 4
    body = b"".join(pixels[y, :, ::-1].tobytes().ljust(row, b"\0") for y in reversed(range(height)))
    head = struct.pack("<IiiHHIIiiII", 124, width, height, 1, 24, 0, len(body), 2835, 2835, 0, 0)
    head += struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0) + b"DEBM" + bytes(48)
    head += struct.pack("<IIII", 4, 124 + len(body), len(icc), 0)
    return b"BM" + struct.pack("<IHHI", 138 + len(body) + len(icc), 0, 0, 138) + head + body + icc


def gif(pixels: Pixels, icc: bytes) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).quantize(256, dither=Image.Dither.NONE).save(file, "GIF")
    data = file.getvalue()
    at = 13 + 3 * 2 ** ((data[10] & 7) + 1)  # behind the table of colours
    parts = b"".join(bytes([len(icc[i : i + 255])]) + icc[i : i + 255] for i in range(0, len(icc), 255))
    return data[:at] + b"\x21\xff\x0bICCRGBG1012" + parts + b"\0" + data[at:]


def png(pixels: Pixels, code: bytes) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    data = file.getvalue()
    chunk = struct.pack(">I", len(code)) + b"cICP" + code + struct.pack(">I", zlib.crc32(b"cICP" + code))
    return data[:33] + chunk + data[33:]


MADE = {"a.jp2": jpeg2000, "a.bmp": bmp, "a.gif": gif}


@pytest.mark.parametrize("name", MADE)
def test_an_embedded_profile_is_honoured(name: str, tmp_path: Path) -> None:
    photo = smooth(64, 96)
    wide = as_in(ICC, photo)
    assert np.abs(wide.astype(int) - photo).mean() > 4
    (tmp_path / name).write_bytes(MADE[name](wide, ICC))
    most = 4.5 if name == "a.gif" else 1  # of 256 colours
    assert np.abs(read_image(tmp_path / name).astype(int) - photo).mean() < most
    assert read_picture(tmp_path / name).profile == ICC
    for source in (tmp_path / name, io.BytesIO((tmp_path / name).read_bytes())):
        with Image.open(source) as image:
            assert np.abs(as_pixels(image).astype(int) - photo).mean() < most


def test_a_pngs_code_of_colours_counts_for_images_that_python_code_opened(tmp_path: Path) -> None:
    photo = smooth(64, 96)
    (tmp_path / "p3.png").write_bytes(png(as_in(WIDE["p3"], photo), bytes([12, 13, 0, 1])))
    (tmp_path / "srgb.png").write_bytes(png(photo, bytes([1, 13, 0, 1])))
    for name in ("p3.png", "srgb.png"):
        expected = read_image(tmp_path / name)
        assert np.abs(expected.astype(int) - photo).mean() < 1
        for source in (tmp_path / name, io.BytesIO((tmp_path / name).read_bytes())):
            with Image.open(source) as image:
                assert np.array_equal(as_pixels(image), expected)


@pytest.mark.parametrize("name", MADE)
def test_a_cut_file_is_an_image_or_refused(name: str, tmp_path: Path) -> None:
    data = MADE[name](smooth(16, 24), ICC)
    for end in range(0, len(data), 37):
        (tmp_path / name).write_bytes(data[:end])
        with suppress(InputError):
            assert read_image(tmp_path / name).shape == (16, 24, 3)


def test_an_image_that_is_closed_keeps_its_pixels(tmp_path: Path) -> None:
    photo = smooth(16, 24)
    Image.fromarray(photo).save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        image.load()
    assert np.array_equal(as_pixels(image), photo)
