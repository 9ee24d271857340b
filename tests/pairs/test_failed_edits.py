"""Edits that are none are told by one short reason, and no style is taken for one."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from e2gan.core.images import Pixels, read_image, resize, square
from e2gan.pairs.failed_edits import flaw
from e2gan.teachers.filters.filters import FILTERS, apply

RNG = np.random.default_rng(0)


def jpeg(photo: Pixels, quality: int) -> Pixels:
    """There and back, with colours at half the resolution as most programs write them."""
    file = io.BytesIO()
    Image.fromarray(photo).save(file, "JPEG", quality=quality)
    return np.array(Image.open(file))


def tinted(photo: Pixels, *gains: float) -> Pixels:
    return np.clip(np.rint(photo * np.array(gains)), 0, 255).astype(np.uint8)


def blended(photo: Pixels, edit: Pixels, share: float) -> Pixels:
    return np.rint(photo + share * (edit.astype(np.float64) - photo)).astype(np.uint8)


def autoencoded(photo: Pixels) -> Pixels:
    """Stands in for the round trip through a latent model's autoencoder at 512 pixels: what is fine is lost and drawn
    anew, edges tremble, colours are half a level off. Its PSNR, 27 dB at that size, is what such models publish."""
    from scipy import ndimage

    rng = np.random.default_rng(0)
    pixels = resize(photo, (512, 512)).astype(np.float32)
    y, x = np.indices((512, 512))
    tremble = [ndimage.gaussian_filter(rng.normal(size=(512, 512)), 3) * 7.4 for _ in range(2)]  # 0.7 pixels
    where = [y + tremble[0], x + tremble[1]]
    moved = np.stack([ndimage.map_coordinates(pixels[..., c], where, order=1, mode="nearest") for c in range(3)], -1)
    soft = ndimage.gaussian_filter(moved, 0.8, axes=(0, 1))
    fine = ndimage.uniform_filter(np.abs(pixels - ndimage.gaussian_filter(pixels, 1.6, axes=(0, 1))).mean(-1), 9)
    grain = 1.8 * ndimage.gaussian_filter(rng.normal(size=(512, 512)), 0.8) * fine
    drawn = np.clip(soft + grain[..., None] + rng.normal(0, 0.5, 3), 0, 255).astype(np.uint8)
    return resize(drawn, photo.shape[:2])


@pytest.fixture(scope="module")
def photos() -> list[Pixels]:
    """A woman before a shuttle, a cat, a red cup on a table: 256×256."""
    crops = [data.astronaut()[:400, 30:430], data.chelsea()[:300, 80:380], data.coffee()[:400, 100:500]]
    return [resize(np.ascontiguousarray(crop), (256, 256)) for crop in crops]


# -------------------------------------------------------------------------------------------------------- what is none


def test_black(photos: list[Pixels]) -> None:
    for photo in photos:
        assert flaw(photo, np.zeros((512, 512, 3), np.uint8)) == "black"
        assert flaw(photo, photo // 25) == "black"
        assert flaw(photo, apply(FILTERS["neon"], photo)) is None  # the darkest of the styles


@pytest.mark.parametrize("colour", [(250, 250, 250), (128, 128, 128), (90, 20, 20)])
def test_blank(colour: tuple[int, int, int], photos: list[Pixels]) -> None:
    for photo in photos:
        edit = np.full((512, 512, 3), colour, np.uint8)
        assert flaw(photo, edit) == "blank"
        assert flaw(photo, edit + RNG.integers(0, 3, edit.shape, np.uint8) - 1) == "blank"


def test_noise(photos: list[Pixels]) -> None:
    grains = [
        RNG.integers(0, 256, (256, 256, 3), np.uint8),
        resize(RNG.integers(0, 256, (64, 64, 3), np.uint8), (512, 512)),  # latents, 8 pixels each
        np.clip(RNG.normal(128, 40, (512, 512, 3)), 0, 255).astype(np.uint8),
    ]
    for photo in photos:
        assert [flaw(photo, edit) for edit in grains] == ["noise"] * 3


@pytest.mark.parametrize("size", [64, 128, 256])
def test_unchanged(size: int, photos: list[Pixels]) -> None:
    for large in photos:
        photo = resize(large, (size, size))
        for edit in (photo.copy(), jpeg(photo, 80), autoencoded(photo), resize(photo, (512, 512))):
            assert flaw(photo, edit) == "unchanged"


def test_of_another_shape(photos: list[Pixels]) -> None:
    photo = photos[0][:170]
    edit = apply(FILTERS["autumn"], photo)
    assert flaw(photo, resize(edit, (340, 512))) is None
    assert flaw(photo, resize(edit, (336, 512))) is None  # what rounding to whole latents takes
    assert flaw(photo, resize(edit, (512, 512))) == "of another shape"
    assert flaw(photo, resize(edit, (256, 170))) == "of another shape"
    assert flaw(photo, np.zeros((512, 512, 3), np.uint8)) == "of another shape"  # the first reason counts


# ------------------------------------------------------------------------------------------------------- what is fine


@pytest.mark.parametrize("size", [64, 128, 256])
@pytest.mark.parametrize("name", sorted(FILTERS))
def test_no_style_has_a_flaw(name: str, size: int, photos: list[Pixels]) -> None:
    for large in photos:
        photo = resize(large, (size, size))
        assert flaw(photo, apply(FILTERS[name], photo)) is None


def test_subtle_edits_pass(photos: list[Pixels]) -> None:
    for photo in photos:
        patched = photo.copy()
        patched[150:176, 100:126] = (200, 30, 30)  # one hundredth of the picture
        edits = {
            "light sepia": blended(photo, apply(FILTERS["sepia"], photo), 0.2),
            "slightly golden": tinted(photo, 1.03, 1.0, 0.92),
            "a little brighter": tinted(photo, 1.05, 1.05, 1.05),
            "a red nose": patched,
        }
        assert {name: flaw(photo, edit) for name, edit in edits.items()} == dict.fromkeys(edits)


def test_other_lines_in_the_same_colours_are_an_edit(photos: list[Pixels]) -> None:
    """Blocks in the photo's own means: no colour differs over a tenth of the picture, but every line does."""
    for photo in photos:
        blocks = np.asarray(Image.fromarray(photo).reduce(8).resize((256, 256), Image.Resampling.NEAREST))
        assert flaw(photo, blocks) is None


