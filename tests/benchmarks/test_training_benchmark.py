"""The benchmark of trainings: its rows run, and a factor against pix2pix is the product of its parts."""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any

import pytest

from tests.benchmarks import ROOT, script


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    return script("training")


@pytest.mark.slow
def test_a_row_trains_in_its_own_process(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]))
    name = "adapter, small, best"
    row = bench.Row(name, 64, 1)
    found = bench.turns.take_turns({name: lambda: bench.turns.Served(bench.__file__, row, 1)}, 1, 1, 0.0)
    told = bench.facts(name, 64, found[name])
    assert told["error"] is None
    assert told["ms"] > 0
    assert told["hours"] == pytest.approx(told["ms"] / 3.6e6 * 400 * 100)


def test_the_small_size_costs_less_than_the_full_one_and_pix2pix_most(bench: Any) -> None:
    gflop = {name: bench.facts(name, 64, bench.turns.Found())["gflop"] for name in bench.trainings()}
    assert gflop["adapter, small, quick"] < gflop["adapter, full, quick"] / 2 < gflop[bench.PUBLISHED] / 2


def test_the_parts_of_a_factor_make_it(bench: Any) -> None:
    def row(name: str, ms: float, gflop: float, pairs: int, epochs: int) -> dict[str, Any]:
        hours = ms / 3.6e6 * pairs * epochs
        found = bench.turns.Found(turns=[(0.0, [ms])], megabytes=100).facts()
        return {"name": name, "gflop": gflop, "pairs": pairs, "epochs": epochs, "batch": 1, "hours": hours} | found

    rows = [row("first", 900.0, 300.0, 800, 200), row("second", 225.0, 150.0, 400, 100)]
    text = bench.table(rows, {"fp32": 1e12}, {"first": "fp32", "second": "fp32"})
    cells = [cell.strip() for cell in text.splitlines()[-1].split("|")[1:-1]]
    assert cells[-5:] == ["16.0", "2.0", "2.0", "2.0", "2.0"]
    assert cells[4] == "33%"  # 75 GMAC in 225 ms of a peak of 1,000 GMAC a second
