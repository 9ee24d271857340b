"""The benchmark of a GPU, run on a CPU in small: its way, its limits of time, and its JSON. No GPU is in it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from tests.benchmarks import ROOT, mistake, script

SMALL = ["--device", "cpu", "--quick"]


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    return script("gpu")


@pytest.fixture
def found_by_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]))


@pytest.mark.slow
@pytest.mark.usefixtures("found_by_parts")
def test_the_same_way_in_small_on_a_cpu(bench: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "gpu.json"
    assert bench.main([*SMALL, "--parts", "machine", "checks", "adapter", "--out", str(out)]) == 0
    told = json.loads(out.read_text())
    assert {name: part["error"] for name, part in told["parts"].items()} == dict.fromkeys(
        ("machine", "checks", "adapter")
    )
    rows = {name: part["rows"] for name, part in told["parts"].items()}
    assert rows["machine"][0]["torch"] == torch.__version__
    assert rows["machine"][1]["macs_a_second"] > 1e8
    assert [row["passed"] for row in rows["checks"]] == [True] * 8
    assert all(row["edit_moves"] > 1 for row in rows["checks"][:6])  # an edit that is the photo would show nothing
    few, whole = rows["adapter"]
    assert (few["steps"], whole["steps"], whole["whole"]) == (4, 32, True)
    assert whole["seconds_of_100_epochs"] == pytest.approx(
        whole["seconds"] + whole["ms_a_step"] / 1000 * (400 - 32), rel=1e-6
    )
    assert told["summary"]["checks_passed"] == "8 of 8"
    assert told["summary"]["failed"] == []
    assert '"checks_passed": "8 of 8"' in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.usefixtures("found_by_parts")
def test_a_part_whose_time_is_over_is_stopped_and_keeps_its_rows(bench: Any) -> None:
    part = bench.run_part("steps", "cpu", True, 2.0)  # which it takes to begin
    assert part["error"] == "stopped after 2 s"
    assert part["seconds"] < 20
    assert all(row["name"] for row in part["rows"])


@pytest.mark.slow
@pytest.mark.usefixtures("found_by_parts")
def test_a_part_that_fails_says_why(bench: Any) -> None:
    part = bench.run_part("machine", "nowhere", True, 60.0)
    assert part["rows"] == []
    assert "nowhere" in part["error"]


def test_a_row_that_fails_is_told_and_the_next_one_runs(bench: Any) -> None:
    parts = bench.sys.modules["gpu_parts"]
    settings = parts.Settings(torch.device("cpu"), True, parts.time.monotonic() + 60)
    row = parts.attempt("broken", lambda: {}["figure"], settings)
    assert (row["name"], row["error"]) == ("broken", "KeyError: 'figure'")
    assert parts.attempt("late", dict, settings, needs=100.0)["error"].startswith("not begun")
    assert parts.attempt("next", lambda: {"ms": 1.0}, settings)["ms"] == 1.0
    assert list(bench.whole_rows('{"name": "a"}\nnoise\n{"name": "b", "m')) == [{"name": "a"}]


def test_the_parts_fit_into_nine_minutes(bench: Any) -> None:
    # each may be five seconds late, until it is stopped
    assert sum(seconds + 5 for _, seconds in bench.PARTS.values()) <= 540
    assert bench.parser().parse_args([]).seconds <= 520


def test_the_goals_are_judged_by_the_card_and_the_fastest_way(bench: Any) -> None:
    def part(*rows: dict[str, Any], error: str | None = None) -> dict[str, Any]:
        return {"rows": [{"error": None} | row for row in rows], "error": error, "seconds": 1.0}

    def ours(seconds: float, how: str) -> dict[str, Any]:
        return {"name": "an adapter", "seconds_of_100_epochs": seconds, "how": how, "batch": 8, "epochs": 100.0}

    parts = {
        "machine": part({"name": "machine", "card": "NVIDIA H100 80GB HBM3"}),
        "checks": part({"name": "a", "passed": True}, {"name": "b", "passed": False}),
        "steps": part({"name": bench.PUBLISHED, "hours": 0.5}, {"name": bench.PUBLISHED, "hours": 0.25}),
        "adapter": part(ours(60.0, "eager"), ours(25.0, "CUDA graphs"), error="stopped after 115 s"),
    }
    told = bench.summary(parts)
    assert (told["checks_passed"], told["adapter_goal_seconds"], told["adapter_seconds"]) == ("1 of 2", 30.0, 25.0)
    assert told["adapter_how"].startswith("CUDA graphs")
    assert told["times_less"] == pytest.approx(36.0)
    assert told["failed"] == ["adapter"]
    assert bench.summary({})["times_less"] is None


def test_a_mistake_is_one_line(bench: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "is a folder" in mistake(bench, [*SMALL, "--out", str(tmp_path)], capsys)
    assert "not on this machine" in mistake(bench, ["--device", "cuda:99"], capsys)
