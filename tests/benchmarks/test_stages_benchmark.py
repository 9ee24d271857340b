"""The benchmark of stages: its commands run, and what lies beyond the limit is told."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks import ROOT, script


@pytest.mark.slow
def test_each_stage_runs_and_has_its_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]))
    bench: Any = script("stages")
    monkeypatch.setattr(bench, "SAMPLE", 2)
    text = bench.run(tmp_path, [30, 40])
    rows = {line.split("|")[1].strip(): line for line in text.splitlines()[2:]}
    assert rows.keys() == {"photos", "pairs", "scratch", "edit", "evaluate"}
    assert (tmp_path / "stages.json").is_file()


def test_what_lies_beyond_the_limit_is_a_share_of_a_photos_time() -> None:
    bench: Any = script("stages")
    found = {"photos": {n: {"processor": 1 + n * 0.02, "megabytes": 100.0} for n in (100, 1000)}}
    cells = [cell.strip() for cell in bench.table(found, {"photos": 15.0}).splitlines()[-1].split("|")[1:-1]]
    assert cells == ["photos", "100", "100", "3.0", "21.0", "20.0", "15.0", "25%"]
