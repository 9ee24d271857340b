"""Pairs at hand: matched by name, or split in the middle; what does not match is told."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from e2gan.cli import main
from e2gan.core.images import encode_png, read_image, square
from e2gan.data.pair_set import PairSet
from e2gan.data.photos import PhotoSet
from e2gan.teachers.filters.filters import FILTERS, apply
from tests.pairs.tiny_pairs import picture, refused, run


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Twelve photos 60×48 and their dusk, twice as large, as .JPG under the same names in capitals."""
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    after.mkdir()
    for i in range(12):
        photo = picture(i, 48, 60)
        (before / f"shot {i}.png").write_bytes(encode_png(photo))
        edit = Image.fromarray(apply(FILTERS["dusk"], photo)).resize((120, 96), Image.Resampling.BICUBIC)
        edit.save(after / f"SHOT {i}.JPG", quality=95, subsampling=0)
    return before, after


def test_before_and_after_are_matched_by_name(folders: tuple[Path, Path], tmp_path: Path) -> None:
    before, after = folders
    result = run(tmp_path / "pairs", "my dusk", before=before, after=after, size=32)
    assert (result.train, result.val, result.test, result.skipped, result.notes) == (10, 1, 1, [], [])
    pairs = PairSet.load(tmp_path / "pairs")
    assert (pairs.prompt, pairs.teacher, pairs.size) == ("my dusk", "before/after", 32)
    photos, edits, ids = pairs.arrays("train")
    assert pairs.photos.folder == tmp_path / "pairs/photos"
    for photo, edit, name in zip(photos, edits, ids, strict=True):
        source = read_image(before / pairs.photos.by_id(name).source)
        assert np.array_equal(photo, square(source, 32))
        wanted = square(apply(FILTERS["dusk"], source), 32)
        assert np.abs(edit.astype(float) - wanted).mean() < 4
    assert run(tmp_path / "pairs", "my dusk", before=before, after=after, size=32).already_done
    assert PhotoSet.load(tmp_path / "pairs/photos").size == 32


def test_files_without_a_partner_and_odd_ones_are_told(folders: tuple[Path, Path], tmp_path: Path) -> None:
    before, after = folders
    (after / "SHOT 0.JPG").unlink()
    (after / "extra.png").write_bytes(encode_png(picture(77)))
    (after / "SHOT 1.JPG").write_bytes(encode_png(picture(1, 48, 90)))
    (after / "SHOT 2.JPG").write_text("no image")
    (before / "shot 3.png").write_bytes((before / "shot 4.png").read_bytes())
    (after / "SHOT 5.JPG").write_bytes(encode_png(picture(5, 8, 10)))
    result = run(tmp_path / "pairs", "my dusk", before=before, after=after, size=32)
    reasons = dict(result.skipped)
    assert reasons["shot 1.png"] == "photo and edit differ in shape (60×48 and 90×48 pixels)"
    assert reasons["shot 2.png"] == "its edit (SHOT 2.JPG) is no image"
    assert reasons["shot 4.png"] == "the same picture as ‘shot 3.png’"
    assert reasons["shot 5.png"].startswith("the edit's 10×8 pixels are too few")
    assert result.notes == [f"1 image of {folder} without a partner left out" for folder in (before, after)]
    assert result.train + result.val + result.test == 12 - 1 - 4
    assert len(str(result).splitlines()) <= 5


def test_folders_that_do_not_match_are_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    before, after = folders
    for path in sorted(after.iterdir())[5:]:
        path.rename(path.with_name(f"edited {path.name}"))
    line = refused(tmp_path / "pairs", "x", before=before, after=after, size=32)
    assert "only 5 of the 12 images" in line
    assert re.search(r"e\.g\. shot \d+\.png has no shot \d+\.\* there", line)
    (tmp_path / "empty").mkdir()
    assert "holds no images" in refused(tmp_path / "pairs", "x", before=before, after=tmp_path / "empty")
    assert "is no folder" in refused(tmp_path / "pairs", "x", before=tmp_path / "absent", after=after)


def test_one_or_two_pairs_are_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    before, after = folders
    for path in sorted(before.iterdir())[1:]:
        path.unlink()
    assert "1 usable pair, and at least 3" in refused(tmp_path / "pairs", "x", before=before, after=after, size=32)


def test_subfolders_distinguish_equal_names(tmp_path: Path) -> None:
    for i in range(6):
        for kind, image in (("before", picture(i)), ("after", picture(100 + i))):
            path = tmp_path / kind / f"day{i}" / "photo.png"
            path.parent.mkdir(parents=True)
            path.write_bytes(encode_png(image))
    run(tmp_path / "pairs", "x", before=tmp_path / "before", after=tmp_path / "after", size=32)
    photos, edits, ids = PairSet.load(tmp_path / "pairs").arrays("train")
    assert len(ids) == 4
    seeds = {square(picture(i), 32).tobytes(): square(picture(100 + i), 32).tobytes() for i in range(6)}
    assert all(seeds[photo.tobytes()] == edit.tobytes() for photo, edit in zip(photos, edits, strict=True))


