"""What small loses, at the smallest size: both bases trained alike, a table and a sheet, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from e2gan.core.files import read_json
from e2gan.core.images import read_image
from tests.benchmarks import count_steps_as, mistake, script
from tests.conftest import Project

bench: Any = script("sizes")


@pytest.mark.slow
def test_both_bases_learn_the_same_edit_in_the_same_time(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bases = tuple(shutil.copytree(project.base, tmp_path / name) for name in ("full", "small"))
    monkeypatch.setattr(bench, "BASES", bases)
    steps = {"full": 2.0, "small": 1.0}
    count_steps_as(monkeypatch, {f"{base}, best, {of}": s for base, s in steps.items() for of in ("adapt", "scratch")})
    picture = tmp_path / "sheet.jpg"
    command = ["--out", tmp_path / "out", "--concept", "golden", "--minutes", 0.1, "--cores", 1, "--size", 128]
    command += ["--crops", 20, "--sheet", picture, "--device", "cpu"]
    assert bench.main([str(word) for word in command]) == 0
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "out" / "sizes.md").read_text("utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in printed.splitlines()[2:]]
    assert [row[:3] for row in rows] == [
        ["golden", "the photo as it is", ""],
        ["golden", "colour table", ""],
        ["golden", "adapter, full", "3"],
        ["golden", "adapter, small", "6"],
    ]
    assert all(float(cell) >= 0 for row in rows for cell in row[3:])
    assert float(rows[1][3]) < float(rows[0][3])  # what a colour table makes
    assert read_image(picture).shape[1] > 5 * 128
    trained = read_json(tmp_path / "out" / "quality" / "results.json")["models"][-1]
    before = (Path(trained["folder"]) / "config.json").stat().st_mtime_ns
    assert bench.main([str(word) for word in command]) == 0
    assert capsys.readouterr().out == printed
    assert (Path(trained["folder"]) / "config.json").stat().st_mtime_ns == before


def test_what_a_base_has_learned_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "out")]
    assert "--concept autumn: the full base has learned it" in mistake(bench, [*out, "--concept", "autumn"], capsys)
    assert "must end in .jpg" in mistake(bench, [*out, "--sheet", "a.png"], capsys)
    assert not (tmp_path / "out").exists()
