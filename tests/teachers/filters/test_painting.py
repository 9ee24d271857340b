"""Filters of strokes: they follow the photo's contours, and no colour table makes them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
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
    assert missed_by_the_best_colour_table(name) > 6 * missed_by_the_best_colour_table("sepia")


def ramp(degrees: float) -> px.Floats:
    """Broad waves of brightness, (192, 192, 3), whose crests run in this direction."""
    y, x = np.mgrid[:192, :192] - 95.5
    across = np.cos(np.radians(degrees)) * y - np.sin(np.radians(degrees)) * x
    return np.repeat(0.62 + 0.22 * np.sin(across / 12)[..., None], 3, -1).astype(np.float32)


def main_direction(edit: px.Floats) -> float:
    """Degrees of the fine lines in an image, broad shades left out, of its structure tensor's mean."""
    grey = px.luma(np.clip(edit, 0, 1))
    fine = (grey - ndimage.gaussian_filter(grey, 4))[16:-16, 16:-16]
    down, right = ndimage.sobel(fine, 0), ndimage.sobel(fine, 1)
    across = 0.5 * np.arctan2(2 * (down * right).mean(), (right * right).mean() - (down * down).mean())
    return float(np.degrees(across)) + 90


@pytest.mark.parametrize("degrees", [0, 30, 75, 90, 130])
@pytest.mark.parametrize("paint", [painting.hatching, painting.brush, painting.impasto])
def test_strokes_follow_the_contours(paint: object, degrees: float) -> None:
    assert callable(paint)
    off = main_direction(paint(ramp(degrees))) - degrees
    assert abs((off + 90) % 180 - 90) < 12


def test_the_direction_is_that_of_the_contours_and_the_hands_own_where_there_are_none() -> None:
    for degrees in (10, 60, 160):
        off = np.degrees(painting.direction(ramp(degrees), 5)) - degrees
        assert np.abs((off[8:-8, 8:-8] + 90) % 180 - 90).max() < 6
    plain = painting.direction(np.full((32, 32, 3), 0.5, np.float32), 5)
    np.testing.assert_allclose(plain % np.pi, painting.HAND % np.pi, atol=1e-3)


def test_a_darker_tone_gets_more_ink_and_more_layers() -> None:
    tones = [0.95, 0.7, 0.45, 0.2, 0.05]
    edits = [px.luma(painting.hatching(np.full((96, 96, 3), tone, np.float32))) for tone in tones]
    means = [edit.mean() for edit in edits]
    assert means == sorted(means, reverse=True)
    assert means[0] > 0.9
    assert means[-1] < 0.25
    crossed = [np.abs(np.fft.fft2(edit - edit.mean())) for edit in (edits[1], edits[3])]
    peaks = [int((spectrum > 0.4 * spectrum.max()).sum()) for spectrum in crossed]
    assert peaks[1] > peaks[0]  # one grating, then several


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


def test_impasto_is_lit_from_the_upper_left() -> None:
    """Of the relief on one colour: what faces the light is brighter, what turns from it darker, strokes in both."""
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
