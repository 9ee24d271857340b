from __future__ import annotations

import ast
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

import e2gan
from e2gan.core.errors import InputError
from e2gan.core.files import write_json
from e2gan.core.images import MADE_HERE
from e2gan.core.originals import DERIVED, derived, list_images, made_here
from e2gan.core.picture_kinds import IMAGE_SUFFIXES
from tests.conftest import refused

PACKAGE = Path(e2gan.__file__).parent


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


def found(root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in list_images(root)]


def test_list_images_is_recursive_sorted_and_leaves_hidden_files_out(tmp_path: Path) -> None:
    touch(tmp_path, "b/2.PNG", "a.jpg", "B.jpeg", "b/._2.png", ".trash/x.jpg", "notes.txt", "b/c/1.webp")
    assert found(tmp_path) == ["B.jpeg", "a.jpg", "b/2.PNG", "b/c/1.webp"]
    assert ".heic" in IMAGE_SUFFIXES
    with pytest.raises(InputError, match="is no folder"):
        list_images(tmp_path / "absent")
    with pytest.raises(InputError, match="is a file"):
        list_images(tmp_path / "a.jpg")


def test_what_a_nas_or_a_tool_derived_is_left_out_and_told_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "2000")
    touch(tmp_path, "2024/a.jpg", "2024/@eaDir/a.jpg/SYNOPHOTO_THUMB_XL.jpg", "2024/.thumbnails/a.png")
    touch(tmp_path, "#recycle/old.jpg", "Thumbs/a.jpg", "__MACOSX/2024/a.jpg", ".cache/x.png", ".cache/empty.txt")
    touch(tmp_path, "Catalog Previews.lrdata/0/a.jpg", "nb/.ipynb_checkpoints/plot.png", "@eadirectory/b.jpg")
    assert found(tmp_path) == ["2024/a.jpg", "@eadirectory/b.jpg"]
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "left out 8 images" in told
    assert "others" in told
    for name in DERIVED:
        assert derived(tmp_path / name.upper()) is not None


def test_photographs_of_kinds_that_are_not_read_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "2000")
    touch(tmp_path, "a.jpg", "a.CR2", "b/b.cr2", "c.jxl", ".hidden.dng", "text.txt")
    assert found(tmp_path) == ["a.jpg"]
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "2 .cr2 (camera raw), 1 .jxl (JPEG XL)" in told


def test_a_folder_of_thumbnails_or_of_ours_may_be_named_itself(tmp_path: Path) -> None:
    touch(tmp_path, "thumbs/a.jpg", "set/images/b.png")
    write_json(tmp_path / "set/config.json", {"stage": "photos", "settings": {}, "versions": {}})
    assert found(tmp_path) == []
    assert found(tmp_path / "thumbs") == ["a.jpg"]
    assert found(tmp_path / "set") == ["images/b.png"]


def test_our_own_outputs_are_left_out_and_a_strangers_config_is_not_ours(tmp_path: Path) -> None:
    for name in ("set", "edits.partial", "their/model"):
        touch(tmp_path, f"{name}/images/x.png")
    for name in ("set", "edits.partial"):
        write_json(tmp_path / name / "config.json", {"stage": "edit", "settings": {}, "versions": {}})
    write_json(tmp_path / "their/model/config.json", {"stage": 3, "settings": {}})
    (tmp_path / "lying").mkdir()
    (tmp_path / "lying/config.json").write_text("[" * 100_000)
    touch(tmp_path, "lying/y.png", "selection.png", "concepts-rest.png", "sheet.png", "mine.png")
    for name in ("selection", "concepts"):
        write_json(tmp_path / f"{name}.json", {"stage": name, "versions": {}})
    write_json(tmp_path / "metrics.json", {})
    write_json(tmp_path / "mine.json", {"camera": "x"})
    assert found(tmp_path) == ["lying/y.png", "mine.png", "their/model/images/x.png"]


