"""Settings of the searches and comparisons."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2gan.config import FinetuneConfig
from e2gan.core.errors import InputError
from e2gan.train.finetune import finetune_base
from tests.conftest import Project


def test_all_parts_frozen_is_refused(project: Project, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing would be trained"):
        finetune_base(FinetuneConfig(pairs=project.sepia, out=tmp_path / "m", frozen=("sl", "tb", "rb")))
