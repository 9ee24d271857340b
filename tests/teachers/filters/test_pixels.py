"""What the filters are made of."""

from __future__ import annotations

import numpy as np

from e2gan.teachers.filters.pixels import unit


def test_lengths_scale_with_the_shorter_side() -> None:
    assert unit(np.zeros((256, 700, 3), np.float32)) == 1
    assert unit(np.zeros((64, 64), np.float32)) == 0.25
