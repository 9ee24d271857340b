"""The benchmark of a GPU, run on a CPU in small: its way, its limits of time, and its JSON. No GPU is in it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
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
    assert [row["passed"] for row in rows["checks"]] == [True] * 16
    assert all(row["edit_moves"] > 1 for row in rows["checks"][:6])  # an edit that is the photo would show nothing
    few, whole = rows["adapter"]
    assert (few["steps"], whole["steps"], whole["whole"]) == (4, 32, True)
    assert whole["seconds_of_100_epochs"] == pytest.approx(
        whole["seconds"] + whole["other_seconds"] + whole["ms_a_step"] / 1000 * (400 - 32), rel=1e-6
    )
    assert told["summary"]["checks_passed"] == "16 of 16"
    assert told["summary"]["failed"] == told["summary"]["checks_failed"] == []
    assert '"checks_passed": "16 of 16"' in capsys.readouterr().out


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


def serves(process: psutil.Process) -> bool:
    try:
        return "--serve" in process.cmdline()
    except psutil.NoSuchProcess:  # it has ended, perhaps without being waited for yet
        return False


@pytest.mark.slow
@pytest.mark.usefixtures("found_by_parts")
def test_a_stop_from_outside_ends_the_parts_process_too(bench: Any, tmp_path: Path) -> None:
    out = tmp_path / "new" / "gpu.json"  # whose folder is made before anything is measured
    command = [sys.executable, bench.__file__, *SMALL, "--parts", "machine", "checks", "--out", str(out)]
    parts: list[psutil.Process] = []
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(600):
                parts = [p for p in psutil.Process(process.pid).children(recursive=True) if serves(p)]
                if out.exists() and parts:  # the part after the first has begun
                    break
                time.sleep(0.1)
            assert parts
            process.terminate()
            assert process.wait(20) == 128 + signal.SIGTERM
        finally:
            process.kill()  # where an assertion failed; a process that runs on would fail a test after this one
    assert not psutil.wait_procs(parts, timeout=10)[1]


def test_the_start_of_a_process_is_its_parts_time_too(
    bench: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def part(settings: Any) -> Iterator[dict[str, Any]]:
        yield {"left": settings.left}

    monkeypatch.setitem(bench.PARTS, "machine", (part, 30.0))
    bench.serve("machine", "cpu", True, time.time() + 20)  # told at the start, which took ten of thirty seconds
    assert json.loads(capsys.readouterr().out)["left"] == pytest.approx(20, abs=2)


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
    assert told["checks_failed"] == ["b: differs by more than is allowed"]
    assert bench.summary({})["times_less"] is None


def part_of(*rows: dict[str, Any], error: str | None = None) -> dict[str, Any]:
    return {"rows": [{"error": None} | row for row in rows], "error": error, "seconds": 1.0}


GOOD = {"name": "edits, small, fp32", "passed": True}
RAISED = {"name": "edits, full, fp32", "error": "RuntimeError: no kernel"}


@pytest.mark.parametrize(
    ("checks", "passed", "failed"),
    [
        (part_of(GOOD), "1 of 1", []),
        (part_of(RAISED, GOOD), "1 of 2", ["edits, full, fp32: RuntimeError: no kernel"]),
        (part_of(RAISED), "0 of 1", ["edits, full, fp32: RuntimeError: no kernel"]),
        (part_of(GOOD, error="stopped after 60 s"), "1 of 1", ["the part checks: stopped after 60 s"]),
        (part_of(), "0 of 0", ["the part checks: made no check"]),
    ],
)
def test_checks_that_were_asked_for_must_all_have_passed(
    bench: Any,
    checks: dict[str, Any],
    passed: str,
    failed: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = bench.summary({"checks": checks})
    assert (told["checks_passed"], told["checks_failed"]) == (passed, failed)
    monkeypatch.setattr(bench, "run_part", lambda *_: checks)
    assert bench.main([*SMALL, "--parts", "checks"]) == (2 if failed else 0)
    out, err = capsys.readouterr()
    assert f'"checks_passed": "{passed}"' in out
    assert err == (f"benchmark: not all checks passed: {failed[0]}\n" if failed else "")


def test_checks_that_did_not_begin_have_not_passed(
    bench: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "gpu.json"
    assert bench.main([*SMALL, "--parts", "checks", "--seconds", "5", "--out", str(out)]) == 2
    assert "the part checks: not begun" in capsys.readouterr().err
    assert json.loads(out.read_text())["summary"]["checks_passed"] == "0 of 0"
    assert bench.main([*SMALL, "--parts", "machine", "--seconds", "5"]) == 0  # no check was asked for


def test_the_first_losses_of_one_training_must_agree(
    bench: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def row(name: str, precision: str, g: float, **more: Any) -> dict[str, Any]:
        return {"name": name, "precision": precision, "first_losses": {"d": 0.7, "g": g, "zero": 0.0}} | more

    steps = part_of(
        row("alone", "fp32", 9.0),
        row("near", "fp32", 1.0),
        row("near", "fp32", 1.009),
        row("far", "fp32", 1.0),
        row("far", "fp32", 1.02),
        row("near in bf16", "bf16", 1.0),
        row("near in bf16", "bf16", 1.04),
        row("far in bf16", "bf16", 1.0),
        row("far in bf16", "bf16", 1.06),
        row("nan", "bf16", 1.0),
        row("nan", "bf16", float("nan")),
        {"name": "near", "error": "RuntimeError: no kernel"},
    )
    base = part_of(row("full", "bf16", 1.0, size=256), row("full", "bf16", 2.0, size=128))  # of other photos
    told = bench.summary({"steps": steps, "base": base})
    verdicts = {of["name"]: of["passed"] for of in told["first_losses"]}
    assert verdicts == {"near": True, "far": False, "near in bf16": True, "far in bf16": False, "nan": False}
    assert told["checks_passed"] == "2 of 5"
    assert told["checks_failed"] == [
        "first losses, far: 2.0% apart",
        "first losses, far in bf16: 5.7% apart",
        "first losses, nan: not all finite",
    ]
    monkeypatch.setattr(bench, "run_part", lambda *_: steps)
    assert bench.main([*SMALL, "--parts", "steps"]) == 2
    assert "first losses, far: 2.0% apart" in capsys.readouterr().err


@pytest.mark.slow
def test_the_losses_of_a_training_are_the_same_for_every_batch(bench: Any) -> None:
    parts = bench.sys.modules["gpu_parts"]
    settings = parts.Settings(torch.device("cpu"), True, parts.time.monotonic() + 60)
    training = parts.others.trainings()["adapter, small, quick"]
    rows = []
    for batch in (1, 2):
        of = parts.replace(training, config=parts.replace(training.config, batch=batch))
        rows.append({"name": "small"} | parts.step_row(of, "eager", settings))
    (told,) = bench.first_losses({"steps": part_of(*rows)})
    assert told["passed"]
    assert told["rows"] == 2


def test_a_mistake_is_one_line(bench: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "is a folder" in mistake(bench, [*SMALL, "--out", str(tmp_path)], capsys)
    assert "not on this machine" in mistake(bench, ["--device", "cuda:99"], capsys)
