"""Pictures of ordinary parts pass; of too many or too large ones they are told before a decoder sees them."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest
from PIL import Image

from e2gan.core.errors import InputError
from e2gan.core.picture_headers import check_header
from tests.tiny_bombs import PICTURES, chunk, png


def check(path: Path) -> None:
    with path.open("rb") as file:
        check_header(file, path.stat().st_size)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "AVIF"])
@pytest.mark.parametrize("frames", [1, 20])
def test_ordinary_pictures_pass(kind: str, frames: int, tmp_path: Path) -> None:
    data = io.BytesIO()
    images = [Image.new("RGB", (16, 16), (i, 2 * i, 3)) for i in range(frames)]
    more = {"save_all": True, "append_images": images[1:]} if frames > 1 and kind not in ("JPEG", "BMP") else {}
    images[0].save(data, kind, **more)
    (tmp_path / "picture").write_bytes(data.getvalue())
    check(tmp_path / "picture")


@pytest.mark.parametrize("name", ["png_frames", "gif_frames", "webp_frames", "tiff_frames"])
def test_too_many_frames_are_told(name: str, tmp_path: Path) -> None:
    PICTURES[name][1](tmp_path / "picture")
    with pytest.raises(InputError, match=r"is made of more than \d+,000 parts"):
        check(tmp_path / "picture")


def test_a_large_note_is_told(tmp_path: Path) -> None:
    png(tmp_path / "picture", 8, 8, 8, 2, chunk(b"eXIf", bytes(70 * 2**20)))
    with pytest.raises(InputError, match="a note of 73 MB"):
        check(tmp_path / "picture")


def test_a_cut_off_file_is_the_decoders_to_tell(tmp_path: Path) -> None:
    for name in ("png_deep_alpha", "gif_vast", "tiff_strip"):
        PICTURES[name][1](tmp_path / "picture")
        data = (tmp_path / "picture").read_bytes()
        for end in (9, 20, len(data) // 2):
            (tmp_path / "picture").write_bytes(data[:end])
            check(tmp_path / "picture")


def tiff(path: Path, pages: int, fields: int, length: int) -> None:
    """Pages of unknown fields, of which all say that they hold the same `length` bytes."""
    data, at = bytearray(b"II*\0" + (8).to_bytes(4, "little")), 8
    held = 8 + pages * (6 + 12 * fields)
    for number in range(pages):
        field = struct.pack("<HHII", 60_000, 7, length, held)
        after = at + 6 + 12 * fields if number + 1 < pages else 0
        data += struct.pack("<H", fields) + field * fields + struct.pack("<I", after)
        at = len(data)
    path.write_bytes(bytes(data) + bytes(length))


def test_pages_of_a_tiff_that_share_a_large_field_are_told(tmp_path: Path) -> None:
    tiff(tmp_path / "picture", pages=20, fields=1, length=2**20)
    check(tmp_path / "picture")
    tiff(tmp_path / "picture", pages=100, fields=1, length=2**20)
    with pytest.raises(InputError, match="fields that lie over one another"):
        check(tmp_path / "picture")
    tiff(tmp_path / "picture", pages=300, fields=900, length=1)
    with pytest.raises(InputError, match="more than 200,000 fields"):
        check(tmp_path / "picture")
