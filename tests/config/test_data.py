"""Settings of the stages that make the data."""

from __future__ import annotations

import pytest

from tests.config.tiny_commands import refusal


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("photos x --out y --size 100", "--size 100"),
        ("photos x --out y --limit 0", "--limit 0"),
        ("pairs --concept autumn --out y", "name one source"),
        ("pairs --concept autumn --before x --out y", "--after"),
    ],
)
def test_photos_and_pairs_that_cannot_be_are_one_line(
    arguments: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert words in refusal(arguments, capsys)
