"""Files and folders that `edit` reads and writes, and those that it refuses."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from e2gan import (
    EditConfig,
    InputError,
    Model,
    PhotosConfig,
    PhotoSet,
    Predictor,
    ScratchConfig,
    edit,
    prepare_photos,
    train_scratch,
)
from e2gan.core.files import sha256
from e2gan.core.images import Pixels, read_image, resize
from e2gan.data.builtin_photos import builtin_pictures
from tests.conftest import Project, refused
from tests.core.profiles import LINEAR, WIDE, as_in, smooth
from tests.editing.test_provenance import described
from tests.editing.tiny_model import far, noise, told_in_one_line


def config(project: Project, source: Path, out: Path, **changes: object) -> EditConfig:
    changes = {"input": (source,), "base": project.base, "adapter": (project.adapter,), "device": "cpu"} | changes
    return EditConfig(out=out, **changes)  # pyright: ignore[reportArgumentType]


def save(path: Path, photo: Pixels, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(photo).save(path, **options)  # pyright: ignore[reportArgumentType]
    return path


def stop_at(monkeypatch: pytest.MonkeyPatch, number: int) -> list[int]:
    """Ctrl-C at the edit of this number, counted from 1. Returns a list that each edit joins as it begins."""
    plain, seen = Predictor.edit, []

    def counted(self: Predictor, *arguments: Any, **settings: Any) -> Any:
        seen.append(1)
        if len(seen) == number:
            raise KeyboardInterrupt
        return plain(self, *arguments, **settings)

    monkeypatch.setattr(Predictor, "edit", counted)
    return seen


@pytest.mark.parametrize("name", ["out.png", "out.JPG", "new/folder/out.webp"])
def test_a_photo_becomes_a_file_of_the_named_kind(project: Project, tmp_path: Path, name: str) -> None:
    photo = resize(builtin_pictures()["coffee"], (70, 90))
    source = save(tmp_path / "photo.png", photo)
    found = edit(config(project, source, tmp_path / name))
    with Image.open(found.out) as image:
        assert image.format == {"png": "PNG", "jpg": "JPEG", "webp": "WEBP"}[name.lower().rpartition(".")[2]]
        pixels = np.array(image.convert("RGB"))
    expected = Predictor(Model.load(base=project.base, adapter=(project.adapter,)), "cpu", "auto").edit(photo)
    assert far(pixels, expected) < (0.001 if name.endswith("png") else 6)


def test_the_same_command_again_replaces_the_file(project: Project, tmp_path: Path) -> None:
    source = save(tmp_path / "photo.png", noise(40, 40))
    edit(config(project, source, tmp_path / "out.png", strength=0.0))
    first = (tmp_path / "out.png").read_bytes()
    edit(config(project, source, tmp_path / "out.png"))
    assert (tmp_path / "out.png").read_bytes() != first
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.png", "photo.png"]


def test_an_upright_photo_comes_back_upright(project: Project, tmp_path: Path) -> None:
    """A phone's photo lies on its side with a note in its EXIF: the edit is upright, without the note."""
    exif = Image.Exif()
    exif[0x0112] = 6
    source = save(tmp_path / "photo.jpg", noise(40, 60), exif=exif)
    edit(config(project, source, tmp_path / "out.jpg"))
    with Image.open(tmp_path / "out.jpg") as image:
        assert image.size == (40, 60)
        assert 0x0112 not in image.getexif()


def test_a_folder_keeps_its_shape_and_skips_what_is_no_photo(project: Project, tmp_path: Path) -> None:
    root = tmp_path / "in"
    save(root / "a.jpg", noise(40, 50))
    save(root / "deep" / "er" / "b.png", noise(33, 41))
    save(root / "c.bmp", noise(20, 30))
    (root / "d.jpg").write_text("no photo")
    (root / "notes.txt").write_text("not looked at")
    out = tmp_path / "out"
    found = edit(config(project, root, out))
    written = {str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()} - {"config.json", "edits.jsonl"}
    assert written == {"a.jpg", "deep/er/b.png", "c.png"}
    assert found.photos == 3
    assert [name for name, _ in found.skipped] == ["d.jpg"]
    assert "d.jpg" in str(found)
    with Image.open(out / "deep" / "er" / "b.png") as image:
        assert image.size == (41, 33)


