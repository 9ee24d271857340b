"""The benchmark of growing costs: rows that differ in one setting, a table of factors, and a plot."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image

from tests.benchmarks import ROOT, mistake, script


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    return script("growth")


def test_one_setting_is_changed_at_a_time(bench: Any) -> None:
    for quick in (False, True):
        groups = bench.rows(2, quick)
        assert groups.keys() == bench.LABELS.keys()
        start = set.intersection(*(set(group) for group in groups.values()))
        assert len(start) == 1
        for name, group in groups.items():
            values = [getattr(row, name) for row in group]
            assert values == sorted(set(values))
            assert all(bench.replace(row, **{name: getattr(min(start), name)}) == min(start) for row in group)


def test_ranks_are_multiples_of_the_papers(bench: Any) -> None:
    assert bench.training(bench.Row()).ranks == bench.Ranks()
    assert bench.training(bench.Row(ranks=4)).ranks == bench.Ranks(level1=4, level2=16, level3=32, level4=32, tb=4)


@pytest.mark.slow
def test_every_setting_is_measured_and_drawn(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]))
    out, picture = tmp_path / "growth.json", tmp_path / "growth.png"
    assert bench.main(["--quick", "--threads", "1", "--out", str(out), "--plot", str(picture)]) == 0
    told = json.loads(out.read_text())["rows"]
    assert [row["error"] for row in told] == [None] * 8
    assert all(row["ms"] > 0 and row["peak_megabytes"] > 100 for row in told)
    sizes = [row["gflop_a_photo"] for row in told if row["setting"] == "size"]
    assert sizes[1] > 3 * sizes[0]
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("|")[2].strip() for line in lines if line.startswith("|")][2:] == [
        "8",
        "32",
        "32",
        "64",
        "1",
        "2",
        "8",
        "16",
    ]
    with Image.open(picture) as image:
        assert image.width > 600
    assert picture.stat().st_size < 100_000


def test_a_row_that_does_not_run_is_told_and_left_out_of_the_plot(bench: Any, tmp_path: Path) -> None:
    found = {"error": None, "peak_megabytes": 300, "ms": 100.0, "quiet": True, "gflop_a_photo": 2.0}
    broken = {"error": "out of memory", "peak_megabytes": 0, "gflop_a_photo": 8.0}
    told = [
        {"setting": "size", "size": 64} | found,
        {"setting": "size", "size": 128} | found | {"ms": 400.0, "quiet": False},
        {"setting": "size", "size": 256} | broken,
    ]
    lines = bench.table(told).splitlines()
    assert lines[3] == "|  | 128 | 0.400 (never quiet) | 4.00 | 1.00 | 300 | 1.00 |"
    assert "does not run: out of memory" in lines[4]
    bench.plot(told, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 1000


def test_a_plot_that_is_a_folder_is_refused_before_anything_is_measured(
    bench: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "--plot" in mistake(bench, ["--plot", str(tmp_path)], capsys)