def test_an_edit_is_not_blamed_for_its_photo(photos: list[Pixels]) -> None:
    black, grey = np.zeros((64, 64, 3), np.uint8), np.full((64, 64, 3), 130, np.uint8)
    grain = RNG.integers(0, 256, (64, 64, 3), np.uint8)
    for plain in (black, grey):
        assert flaw(plain, plain.copy()) is None
        assert flaw(plain, resize(photos[0], (64, 64))) is None
        assert flaw(plain, apply(FILTERS["night"], plain)) is None
    assert flaw(grey, black) == "black"
    assert flaw(grain, RNG.integers(0, 256, (64, 64, 3), np.uint8)) is None
    stars = black.copy()
    stars[10, 20] = stars[40, 50] = 200
    assert flaw(stars, apply(FILTERS["dusk"], stars)) is None
    fog = blended(grey, grain, 0.02)
    assert flaw(fog, apply(FILTERS["fog"], fog)) is None


@pytest.mark.slow
def test_real_photographs(shared: Path) -> None:
    for file in sorted((shared / "photos/test").iterdir())[::40]:
        for size in (64, 128, 256):
            photo = square(read_image(file), size)
            found = {name: flaw(photo, apply(FILTERS[name], photo)) for name in FILTERS}
            assert found == dict.fromkeys(FILTERS), file
            assert flaw(photo, autoencoded(photo)) == "unchanged", file
            assert size == 64 or flaw(photo, jpeg(photo, 80)) == "unchanged", file
