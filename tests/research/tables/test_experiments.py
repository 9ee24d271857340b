"""Every experiment on pairs that it has never seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from e2gan import run_table
from e2gan.core.errors import InputError
from e2gan.research.tables.experiments import EXPERIMENTS
from tests.conftest import Project
from tests.research.tables.tiny_tables import run, settings


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", sorted(set(EXPERIMENTS) - {"table2", "table3", "table5", "table6", "table9", "table14"})
)
def test_every_experiment_runs_on_pairs_it_has_never_seen(name: str, project: Project, tmp_path: Path) -> None:
    bases = (project.dusk, project.sepia) if name in ("table4", "table11") else (project.dusk,)
    found = run(settings(project, name, tmp_path, base_pairs=bases))
    assert len(found.rows) >= 3
    assert all(row.values["mean"] > 0 for row in found.rows)
    assert len({row.name for row in found.rows}) == len(found.rows)


@pytest.mark.slow
def test_table_9_compares_embeddings(project: Project, tmp_path: Path, shared: Path) -> None:
    config = settings(project, "9", tmp_path, base=project.base)
    with pytest.raises(InputError, match="name another with --embedding"):
        run_table(config)
    found = run(replace(config, features=shared / "features/squeezenet11.safetensors"))
    assert [row.name for row in found.rows[1:]] == ["selected by gradient-colour", "selected by squeezenet"]


@pytest.mark.slow
def test_table_2_trains_the_baselines(project: Project, tmp_path: Path) -> None:
    config = settings(project, "2", tmp_path, base=project.base, steps=1)
    names = [row.name for row in run(config).rows]
    assert names == ["the photo as it is", "pix2pix", "pix2pix-zero-distilled (Co-Mod-GAN)", "adapter"]