def test_a_folder_is_done_until_a_photo_or_the_weights_change(project: Project, tmp_path: Path) -> None:
    root, out = tmp_path / "in", tmp_path / "out"
    save(root / "a.png", noise(32, 32))
    edit(config(project, root, out))
    assert edit(config(project, root, out)).already_done
    save(root / "b.png", noise(32, 40))
    with pytest.raises(InputError, match="the pictures of"):
        edit(config(project, root, out))


@pytest.mark.parametrize("name", WIDE)
def test_a_wide_photo_comes_back_in_its_own_profile(project: Project, tmp_path: Path, name: str) -> None:
    """At strength 0 as it was, beyond sRGB too; edited, with the colours of the edit of the same photo in sRGB."""
    photo, icc = smooth(70, 90), WIDE[name]
    wide = save(tmp_path / "wide.png", as_in(icc, photo), icc_profile=icc)
    vivid = save(tmp_path / "vivid.png", noise(70, 90), icc_profile=icc)
    plain = save(tmp_path / "plain.png", photo)
    for source in (wide, vivid):
        out = edit(config(project, source, tmp_path / "same.png", strength=0.0)).out
        with Image.open(out) as image, Image.open(source) as own:
            assert np.array_equal(np.asarray(image), np.asarray(own))
            assert image.info["icc_profile"] == icc
    expected = np.asarray(Image.open(edit(config(project, plain, tmp_path / "a.png")).out))
    for suffix, most in ((".png", 1.5), (".jpg", 6), (".webp", 6)):
        out = edit(config(project, wide, tmp_path / f"b{suffix}")).out
        assert far(read_image(out), expected) < most
        with Image.open(out) as image:
            assert image.info["icc_profile"] == icc


def test_a_profile_that_no_edit_goes_back_into_becomes_srgb(project: Project, tmp_path: Path) -> None:
    grey = save(tmp_path / "grey.png", np.full((40, 40), 128, np.uint8), icc_profile=LINEAR)
    edit(config(project, grey, tmp_path / "out.png", strength=0.0))
    with Image.open(tmp_path / "out.png") as image:
        assert image.info["icc_profile"] == LINEAR  # of RGB, which grey pixels may have
    broken = save(tmp_path / "broken.png", noise(40, 40), icc_profile=b"no profile" * 30)
    edit(config(project, broken, tmp_path / "out.png", strength=0.0))
    with Image.open(tmp_path / "out.png") as image:
        assert "icc_profile" not in image.info
        assert np.array_equal(np.asarray(image), noise(40, 40))


def test_photos_of_one_stem_have_a_file_each(project: Project, tmp_path: Path) -> None:
    root, out = tmp_path / "in", tmp_path / "out"
    levels = {"a-png.png": 10, "a.bmp": 90, "a.png": 170, "A.png": 220}
    for name, level in levels.items():
        save(root / name, np.full((32, 32, 3), level, np.uint8))
    edit(config(project, root, out, strength=0.0))
    found = {path.name: int(read_image(path)[0, 0, 0]) for path in out.glob("*.png")}
    assert sorted(found.values()) == sorted(levels.values())
    assert (found["a-png.png"], found["A.png"], found["a-bmp.png"]) == (10, 220, 90)
    assert len({name.lower() for name in found}) == 4


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_an_edit_tells_how_it_was_made_unless_it_should_not(project: Project, tmp_path: Path, suffix: str) -> None:
    source = save(tmp_path / "photo.png", noise(40, 40))
    out = edit(config(project, source, tmp_path / f"a{suffix}", strength=0.5)).out
    with Image.open(out) as image:
        told = described(image.info["xmp"])
    assert told["{urn:e2gan:edit#}Effect"] == "as a sepia photo"
    assert told["{urn:e2gan:edit#}Strength"] == "0.5"
    assert told["{urn:e2gan:edit#}BaseSHA256"] == sha256(project.base / "model.safetensors")
    assert told["{urn:e2gan:edit#}AdapterSHA256"] == [sha256(project.adapter / "adapter_model.safetensors")]
    assert str(tmp_path).encode() not in out.read_bytes()
    again = edit(config(project, source, tmp_path / f"b{suffix}", strength=0.5)).out
    assert again.read_bytes() == out.read_bytes()
    quiet = edit(config(project, source, tmp_path / f"c{suffix}", provenance=False)).out
    assert b"e2gan" not in quiet.read_bytes()


