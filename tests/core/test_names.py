"""Texts as names of folders."""

from __future__ import annotations

import pytest

from e2gan.core.names import LONGEST, prompt_key, slug


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
