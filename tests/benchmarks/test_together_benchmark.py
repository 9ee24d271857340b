"""The benchmark of one process and several: it runs, and its table says which is faster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks import script


def test_speed_is_that_of_the_fastest_rounds() -> None:
    bench: Any = script("together")
    found = {1: [{"step": 9.0, "mean": 0.0}, {"step": 8.0, "mean": 0.0}], 2: [{"step": 5.0, "mean": 1.0}]}
    text, rows = bench.table(found)
    assert [row["speed"] for row in rows] == [1.0, 1.6]
    assert text.splitlines()[-1] == "| 2 | 5.0 | 1.0 | 1.60 | 5 |"


@pytest.mark.slow
def test_one_and_two_processes_are_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bench: Any = script("together")
    out = tmp_path / "found.json"
    bench.main(["--batch", "2", "--size", "32", "--steps", "2", "--rounds", "1", "--out", str(out)])
    one, two = json.loads(out.read_text())["rows"]
    assert (one["processes"], two["processes"]) == (1, 2)
    assert one["mean"] < two["mean"] < two["step"]
    assert capsys.readouterr().out.count("\n") == 4
