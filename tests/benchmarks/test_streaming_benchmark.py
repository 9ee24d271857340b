"""The benchmark of pairs that lie on disk, at a small size."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks import ROOT

SCRIPT = ROOT / "benchmarks" / "streaming.py"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/map_files").is_dir(), reason="needs Linux")
def test_its_pages_are_dropped_and_its_rows_are_whole(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--out", str(tmp_path / "s.json")]
    options = ["--pairs", "64", "--size", "64", "--batch", "2", "--steps", "2", "--rounds", "2"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    if "map_files" in done.stderr:
        pytest.skip("a mapping cannot be opened by its range here, which takes root")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "s.json").read_text())
    assert found["bytes"] == 4 * found["allowed"] == 64 * 3 * 64**2
    assert [round(row["resident_before"], 3) for row in found["rounds"]] == [0, 0]
    assert all(row["ratio"] > 0 and 0 < row["resident_after"] <= 1 for row in found["rounds"])
    wrong = subprocess.run([*command, "--pairs", "8"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert "at least eight times --batch" in wrong.stderr
