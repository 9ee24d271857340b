"""What a training of each method costs, on one real step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from e2gan import GeneratorConfig
from e2gan.measure.cost import StepFlops
from e2gan.research.tables.costs import Measured, total_flops
from tests.conftest import Project
from tests.research.tables.tiny_tables import run, settings


@pytest.mark.slow
def test_costs_count_the_real_step_of_each_method(project: Project, tmp_path: Path) -> None:
    found = run(settings(project, "fig6", tmp_path, size=32, generator=GeneratorConfig(), pairs=()))
    rows = {row.name: row.values for row in found.rows}
    assert rows["e2gan"]["trained (M)"] == pytest.approx(0.091926)
    assert rows["pix2pix"]["trained (M)"] == pytest.approx(11.378179)
    step = "step (GFLOP)"
    assert rows["e2gan"][step] < rows["pix2pix"][step] < rows["comodgan"][step]
    for row in rows.values():
        parts = ("step: G forward (GFLOP)", "step: G backward (GFLOP)", "step: D (GFLOP)")
        assert row[step] == pytest.approx(sum(row[p] for p in parts))
    assert rows["e2gan"][step] < rows["e2gan, all weights"][step]
    # Frozen layers need no gradient of their weights: a backward pass of all weights is twice the forward one.
    assert rows["e2gan"]["step: G backward (GFLOP)"] < 1.7 * rows["e2gan"]["step: G forward (GFLOP)"]
    assert rows["pix2pix"]["step: G backward (GFLOP)"] > 1.9 * rows["pix2pix"]["step: G forward (GFLOP)"]
    assert found.paper["e2gan"]["seconds a concept"] == 200


def test_one_step_in_sixteen_has_the_penalty() -> None:
    flops = StepFlops(generator_forward=20, generator_backward=40, discriminator=40, total=100)
    plain = Measured(
        parameters=1, trained=1, macs=1, flops=flops, flops_r1=flops.total, seconds=1.0, stored=1, steps=32
    )
    assert total_flops(plain) == 100 * 32
    assert total_flops(replace(plain, flops_r1=260)) == 30 * 100 + 2 * 260
