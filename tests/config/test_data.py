"""Settings of the stages that make the data."""

from __future__ import annotations

import pytest

from e2gan.config import TeachConfig
from e2gan.core.errors import InputError
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


def test_a_shard_is_counted_from_one_on_the_command_line() -> None:
    assert TeachConfig().part() == (0, 1)
    assert TeachConfig(shard="2/3").part() == (1, 3)
    for shard in ("0/3", "4/3", "a/3", "2", ""):
        with pytest.raises(InputError, match=f"--shard {shard}: must be I/N"):
            TeachConfig(shard=shard).check()
