"""Folders as people have them become photo sets, or one line says why not; nothing half-written stays."""

from __future__ import annotations

import os
import re
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from e2gan.cli import main
from e2gan.config import PhotosConfig
from e2gan.core.errors import InputError
from e2gan.core.files import plain, read_jsonl
from e2gan.core.images import encode_jpeg, encode_png, read_image, square
from e2gan.data.photos import PhotoSet, PhotosResult, assign_splits, make_id, prepare_photos
from tests.data.tiny_disk import in_small_disk


def picture(seed: int, height: int = 60, width: int = 80) -> np.ndarray:
    coarse = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (5, 6, 3), np.uint8))
    return np.array(coarse.resize((width, height), Image.Resampling.BICUBIC))


@pytest.fixture
def camera(tmp_path: Path) -> Path:
    """Ten photos in two folders."""
    folder = tmp_path / "camera"
    (folder / "trip").mkdir(parents=True)
    for i in range(10):
        name = f"IMG {i}.png" if i < 5 else f"trip/IMG {i}.png"
        (folder / name).write_bytes(encode_png(picture(i)))
    return folder


def run(folder: Path, out: Path, **settings: object) -> PhotosResult:
    return prepare_photos(PhotosConfig(folder=folder, out=out, size=32, **settings))  # type: ignore[arg-type]


def refused(folder: Path, out: Path, **settings: object) -> str:
    """The one line; and nothing is left of the output."""
    before = sorted(out.parent.rglob("*")) if out.parent.exists() else []
    with pytest.raises(InputError) as caught:
        run(folder, out, **settings)
    assert "\n" not in str(caught.value)
    assert (sorted(out.parent.rglob("*")) if out.parent.exists() else []) == before
    return str(caught.value)


def test_a_photo_set_holds_the_centre_squares(camera: Path, tmp_path: Path) -> None:
    result = run(camera, tmp_path / "set")
    assert (result.train, result.val, result.test, result.skipped) == (8, 1, 1, [])
    photos = PhotoSet.load(tmp_path / "set")
    assert photos.size == 32
    by_source = {photo.source: photo for photo in photos.photos}
    assert set(by_source) == {path.relative_to(camera).as_posix() for path in camera.rglob("*.png")}
    photo = by_source["trip/IMG 7.png"]
    assert (photo.width, photo.height) == (80, 60)
    assert np.array_equal(photos.array([photo.id])[0], square(picture(7), 32))
    assert photos.by_id(photo.id) == photo
    assert photos.array().shape == (10, 32, 32, 3)
    assert photos.array([]).shape == (0, 32, 32, 3)
    with pytest.raises(InputError, match="no photo 'x'"):
        photos.array(["x"])
    with pytest.raises(InputError, match="no photo 'x'"):
        photos.by_id("x")


def test_the_result_says_it_in_a_few_lines(camera: Path, tmp_path: Path) -> None:
    for i in range(7):
        (camera / f"text{i}.jpg").write_text("no photo")
        (camera / f"small{i}.png").write_bytes(encode_png(picture(50 + i, 1 + i, 1 + i)))
    result = run(camera, tmp_path / "set")
    lines = str(result).splitlines()
    assert lines[0].startswith("10 photos of 32×32 in ")
    assert lines[0].endswith("8 train, 1 val, 1 test")
    assert len(lines) == 3
    assert all("6 more like it" in line for line in lines[1:])
    assert plain(result)["skipped"][0] == ["small0.png", dict(result.skipped)["small0.png"]]


def test_a_rerun_does_nothing_and_another_photo_is_noticed(camera: Path, tmp_path: Path) -> None:
    first = run(camera, tmp_path / "set")
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "set").rglob("*")}
    again = run(camera, tmp_path / "set")
    assert again.already_done
    assert "nothing to do" in str(again)
    assert (again.train, again.val, again.test) == (first.train, first.val, first.test)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "set").rglob("*")} == written
    (camera / "new.png").write_bytes(encode_png(picture(99)))
    assert "the pictures of" in refused(camera, tmp_path / "set")
    (camera / "new.png").unlink()
    assert "other settings (seed)" in refused(camera, tmp_path / "set", seed=1)


def test_limit_takes_evenly_and_the_seed_moves_the_split(camera: Path, tmp_path: Path) -> None:
    run(camera, tmp_path / "five", limit=5)
    sources = [photo.source for photo in PhotoSet.load(tmp_path / "five").photos]
    assert sources == ["IMG 0.png", "IMG 2.png", "IMG 4.png", "trip/IMG 6.png", "trip/IMG 8.png"]
    tests = set()
    for seed in range(6):
        run(camera, tmp_path / f"seed{seed}", seed=seed)
        tests |= {photo.source for photo in PhotoSet.load(tmp_path / f"seed{seed}").split("test")}
    assert len(tests) > 2


