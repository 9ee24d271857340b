"""A base's own weights, fine-tuned with parts frozen."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from e2gan import TrainingConfig
from e2gan.config import PAPER, FinetuneConfig, Part
from e2gan.networks.generator import Generator
from e2gan.networks.models import load_generator
from e2gan.train.finetune import finetune_base, part_parameters
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
