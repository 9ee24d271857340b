"""What the filters are made of."""

from __future__ import annotations

import numpy as np
import pytest

from e2gan.teachers.filters.pixels import along, rgb, saturate, smooth, unit


def test_lengths_scale_with_the_shorter_side() -> None:
    assert unit(np.zeros((256, 700, 3), np.float32)) == 1
    assert unit(np.zeros((64, 64), np.float32)) == 0.25


def test_smoothing_flattens_grain_and_keeps_edges() -> None:
    photo = np.full((64, 64, 3), 0.2, np.float32)
    photo[:, 32:] = 0.8
    grainy = photo + np.random.default_rng(0).normal(0, 0.02, photo.shape).astype(np.float32)
    smoothed = smooth(grainy, 16, 0.1)
    assert smoothed[:, :24].std() < 0.5 * grainy[:, :24].std()
    assert (smoothed[:, 33] - smoothed[:, 30]).mean() > 0.5


def test_skin_is_coloured_much_less_than_leaves() -> None:
    skin, leaf = (np.full((4, 4, 3), rgb(*colour), np.float32) for colour in ((224, 178, 150), (60, 120, 40)))
    gains = [np.ptp(saturate(photo, 1.5)[0, 0]) / np.ptp(photo[0, 0]) for photo in (skin, leaf)]
    assert 1 < gains[0] < 1.2 < gains[1]
    assert np.ptp(saturate(leaf, 0)[0, 0]) < 1e-6


def test_a_mean_along_lines_smears_across_nothing() -> None:
    stripes = np.repeat((np.arange(64) // 4 % 2).astype(np.float32)[None], 64, 0)[..., None]  # upright ones
    for degrees, left in ((90, 1.0), (0, 0.1)):
        angle = np.full((64, 64), np.radians(degrees), np.float32)
        smeared = along(stripes, angle, 128)[16:-16, 20:-20]
        assert np.ptp(smeared) == pytest.approx(left, abs=0.1)
