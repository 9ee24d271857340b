"""Pair sets of another size, photos as their own edits, a base without its cross-attention."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from e2gan.data.pair_set import PairSet
from e2gan.networks.models import load_generator
from e2gan.research.tables.sets import identity_set, resized_set, without_cross_attention
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


def test_a_derived_set_has_the_side_of_its_own_and_photos_have_none(project: Project, tmp_path: Path) -> None:
    sided = replace(PairSet.load(project.sepia), sided=True)
    assert resized_set(sided, 24, tmp_path / "small").sided
    assert not identity_set(sided, tmp_path / "same").sided
    assert not resized_set(PairSet.load(project.sepia), 24, tmp_path / "plain").sided


def test_a_base_loses_its_cross_attention_and_nothing_else(project: Project, tmp_path: Path) -> None:
    bare = without_cross_attention(project.base, tmp_path / "bare")
    before = (bare / "model.safetensors").stat().st_mtime_ns
    assert without_cross_attention(project.base, bare) == bare
    assert (bare / "model.safetensors").stat().st_mtime_ns == before
    whole, less = (load_generator(folder)[0].state_dict() for folder in (project.base, bare))
    gone = whole.keys() - less.keys()
    assert gone
    assert all(".cross_attention." in name or ".norm2." in name for name in gone)
    assert all((whole[name] == tensor).all() for name, tensor in less.items())
