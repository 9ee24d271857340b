"""The pair sets that bases are measured on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from e2gan import InputError, PairSet, PhotoSet
from e2gan.core.images import read_image, resize
from e2gan.data import builtin_photos
from tests.benchmarks import mistake, script

sets = script("held_out")


@pytest.fixture
def config(photo_folders: Path, tmp_path: Path) -> Any:
    return sets.PairSets(
        photos=photo_folders, out=tmp_path / "sets", concepts=("sepia",), size=32, style_size=64, train=20, test=6
    )


def test_a_set_for_each_concept_with_the_test_photos_as_its_test_split(
    config: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"--photos": config.photos, "--out": config.out, "--size": 32, "--style-size": 64}
    options |= {"--train": 20, "--test": 6}
    own = [str(text) for pair in options.items() for text in pair] + ["--concepts", "sepia", "lowpoly"]
    assert sets.main(own) == 0
    printed = capsys.readouterr().out
    for name, line in zip(("sepia", "lowpoly"), printed.splitlines(), strict=True):
        found = PairSet.load(Path(line))
        assert (found.folder.name, len(found.files("train")[0]), len(found.files("test")[0])) == (name, 20, 6)
    photos = PhotoSet.load(config.out / "photos-32")
    assert {photo.source.split("/")[0] for photo in photos.split("test")} == {"test"}
    shown = PairSet.load(config.out / "shown" / "lowpoly")
    assert sorted(name.rpartition("-")[0] for name in shown.arrays("test")[2]) == sorted(builtin_photos.test_pictures())
    assert sets.main(own) == 0
    assert capsys.readouterr().out == printed


def test_pictures_to_show_have_one_name_at_every_size(config: Any) -> None:
    small, large = (PhotoSet.load(sets.shown_photos(config, size)) for size in (32, 64))
    assert [photo.id for photo in small.photos] == [photo.id for photo in large.photos]
    assert {photo.source for photo in small.split("train")} == set(builtin_photos.FILES).difference(builtin_photos.TEST)


def test_photos_are_those_that_the_recipe_trains_on(config: Any, photo_folders: Path, tmp_path: Path) -> None:
    recipe = script("base", "recipes")
    own = PhotoSet.load(recipe.photo_set(recipe.Recipe(photos=photo_folders, out=tmp_path), 32))
    trained, val = ({photo.source for photo in own.split(split)} for split in ("train", "val"))
    assert val
    found = [path.relative_to(photo_folders).as_posix() for path in sets.training_files(config)]
    assert len(set(found)) == config.train
    assert set(found) <= trained
    assert sum(name.startswith("landscapes") for name in found) == config.train // 2
    left = sum(name.startswith("landscapes") for name in trained)
    assert left < 14  # the recipe validates on some
    assert len(sets.training_files(replace(config, train=2 * left))) == 2 * left
    with pytest.raises(InputError, match=f"landscapes has {left} to give, not {left + 1}"):
        sets.training_files(replace(config, train=2 * left + 2))


@pytest.mark.slow
def test_a_style_is_applied_large_and_reduced(config: Any, shared: Path, tmp_path: Path) -> None:
    config = replace(config, styles=shared / "teachers", out=tmp_path, train=16, test=2)
    style = sets.all_styles(config)["udnie"]
    assert style.prompt == "in the style of Udnie"
    found = PairSet.load(sets.pair_set(config, style))
    plain = PairSet.load(sets.pair_set(config, sets.all_filters()["sepia"]))
    assert (found.size, found.photo_folder) == (32, plain.photo_folder)
    assert [row["photo"] for row in found.rows] == [row["photo"] for row in plain.rows]
    photos, edits, ids = found.arrays("test")
    assert edits.shape == (2, 32, 32, 3)
    assert np.abs(edits.astype(int) - photos).mean() > 10
    large = read_image(tmp_path / "pairs-64" / "udnie" / "images" / f"{ids[0]}.png")
    assert large.shape == (64, 64, 3)
    assert np.array_equal(resize(large, (32, 32)), edits[0])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "la_muse is a style: name --styles"),
        (["--concepts", "skecth"], "no built-in filter is called"),
        (["--concepts", "sepia", "sepia"], "--concepts names sepia twice"),
        (["--styles", "nowhere"], "has no stylize.py"),
        (["--concepts"], "--concepts is empty"),
        (["--concepts", "sepia", "--train", "20", "--test", "60"], "--test 60: "),
        (["--train", "1"], "--train 1: must be at least 2"),
        (["--style-size", "24"], "--style-size 24: must be at least --size, 32"),
    ],
)
def test_mistakes_are_told_in_one_line(
    options: list[str], told: str, photo_folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--photos", str(photo_folders), "--out", str(tmp_path / "sets"), "--size", "32", *options]
    assert told in mistake(sets, given, capsys)
    assert not (tmp_path / "sets").exists()
