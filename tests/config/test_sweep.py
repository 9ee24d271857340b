from __future__ import annotations

import pytest

from e2gan.cli import main
from e2gan.config import SweepConfig, TrainingConfig
from tests.config.tiny_commands import refusal

NEEDED = "sweep filters --photos p --out o"


@pytest.mark.parametrize(
    ("flags", "told"),
    {
        "--minutes 3": "--steps or --epochs instead",
        "--device cuda": "--device needs --gpus",
        "--gpus 1.5": "a share up to 1, or whole ones",
        "--gpus -1": "--gpus -1.0",
        "--threads 0": "--threads 0",
        "--tasks 2 --address auto": "a cluster has its own",
        "--keep 2 --batch 4": "must be at least --batch",
        "--block 0": "--block 0",
        "--scratch-gb 0": "must be positive",
        "--export onnx onnx": "--export names onnx twice",
        "--teacher": "--teacher is empty",
        "--recipe quick": "--steps or --epochs instead",
    }.items(),
)
def test_what_does_not_go_together_is_refused(flags: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert told in refusal(f"{NEEDED} {flags}", capsys)


def test_a_recipe_counts_in_steps(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*NEEDED.split(), "--recipe", "quick", "--steps", "50", "--dry-run"]) == 0
    assert '"init": "gradient"' in capsys.readouterr().out


def test_no_machine_chooses_for_itself() -> None:
    config = SweepConfig(concepts="filters", photos="p", out="o", training=TrainingConfig(device="cpu"))  # type: ignore[arg-type]
    assert (config.same_training.precision, config.same_training.device) == ("fp32", "cpu")
    config = SweepConfig(concepts="filters", photos="p", out="o", gpus=0.5)  # type: ignore[arg-type]
    assert config.same_training.device == "auto"
