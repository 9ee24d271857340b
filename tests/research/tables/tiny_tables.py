"""A table at its smallest: one epoch of a tiny generator."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from e2gan import GeneratorConfig, TableConfig, run_table
from e2gan.research.tables.run import TableResult
from tests.conftest import TINY, Project

SMALL = replace(GeneratorConfig(**TINY), blocks=3, transformers=(2,))


def settings(project: Project, number: str, out: Path, **changes: object) -> TableConfig:
    config = TableConfig(
        number=number,
        out=out,
        pairs=(project.sepia,),
        base_pairs=(project.dusk,),
        epochs=1,
        baseline_epochs=1,
        base_epochs=1,
        batch=8,
        metric="l1",
        generator=SMALL,
        precision="fp32",
    )
    return replace(config, **changes)


def run(config: TableConfig) -> TableResult:
    found = run_table(config)
    assert isinstance(found, TableResult)
    return found