def test_metadata_and_transparency_come_back_and_what_does_not_is_told(project: Project, tmp_path: Path) -> None:
    root, exif = tmp_path / "in", Image.Exif()
    exif[0x0112], exif[0x8298], exif[0x8825] = 6, "(c) somebody", {1: "N"}
    save(root / "dated.jpg", noise(40, 60), exif=exif, dpi=(300, 300))
    clear = np.dstack([smooth(40, 40), np.full((40, 40), 128, np.uint8)])
    save(root / "clear.png", clear)
    frames = [Image.fromarray(noise(40, 40)), Image.fromarray(255 - noise(40, 40))]
    frames[0].save(root / "moving.webp", save_all=True, append_images=frames[1:])
    found = edit(config(project, root, tmp_path / "out", strength=0.0))
    assert "moving.webp: only the first of its 2 frames is edited" in str(found)
    with Image.open(tmp_path / "out" / "dated.jpg") as image:
        assert image.getexif()[0x8298] == "(c) somebody"
        assert image.getexif().get_ifd(0x8825) == {1: "N"}
        assert 0x0112 not in image.getexif()
        assert image.size == (40, 60)
        assert image.info["dpi"] == (300, 300)
    with Image.open(tmp_path / "out" / "clear.png") as image:
        assert np.abs(np.asarray(image).astype(int) - clear).max() <= 2
    out = edit(config(project, root / "dated.jpg", tmp_path / "a.jpg", metadata="no-gps")).out
    with Image.open(out) as image:
        assert image.getexif()[0x8298] == "(c) somebody"
        assert not image.getexif().get_ifd(0x8825)
    out = edit(config(project, root / "dated.jpg", tmp_path / "b.jpg", metadata="none")).out
    with Image.open(out) as image:
        assert not image.getexif()
    told = edit(config(project, root / "clear.png", tmp_path / "c.jpg"))
    assert "transparency lies over white" in str(told)


def test_bad_input_is_one_line_and_leaves_nothing(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = save(tmp_path / "good.jpg", noise(40, 40))
    save(tmp_path / "wide.png", np.zeros((2, 16400, 3), np.uint8))
    (tmp_path / "text.jpg").write_text("no photo")
    (tmp_path / "cut.jpg").write_bytes(good.read_bytes()[:-400])
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "x.png").write_text("no photo")
    before = sorted(tmp_path.rglob("*"))
    for source, out, reason in [
        ("absent.jpg", "o.png", "does not exist"),
        ("text.jpg", "o.png", "no image"),
        ("cut.jpg", "o.png", "damaged"),
        ("good.jpg", "o.tiff", "ending"),
        ("good.jpg", "o", "ending"),
        ("good.jpg", "good.jpg", "input itself"),
        ("good.jpg", "empty", "ending"),
        ("empty", "o", "no photos"),
        ("broken", "o", "could be read"),
        ("broken", "good.jpg", "is a file"),
        ("broken", "broken/o", "inside the input"),
        ("good.jpg", "text.jpg/o.png", "cannot write"),
        ("wide.png", "o.webp", "do not go into WEBP"),
    ]:
        assert reason in told_in_one_line(project, tmp_path / source, tmp_path / out, capsys)
        assert sorted(tmp_path.rglob("*")) == before, (source, out)


def test_a_mixture_lies_between_its_adapters(project: Project, tmp_path: Path) -> None:
    photo = resize(builtin_pictures()["coffee"], (48, 48))
    source = save(tmp_path / "photo.png", photo)
    images = {}
    for name, adapters, weights in [
        ("one", (project.adapter,), None),
        ("twice", (project.adapter, project.adapter), None),
        ("none", (project.adapter, project.adapter), (0.0, 0.0)),
    ]:
        out = edit(config(project, source, tmp_path / f"{name}.png", adapter=adapters, weights=weights)).out
        images[name] = np.array(Image.open(out))
    assert far(images["one"], images["twice"]) < 0.5  # halves of the same adapter are the adapter
    assert far(images["one"], images["none"]) > 0.5
    with pytest.raises(InputError, match="--weights"):
        edit(config(project, source, tmp_path / "x.png", weights=(1.0, 2.0)))


