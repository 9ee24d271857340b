"""The pair sets that experiments are tried on."""

from __future__ import annotations

import pytest

from tests.conftest import Project
from tests.research.tables.tiny_tables import Sets, make_sets


@pytest.fixture(scope="session")
def sets(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Sets:
    return make_sets(project, tmp_path_factory.mktemp("concepts"))
