from __future__ import annotations

from pathlib import Path

import pytest

from e2gan import CrucialConfig, TrainingConfig, find_crucial
from e2gan.networks.models import Model, load_generator
from tests.conftest import Project

QUICK = TrainingConfig(steps=6, batch=4, lr=2e-3, schedule="constant", precision="fp32")


@pytest.mark.slow
def test_crucial_reports_each_part_averaged_over_concepts_with_sheets(project: Project, tmp_path: Path) -> None:
    config = CrucialConfig(
        pairs=(project.sepia, project.dusk), out=tmp_path / "c", base=project.base, metric="l1", training=QUICK
    )
    found = find_crucial(config)
    assert [row.part for row in found.rows] == [None, "sl", "tb", "rb"]
    for row in found.rows:
        assert row.mean == pytest.approx(sum(c.score.value for c in row.cells) / 2)
    assert found.rows[0].cells[0].parameters == sum(c.numel() for c in load_generator(project.base)[0].parameters())
    names = {p.name for p in (tmp_path / "c").iterdir()}
    assert {"crucial.json", "crucial.png", "sheet-sepia.png", "sheet-dusk.png"} <= names
    assert "SL frozen" in str(found)
    model = Model.load(model=tmp_path / "c/models/sl-frozen/sepia")
    assert model.prompt == "as a sepia photo"
    times = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("model.safetensors")}
    again = find_crucial(config)
    assert [r.mean for r in again.rows] == [r.mean for r in found.rows]
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("model.safetensors")} == times
