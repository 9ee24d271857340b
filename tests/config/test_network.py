"""Settings of the generator, and ranks from a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from e2gan.cli import main
from e2gan.config import GeneratorConfig, Ranks
from e2gan.core.errors import InputError
from e2gan.networks.generator import Generator
from tests.config.tiny_commands import refusal


@pytest.mark.parametrize(
    ("text", "message"),
    [('{"ranks": {"level1": 1}}', "missing required field"), ("[]", "no ranks.json"), ("no json", "not JSON")],
)
def test_a_file_that_is_no_ranks_json_is_one_line(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "r.json").write_text(text)
    assert main(f"adapt --pairs x --out y --ranks {tmp_path / 'r.json'}".split()) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


SMALL = GeneratorConfig(width=8, blocks=3, heads=2, text_width=16)


@pytest.mark.parametrize(
    "wrong",
    [
        {"transformers": (4,)},
        {"transformers": (1, 1)},
        {"heads": 7},
        {"z": 1.0},
        {"width": 0},
        {"width": 36},
        {"fold": 0},
        {"blocks": -1},
    ],
)
def test_impossible_settings_are_refused(wrong: dict) -> None:
    with pytest.raises(InputError, match="--"):
        Generator(replace(SMALL, **wrong))


def test_an_adapter_without_a_rank_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = "adapt --pairs a --out b --level1 0 --level2 0 --level3 0 --level4 0 --tb 0"
    assert "all ranks are 0" in refusal(arguments, capsys)


def test_ranks_times_a_factor_leave_frozen_parts_frozen() -> None:
    ranks = Ranks(level1=1, level2=4, level3=0, level4=8, tb=1)
    assert ranks.times(4) == Ranks(level1=4, level2=16, level3=0, level4=32, tb=4)
    assert ranks.times(0.3) == Ranks(level1=1, level2=1, level3=0, level4=2, tb=1)
