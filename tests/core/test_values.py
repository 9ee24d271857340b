"""Numbers of every type have a range by the type alone, or are refused with what was seen."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from e2gan.core.images import pixels_of, read_image
from e2gan.core.values import eight_bits
from tests.conftest import refused

RAMP = np.linspace(0, 255, 256).astype(np.uint8).reshape(16, 16)


@pytest.mark.parametrize(
    "values",
    [
        RAMP,
        RAMP.astype(np.uint16) * 257,
        (RAMP.astype(np.uint16) * 257).astype(">u2"),
        RAMP / 255,
        (RAMP / 255).astype(np.float32),
        (RAMP / 255).astype(np.float16),
    ],
    ids=["uint8", "uint16", "big-endian", "float64", "float32", "float16"],
)
def test_each_type_has_its_range(values: Any) -> None:
    assert np.abs(eight_bits(values).astype(int) - RAMP).max() <= (values.dtype == np.float16)
    dark = eight_bits((values * 0.25).astype(values.dtype))  # a dark picture stays dark
    assert np.abs(dark.astype(int) - RAMP // 4).max() <= 1


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (np.array([0.0, 1.01]), "floats are 0..1, and here they lie in 0..1.01: scale them to 0..1"),
        (np.array([-0.1, 1.0]), "here they lie in -0.1..1"),
        (np.array([0.0, 200.0]), "here they lie in 0..200"),
        (np.array([0.0, np.nan]), "1 of its numbers are not finite"),
        (np.array([0.0, np.inf]), "1 of its numbers are not finite"),
        (np.array([0, 5], np.int32), "int32 have no agreed range"),
        (np.array([0, 5], np.uint32), "uint32 have no agreed range"),
        (np.array([0, 5], np.int8), "int8 have no agreed range"),
        (np.array([0, 5], np.int64), "int64 have no agreed range"),
        (np.array([True]), "bool have no agreed range"),
        (np.array([1j]), "complex128 have no agreed range"),
    ],
)
def test_what_has_no_range_is_refused(values: Any, why: str) -> None:
    assert why in refused(lambda: eight_bits(values))


def test_rounding_beyond_the_range_is_no_fault() -> None:
    assert eight_bits(np.array([-0.001, 0.0, 1.0, 1.0015])).tolist() == [0, 0, 255, 255]


def tiff(path: Path, data: bytes, *, bits: int, photometric: int = 1, sample_format: int = 1, side: int = 16) -> Path:
    """A TIFF 6.0 file of one grey channel, written by hand."""
    tags = {256: side, 257: side, 258: bits, 259: 1, 262: photometric, 273: 0, 277: 1, 278: side, 279: len(data)}
    tags[339] = sample_format
    tags[273] = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(struct.pack("<HHII", tag, 4 if tag in (273, 279) else 3, 1, tags[tag]) for tag in sorted(tags))
    path.write_bytes(b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", 0) + data)
    return path


def packed_12_bits(values: np.ndarray) -> bytes:
    pairs = values.reshape(-1, 2).astype(int)
    return b"".join(bytes([a >> 4, (a & 15) << 4 | b >> 8, b & 255]) for a, b in pairs)


@pytest.mark.parametrize("inverted", [False, True])
def test_a_scan_is_the_same_picture_in_every_type_of_tiff(tmp_path: Path, inverted: bool) -> None:
    """With 0 as black, or as white."""
    ramp, photometric = (255 - RAMP, 0) if inverted else (RAMP, 1)
    files = {
        8: tiff(tmp_path / "8.tif", ramp.tobytes(), bits=8, photometric=photometric),
        16: tiff(tmp_path / "16.tif", (ramp.astype("<u2") * 257).tobytes(), bits=16, photometric=photometric),
        32: tiff(
            tmp_path / "32.tif",
            (ramp / 255).astype("<f4").tobytes(),
            bits=32,
            photometric=photometric,
            sample_format=3,
        ),
    }
    if not inverted:  # which Pillow does not open
        files[12] = tiff(tmp_path / "12.tif", packed_12_bits(np.rint(ramp / 255 * 4095)), bits=12)
    for file in files.values():
        assert np.abs(read_image(file)[..., 0].astype(int) - RAMP).max() <= 1, file


@pytest.mark.parametrize(("bits", "sample_format"), [(32, 1), (32, 2), (16, 2)])
def test_integers_of_files_without_an_agreed_range_are_refused(tmp_path: Path, bits: int, sample_format: int) -> None:
    data = RAMP.astype(f"<i{bits // 8}").tobytes()
    file = tiff(tmp_path / "a.tif", data, bits=bits, sample_format=sample_format)
    message = refused(lambda: read_image(file))
    assert message.startswith(f"{file}: ")
    assert "integers of" in message


def test_exposures_of_one_scan_are_alike_or_refused(tmp_path: Path) -> None:
    """No pixel decides for the others: a brighter exposure never comes out black."""
    scan = np.tile(np.linspace(0.1, 1, 80, dtype=np.float32), (80, 1))
    means = []
    for i, factor in enumerate((1, 1.001, 1.002, 1.005, 1.01, 2, 100)):
        Image.fromarray(scan * np.float32(factor)).save(tmp_path / f"{i}.tif")
        if factor <= 1.001:
            means.append(read_image(tmp_path / f"{i}.tif").mean())
        else:
            assert "floats are 0..1" in refused(lambda i=i: read_image(tmp_path / f"{i}.tif"))
    assert max(means) - min(means) < 1


MODES = ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "LAB"]
DEEP = ["I", "F", "I;16", "I;16B", "I;16L", "I;16N"]


def grey(mode: str) -> Image.Image:
    """The ramp in a mode of Pillow's."""
    ramp = Image.fromarray(RAMP)
    if mode in ("I;16", "I;16L", "I;16N"):
        return Image.frombytes(mode, (16, 16), (RAMP.astype("<u2") * 257).tobytes())
    if mode == "I;16B":
        return Image.frombytes(mode, (16, 16), (RAMP.astype(">u2") * 257).tobytes())
    if mode == "F":
        return Image.fromarray((RAMP / 255).astype(np.float32))
    if mode == "La":
        return ramp.convert("LA").convert("La")
    if mode == "RGBa":
        return ramp.convert("RGBA").convert("RGBa")
    if mode == "PA":
        return ramp.convert("P").convert("PA")
    if mode in ("HSV", "CMYK", "YCbCr"):
        return ramp.convert("RGB").convert(mode)
    return Image.new("LAB", (16, 16)) if mode == "LAB" else ramp.convert(mode)


@pytest.mark.parametrize("mode", MODES + DEEP)
def test_every_mode_of_a_picture_is_read_or_refused(mode: str) -> None:
    if mode in ("LAB", "I"):
        assert "\n" not in refused(lambda: pixels_of(grey(mode)))
        return
    found = pixels_of(grey(mode)).astype(int)
    expected = RAMP if mode != "1" else np.asarray(grey("1")).astype(int) * 255
    assert found.shape == (16, 16, 3)
    assert np.abs(found - expected[..., None]).max() <= 3
