from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image, ImageCms

from e2gan.core import picture_kinds
from e2gan.core.images import read_image, read_picture
from e2gan.core.picture_kinds import HEIF, IMAGE_SUFFIXES, NOT_READ, READABLE, cannot_read


@pytest.fixture
def heif() -> ModuleType:
    return pytest.importorskip("pillow_heif", reason="the package pillow-heif is not installed: no HEIC is written")


def smooth() -> np.ndarray:
    across, down = np.meshgrid(np.linspace(0, 255, 96), np.linspace(0, 255, 64))
    return np.stack([across, down, 255 - across], 2).astype(np.uint8)


def test_a_phones_heic_is_read_upright_in_srgb_and_with_its_exif(tmp_path: Path, heif: ModuleType) -> None:
    heif.register_heif_opener()
    exif, profile = Image.Exif(), ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif[0x110], exif[0x112] = "A phone", 6
    photo = tmp_path / "photo.heic"
    Image.fromarray(smooth()).save(photo, quality=95, exif=exif, icc_profile=profile)
    picture = read_picture(photo)
    assert picture.pixels.shape in ((96, 64, 3), (64, 96, 3))
    upright = np.rot90(smooth(), -1) if picture.pixels.shape[0] == 96 else smooth()
    assert np.abs(picture.pixels.astype(int) - upright).mean() < 4
    assert picture.exif[0x110] == "A phone"
    assert 0x112 not in picture.exif or picture.exif[0x112] == 1
    photo.rename(tmp_path / "photo.jpg")  # the content counts, as for every other kind
    assert np.array_equal(read_image(tmp_path / "photo.jpg"), picture.pixels)


def test_avif_is_read(tmp_path: Path) -> None:
    Image.init()
    if "AVIF" not in Image.SAVE:
        pytest.skip("this Pillow has no AVIF")
    Image.fromarray(smooth()).save(tmp_path / "a.avif", quality=95)
    assert np.abs(read_image(tmp_path / "a.avif").astype(int) - smooth()).mean() < 4


def test_without_the_package_heic_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_kinds, "reads_heif", lambda: False)
    assert "e2gan[heic]" in str(cannot_read(".HEIC"))
    monkeypatch.setattr(picture_kinds, "reads_heif", lambda: True)
    assert cannot_read(".HEIC") is None


def test_a_kind_is_read_or_it_is_not() -> None:
    assert not IMAGE_SUFFIXES & NOT_READ.keys()
    assert HEIF.keys() <= IMAGE_SUFFIXES
    assert all(cannot_read(suffix) is not None for suffix in NOT_READ)
    assert all(cannot_read(suffix) is None for suffix in IMAGE_SUFFIXES - HEIF.keys())
    Image.init()
    assert {"JPEG", "PNG", "WEBP", "TIFF"} <= set(READABLE) & Image.OPEN.keys()
