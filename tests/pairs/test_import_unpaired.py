"""Pictures of two kinds: all of both are in the set, whatever their numbers, and are scored and told apart."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from e2gan import EvaluateConfig, evaluate
from e2gan.cli import main
from e2gan.core.files import read_json, read_jsonl
from e2gan.core.images import encode_png, square
from e2gan.data.pair_set import PairSet
from tests.conftest import Project
from tests.pairs.tiny_pairs import picture, refused, run

COUNTS = {"trainA": 20, "trainB": 25, "testA": 6, "testB": 9}  # horse2zebra's, about fifty times smaller


def seeds(folder: str) -> range:
    first = 1000 * list(COUNTS).index(folder)
    return range(first, first + COUNTS[folder])


@pytest.fixture
def horses(tmp_path: Path) -> Path:
    """CycleGAN's layout: four folders beside each other, files of any name."""
    for folder in COUNTS:
        (tmp_path / "horse2zebra" / folder).mkdir(parents=True)
        for seed in seeds(folder):
            (tmp_path / "horse2zebra" / folder / f"n0238_{seed}.png").write_bytes(encode_png(picture(seed)))
    return tmp_path / "horse2zebra"


def of(*folders: str) -> set[bytes]:
    return {square(picture(seed), 32).tobytes() for folder in folders for seed in seeds(folder)}


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_cycle_gans_layout_is_taken_whole(horses: Path, tmp_path: Path, direction: str) -> None:
    result = run(tmp_path / "set", "a zebra", unaligned=horses, direction=direction, size=32)
    photos, targets = ("A", "B") if direction == "AtoB" else ("B", "A")
    train, test = COUNTS[f"train{targets}"], COUNTS[f"test{targets}"]
    held_out = round(train / 10)
    assert (result.train, result.val, result.test) == (train - held_out, held_out, test)
    lost = round(COUNTS[f"train{photos}"] / 10)
    told = f"photos: {COUNTS[f'train{photos}'] - lost} train, {lost} val, {COUNTS[f'test{photos}']} test"
    assert result.notes == ["no folder val: a tenth of train became val", told]
    assert f"{train + test} pictures of the other kind" in str(result)
    found = PairSet.load(tmp_path / "set")
    assert not found.paired
    both = [found.both_kinds(split) for split in ("train", "val", "test")]
    for kind, letter in enumerate((photos, targets)):
        of_train, of_val, of_test = (np.asarray(split[kind]) for split in both)
        assert {image.tobytes() for image in of_test} == of(f"test{letter}")
        assert {image.tobytes() for image in [*of_train, *of_val]} == of(f"train{letter}")
    assert len(found.arrays("test")[2]) == min(COUNTS["testA"], COUNTS["testB"])
    assert run(tmp_path / "set", "a zebra", unaligned=horses, direction=direction, size=32).already_done


def test_two_folders_hold_the_same_as_one(horses: Path, tmp_path: Path) -> None:
    for folder in COUNTS:
        other = tmp_path / {"A": "horses", "B": "zebras"}[folder[-1]] / folder[:-1]
        other.parent.mkdir(exist_ok=True)
        (horses / folder).rename(other)
    before, after = tmp_path / "horses", tmp_path / "zebras"
    (after / "train" / "n0238_1000.png").write_text("no image")
    result = run(tmp_path / "set", "a zebra", before=before, after=after, unpaired=True, size=32)
    assert dict(result.skipped) == {"zebras/train/n0238_1000.png": "is no image"}
    rows = read_jsonl(tmp_path / "set" / "metadata.jsonl")
    assert Counter(row["split"] for row in rows if row["photo"] is None) == {"train": 4, "test": 3}
    assert len(rows) == 33
    found = PairSet.load(tmp_path / "set")
    assert {image.tobytes() for image in found.both_kinds("test")[1]} == of("testB")


def test_edits_under_the_photos_names_are_not_put_beside_them(tmp_path: Path) -> None:
    for i in range(30):
        for kind, image in (("before", picture(i)), ("after", 255 - picture(i))):
            (tmp_path / kind).mkdir(exist_ok=True)
            (tmp_path / kind / f"{i}.png").write_bytes(encode_png(image))
    run(tmp_path / "set", "x", before=tmp_path / "before", after=tmp_path / "after", unpaired=True, size=48)
    photos, edits, _ = PairSet.load(tmp_path / "set").arrays("train")
    together = [np.array_equal(edit, 255 - photo) for photo, edit in zip(photos, edits, strict=True)]
    assert sum(together) < 5


def test_other_layouts_are_refused(horses: Path, tmp_path: Path) -> None:
    (horses / "pictures").mkdir()
    (horses / "pictures" / "a.png").write_bytes(encode_png(picture(5)))
    (horses / "A.png").write_bytes(encode_png(picture(6)))
    assert "2 images of" in str(run(tmp_path / "set", "x", unaligned=horses, size=32))
    (horses / "trainB").rename(horses / "zebras")
    line = refused(tmp_path / "other", "x", unaligned=horses, size=32)
    assert "has no images in trainB: it needs trainA, trainB, testA and testB" in line
    few = sorted((horses / "testB").iterdir())[2:]
    (horses / "testB").rename(horses / "trainB")
    for path in few:
        (horses / "trainB" / path.name).unlink()
    line = refused(tmp_path / "other", "x", unaligned=horses, size=32)
    assert "2 usable images of the second kind, and at least 3 are needed" in line
    both = refused(tmp_path / "other", "x", unaligned=horses, aligned=horses, size=32)
    assert both == "name one source: --photos, or --aligned, or --unaligned, or --before with --after"
    (tmp_path / "horses").mkdir()
    (horses / "trainA").rename(tmp_path / "horses" / "train")
    folders = {"before": tmp_path / "horses", "after": horses / "zebras"}
    line = refused(tmp_path / "other", "x", **folders, unpaired=True, size=32)
    assert "have no folder in common: both need train and test, or neither" in line


def test_the_distances_see_all_pictures_of_both_kinds(
    horses: Path, project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["pairs", "--unaligned", str(horses), "--concept", "a zebra", "--size", "32", "--out"]
    assert main([*words, str(tmp_path / "set")]) == 0
    measured = evaluate(EvaluateConfig(pairs=tmp_path / "set", model=project.model, out=tmp_path / "scores"))
    assert measured.images == 6
    assert "the distances compare 6 edits with 9 pictures of the other kind" in measured.notes
    assert read_json(tmp_path / "scores" / "metrics.json")["model"]["fd_random"]["images"] == 6
    assert "N = 6 edits against all pictures of the other kind" in str(measured)
    capsys.readouterr()
