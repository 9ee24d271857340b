from __future__ import annotations

from pathlib import Path

import pytest
import torch

from e2gan import CrucialConfig, FinetuneConfig, TrainingConfig, find_crucial, finetune_base
from e2gan.config import PAPER, Part
from e2gan.core.errors import InputError
from e2gan.networks.generator import Generator
from e2gan.networks.models import Model, load_generator
from e2gan.train.finetune import part_parameters
from tests.conftest import Project

QUICK = TrainingConfig(steps=6, batch=4, lr=2e-3, schedule="constant", precision="fp32")


def test_the_parts_have_the_papers_parameters_and_are_the_whole_generator() -> None:
    generator = Generator(PAPER)
    counts = {part: sum(p.numel() for p in group) for part, group in part_parameters(generator).items()}
    assert counts == {"sl": 1_936_899, "tb": 1_578_240, "rb": 3_540_480}
    assert sum(counts.values()) == sum(p.numel() for p in generator.parameters())


@pytest.mark.parametrize("part", ["sl", "tb", "rb"])
def test_a_frozen_part_keeps_the_bases_weights_and_the_others_move(
    part: Part, project: Project, tmp_path: Path
) -> None:
    config = FinetuneConfig(pairs=project.sepia, out=tmp_path / "m", base=project.base, frozen=(part,), training=QUICK)
    trained = finetune_base(config)
    base, _ = load_generator(project.base)
    ours, _ = load_generator(tmp_path / "m")
    moved = {
        name: any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
        for (name, before), after in zip(part_parameters(base).items(), part_parameters(ours).values(), strict=True)
    }
    assert moved == {name: name != part for name in ("sl", "tb", "rb")}
    frozen = sum(p.numel() for p in part_parameters(base)[part])
    assert trained.parameters == sum(p.numel() for p in base.parameters()) - frozen
    assert finetune_base(config).result.already_done


def test_all_parts_frozen_is_refused(project: Project, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing would be trained"):
        finetune_base(FinetuneConfig(pairs=project.sepia, out=tmp_path / "m", frozen=("sl", "tb", "rb")))


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
