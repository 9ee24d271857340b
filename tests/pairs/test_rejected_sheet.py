"""The sheet of rejected edits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from e2gan.core.images import read_image
from e2gan.data.photos import PhotoSet
from e2gan.pairs.candidates import Candidate
from e2gan.pairs.rejected_sheet import sample, write_rejected_sheet


def test_the_sheet_shows_photo_edit_and_reason(rows: list[Candidate], photo_set: PhotoSet, tmp_path: Path) -> None:
    rejected = [row for row in rows if row.rejected]
    rejected.append(replace(rejected[0], file=None, rejected="ValueError: no"))
    write_rejected_sheet(tmp_path / "rejected.png", tmp_path, rejected, photo_set)
    sheet = read_image(tmp_path / "rejected.png")
    assert sheet.shape[1] > 4 * 160
    assert np.unique(sheet.reshape(-1, 3), axis=0).shape[0] > 1000


def test_a_sheet_of_many_shows_each_kind_of_reason() -> None:
    many = [
        Candidate(photo=str(i), split="train", teacher="t", seed=i, file=None, scores={}, rejected=reason)
        for i, reason in enumerate(["black"] * 90 + ["misplaced by 4.2 pixels"] * 9 + ["blank"])
    ]
    shown = [row.rejected for row in sample(many, 16)]
    assert len(shown) <= 16
    assert set(shown) == {"black", "misplaced by 4.2 pixels", "blank"}
