"""Pairs from the built-in teacher and from pairs at hand; a run that stops goes on, a wrong one leaves nothing."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from e2gan.cli import main
from e2gan.config import PairsConfig, PhotosConfig
from e2gan.core.errors import InputError
from e2gan.core.files import read_json, write_json
from e2gan.core.images import encode_png, read_image, square
from e2gan.core.outputs import partial_of
from e2gan.data.pair_set import PairSet
from e2gan.data.photos import PhotoSet, prepare_photos
from e2gan.pairs.make import PairsResult, make_pairs
from e2gan.teachers.filters.filters import FILTERS, apply


def picture(seed: int, height: int = 48, width: int = 48) -> np.ndarray:
    coarse = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (5, 6, 3), np.uint8))
    return np.array(coarse.resize((width, height), Image.Resampling.BICUBIC))


def photo_set(folder: Path, count: int, side: int = 32) -> Path:
    camera = folder / "camera"
    camera.mkdir()
    for i in range(count):
        (camera / f"test_{i:03}.png").write_bytes(encode_png(picture(i, side, side)))
    prepare_photos(PhotosConfig(folder=camera, out=folder / "photos", size=side))
    return folder / "photos"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return photo_set(tmp_path, 10)


def run(out: Path, concept: str = "autumn", **settings: object) -> PairsResult:
    return make_pairs(PairsConfig(out=out, concept=concept, **settings))  # type: ignore[arg-type]


def refused(out: Path, concept: str = "autumn", **settings: object) -> str:
    """The one line; and nothing is left of the output."""
    before = sorted(out.parent.iterdir())
    with pytest.raises(InputError) as caught:
        run(out, concept, **settings)
    assert "\n" not in str(caught.value)
    assert sorted(out.parent.iterdir()) == before
    return str(caught.value)


# ---------------------------------------------------------------------------------------------------------- the teacher


def test_pairs_are_the_photos_and_the_filters_edits(photos: Path, tmp_path: Path) -> None:
    result = run(tmp_path / "pairs", photos=photos, seed=7)
    assert (result.train, result.val, result.test) == (8, 1, 1)
    pairs = PairSet.load(tmp_path / "pairs")
    assert (pairs.prompt, pairs.teacher, pairs.size) == (FILTERS["autumn"].prompt, "filters:autumn", 32)
    of_photos = PhotoSet.load(photos)
    for split in ("train", "val", "test"):
        before, after, ids = pairs.arrays(split)
        assert ids == [photo.id for photo in of_photos.split(split)]
        assert np.array_equal(before, of_photos.array(ids))
        for photo, edit in zip(before, after, strict=True):
            assert np.array_equal(edit, apply(FILTERS["autumn"], photo))
    assert str(result).startswith(f'10 pairs "{FILTERS["autumn"].prompt}" (filters:autumn) in ')


def test_the_rows_are_those_of_an_imagefolder(photos: Path, tmp_path: Path) -> None:
    run(tmp_path / "pairs", photos=photos, seed=7)
    rows = PairSet.load(tmp_path / "pairs").rows
    prompt = FILTERS["autumn"].prompt
    rest = {"prompt": prompt, "teacher": "filters:autumn", "seed": 7, "score": None}
    for row, photo in zip(rows, PhotoSet.load(photos).photos, strict=True):
        assert row == {"file_name": f"images/{photo.id}.png", "photo": photo.id, "split": photo.split} | rest
        # The `datasets` library would take such a word for the split of the file.
        assert not re.search(r"(^|[-._ 0-9])(test|train|val)[-._ 0-9]", row["photo"])
    assert {path.name for path in (tmp_path / "pairs").iterdir()} == {"images", "metadata.jsonl", "config.json"}


def test_name_and_prompt_mean_the_same_and_a_prompt_of_ones_own_is_kept(photos: Path, tmp_path: Path) -> None:
    run(tmp_path / "pairs", photos=photos)
    assert run(tmp_path / "pairs", FILTERS["autumn"].prompt.upper(), photos=photos).already_done
    own = run(tmp_path / "own", "as in   October", photos=photos, teacher=("filters:autumn",))
    assert (own.prompt, own.teacher) == ("as in October", "filters:autumn")
    a, b = (PairSet.load(tmp_path / name).arrays("train")[1] for name in ("pairs", "own"))
    assert np.array_equal(a, b)


def test_unknown_teachers_and_concepts_are_refused(photos: Path, tmp_path: Path) -> None:
    assert 'no preset is called "diffusion"' in refused(tmp_path / "x", photos=photos, teacher=("diffusion",))
    assert "--teacher filters:: unknown" in refused(tmp_path / "x", photos=photos, teacher=("filters:",))
    assert "--teacher filters:NAME" in refused(tmp_path / "x", "as a Ming vase", photos=photos)
    assert "nonsuch" in refused(tmp_path / "x", "as a Ming vase", photos=photos, teacher=("filters:nonsuch",))
    assert "no photo set" in refused(tmp_path / "x", photos=tmp_path / "camera")


def test_a_selection_narrows_the_training_photos_only(photos: Path, tmp_path: Path) -> None:
    train = [photo.id for photo in PhotoSet.load(photos).split("train")]
    write_json(photos / "selection.json", {"ids": train[2:5]})
    result = run(tmp_path / "pairs", photos=photos)
    assert (result.train, result.val, result.test) == (3, 1, 1)
    assert PairSet.load(tmp_path / "pairs").arrays("train")[2] == train[2:5]
    assert "selection.json" in str(result)
    write_json(photos / "selection.json", {"ids": train[3:5]})
    assert "selection_sha256" in refused(tmp_path / "pairs", photos=photos)
    write_json(photos / "selection.json", {"ids": ["gone"]})
    assert "none of the training photos" in refused(tmp_path / "x", photos=photos)
    write_json(tmp_path / "other.json", {"ids": train[:2]})
    assert run(tmp_path / "other", photos=photos, selection=tmp_path / "other.json").train == 2
    write_json(photos / "selection.json", ["gone"])
    assert 'no list "ids"' in refused(tmp_path / "x", photos=photos)


def test_a_stopped_run_goes_on_and_keeps_what_is_there(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "pairs"
    run(out, photos=photos)
    # What a kill leaves: the partial folder without some of the images and without the rows.
    out.rename(partial_of(out))
    (partial_of(out) / "metadata.jsonl").unlink()
    images = sorted((partial_of(out) / "images").iterdir())
    whole = {path.name: path.read_bytes() for path in images}
    for path in images[:4]:
        path.unlink()
    kept = {path.name: path.stat().st_mtime_ns for path in images[4:]}
    assert "other settings (seed)" in refused(out, photos=photos, seed=1)
    result = run(out, photos=photos)
    assert not result.already_done
    assert "6 of them were there" in str(result)
    assert {path.name: path.read_bytes() for path in (out / "images").iterdir()} == whole
    assert {name: (out / "images" / name).stat().st_mtime_ns for name in kept} == kept
    assert run(out, photos=photos).already_done


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C for a process group is POSIX's")
@pytest.mark.slow
def test_ctrl_c_in_the_midst_of_it(tmp_path: Path) -> None:
    # Seconds of work, so that a busy machine finds it in its midst.
    photos, out = photo_set(tmp_path, 300, 128), tmp_path / "pairs"
    command = [sys.executable, "-m", "e2gan", "pairs", "--photos", photos, "--concept", "oil", "--out", out]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell starts what it puts in the background with Ctrl-C ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    done: list[Path] = []
    until = time.monotonic() + 60
    while len(done) < 12 and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
        done = list(partial_of(out).glob("images/*.png"))
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == "e2gan: stopped; the same command goes on from where it can\n"
    assert not out.exists()
    kept = {path.name: path.stat().st_mtime_ns for path in partial_of(out).glob("images/*.png")}
    assert 12 <= len(kept) < 300
    result = run(out, "oil", photos=photos)
    assert f"{len(kept)} of them were there" in str(result)
    assert {name: (out / "images" / name).stat().st_mtime_ns for name in kept} == kept
    assert len(list((out / "images").iterdir())) == 300


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_no_process_outlives_one_that_is_killed(tmp_path: Path) -> None:
    photos, out = photo_set(tmp_path, 300, 128), tmp_path / "pairs"
    command = [sys.executable, "-m", "e2gan", "pairs", "--photos", photos, "--concept", "oil", "--out", out]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)

    def group() -> list[str]:
        """The processes of its session that still run."""
        stats = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                stats.append(path.read_text().rpartition(")")[2].split())
        return [stat[0] for stat in stats if int(stat[3]) == process.pid and stat[0] != "Z"]

    until = time.monotonic() + 60
    while len(list(partial_of(out).glob("images/*.png"))) < 12 and time.monotonic() < until:
        time.sleep(0.02)
    assert len(group()) > 1
    process.kill()
    process.wait()
    until = time.monotonic() + 30
    while group() and time.monotonic() < until:
        time.sleep(0.1)
    assert group() == []
    assert len(list(partial_of(out).glob("images/*.png"))) < 300


@pytest.mark.slow
def test_many_photos_from_a_script_without_a_main_guard(tmp_path: Path) -> None:
    photo_set(tmp_path, 60)
    (tmp_path / "script.py").write_text(
        "from pathlib import Path\nfrom e2gan import PairsConfig, make_pairs\n"
        f"root = Path({str(tmp_path)!r})\n"
        "make_pairs(PairsConfig(photos=root / 'photos', concept='dusk', out=root / 'pairs'))\n"
    )
    subprocess.run([sys.executable, tmp_path / "script.py"], check=True, capture_output=True, timeout=120)
    before, after, _ = PairSet.load(tmp_path / "pairs").arrays("train")
    assert len(before) == 48
    assert all(np.array_equal(edit, apply(FILTERS["dusk"], photo)) for photo, edit in zip(before, after, strict=True))


def test_the_teacher_needs_no_torch() -> None:
    code = (
        "import sys, e2gan.pairs.make, e2gan.data.photos, e2gan.data.builtin_photos; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_full_disk_is_told_and_nothing_half_written_stays(photos: Path, tmp_path: Path) -> None:
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("a small disk needs the right to make a mount namespace (unshare -m)")
    disk = tmp_path / "disk"
    disk.mkdir()
    command = f"{sys.executable} -m e2gan pairs --photos {photos} --concept autumn --out {disk}/pairs"
    script = f"mount -t tmpfs -o size=24k none {disk} && {{ {command}; echo status $?; ls -A {disk}; }}"
    done = subprocess.run(["unshare", "-m", "bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "status 2\n"
    assert done.stderr.startswith("e2gan: No space left on device")
    assert done.stderr.count("\n") == 1


# --------------------------------------------------------------------------------------------------------- the pair set


def test_pairs_and_photos_move_together(photos: Path, tmp_path: Path) -> None:
    run(tmp_path / "deep/down/pairs", photos=photos)
    assert read_json(tmp_path / "deep/down/pairs/config.json")["settings"]["photos"] == "../../../photos"
    (tmp_path / "elsewhere").mkdir()
    shutil.move(photos, tmp_path / "elsewhere/photos")
    shutil.move(tmp_path / "deep", tmp_path / "elsewhere/deep")
    before, after, ids = PairSet.load(tmp_path / "elsewhere/deep/down/pairs").arrays("train")
    assert len(before) == len(after) == len(ids) == 8


def test_broken_pair_sets_are_told_in_one_line(photos: Path, tmp_path: Path) -> None:
    run(tmp_path / "pairs", photos=photos)
    pairs = PairSet.load(tmp_path / "pairs")
    with pytest.raises(InputError, match="no pairs in the split 'holiday'"):
        pairs.arrays("holiday")
    (tmp_path / "pairs" / pairs.rows[0]["file_name"]).write_bytes(encode_png(picture(0, 8, 8)))
    with pytest.raises(InputError, match="is not 32×32 pixels"):
        pairs.arrays(pairs.rows[0]["split"])
    with pytest.raises(InputError, match="holds the output of 'photos', not a pair set"):
        PairSet.load(photos)
    with pytest.raises(InputError, match="is no pair set"):
        PairSet.load(tmp_path / "absent")
    shutil.rmtree(photos)
    with pytest.raises(InputError, match=r"needs its photo set .*photos, which is missing"):
        PairSet.load(tmp_path / "pairs").arrays("train")
    (tmp_path / "pairs/metadata.jsonl").write_text("[]\n")
    with pytest.raises(InputError, match="of this version"):
        PairSet.load(tmp_path / "pairs")


# -------------------------------------------------------------------------------------------------------- pairs at hand


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
