"""What `e2gan nearest` is worth, at the smallest size: each concept left out once, equal steps, and a rerun."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from e2gan.core.files import read_json
from e2gan.networks.folders import adapter_sha256
from tests.benchmarks import mistake, script
from tests.conftest import Project

bench = script("nearest")


def options(out: Path, *more: object) -> list[str]:
    return ["--out", str(out), "--vectors", "50", *map(str, more)]


@pytest.mark.slow
def test_each_concept_is_left_out_once_and_a_rerun_trains_nothing(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    camera = project.photos.parent / "camera"
    given = options(tmp_path, "--photos", camera, "--base", project.base, "--limit", 30, "--size", 32)
    given += ["--concepts", "sepia", "autumn", "night", "--library-steps", "10", "--steps", "2", "4"]
    assert bench.main(given) == 0
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "nearest.md").read_text("utf-8")
    rows = read_json(tmp_path / "results.json")["rows"]
    assert [row["name"] for row in rows] == ["sepia", "autumn", "night"]
    for row in rows:
        assert row["start"] in {"sepia", "autumn", "night"} - {row["name"]}
        assert row["trained"].keys() == {"2", "4"}
        begun = read_json(tmp_path / "trained" / row["name"] / f"{row['start']}-4" / "config.json")["settings"]
        assert begun["start_sha256"] == [adapter_sha256(tmp_path / "library" / row["start"])]
        assert begun["training"]["steps"] == 4
        other = read_json(tmp_path / "trained" / row["name"] / "gradient-4" / "config.json")["settings"]
        assert {k: v for k, v in begun.items() if begun[k] != other[k]}.keys() <= {
            "start",
            "init",
            "start_sha256",
            "content",
        }
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    assert bench.main(given) == 0
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}


def test_differences_are_paired_and_lower_is_better_but_for_ssim() -> None:
    pairs = np.array([[10.0, 9.0], [20.0, 18.0], [30.0, 31.0]])  # the gradient's, the start's
    wins, mean, median, share = bench._difference(pairs, 1)
    assert wins == "2 of 3"
    assert mean.startswith("-0.667 [-2.000, +1.000")
    assert median == "-1.000"
    assert share == "-3.3%"
    assert bench._difference(pairs, -1)[0] == "1 of 3"


def test_the_index_alone_is_timed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(options(tmp_path)) == 0
    printed = capsys.readouterr().out
    assert "| 50 | numpy | " in printed
    assert "s to read" in printed


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--concepts", "nothing"], "nothing"),
        (["--concepts", "sepia"], "one has no others"),
        (["--style", "la_muse"], "--style la_muse"),
        (["--steps", "0"], "must be positive"),
    ],
)
def test_mistakes_are_told_in_one_line(
    more: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert words in mistake(bench, options(tmp_path, *more), capsys)
