"""Pair sets of another size, and of photos as their own edits."""

from __future__ import annotations

from pathlib import Path

from e2gan.data.pair_set import PairSet
from e2gan.research.tables.sets import identity_set, resized_set
from tests.conftest import Project


def test_resized_and_identity_sets_keep_photos_and_splits(project: Project, tmp_path: Path) -> None:
    ours = PairSet.load(project.sepia)
    small = resized_set(ours, 24, tmp_path)
    other = resized_set(PairSet.load(project.dusk), 24, tmp_path)
    assert small.photo_folder == other.photo_folder
    photos, edits, ids = small.arrays("test")
    assert photos.shape == edits.shape == (3, 24, 24, 3)
    assert ids == ours.arrays("test")[2]
    same = identity_set(ours, tmp_path / "same")
    photos, edits, _ = same.arrays("train")
    assert (photos == edits).all()
    assert same.prompt == "the photo itself"
