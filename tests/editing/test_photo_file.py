"""An edited photo's file: its colours, its transparency, its metadata."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from e2gan.core.colour import from_srgb
from e2gan.core.images import Picture
from e2gan.editing.photo_file import encode, ending, kept_exif, own_colours, with_alpha
from tests.conftest import refused
from tests.core.profiles import WIDE, as_in, smooth
from tests.editing.tiny_model import far

EXIF: dict[int, Any] = {
    0x010F: "Maker",
    0x0132: "2024:05:06 07:08:09",
    0x8298: "(c) somebody",
    0x0100: 4000,  # of a TIFF's own pixels
    0x8769: {0x9003: "2024:05:06 07:08:09", 0xA002: 4000, 0xA003: 3000, 0x927C: b"maker's own", 0xA001: 65535},
    0x8825: {1: "N", 2: (48.0, 51.0, 30.0)},
}


def read_exif(data: bytes) -> tuple[dict[int, Any], dict[int, Any], dict[int, Any]]:
    exif = Image.Exif()
    exif.load(data)
    return dict(exif), dict(exif.get_ifd(0x8769)), dict(exif.get_ifd(0x8825))


def test_an_ending_stays_where_it_can_be_written() -> None:
    assert [ending(suffix) for suffix in (".JPG", ".png", ".webp", ".tif", "")] == [
        ".JPG",
        ".png",
        ".webp",
        ".png",
        ".png",
    ]


def test_an_edit_comes_back_in_the_photos_own_colours() -> None:
    """At strength 0 to the last bit, colours beyond sRGB too; at 1 as the edit's colours; between, steadily."""
    own = np.random.default_rng(0).integers(0, 256, (300, 40, 3), np.uint8)
    picture = Picture(pixels=smooth(300, 40), profile=WIDE["prophoto"], own_pixels=own)
    assert np.array_equal(own_colours(picture, picture.pixels, 0), own)
    edited = smooth(300, 40, seed=1)
    whole = own_colours(picture, edited, 1)
    assert far(whole, as_in(WIDE["prophoto"], edited)) < 0.1
    assert np.array_equal(own_colours(picture, edited, 1.5), whole)
    near_photo = own_colours(picture, picture.pixels, 0.01)
    assert far(near_photo, own) < 2
    assert own_colours(Picture(pixels=edited), edited, 1) is edited


def test_transparency_over_white_is_the_edit_again() -> None:
    edit = smooth(300, 30)
    alpha = np.random.default_rng(0).integers(100, 256, (300, 30), np.uint8)
    cover = alpha[..., None] / 255
    over = np.rint(edit * cover + 255 * (1 - cover)).astype(np.uint8)
    found = with_alpha(over, alpha)
    assert np.array_equal(found[..., 3], alpha)
    assert np.abs(found[..., :3] - edit.astype(int)).max() <= 3
    assert with_alpha(over, np.zeros_like(alpha)).shape == (300, 30, 4)


def test_metadata_is_kept_but_for_what_belongs_to_the_old_file() -> None:
    data, whole = kept_exif(EXIF, "keep", 640, 480)
    assert data is not None
    assert whole
    tags, details, place = read_exif(data)
    assert (tags[0x010F], tags[0x8298]) == ("Maker", "(c) somebody")
    assert 0x0100 not in tags
    assert 0x0112 not in tags
    assert (details[0x9003], details[0xA002], details[0xA003]) == ("2024:05:06 07:08:09", 640, 480)
    assert 0x927C not in details
    assert place[1] == "N"
    assert data == (kept_exif(EXIF, "keep", 640, 480)[0])


def test_the_place_or_all_of_it_can_be_left_out() -> None:
    data, whole = kept_exif(EXIF, "no-gps", 640, 480)
    assert data is not None
    assert whole
    tags, details, place = read_exif(data)
    assert tags[0x8298] == "(c) somebody"
    assert details
    assert not place
    assert kept_exif(EXIF, "none", 640, 480) == (None, True)
    assert kept_exif({}, "keep", 640, 480) == (None, True)


def test_what_of_the_metadata_cannot_be_written_is_left_out_and_told() -> None:
    broken = EXIF | {0x8825: {2: object()}}
    data, whole = kept_exif(broken, "keep", 640, 480)
    assert data is not None
    assert not whole
    tags, details, place = read_exif(data)
    assert tags[0x8298] == "(c) somebody"
    assert details[0x9003]
    assert not place
    long = EXIF | {0x8769: {0x9286: b"x" * 70_000}}
    data, whole = kept_exif(long, "keep", 640, 480)
    assert data is not None
    assert len(data) < 65_000
    assert not whole
    assert kept_exif({0x010E: object()}, "keep", 6, 4) == (None, False)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_a_file_has_profile_metadata_and_packet(suffix: str) -> None:
    exif, _ = kept_exif(EXIF, "keep", 40, 30)
    image = from_srgb(smooth(30, 40), WIDE["p3"])
    data = encode(image, suffix, profile=WIDE["p3"], exif=exif, xmp=b"<x>made by</x>", dpi=(300, 300))
    assert b"<x>made by</x>" in data
    assert data == encode(image, suffix, profile=WIDE["p3"], exif=exif, xmp=b"<x>made by</x>", dpi=(300, 300))
    with Image.open(io.BytesIO(data)) as read:
        assert read.info["icc_profile"] == WIDE["p3"]
        assert read.getexif()[0x8298] == "(c) somebody"
        assert read.info["xmp"] == b"<x>made by</x>"
        if suffix != ".webp":
            assert read.info["dpi"] == pytest.approx((300, 300), abs=1)


def test_a_photo_too_large_for_a_format_is_refused() -> None:
    assert "do not go into WEBP" in refused(lambda: encode(np.zeros((2, 16_400, 3), np.uint8), ".webp"))
