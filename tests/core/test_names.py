"""Texts as names of folders, names that files give, and inputs' names as their outputs'."""

from __future__ import annotations

import os
from pathlib import Path, PurePath

import numpy as np
import pytest

from e2gan.core.names import LONGEST, file_key, inside, one_name, output_names, prompt_key, slug
from tests.conftest import refused


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Make it autumn!", "make-it-autumn"),
        ("  as a 1970s photo, faded ", "as-a-1970s-photo-faded"),
        ("秋にする", ""),
        ("!?", ""),
        ("word " * 30, "word-"),
    ],
)
def test_a_slug_is_a_folders_name_and_another_for_another_text(text: str, name: str) -> None:
    assert slug(text).startswith(name)
    assert 1 <= len(slug(text)) <= LONGEST
    assert slug(text) == slug(text)
    if name in ("", "word-"):
        assert slug(text) != slug(text + "冬")


def test_neither_case_nor_space_tells_prompts_apart() -> None:
    assert prompt_key("Low  Quality\nphoto ") == prompt_key("low quality photo")
    assert prompt_key("Low Quality photo") != prompt_key("LowQuality photo")


def png_or_own(suffix: str) -> str:
    return suffix if suffix.lower() in (".png", ".jpg") else ".png"


def named(*files: str) -> list[str]:
    return [name.as_posix() for name in output_names([PurePath(file) for file in files], png_or_own)]


def test_an_output_has_its_inputs_name_and_an_exact_name_belongs_to_its_owner() -> None:
    assert named("a.jpg", "b/a.jpg", "c.bmp", "d") == ["a.jpg", "b/a.jpg", "c.png", "d.png"]
    assert named("a-png.png", "a.bmp", "a.png") == ["a-png.png", "a-bmp.png", "a.png"]
    assert named("a.bmp", "a.gif") == ["a-bmp.png", "a-gif.png"]
    assert named("a.bmp", "a.png", "a-bmp.png")[1:] == ["a.png", "a-bmp.png"]


def test_no_two_outputs_meet_on_a_disk_without_case_or_unicodes_forms() -> None:
    rng = np.random.default_rng(0)
    stems = ["a", "A", "a-bmp", "a-gif", "\u00e9", "e\u0301", "E\u0301", "ß", "ss", "x.png"]
    files = [f"{folder}{stem}{suffix}" for folder in ("", "a.png/", "B/", "b/") for stem in stems for suffix in
             (".png", ".PNG", ".bmp", ".gif", "")]  # fmt: skip
    for _ in range(200):
        chosen = [files[i] for i in rng.choice(len(files), 12, replace=False)]
        names = named(*chosen)
        keys = [file_key(name) for name in names]
        assert len(set(keys)) == len(chosen)
        folders = {file_key(parent) for name in names for parent in PurePath(name).parents}
        assert not folders & set(keys)  # no file where a folder is to be
        order = rng.permutation(len(chosen))
        assert named(*(chosen[i] for i in order)) == [names[i] for i in order]  # the order does not count
        again = named(*chosen, "elsewhere.bmp", "other/thing.png")
        assert again[: len(chosen)] == names  # nor does what meets none of them


def test_a_name_that_is_no_utf8_has_an_output_that_is(tmp_path: Path) -> None:
    files = [Path(os.fsdecode(name)) for name in (b"a\xff1.jpg", b"a\xfe1.jpg", b"a-1.jpg", b"\xe9t\xe9/b.jpg")]
    names = output_names(files, lambda suffix: suffix)
    assert len({file_key(name) for name in names}) == 4
    assert names[2] == Path("a-1.jpg")
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        name.as_posix().encode()  # raises for what is no text
    assert output_names(files[:1], lambda suffix: suffix) == names[:1]  # whatever else there is


def test_the_same_input_twice_is_refused() -> None:
    assert "named twice" in refused(lambda: named("a.png", "b.png", "a.png"))


@pytest.mark.parametrize("name", ["images/a.png", "a", "deep/down/ä.png", "..a/b..png", "ab:c"])
def test_a_name_inside_a_folder_is_its_path(name: str, tmp_path: Path) -> None:
    assert inside(tmp_path, name) == tmp_path / name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../a", "a/../../b", "a/..", "/etc/passwd", "~/a", "C:\\a", "c:a", "a\\..\\b", "a\0b", "x" * 256],
)
def test_a_name_that_leads_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    assert str(tmp_path) in refused(lambda: inside(tmp_path, name))


def test_a_link_that_leads_elsewhere_is_refused_and_one_inside_is_not(tmp_path: Path) -> None:
    folder, other = tmp_path / "set", tmp_path / "other"
    for made in (folder / "images", other):
        made.mkdir(parents=True)
    (other / "a.png").write_bytes(b"")
    (folder / "images/a.png").symlink_to(other / "a.png")
    (folder / "linked").symlink_to(other)
    (folder / "same").symlink_to("images")
    for name in ("images/a.png", "linked", "linked/new.png"):
        assert "link" in refused(lambda name=name: inside(folder, name))
    assert inside(folder, "same/b.png") == folder / "same/b.png"
    (tmp_path / "way").symlink_to(folder)  # the folder itself may be reached by a link
    assert inside(tmp_path / "way", "images/b.png") == tmp_path / "way/images/b.png"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../a", "a\\b", "C:a", "a\nb", "*", "a" * 201, "~a"])
def test_what_cannot_be_a_files_name(name: str) -> None:
    refused(lambda: one_name(name))
    assert one_name("p01-a_b.c ä") == "p01-a_b.c ä"
