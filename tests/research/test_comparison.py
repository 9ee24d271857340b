"""Models scored once for their weights, pairs and metric, and put side by side."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import Project
from tests.research.tables.tiny_tables import run, settings


@pytest.mark.slow
def test_another_metric_scores_the_same_models(project: Project, tmp_path: Path) -> None:
    config = settings(project, "Tab. 7", tmp_path, base=project.base)
    run(config)
    times = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.safetensors")}
    found = run(replace(config, number="7", metric="fd-random"))
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.safetensors")} == times
    assert " kd " in found.rows[1].cells["as a sepia photo"]
    assert "fd-random on 3 test photos" in found.markdown()
