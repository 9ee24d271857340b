"""Settings of the stages that train, and of those that use what was trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from e2gan.config import CostConfig, EvaluateConfig, GeneratorConfig
from e2gan.core.errors import InputError
from e2gan.measure.cost import measure_cost
from tests.config.tiny_commands import refusal

SMALL = GeneratorConfig(width=8, heads=2, text_width=16)


def test_bad_settings_are_refused() -> None:
    with pytest.raises(InputError, match="--size"):
        measure_cost(CostConfig(size=100))
    with pytest.raises(InputError, match="--heads"):
        measure_cost(CostConfig(generator=replace(SMALL, heads=7)))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"labels": Path("palette.json")}, "--labels needs --segmenter"),
        ({"clip": ""}, "--clip is empty"),
        ({"source_prompt": " "}, "--source-prompt is empty"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        EvaluateConfig(model=Path("m"), pairs=Path("p"), **options).check()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("edit a.jpg --out b.jpg", "--adapter"),
        ("edit a.jpg --out b.jpg --adapter c --strength 2", "--strength"),
        ("export --out b", "--adapter"),
        ("scratch --pairs a --out b --unpaired --perceptual 20", "--perceptual, --gram and --feature-matching compare"),
        ("scratch --pairs a --out b --unpaired --feature-matching 10", "--feature-matching compare pairs"),
        ("scratch --pairs a --out b --model comodgan --feature-matching 10", "discriminator has none"),
        ("adapt --pairs a --out b --gan 0 --feature-matching 10", "needs a discriminator that learns"),
        ("adapt --pairs a --out b --lr-d 0", "--lr-d"),
    ],
)
def test_a_stage_that_cannot_be_is_one_line(arguments: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert words in refusal(arguments, capsys)