def aligned(folder: Path, name: str, seed: int, width: int = 96) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    both = np.concatenate([picture(seed), 255 - picture(seed)], 1)[:, :width]
    (folder / name).write_bytes(encode_png(np.ascontiguousarray(both)))


def test_aligned_images_are_split_in_the_middle(tmp_path: Path) -> None:
    for i in range(5):
        aligned(tmp_path / "both", f"{i}.png", i)
    aligned(tmp_path / "both", "odd.png", 9, width=95)
    for direction in ("AtoB", "BtoA"):
        result = run(tmp_path / direction, "invert", aligned=tmp_path / "both", direction=direction, size=48)
        assert [name for name, _ in result.skipped] == ["odd.png"]
        assert "95 pixels, is odd" in str(result)
        pairs = PairSet.load(tmp_path / direction)
        photos, edits, ids = pairs.arrays("train")
        for photo, edit, name in zip(photos, edits, ids, strict=True):
            left = picture(int(pairs.photos.by_id(name).source[0]))
            assert np.array_equal(photo, left if direction == "AtoB" else 255 - left)
            assert np.array_equal(edit, 255 - photo)


def split_of(out: Path) -> dict[str, str]:
    return {photo.source: photo.split for photo in PhotoSet.load(out / "photos").photos}


@pytest.mark.parametrize("folders", [("train", "val", "test"), ("train", "val"), ("train", "test"), ("train", "more")])
def test_folders_named_after_splits_decide(tmp_path: Path, folders: tuple[str, ...]) -> None:
    for i in range(60):
        aligned(tmp_path / "both", f"{folders[i % len(folders)]}/{i}.png", i)
    result = run(tmp_path / "pairs", "x", aligned=tmp_path / "both", size=32)
    splits = split_of(tmp_path / "pairs")
    if folders == ("train", "val", "test"):
        assert all(source.startswith(split) for source, split in splits.items())
        assert result.notes == []
        return
    assert len(result.notes) == 1
    assert result.notes[0] in str(result)
    if "more" in folders:
        assert (result.train, result.val, result.test) == (48, 6, 6)
        return
    assert (result.train, result.val, result.test) == (27, 3, 30)
    assert all(splits[source] == "test" for source in splits if not source.startswith("train"))


def test_an_import_is_read_from_the_command_line(folders: tuple[Path, Path], tmp_path: Path) -> None:
    words = ["pairs", "--before", str(folders[0]), "--after", str(folders[1]), "--concept", "x", "--size", "32"]
    assert main([*words, "--out", str(tmp_path / "pairs")]) == 0
    assert main([*words, "--out", str(folders[0])]) == 2
    assert main([*words, "--out", str(folders[0] / "inside")]) == 0
    assert main([*words, "--out", str(folders[0] / "inside")]) == 0


@pytest.mark.parametrize(
    ("direction", "name"), [("BtoA", "{}.jpg"), ("AtoB", "{}_AB.jpg")], ids=["cityscapes", "edges2shoes"]
)
def test_published_sets_side_by_side(tmp_path: Path, direction: str, name: str) -> None:
    """512×256 pixels, A to the left, B to the right. Cityscapes' labels are B, the shoes' edges A."""
    drawn, real = {}, {}
    for split in ("train", "val"):
        (tmp_path / "set" / split).mkdir(parents=True)
        for i in range(20) if split == "train" else range(20, 25):
            file = tmp_path / "set" / split / name.format(i)
            drawn[file], real[file] = picture(i, 256, 256) // 64 * 64, picture(100 + i, 256, 256)
            halves = (drawn[file], real[file]) if direction == "AtoB" else (real[file], drawn[file])
            Image.fromarray(np.concatenate(halves, 1).astype(np.uint8)).save(file, quality=95, subsampling=0)
    result = run(tmp_path / "pairs", "x", aligned=tmp_path / "set", direction=direction)
    assert (result.train, result.val, result.test, result.skipped) == (18, 2, 5, [])
    pairs = PairSet.load(tmp_path / "pairs")
    photos, edits, ids = pairs.arrays("test")
    for photo, edit, of in zip(photos, edits, ids, strict=True):
        source = tmp_path / "set" / pairs.photos.by_id(of).source
        assert source.parent.name == "val"
        assert np.abs(photo.astype(float) - drawn[source]).mean() < 8
        assert np.abs(edit.astype(float) - real[source]).mean() < 8


def test_real_facades(shared: Path, tmp_path: Path) -> None:
    source = tmp_path / "facades"
    for split, names in (("train", range(40)), ("val", range(10))):
        (source / split).mkdir(parents=True)
        files = sorted((shared / "pairs/facades" / split).iterdir())
        for i in names:
            shutil.copy(files[i], source / split)
    result = run(tmp_path / "pairs", "facade", aligned=source, direction="BtoA", size=128)
    assert (result.train, result.val, result.test, result.skipped) == (36, 4, 10, [])
    photos, edits, _ = PairSet.load(tmp_path / "pairs").arrays("train")
    # Label maps are of a few flat, saturated colours; facades are not.
    flat = [np.mean(np.abs(np.diff(images.astype(int), axis=2)).sum(-1) == 0) for images in (photos, edits)]
    assert max(flat) > 2 * min(flat)
