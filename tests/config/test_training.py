"""Settings that all trainings share."""

from __future__ import annotations

import pytest

from e2gan.cli import main


def test_comodgans_own_training_is_the_default_of_the_command(capsys: pytest.CaptureFixture) -> None:
    import json

    assert main(["scratch", "--pairs", "a", "--out", "b", "--model", "comodgan", "--dry-run"]) == 0
    training = json.loads(capsys.readouterr().out)["training"]
    assert (training["lr"], training["betas"], training["r1"]) == (2e-3, [0.0, 0.99], 5.0)
    assert main(["scratch", "--pairs", "a", "--out", "b", "--model", "pix2pix-unet", "--dry-run"]) == 0
    assert json.loads(capsys.readouterr().out)["training"]["lr"] == 2e-4
