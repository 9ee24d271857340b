"""Edges of two images, compared by their direction."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from e2gan.pairs.edges import correlation, doubled_gradient


def ramp(axis: int) -> NDArray[np.float32]:
    """Brightness that grows downwards (axis 0) or to the right (axis 1), in three colours."""
    return np.indices((24, 24)).astype(np.float32)[axis][..., None].repeat(3, 2)


def test_the_direction_of_edges_counts_and_not_which_side_is_bright() -> None:
    down, right = doubled_gradient(ramp(0)), doubled_gradient(ramp(1))
    everywhere = np.ones((24, 24))
    assert correlation(down, doubled_gradient(255 - 3 * ramp(0)), everywhere) == pytest.approx(1)
    assert correlation(down, right, everywhere) == 0
    assert correlation(down, doubled_gradient(np.full((24, 24, 3), 90, np.float32)), everywhere) == 0


def test_only_what_has_weight_is_compared_and_faint_edges_agree_less() -> None:
    down, right = doubled_gradient(ramp(0)), doubled_gradient(ramp(1))
    mixed, upper = np.where(np.arange(24)[:, None] < 12, down, right), np.arange(24)[:, None] < 12
    assert correlation(down, mixed, np.ones((24, 24))) == pytest.approx(0, abs=1e-6)
    assert correlation(down, mixed, upper) == pytest.approx(1)
    assert correlation(down, down, upper, faint=1e3) < 0.9
