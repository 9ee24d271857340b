"""A model beside the colour table of the same pairs: what no table can do is what a network is for."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from e2gan.core.errors import InputError
from e2gan.core.images import Pixels
from e2gan.data.pair_set import PairSet
from e2gan.editing.predictor import Predictor
from e2gan.measure.distances import mean_interval
from e2gan.networks.models import Model
from e2gan.train.lut import lut_of

Standing = Literal["ahead", "equal", "behind"]


def table_of(pair_set: PairSet) -> tuple[Predictor | None, str | None]:
    """The colour table of the set's training pairs, ready to edit; or None, and why."""
    try:
        table = lut_of(pair_set)
    except InputError as error:
        return None, f"no colour table beside it: {error}"
    return Predictor(Model(table, None, pair_set.prompt, pair_set.size, Path()), "cpu"), None


def table_edits(pair_set: PairSet, photos_NHWC: Pixels) -> tuple[Pixels | None, str | None]:
    """The photos' edits by `table_of`, uint8 (N, H, W, 3); or None, and why."""
    table, why = table_of(pair_set)
    return None if table is None else table.batch(photos_NHWC), why


def standing(model: dict[str, NDArray[np.float64]], table: dict[str, NDArray[np.float64]]) -> Standing:
    """Where a model stands against the colour table: by L1 and SSIM of the same photos, (N,) float64 each.

    ahead: better than the table in one of the two; behind: worse in one and better in none; equal: in neither. Better
    and worse are beyond chance, where the 95 % bootstrap interval of the mean difference, photo by photo, leaves zero
    out; of a single photo, where it differs at all.
    """
    gains = [table["l1"] - model["l1"], model["ssim"] - table["ssim"]]
    intervals = [mean_interval(gain) for gain in gains]
    if any(low > 0 for low, _ in intervals):
        return "ahead"
    return "behind" if any(high < 0 for _, high in intervals) else "equal"
