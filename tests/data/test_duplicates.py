from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from e2gan.config import PairsConfig, PhotosConfig
from e2gan.core.images import encode_png, square
from e2gan.core.originals import list_images
from e2gan.data import duplicates
from e2gan.data.duplicates import alike, groups_of, likeness_notes, near_duplicates, thumbnail
from e2gan.data.photos import PhotoSet, assign_splits, prepare_photos
from e2gan.pairs.make import make_pairs
from tests.benchmarks import script

bench = script("duplicates")
COPIES: dict[str, Callable[[Image.Image], Image.Image]] = bench.COPIES


def picture(seed: int, width: int = 160, height: int = 120) -> Image.Image:
    coarse = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (9, 12, 3), np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def seen(image: Image.Image, size: int = 128) -> np.ndarray:
    return thumbnail(square(np.array(image), size))


@pytest.mark.parametrize("copy", COPIES)
def test_made_copies_of_real_photographs_are_found(shared: Path, copy: str) -> None:
    photos = [Image.open(path).convert("RGB") for path in list_images(shared / "photos/test")]
    thumbnails = np.stack([seen(photo) for photo in (*photos, *map(COPIES[copy], photos))])
    pairs = near_duplicates(thumbnails)
    made = pairs[pairs[:, 1] - pairs[:, 0] == len(photos)]
    assert len(made) >= 0.95 * len(photos)
    assert len(pairs) - len(made) <= 0.001 * len(thumbnails) * (len(thumbnails) - 1) / 2


@pytest.mark.slow
def test_other_landscapes_are_not_joined(shared: Path) -> None:
    thumbnails = [seen(Image.open(path).convert("RGB")) for path in list_images(shared / "photos/landscapes")[:600]]
    _, sizes = np.unique(groups_of(thumbnails), return_counts=True)
    joined = (sizes * (sizes - 1) // 2).sum()
    assert joined < 0.001 * 600 * 599 / 2


def test_pictures_that_show_nothing_are_no_copies_of_each_other() -> None:
    plain = [thumbnail(np.full((64, 64, 3), level, np.uint8)) for level in (0, 0, 128, 255)]
    assert len(set(groups_of(plain).tolist())) == 4
    assert len(groups_of([])) == 0


def test_a_few_at_a_time_find_what_all_together_find(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = [picture(seed) for seed in range(9)]
    thumbnails = np.stack([seen(image) for image in (*shown, *map(bench.cropped, shown), Image.new("RGB", (64, 64)))])
    pairs = near_duplicates(thumbnails)
    assert pairs.tolist() == [[i, i + 9] for i in range(9)]
    for name, value in ("ROWS", 4), ("PAIRS", 40):
        monkeypatch.setattr(duplicates, name, value)
        assert np.array_equal(near_duplicates(thumbnails), pairs)


def test_near_duplicates_of_near_duplicates_are_one_group_named_by_its_first() -> None:
    thumbnails = [
        seen(picture(0)),
        seen(picture(1)),
        seen(ImageOps.mirror(picture(0))),
        seen(bench.cropped(picture(0))),
    ]
    assert alike(["c", "b", "a", "d"], thumbnails) == {"c": "a", "b": "b", "a": "a", "d": "a"}


def test_splits_without_duplicates_stay_what_they_are_and_groups_stay_together() -> None:
    names = [f"{i:03}" for i in range(57)]
    assert assign_splits(names, 3, {name: name for name in names}) == assign_splits(names, 3)
    for seed in range(20):
        like = {name: f"{int(name) // 4 * 4:03}" if int(name) < 32 else name for name in names}
        splits = dict(zip(names, assign_splits(names, seed, like), strict=True))
        assert all(splits[name] == splits[first] for name, first in like.items())
        assert list(splits.values()).count("val") == list(splits.values()).count("test") == 6
        few = ["a", "b", *(f"c{i}" for i in range(18))]
        found = assign_splits(few, seed, {name: name[0] for name in few})
        assert sorted({*found}) == ["test", "train", "val"]
        assert found[2:] == ["train"] * 18


def test_a_films_frames_are_split_one_by_one_and_it_is_told() -> None:
    like = {f"{i:02}": "00" for i in range(20)}
    assert sorted(assign_splits([*like], 0, like)) == sorted(assign_splits([*like], 0))
    assert "are split one by one" in likeness_notes(like)[0]


def write(folder: Path, count: int) -> None:
    """`count` pictures, of each of the first four also its copies."""
    folder.mkdir()
    for i in range(count):
        (folder / f"p{i:02}.png").write_bytes(encode_png(np.array(picture(i))))
        if i < 4:
            for name, copy in COPIES.items():
                (folder / f"{name}-p{i:02}.png").write_bytes(encode_png(np.array(copy(picture(i)))))


def test_a_photo_set_keeps_copies_in_one_split_and_says_so(tmp_path: Path) -> None:
    write(tmp_path / "camera", 24)
    result = prepare_photos(PhotosConfig(folder=tmp_path / "camera", out=tmp_path / "set", size=64))
    assert result.train + result.val + result.test == 40
    splits = {photo.source: photo.split for photo in PhotoSet.load(tmp_path / "set").photos}
    for i in range(4):
        assert len({splits[f"{name}p{i:02}.png"] for name in ("", *(f"{n}-" for n in COPIES))}) == 1
    assert "20 pictures are nearly the same as others" in str(result)
    assert "4 groups" in str(result)


def test_imported_pairs_keep_copies_in_one_split_and_tell_of_leaks_in_a_users_folders(tmp_path: Path) -> None:
    write(tmp_path / "before", 24)
    write(tmp_path / "after", 24)
    config = PairsConfig(before=tmp_path / "before", after=tmp_path / "after", concept="x", size=64, out=tmp_path / "p")
    assert "20 pictures are nearly the same" in str(make_pairs(config))
    splits = {photo.source: photo.split for photo in PhotoSet.load(tmp_path / "p/photos").photos}
    for i in range(4):
        assert len({splits[f"{name}p{i:02}.png"] for name in ("", *(f"{n}-" for n in COPIES))}) == 1
    for side in ("before", "after"):
        for split, numbers in (("train", range(8)), ("test", (0, 20, 21))):
            for i in numbers:
                copy = picture(i) if split == "train" else ImageOps.mirror(picture(i))
                (tmp_path / "split" / side / split).mkdir(parents=True, exist_ok=True)
                copy.save(tmp_path / "split" / side / split / f"{split}{i}.png")
    folders = {side: tmp_path / "split" / side for side in ("before", "after")}
    own = PairsConfig(before=folders["before"], after=folders["after"], concept="x", size=64, out=tmp_path / "own")
    told = str(make_pairs(own))
    assert "1 pictures of val or test are nearly the same as ones in train" in told
