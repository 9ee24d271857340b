"""Settings of the searches and comparisons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from e2gan.config import FinetuneConfig, TableConfig
from e2gan.core.errors import InputError
from e2gan.train.finetune import finetune_base
from tests.conftest import Project


def test_all_parts_frozen_is_refused(project: Project, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing would be trained"):
        finetune_base(FinetuneConfig(pairs=project.sepia, out=tmp_path / "m", frozen=("sl", "tb", "rb")))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"minutes": 1.0, "steps": 5}, "^--minutes and --steps: name one of them"),
        ({"base_minutes": 1.0, "base_steps": 5}, "^--base-minutes and --base-steps: name one of them"),
        ({"adapter_lr": 0.0}, "^--adapter-lr 0.0: must be positive"),
        ({"keep": 0}, "^--keep 0"),
    ],
)
def test_a_table_is_trained_for_one_length_and_at_a_rate(changes: dict[str, Any], words: str) -> None:
    TableConfig(number="5").check()
    with pytest.raises(InputError, match=words):
        TableConfig(number="5", **changes).check()
