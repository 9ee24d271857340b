"""Texts as names of folders, and inputs' names as their outputs'."""

from __future__ import annotations

from pathlib import PurePath

import numpy as np
import pytest

from e2gan.core.names import LONGEST, file_key, output_names, prompt_key, slug
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


def test_the_same_input_twice_is_refused() -> None:
    assert "named twice" in refused(lambda: named("a.png", "b.png", "a.png"))
