"""The count of lost trainings, at the smallest size: what is counted as lost, and that a killed command goes on."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from e2gan.core.files import read_json
from tests.benchmarks import ROOT, mistake, script
from tests.conftest import Project

bench = script("lost")


def options(project: Project, out: Path, **others: object) -> list[str]:
    given: dict[str, object] = {"--pairs": project.sepia, "--bases": project.base, "--out": out, "--steps": 20}
    given |= {"--seeds": 2, "--device": "cpu"}
    given |= {f"--{name.replace('_', '-')}": value for name, value in others.items()}
    return [str(text) for pair in given.items() for text in pair]


def results(out: Path) -> list[dict[str, Any]]:
    return read_json(out / "results.json")["runs"]


@pytest.mark.slow
def test_each_run_is_counted_once_and_not_trained_again(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = options(project, tmp_path, lr=1e-4)
    assert bench.main(command) == 0
    printed = capsys.readouterr().out
    assert "| base | adapter | 0.005 | sepia | 2 | 0 | " in printed
    assert "| base | all weights | 0.0001 | sepia | 2 | 0 | " in printed
    assert printed == (tmp_path / "lost.md").read_text("utf-8")
    found = results(tmp_path)
    assert [(run["trained"], run["seed"]) for run in found] == [
        (kind, seed) for seed in (0, 1) for kind in ("adapter", "all weights")
    ]
    assert len({run["l1"] for run in found}) == 4
    assert all(run["lost"] == (run["l1"] > run["photo_l1"]) for run in found)
    assert not [path for path in (tmp_path / "models").rglob("*") if path.is_file()]
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.json")}
    assert len(stamps) == 4
    assert bench.main(command) == 0
    assert capsys.readouterr().out == printed
    assert stamps == {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.json")}
    assert bench.main(options(project, tmp_path, lr=1e-4, steps=30)) == 2
    assert "is of other settings (training.steps): choose another --out" in capsys.readouterr().err


@pytest.mark.slow
def test_a_training_that_a_rate_destroys_is_lost(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wild = {"kinds": "finetune", "lr": 30.0, "steps": 60, "seeds": 1, "schedule": "constant"}
    assert bench.main(options(project, tmp_path, **wild)) == 0
    (run,) = results(tmp_path)
    assert run["lost"]
    assert "| base | all weights, from the base | 30 | sepia | 1 | 0 | 1 | " in capsys.readouterr().out


def test_what_the_guard_saved_is_counted_apart_from_what_is_lost() -> None:
    def result(back: int | None, l1: float | None, ended: str = "trained") -> dict[str, Any]:
        return {"back": back, "l1": l1, "photo_l1": 20.0, "ended": ended}

    found = [
        result(0, 5.0),
        result(1, 6.0),
        result(1, 21.0),
        result(0, 22.0, "after 300 …"),
        result(None, None, "lost"),
    ]
    assert bench.counts(found) == ["5", "1", "3", "1"]
    assert bench.l1s(found) == ["13.50", "stopped", "20.00"]
    assert bench.l1s(found[:3]) == ["6.00", "21.00", "20.00"]


@pytest.mark.slow
def test_a_killed_command_goes_on_in_two_processes(project: Project, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks/lost.py")]
    command += options(project, tmp_path, kinds="adapter", seeds=6, steps=60, jobs=2)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 300
    while not list(tmp_path.glob("runs/**/*.json")) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    process.kill()
    process.wait()
    first = {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/**/*.json")}
    assert first
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "| base | adapter | 0.005 | sepia | 6 | " in done.stdout
    assert len(results(tmp_path)) == 6
    assert {path: path.stat().st_mtime_ns for path in first} == first


@pytest.mark.parametrize(
    ("others", "told"),
    [
        ({"presets": "huge"}, "--presets huge: there are paper, "),
        ({"recipe": "huge"}, "--recipe huge: there are paper"),
        ({"bases": "nowhere"}, "nowhere is no base"),
        ({"pairs": "nowhere"}, "nowhere is no pair set"),
        ({"jobs": 0}, "--jobs 0: must be at least 1"),
        ({"adapter_lr": -1.0}, "--lr -1.0: must be positive"),
    ],
)
def test_mistakes_are_told_in_one_line(
    others: dict[str, object], told: str, project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told in mistake(bench, options(project, tmp_path, **others), capsys)


def test_a_preset_takes_the_base_of_its_generator(project: Project, tmp_path: Path) -> None:
    config = bench.Settings(pairs=(project.sepia,), out=tmp_path, presets=("residual", "device"), width=8)
    named = bench.subjects(config)
    assert [(s.name, s.generator.width, s.base) for s in named] == [
        ("residual, width 8", 8, None),
        ("device, width 8", 8, None),
    ]
    both = bench.subjects(bench.replace(config, bases=(project.base,)))
    assert [(s.name, s.base) for s in both[2:]] == [("base", project.base)]  # of fewer blocks than any preset
