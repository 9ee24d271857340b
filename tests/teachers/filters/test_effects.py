"""Filters of colour and light."""

from __future__ import annotations

import numpy as np

from e2gan.teachers.filters.filters import apply, find


def test_autumn_turns_leaves_orange_and_leaves_the_sky_blue() -> None:
    photo = np.array([[[60, 120, 40], [90, 150, 230], [205, 150, 125]]], np.uint8).repeat(16, 0).repeat(8, 1)
    leaf, sky, skin = apply(find("autumn"), photo)[0, [4, 12, 20]].astype(int)
    assert leaf[0] > leaf[1] + 50 > leaf[2] + 50
    assert sky[2] > sky[0]
    assert np.abs(skin - [205, 150, 125]).max() < 45


def test_position_dependent_light() -> None:
    grey = np.full((64, 64, 3), 110, np.uint8)
    sunrise, fog, water = (apply(find(name), grey).astype(int) for name in ("sunrise", "fog", "underwater"))
    assert sunrise[32, 2].sum() > sunrise[32, -3].sum() + 60  # the sun stands on the left
    assert fog[10].mean() > fog[-2].mean() + 20  # the far is veiled, the near is not
    assert water[2].mean() > water[-3].mean() + 20  # darker with the depth
