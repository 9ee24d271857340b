"""Models scored once for their weights, pairs and metric, and put side by side."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from e2gan.core.errors import InputError
from e2gan.research.comparison import aligned, load_sets, settings_with_sets
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


def test_concepts_that_cannot_be_told_apart_are_refused(project: Project, tmp_path: Path) -> None:
    again = shutil.copytree(project.sepia, tmp_path / "again")
    with pytest.raises(InputError, match="two of the pair sets have the prompt 'as a sepia photo'"):
        load_sets([project.sepia, again])
    assert [pairs.folder for pairs in load_sets([project.sepia, project.dusk])] == [project.sepia, project.dusk]


def test_how_it_is_scored_is_not_what_is_trained(project: Project, tmp_path: Path) -> None:
    config, sets = settings(project, "5", tmp_path), load_sets([project.sepia])
    trained = settings_with_sets(config, sets)
    assert settings_with_sets(replace(config, metric="fd-random", device="cpu"), sets) == trained
    assert settings_with_sets(replace(config, epochs=2), sets) != trained
    assert settings_with_sets(config, load_sets([project.dusk])) != trained


def test_columns_are_aligned() -> None:
    assert aligned([["name", "L1"], ["a", "12.5"]]) == ["name    L1", "a     12.5"]
