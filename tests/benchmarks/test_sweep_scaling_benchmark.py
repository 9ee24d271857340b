"""The benchmark of a sweep's workers: what it says without Ray, and, where Ray is, one of its smallest runs."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.benchmarks import ROOT
from tests.conftest import Project

SCRIPT = ROOT / "benchmarks" / "sweep_scaling.py"


def run(*options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_wrong_settings_and_a_sweep_that_fails_are_one_line(tmp_path: Path) -> None:
    common = ["--photos", tmp_path / "none", "--out", tmp_path / "out"]
    for options, words in ((["--concepts", 0], "--concepts 0: must be"), ([], "the sweep ended with status 2")):
        done = run(*common, *options)
        assert done.returncode == 2
        assert words in done.stderr.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="needs Ray: pip install 'e2gan[sweep]'")
def test_two_at_a_time_do_what_one_does(project: Project, tmp_path: Path) -> None:
    options = ["--base", project.base, "--concepts", 2, "--steps", 2]
    done = run("--photos", project.photos, "--out", tmp_path, *options)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "scaling.json").read_text())["rows"]
    assert [row["tasks"] for row in rows] == [1, 2]
    for row in rows:
        assert {"pairs", "adapters", "evaluations", "training alone"} <= set(row["seconds_of_tasks"])
        assert 0 < row["seconds_when_done"] < row["seconds"]
