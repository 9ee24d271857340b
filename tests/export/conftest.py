"""What several tests of exported files use."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Project
from tests.tiny_effects import effects_folder


@pytest.fixture(scope="session")
def effects(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two effects, not to be changed; the second's adapter lies beside it."""
    return effects_folder(project, tmp_path_factory.mktemp("effects"))
