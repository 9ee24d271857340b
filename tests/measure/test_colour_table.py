from __future__ import annotations

import numpy as np

from e2gan.data.pair_set import PairSet
from e2gan.measure.colour_table import standing, table_edits
from tests.conftest import Project


def test_a_model_stands_where_its_photos_put_it() -> None:
    rng = np.random.default_rng(0)
    table = {"l1": rng.normal(20, 5, 50), "ssim": rng.normal(0.6, 0.1, 50)}
    slightly = rng.normal(0, 1, 50)
    assert standing({"l1": table["l1"] - 3, "ssim": table["ssim"]}, table) == "ahead"
    # The photos differ by more than the gain; of the same photos it is beyond chance.
    assert standing({"l1": table["l1"], "ssim": table["ssim"] + 0.02}, table) == "ahead"
    assert standing({"l1": table["l1"] + slightly - slightly.mean(), "ssim": table["ssim"]}, table) == "equal"
    assert standing({"l1": table["l1"] + 3, "ssim": table["ssim"]}, table) == "behind"
    assert standing({"l1": table["l1"] + 3, "ssim": table["ssim"] + 0.02}, table) == "ahead"
    assert standing(table, table) == "equal"


def test_the_tables_edits_are_near_a_teacher_of_single_pixels(project: Project) -> None:
    pair_set = PairSet.load(project.sepia)
    photos, targets, _ = pair_set.arrays("test")
    edits, why = table_edits(pair_set, photos)
    assert why is None
    assert edits is not None
    assert np.abs(edits.astype(int) - targets).mean() < 1 < np.abs(photos.astype(int) - targets).mean()