def test_the_set_depends_on_the_photos_not_on_the_order_of_the_directory(camera: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    (copy / "trip").mkdir(parents=True)
    for path in sorted(camera.rglob("*.png"), reverse=True):
        (copy / path.relative_to(camera)).write_bytes(path.read_bytes())
    run(camera, tmp_path / "a")
    run(copy, tmp_path / "b")
    assert (tmp_path / "a/photos.jsonl").read_bytes() == (tmp_path / "b/photos.jsonl").read_bytes()


def test_a_set_inside_its_own_folder_is_not_read_again(camera: Path) -> None:
    assert run(camera, camera / "set").train == 8
    assert run(camera, camera / "set").already_done


def test_assign_splits_is_by_source_whatever_the_order() -> None:
    sources = [f"picture {i % 40}" for i in range(400)]
    splits = assign_splits(sources, 3)
    by_source = dict(zip(sources, splits, strict=True))
    assert splits == [by_source[source] for source in sources]
    assert Counter(by_source.values()) == {"train": 32, "val": 4, "test": 4}
    assert assign_splits(sources[::-1], 3) == splits[::-1]
    assert sorted(assign_splits(["a", "b", "c"], 0)) == ["test", "train", "val"]
    with pytest.raises(InputError, match="at least 3"):
        assign_splits(["a", "b"] * 5, 0)


def test_ids_are_safe_unique_and_say_no_split() -> None:
    taken: set[str] = set()
    sha = "0123456789abcdef" * 4
    assert make_id("Été à la Plage!.final", sha, taken) == "ete-a-la-plage-final-01234567"
    assert make_id("été_à la plage final", sha, taken) == "ete-a-la-plage-final-0123456789abcdef"
    assert make_id("test_003", sha, taken) == "003-01234567"
    assert make_id("水彩", sha, taken) == "photo-01234567"
    assert make_id("protest", sha, taken) == "protest-01234567"
    assert len(make_id("x" * 300, sha, taken)) < 50


def test_unusable_photos_are_skipped_with_a_reason(camera: Path, tmp_path: Path) -> None:
    jpeg = encode_jpeg(picture(20, 300, 300), 90)
    (camera / "cut.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    (camera / "text.jpg").write_text("milk")
    (camera / "dot.png").write_bytes(encode_png(picture(21, 1, 1)))
    (camera / "twin of 3.png").write_bytes((camera / "IMG 3.png").read_bytes())
    Image.fromarray(picture(4)).save(camera / "same pixels as 4.bmp")
    result = run(camera, tmp_path / "set")
    reasons = dict(result.skipped)
    assert set(reasons) == {"cut.jpg", "text.jpg", "dot.png", "twin of 3.png", "same pixels as 4.bmp"}
    assert "damaged" in reasons["cut.jpg"]
    assert reasons["text.jpg"] == "is no image"
    assert reasons["dot.png"].startswith("1×1 pixels are too few")
    assert reasons["twin of 3.png"] == "the same picture as ‘IMG 3.png’"
    assert reasons["same pixels as 4.bmp"] == "the same picture as ‘IMG 4.png’"
    assert result.train + result.val + result.test == 10
    assert len(str(result).splitlines()) <= 5


def test_enlarging_twofold_is_allowed_more_is_not(camera: Path, tmp_path: Path) -> None:
    (camera / "a.png").write_bytes(encode_png(picture(31, 16, 90)))
    (camera / "b.png").write_bytes(encode_png(picture(32, 15, 90)))
    assert [name for name, _ in run(camera, tmp_path / "set").skipped] == ["b.png"]


def test_folders_without_enough_photos_are_refused(camera: Path, tmp_path: Path) -> None:
    folder = tmp_path / "few"
    folder.mkdir()
    assert "holds no photos" in refused(folder, tmp_path / "set")
    assert "is no folder" in refused(tmp_path / "absent", tmp_path / "set")
    assert "is a file" in refused(camera / "IMG 0.png", tmp_path / "set")
    (folder / "text.jpg").write_text("milk")
    assert "0 usable photos" in (line := refused(folder, tmp_path / "set"))
    assert "text.jpg: is no image" in line
    for i in range(2):
        (folder / f"{i}.png").write_bytes(encode_png(picture(i)))
    assert "2 usable photos, and at least 3" in refused(folder, tmp_path / "set")


def test_an_output_that_holds_something_else_is_refused(camera: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/thesis.txt").write_text("mine")
    assert "is a file" in refused(camera, tmp_path / "file")
    assert "something else" in refused(camera, tmp_path / "folder")
    assert "cannot write to" in refused(camera, tmp_path / "file/set")


def test_a_photo_set_that_is_none_is_told(camera: Path, tmp_path: Path) -> None:
    run(camera, tmp_path / "set")
    with pytest.raises(InputError, match="is no photo set"):
        PhotoSet.load(camera)
    (tmp_path / "set" / PhotoSet.load(tmp_path / "set").photos[0].file).unlink()
    with pytest.raises(InputError, match="there is no such file"):
        PhotoSet.load(tmp_path / "set").array()
    (tmp_path / "set/photos.jsonl").write_text('{"id": "a"}\n')
    with pytest.raises(InputError, match="line 1: object missing required field file"):
        PhotoSet.load(tmp_path / "set")


@pytest.mark.skipif(sys.platform != "linux", reason="file names of any bytes are Linux's")
def test_file_names_of_any_bytes(camera: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (camera / os.fsdecode(b"caf\xe9.png")).write_bytes(encode_png(picture(40)))
    (camera / "two\nlines.png").write_bytes(encode_png(picture(41)))
    (camera / os.fsdecode(b"broken\xff\n.jpg")).write_bytes(b"?")
    assert main(["photos", str(camera), "--out", str(tmp_path / "set"), "--size", "32"]) == 0
    said = capsys.readouterr().out
    assert re.search("skipped broken\ufffd\ufffd.jpg \\[[0-9a-f]{8}]: is no image", said)
    assert "12 photos" in said
    sources = {row["source"] for row in read_jsonl(tmp_path / "set/photos.jsonl")}
    shown = {re.sub(r" \[[0-9a-f]{8}]$", "", source) for source in sources}
    assert {"caf\ufffd.png", "two\ufffdlines.png"} <= shown


def test_a_full_disk_is_told_and_the_same_command_goes_on(camera: Path, tmp_path: Path) -> None:
    arguments = ["photos", str(camera), "--out", str(tmp_path / "disk/set"), "--size", "120"]
    told, errors = in_small_disk(tmp_path, arguments, "64k")
    assert told == "status 2\nset.partial\n"
    assert errors.startswith("e2gan: No space left on device")
    assert errors.count("\n") == 1
    told, errors = in_small_disk(tmp_path, arguments, "8m")
    assert "status 0\nset\n" in told


def test_a_read_only_disk_is_told(camera: Path, tmp_path: Path) -> None:
    told, errors = in_small_disk(tmp_path, ["photos", str(camera), "--out", str(tmp_path / "disk/set")], "1m", "-r")
    assert told == "status 2\n"
    assert "cannot write to" in errors
    assert errors.count("\n") == 1


def test_real_photographs(shared: Path, tmp_path: Path) -> None:
    result = prepare_photos(PhotosConfig(folder=shared / "photos/test", out=tmp_path / "set", size=128))
    assert (result.train, result.val, result.test) == (80, 10, 10)
    photos = PhotoSet.load(tmp_path / "set")
    assert len({photo.id for photo in photos.photos}) == 100
    photo = photos.photos[17]
    assert np.array_equal(photos.array([photo.id])[0], square(read_image(shared / "photos/test" / photo.source), 128))


@pytest.mark.slow
def test_two_thousand_photos_take_seconds(shared: Path, tmp_path: Path) -> None:
    start = time.process_time()
    result = prepare_photos(PhotosConfig(folder=shared / "photos/landscapes", out=tmp_path / "set"))
    assert result.train + result.val + result.test == 2000
    assert time.process_time() - start < 60  # 9 s on a 2-core machine of 2024, all threads together


@pytest.mark.parametrize(("test", "suffix"), [("val", "jpg"), ("test", "png")], ids=["AFHQ", "AFHQ v2"])
def test_one_animal_of_afhq(tmp_path: Path, test: str, suffix: str) -> None:
    """AFHQ has train/ and val/ (v2: test/), and in each cat/, dog/ and wild/, of 512 pixels."""
    for i, animal in enumerate(("cat", "dog", "wild")):
        for split, count in (("train", 14), (test, 3)):
            folder = tmp_path / "afhq" / split / animal
            folder.mkdir(parents=True)
            for j in range(count):
                Image.fromarray(picture(100 * i + j, 512, 512)).save(folder / f"flickr_{animal}_{j:06}.{suffix}")
    result = run(tmp_path / "afhq/train/cat", tmp_path / "set", limit=10)
    assert (result.train, result.val, result.test) == (8, 1, 1)
    assert all(photo.source.startswith("flickr_cat") for photo in PhotoSet.load(tmp_path / "set").photos)


def test_photos_whose_names_look_alike_are_told_apart(camera: Path, tmp_path: Path) -> None:
    photos = sorted(camera.rglob("*.png"))[:4]
    strange = [tmp_path / "in" / os.fsdecode(name) for name in (b"a\x01.jpg", b"a\x02.jpg", b"a\xff.jpg", b"a\xfe.jpg")]
    strange[0].parent.mkdir()
    for photo, path in zip(photos, strange, strict=True):
        path.write_bytes(photo.read_bytes())
    result = prepare_photos(PhotosConfig(folder=tmp_path / "in", out=tmp_path / "set", size=32))
    assert result.train + result.val + result.test == 4
    assert len({photo.source for photo in PhotoSet.load(tmp_path / "set").photos}) == 4
