"""Settings that all trainings share."""

from __future__ import annotations

import json

import pytest

from e2gan.cli import main
from tests.config.tiny_commands import refusal


def test_comodgans_own_training_is_the_default_of_the_command(capsys: pytest.CaptureFixture) -> None:
    assert main(["scratch", "--pairs", "a", "--out", "b", "--model", "comodgan", "--dry-run"]) == 0
    training = json.loads(capsys.readouterr().out)["training"]
    assert (training["lr"], training["betas"], training["r1"]) == (2e-3, [0.0, 0.99], 5.0)
    assert main(["scratch", "--pairs", "a", "--out", "b", "--model", "pix2pix-unet", "--dry-run"]) == 0
    assert json.loads(capsys.readouterr().out)["training"]["lr"] == 2e-4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("base --pairs a --out b --steps -5", "--steps -5: must be at least 1"),
        ("base --pairs a --out b --batch 0", "--batch 0"),
        ("base --pairs a --out b --lr -1", "--lr"),
        ("base --pairs a --out b --crop 30", "--crop 30"),
        ("adapt --pairs a --out b --perceptual -1", "--perceptual -1"),
        ("adapt --pairs a --out b --gram -1", "--gram -1"),
        ("adapt --pairs a --out b --l1 0 --gan 0", "nothing would be trained"),
    ],
)
def test_a_training_that_cannot_be_is_one_line(arguments: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert words in refusal(arguments, capsys)
