"""What files are checked on, and what int8 is calibrated on: never the same photo where there are two."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from e2gan.config import ExportConfig
from e2gan.core.images import write_png
from e2gan.data.builtin_photos import TEST
from e2gan.data.pair_set import PairSet
from e2gan.export import photographs
from e2gan.export.export import compare_again, export_model
from e2gan.export.photographs import CALIBRATED, CHECKED, Photographs, photographs_read
from tests.conftest import Project, refused


def folder(place: Path, count: int) -> Path:
    place.mkdir()
    for i in range(count):
        write_png(place / f"{i:02}.png", np.random.default_rng(i).integers(0, 256, (32, 32, 3), np.uint8))
    return place


@pytest.mark.parametrize(("count", "checked", "calibrated"), [(1, 1, 1), (2, 1, 1), (5, 2, 3), (8, 4, 4), (50, 8, 32)])
def test_a_folder_is_shared(tmp_path: Path, count: int, checked: int, calibrated: int) -> None:
    config = ExportConfig(model=tmp_path, out=tmp_path / "o", photos=folder(tmp_path / "photos", count))
    plain = Photographs.of(config)
    assert (len(plain.checked), len(plain.calibrated)) == (min(count, CHECKED), 0)
    found = Photographs.of(replace(config, precision="int8"))
    assert (len(found.checked), len(found.calibrated)) == (checked, calibrated)
    assert count == 1 or not found.checked.keys() & found.calibrated.keys()


def test_the_builtin_pictures_are_shared_as_in_the_demo(tmp_path: Path) -> None:
    config = ExportConfig(model=tmp_path, out=tmp_path / "o", precision="int8")
    found = Photographs.of(config)
    assert set(found.checked) == set(TEST)
    assert len(found.calibrated) > 3
    assert not photographs_read(config)


def test_a_pair_set_gives_its_test_and_its_training_photos(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = ExportConfig(model=project.model, out=tmp_path / "o", pairs=project.sepia)
    photos = PairSet.load(project.sepia).photos
    names = {split: {f"images/{photo.id}.png" for photo in photos.split(split)} for split in ("train", "test")}
    assert set(Photographs.of(config).checked) <= names["test"]
    monkeypatch.setattr(photographs, "CALIBRATED", 3)
    found = Photographs.of(replace(config, precision="int8"))
    assert set(found.checked) <= names["test"]
    assert set(found.calibrated) <= names["train"]
    assert len(found.calibrated) == 3 < CALIBRATED
    assert photographs_read(config) != photographs_read(replace(config, precision="int8"))
    told = refused(lambda: replace(config, photos=project.photos).check())
    assert told == "--photos and --pairs exclude each other: name one of them"


@pytest.mark.slow
def test_an_int8_file_tells_what_it_was_calibrated_on(project: Project, tmp_path: Path) -> None:
    config = ExportConfig(
        base=project.base,
        adapter=(project.adapter,),
        out=tmp_path / "o",
        pairs=project.sepia,
        precision="int8",
        size=64,
    )
    found = export_model(config)
    assert found.parity is not None
    assert found.parity.photos == len(PairSet.load(project.sepia).files("test")[0]) == 3
    assert found.parity.calibrated == len(PairSet.load(project.sepia).files("train")[0])
    assert f"on 3 photos: {found.parity.mean:.4f} levels" in str(found)
    assert f"(calibrated on {found.parity.calibrated} others)" in str(found)
    told, again = compare_again(config)
    assert told is not None
    assert again is not None
    assert (again.mean, again.max, again.calibrated) == (told.mean, told.max, told.calibrated)
    assert export_model(config).already_done