def test_linked_folders_are_read_once_and_never_for_ever(tmp_path: Path) -> None:
    for name in ("disk/a.jpg", "disk/deep/b.jpg", "mine/c.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "mine/trip").symlink_to("../disk")
    (tmp_path / "disk/deep/up").symlink_to("..")
    (tmp_path / "disk/lost").symlink_to("nowhere")
    found = [path.relative_to(tmp_path / "mine").as_posix() for path in list_images(tmp_path / "mine")]
    assert found == ["c.jpg", "trip/a.jpg", "trip/deep/b.jpg"]


def test_no_other_module_lists_the_images_of_a_folder() -> None:
    """`list_images` is the one reader of a user's folders. Others list what they wrote themselves, or a program did."""
    own = {
        "app/site.py": "the files of the page",
        "core/identity.py": "a network's folder",
        "core/files.py": "what a kill left beside a file",
        "core/temporary.py": "temporary folders that it made",
        "features/hub.py": "a network's folder",
        "core/outputs.py": "whether an output is empty",
        "core/record.py": "what a folder holds that this program wrote",
        "research/verify.py": "folders that this program wrote",
        "networks/folders.py": "the adapters that ship, and folders with bases and adapters",
        "pairs/concept_lists.py": "the lists that ship",
        "pairs/blocks.py": "edits that it wrote",
        "sweeps/workspace.py": "folders that tasks of this program wrote",
        "pairs/make.py": "whether an output is empty",
        "pairs/candidates.py": "candidates that it wrote",
        "pairs/build_set.py": "scores and images that it wrote",
        "teachers/diffusion/presets.py": "the presets that ship",
        "teachers/command.py": "what a teacher's program wrote",
        "export/format.py": "the size of a file that it wrote",
        "export/web.py": "the bytes of the files of a site that it wrote",
        "train/loop.py": "files that it has just written",
    }
    listing = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            name = node.attr if isinstance(node, ast.Attribute) else ""
            if name in ("walk", "rglob", "glob", "iterdir", "scandir", "listdir"):
                listing.add(path.relative_to(PACKAGE).as_posix())
    assert listing - {"core/originals.py"} == set(own)


def test_an_edit_of_ours_is_known_by_xmp_that_another_program_has_packed(tmp_path: Path) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", f"<x:xmpmeta>{MADE_HERE}</x:xmpmeta>", zip=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "edit.png", pnginfo=text)
    assert MADE_HERE.encode() not in (tmp_path / "edit.png").read_bytes()
    assert made_here(tmp_path / "edit.png")
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", "<x:xmpmeta></x:xmpmeta>", zip=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "other.png", pnginfo=text)
    assert not made_here(tmp_path / "other.png")


def test_a_folder_that_may_not_be_read_ends_no_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = os.scandir

    def scandir(path: str) -> Any:  # as for anybody but root, who runs tests too
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setenv("COLUMNS", "2000")
    monkeypatch.setattr(os, "scandir", scandir)
    touch(tmp_path, "a.jpg", "locked/b.jpg", "open/c.jpg")
    assert found(tmp_path) == ["a.jpg", "open/c.jpg"]
    assert "left out locked, which may not be read (no permission)" in capsys.readouterr().err
    assert "cannot be read: Permission denied" in refused(lambda: list_images(tmp_path / "locked"))


def test_pictures_by_content_and_hidden_ones_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "2000")
    touch(tmp_path, "a.jpg", ".b.jpg", "._a.jpg", "notes.txt", "t.tga")
    for name in ("noext", "large.JPG_large"):
        Image.new("RGB", (8, 8)).save(tmp_path / name, "JPEG")
    assert found(tmp_path) == ["a.jpg"]
    told = capsys.readouterr().err
    assert "left out large.JPG_large, noext: a picture by its content, but not by its name" in told
    assert "left out 1 image that is no original: 1 in . (hidden)" in told
    assert "1 .tga (Targa)" in told
    assert "notes" not in told


def test_a_folder_has_its_own_name_whatever_links_lead_to_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "2000")
    touch(tmp_path, "in/sub/deep/s.jpg")
    (tmp_path / "in" / "a").mkdir()
    (tmp_path / "in" / "a" / "link").symlink_to(tmp_path / "in" / "sub")
    (tmp_path / "in" / "a" / "b").symlink_to(tmp_path / "in" / "sub" / "deep")
    assert found(tmp_path / "in") == ["sub/deep/s.jpg"]
    assert "1 in a/b (the same folder as sub/deep)" in capsys.readouterr().err