def test_a_link_to_nothing_is_left_out_and_told(project: Project, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    shutil.copy(next((project.photos / "images").iterdir()), tmp_path / "in/photo.png")
    (tmp_path / "in/gone.jpg").symlink_to("nowhere")
    done = edit(config(project, tmp_path / "in", tmp_path / "out"))
    assert done.photos == 1
    assert [name for name, _ in done.skipped] == ["gone.jpg"]


def test_a_folder_is_gone_on_with_where_it_was_stopped(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(project.photos / "images", tmp_path / "in")
    count, seen = len(list((tmp_path / "in").iterdir())), stop_at(monkeypatch, 6)
    with pytest.raises(KeyboardInterrupt):
        edit(config(project, tmp_path / "in", tmp_path / "out"))
    done = edit(config(project, tmp_path / "in", tmp_path / "out"))
    assert (done.photos, done.resumed, len(seen)) == (count, 5, count + 1)
    assert "5 of them were there" in str(done)
    edit(config(project, tmp_path / "in", tmp_path / "whole"))
    for path in (tmp_path / "whole").glob("*.png"):
        assert path.read_bytes() == (tmp_path / "out" / path.name).read_bytes()


def test_what_a_stopped_run_told_is_told_again_by_the_next_ones(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the one that goes on, and by the one that finds all of it done, which prepares no network for it."""
    root, frames = tmp_path / "in", [Image.fromarray(noise(40, 40)), Image.fromarray(255 - noise(40, 40))]
    root.mkdir()
    frames[0].save(root / "a.webp", save_all=True, append_images=frames[1:])
    (root / "b.jpg").write_text("no photo")
    for name in ("c", "d"):
        save(root / f"{name}.png", noise(40, 40))
    stop_at(monkeypatch, 3)
    with pytest.raises(KeyboardInterrupt):
        edit(config(project, root, tmp_path / "out"))
    rows = tmp_path / "out.partial/edits.jsonl"
    rows.write_bytes(rows.read_bytes() + b'{"edit": "d.png", "pho')  # cut off by a kill
    after = edit(config(project, root, tmp_path / "out"))
    whole = edit(config(project, root, tmp_path / "whole"))
    assert (after.resumed, whole.resumed) == (2, 0)
    assert (tmp_path / "out/edits.jsonl").read_bytes() == (tmp_path / "whole/edits.jsonl").read_bytes()

    def unwanted(*_: object) -> None:
        raise AssertionError("prepared")

    monkeypatch.setattr(Predictor, "__init__", unwanted)
    done = edit(config(project, root, tmp_path / "out"))
    assert done.already_done
    for found in (after, whole, done):
        assert found.photos == 3
        assert [name for name, _ in found.skipped] == ["b.jpg"]
        assert found.lost == [("a.webp", "only the first of its 2 frames is edited")]
    for line in ("edited already, nothing to do", "skipped b.jpg: ", "only the first of its 2 frames"):
        assert line in str(done)
    (tmp_path / "out/edits.jsonl").unlink()  # as an earlier version left it
    assert edit(config(project, root, tmp_path / "out")).already_done


@pytest.mark.parametrize("kind", ["link", "folder", "pipe", "long line", "another's row"])
def test_what_lies_in_place_of_the_rows_of_a_stopped_run_is_begun_anew(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    root, out = tmp_path / "in", tmp_path / "out"
    for name in ("a", "b"):
        save(root / f"{name}.png", noise(32, 32))
    stop_at(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        edit(config(project, root, out))
    rows, precious = tmp_path / "out.partial/edits.jsonl", tmp_path / "precious.txt"
    precious.write_text("mine")
    if kind == "another's row":
        rows.write_text('{"edit": "z.png", "photo": "z.png"}\n{"edit": "a.png", "photo": "a.png", "skipped": "so"}\n')
    elif kind == "long line":
        rows.write_text("[" + "1," * 2_000_000)
    else:
        rows.unlink()
        if kind == "link":
            rows.symlink_to(precious)
        elif kind == "folder":
            rows.mkdir()
        else:
            os.mkfifo(rows)
    found = edit(config(project, root, out))
    assert (found.photos, found.skipped) == (2, [])
    assert precious.read_text() == "mine"
    assert [json.loads(line)["edit"] for line in (out / "edits.jsonl").read_text().splitlines()] == ["a.png", "b.png"]


def test_names_that_are_no_utf8_and_the_longest_ones_end_no_batch(project: Project, tmp_path: Path) -> None:
    """The folder's, a damaged photo's, and those that become too long with another ending."""
    root = tmp_path / os.fsdecode(b"fo\xfe")
    save(root / "good.png", noise(32, 32))
    (root / os.fsdecode(b"bad\xff.png")).write_text("no photo")
    for ending, number in (("bmp", 1), ("gif", 2)):
        Image.fromarray(noise(32, 32 + number)).save(root / f"{'x' * 251}.{ending}")
    shutil.copy(root / "good.png", root / os.fsdecode(b"y" * 250 + b"\xff.png"))
    found = edit(config(project, root, tmp_path / "out"))
    assert found.photos == 4
    assert len(found.skipped) == 1
    assert str(found).encode()
    assert edit(config(project, root, tmp_path / "out")).already_done


def test_photos_in_folders_that_are_called_as_the_outputs_files_are_refused(project: Project, tmp_path: Path) -> None:
    for name in ("edits.jsonl", "config.json"):
        both = (save(tmp_path / name / "a.png", noise(32, 32)), save(tmp_path / "b" / "a.png", noise(32, 32)))
        with pytest.raises(InputError, match="rename the folder"):
            edit(config(project, both[0], tmp_path / "out", input=both))
        assert not (tmp_path / "out.partial").exists()


def test_our_own_edits_are_no_photos_unless_there_is_nothing_else(project: Project, tmp_path: Path) -> None:
    shutil.copytree(project.photos / "images", tmp_path / "in")
    count = len(list((tmp_path / "in").iterdir()))
    for i, (name, suffix) in enumerate(
        zip(sorted((tmp_path / "in").iterdir())[:3], (".png", ".jpg", ".webp"), strict=True)
    ):
        edit(config(project, name, tmp_path / f"in/edited{i}{suffix}"))
    found = prepare_photos(PhotosConfig(folder=tmp_path / "in", size=32, out=tmp_path / "set"))
    assert len(PhotoSet.load(found.folder).photos) == count
    (tmp_path / "edits").mkdir()
    for path in (tmp_path / "in").glob("edited*"):
        shutil.copy(path, tmp_path / "edits")
    found = prepare_photos(PhotosConfig(folder=tmp_path / "edits", size=32, out=tmp_path / "of edits"))
    assert len(PhotoSet.load(found.folder).photos) == 3


def test_several_photos_become_a_folder_under_their_own_names(project: Project, tmp_path: Path) -> None:
    photo = resize(builtin_pictures()["coffee"], (70, 90))
    sources = [save(tmp_path / name, photo) for name in ("here/a.png", "there/b.jpg")]
    found = edit(config(project, sources[0], tmp_path / "out", input=tuple(sources)))
    assert found.photos == 2
    assert {p.name for p in found.out.iterdir()} >= {"a.png", "b.jpg"}
    assert edit(config(project, sources[0], tmp_path / "out", input=tuple(sources))).already_done
    save(sources[1], photo[::-1])  # another picture under the same name
    with pytest.raises(InputError, match="are others than"):
        edit(config(project, sources[0], tmp_path / "out", input=tuple(sources)))


def test_several_photos_of_one_name_keep_their_folders(project: Project, tmp_path: Path) -> None:
    photo = resize(builtin_pictures()["coffee"], (70, 90))
    sources = [save(tmp_path / "all" / name, photo) for name in ("here/a.png", "there/a.png")]
    found = edit(config(project, sources[0], tmp_path / "out", input=tuple(sources)))
    assert {p.relative_to(found.out).as_posix() for p in found.out.rglob("*.png")} == {"here/a.png", "there/a.png"}


def test_several_photos_are_photos_and_there(project: Project, tmp_path: Path) -> None:
    photo = save(tmp_path / "a.png", resize(builtin_pictures()["coffee"], (70, 90)))
    for other, what in ((tmp_path / "gone.png", "does not exist"), (tmp_path, "is a folder"), (photo, "named twice")):
        with pytest.raises(InputError, match=what):
            edit(config(project, photo, tmp_path.parent / f"{tmp_path.name}-out", input=(photo, other)))
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(photo.read_bytes()[:200])
    link = tmp_path / "link.png"
    link.symlink_to("nowhere")
    found = edit(config(project, photo, tmp_path / "out", input=(photo, damaged, link)))
    assert found.photos == 1
    assert [name for name, _ in found.skipped] == ["damaged.png", "link.png"]


def test_what_is_no_file_is_not_replaced(project: Project, tmp_path: Path) -> None:
    photo = save(tmp_path / "a.png", resize(builtin_pictures()["coffee"], (70, 90)))
    os.mkfifo(tmp_path / "out.png")
    with pytest.raises(InputError, match=r"out\.png is no file: name a file"):
        edit(config(project, photo, tmp_path / "out.png"))
    assert (tmp_path / "out.png").is_fifo()


def test_the_grey_that_a_png_of_16_bits_hides_comes_back_as_transparency(project: Project, tmp_path: Path) -> None:
    grey = np.full((40, 40), 30_000, np.uint16)
    grey[:20] = 20_560
    Image.fromarray(grey).save(tmp_path / "grey.png", transparency=20_560)
    edit(config(project, tmp_path / "grey.png", tmp_path / "out.png"))
    with Image.open(tmp_path / "out.png") as edited:
        alpha = np.asarray(edited.convert("RGBA"))[..., 3]
    assert (alpha[:20] == 0).all()
    assert (alpha[20:] == 255).all()


def test_a_photo_whose_name_is_no_utf8_is_edited(project: Project, tmp_path: Path) -> None:
    source = tmp_path / "in" / os.fsdecode(b"a\xff1.png")
    save(source, resize(builtin_pictures()["coffee"], (70, 90)))
    found = edit(config(project, tmp_path / "in", tmp_path / "out"))
    assert found.photos == 1
    (made,) = (tmp_path / "out").glob("*.png")
    assert made.name.startswith("a-1-")
    assert edit(config(project, tmp_path / "in", tmp_path / "out")).already_done


def test_a_folder_that_is_called_as_the_outputs_own_file_is_refused(project: Project, tmp_path: Path) -> None:
    save(tmp_path / "in/Config.json/a.png", resize(builtin_pictures()["coffee"], (70, 90)))
    with pytest.raises(InputError, match="rename the folder"):
        edit(config(project, tmp_path / "in", tmp_path / "out"))
    assert not list(tmp_path.glob("out*"))


def test_a_file_may_have_the_longest_name_that_there_is(project: Project, tmp_path: Path) -> None:
    source = save(tmp_path / "photo.png", noise(32, 32))
    out = tmp_path / f"{'x' * 251}.png"
    assert edit(config(project, source, out)).out.is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photo.png", out.name]
    said = refused(lambda: edit(config(project, source, tmp_path / f"{'x' * 252}.png")))
    assert "is too long for a path" in said


def test_a_colour_table_is_found_done_whatever_runtime_is_named(project: Project, tmp_path: Path) -> None:
    train_scratch(ScratchConfig(pairs=project.sepia, out=tmp_path / "table", model="lut"))
    save(tmp_path / "in/a.png", noise(40, 40))
    command = EditConfig(
        input=(tmp_path / "in",), out=tmp_path / "out", model=tmp_path / "table", runtime="pytorch-bf16", device="cpu"
    )
    assert edit(command).runtime == "pytorch"
    again = edit(command)
    assert (again.already_done, again.runtime) == (True, "pytorch")


def test_the_fastest_runtime_is_chosen_by_what_the_network_sees(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []
    made = Predictor.__init__

    def counted(self: Predictor, model: Model, device: str, runtime: Any, photos: int) -> None:
        counts.append(photos)
        made(self, model, device, runtime, photos)

    monkeypatch.setattr(Predictor, "__init__", counted)
    for i in range(3):
        save(tmp_path / f"in/{i}.png", noise(256, 512))
    edit(config(project, tmp_path / "in", tmp_path / "whole", side=0))
    edit(config(project, tmp_path / "in", tmp_path / "half", side=128))
    edit(config(project, tmp_path / "in/0.png", tmp_path / "one.png"))  # at the side that the base was trained at
    assert counts == [6, 2, 1]  # twice as wide as high; a quarter of that
