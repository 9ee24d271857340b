"""Filters of strokes: they follow the photo's contours, and no colour table makes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage import data

from e2gan.core.images import square
from e2gan.networks.pixels import from_pixels
from e2gan.teachers.filters import painting
from e2gan.teachers.filters import pixels as px
from e2gan.teachers.filters.filters import apply, find
from e2gan.train.lut import fit

STROKES = ("hatching", "brush", "kuwahara", "pointillism", "impasto")


def missed_by_the_best_colour_table(name: str) -> float:
    """Mean absolute error, in 0..255, of the colour table that is fitted on this one edit."""
    photo = square(data.astronaut(), 128)
    edit = apply(find(name), photo)
    table = fit(photo.reshape(-1, 3), edit.reshape(-1, 3))
    with torch.inference_mode():
        found = table(from_pixels(torch.tensor(photo)).movedim(-1, 0)[None])[0].movedim(0, -1)
    return float(np.abs((found.numpy() + 1) * 127.5 - edit).mean())


@pytest.mark.parametrize("name", STROKES)
def test_no_colour_table_makes_strokes(name: str) -> None:
    assert missed_by_the_best_colour_table(name) > 10 > 20 * missed_by_the_best_colour_table("sepia")


def waves(degrees: float) -> tuple[px.Floats, NDArray[np.bool_]]:
    """A photo of soft waves, (192, 192, 3), whose crests run in this direction, and where its slopes are steep."""
    y, x = np.mgrid[:192, :192] - 95.5
    across = (np.cos(np.radians(degrees)) * y - np.sin(np.radians(degrees)) * x) / 7
    photo = np.repeat(0.55 + 0.25 * np.sin(across)[..., None], 3, -1).astype(np.float32)
    steep = np.abs(np.cos(across)) > 0.7
    steep[[*range(16), *range(-16, 0)]] = steep[:, [*range(16), *range(-16, 0)]] = False
    return photo, steep


def lines_of(edit: px.Floats, where: NDArray[np.bool_]) -> tuple[float, float]:
    """Direction in degrees of the fine lines in an image, and how much they agree, 0..1: its mean structure tensor."""
    grey = px.luma(np.clip(edit, 0, 1))
    fine = grey - ndimage.gaussian_filter(grey, 2.5)
    down, right = ndimage.sobel(fine, 0)[where], ndimage.sobel(fine, 1)[where]
    sine, cosine = 2 * (down * right).mean(), (right * right - down * down).mean()
    agree = np.hypot(sine, cosine) / (right * right + down * down).mean()
    return float(np.degrees(0.5 * np.arctan2(sine, cosine))) + 90, float(agree)


def apart(a: Any, b: float) -> Any:
    """Degrees between two directions that have no head."""
    return np.abs((a - b + 90) % 180 - 90)


@pytest.mark.parametrize("degrees", [0, 30, 75, 90, 130])
@pytest.mark.parametrize("name", ["hatching", "brush", "impasto"])
def test_strokes_follow_the_contours(name: str, degrees: float) -> None:
    photo, steep = waves(degrees)
    found, agree = lines_of(find(name).function(photo), steep)
    assert apart(found, degrees) < (25 if name == "impasto" else 10)  # slanting light bends what a relief seems to be
    assert agree > 0.3


def test_the_direction_is_that_of_the_contours_and_the_hands_own_where_there_are_none() -> None:
    for degrees in (10, 60, 160):
        photo, steep = waves(degrees)
        assert apart(np.degrees(painting.direction(photo, 5))[steep], degrees).max() < 8
    plain = painting.direction(np.full((32, 32, 3), 0.5, np.float32), 5)
    assert apart(np.degrees(plain), float(np.degrees(painting.HAND))).max() < 0.1


def test_a_darker_tone_gets_more_ink_and_more_layers() -> None:
    tones = [0.95, 0.7, 0.45, 0.2, 0.05]
    edits = [px.luma(painting.hatching(np.full((96, 96, 3), tone, np.float32))) for tone in tones]
    means = [edit.mean() for edit in edits]
    assert means == sorted(means, reverse=True)
    assert means[0] > 0.9
    assert means[-1] < 0.25
    everywhere = np.ones((96, 96), bool)
    agree = [lines_of(edit[..., None].repeat(3, -1), everywhere)[1] for edit in edits]
    assert agree[2] > 0.85 > 0.7 > agree[3]  # lines of one direction, then crossed ones


def test_facets_are_flat_and_their_edges_crisp() -> None:
    photo = np.full((128, 128, 3), 0.25, np.float32)
    photo[:, 64:] = 0.75
    grainy = np.clip(photo + np.random.default_rng(0).normal(0, 0.06, photo.shape), 0, 1).astype(np.float32)
    edit = px.luma(painting.kuwahara(grainy))
    assert edit[:, :56].std() < 0.3 * px.luma(grainy)[:, :56].std()
    assert (edit[:, 67] - edit[:, 60]).mean() > 0.9 * (edit[:, 72:].mean() - edit[:, :56].mean())


def test_dots_of_many_colours_have_the_photos_colour_from_afar() -> None:
    photo = np.full((256, 256, 3), px.rgb(120, 140, 90), np.float32)
    edit = np.clip(painting.pointillism(photo), 0, 1)
    hue, _ = px.hue_and_chroma(edit)
    assert np.ptp(np.percentile(hue, [10, 90])) > 40
    assert np.abs(edit.mean((0, 1)) - photo[0, 0]).max() < 0.1


def test_impasto_is_a_relief_even_where_the_photo_is_of_one_colour() -> None:
    """What faces the light is brighter, what turns from it darker."""
    edit = px.luma(painting.impasto(np.full((128, 128, 3), 0.5, np.float32)))
    assert edit.std() > 0.02
    assert (edit > edit.mean() + 0.05).any()
    assert (edit < edit.mean() - 0.05).any()


def test_noise_keeps_its_place_at_another_size() -> None:
    large, small = (painting.grain(np.zeros((side, side, 3), np.float32), 8, 3) for side in (256, 128))
    np.testing.assert_allclose(large.reshape(128, 2, 128, 2).mean((1, 3)), small, atol=0.25)
    assert abs(large.mean()) < 0.2
    assert 0.7 < large.std() < 1.3


def test_each_pixel_knows_the_dab_of_its_cell() -> None:
    photo = np.zeros((60, 90, 3), np.float32)
    side = 12.0
    dabs = painting.Lattice.over(photo, side, 5)
    assert np.hypot(dabs.down, dabs.right).max() < side  # half a diagonal, and an eighth of a side
    y, x = np.mgrid[:60, :90] + 0.5
    middle_y, middle_x = y - dabs.down, x - dabs.right
    for cell in np.unique(dabs.cell):
        here = dabs.cell == cell
        assert np.ptp(middle_y[here]) < 1e-3
        if 0 < middle_y[here][0] < 60 and 0 < middle_x[here][0] < 90:
            assert (dabs.row[cell], dabs.column[cell]) == (int(middle_y[here][0]), int(middle_x[here][0]))
