"""Filters that draw, paint and build."""

from __future__ import annotations

import numpy as np

from e2gan.teachers.filters import drawing
from e2gan.teachers.filters.pixels import luma


def test_a_line_is_drawn_where_it_is_on_paper_that_stays_bare() -> None:
    photo = np.full((64, 64, 3), 0.9, np.float32)
    photo[:, 31:33] = 0.05
    for draw in (drawing.sketch, drawing.charcoal):
        columns = luma(np.clip(draw(photo), 0, 1)).mean(0)
        assert 29 <= columns.argmin() <= 34
        assert columns[:16].min() > columns.min() + 0.3


def test_pixel_art_is_of_squares_of_one_colour_each() -> None:
    photo = np.random.default_rng(0).random((256, 256, 3), np.float32)
    squares = drawing.pixel_art(photo).reshape(32, 8, 32, 8, 3)
    assert np.ptp(squares, axis=(1, 3)).max() < 1e-6


def test_regions_of_a_small_photo_keep_their_pixels() -> None:
    labels = drawing.regions(np.random.default_rng(0).random((16, 16, 3), np.float32), 800, 10)
    assert labels.shape == (16, 16)
    assert labels.min() == 0
    assert len(np.unique(labels)) <= 16
