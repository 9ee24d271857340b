"""An adapter's edits at other sizes, at the smallest: a table, a picture, and mistakes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from e2gan.core.files import read_json
from e2gan.core.images import read_image
from tests.benchmarks import mistake, script
from tests.conftest import Project

bench = script("edit_sizes")


def test_each_way_has_a_cell_a_size_and_enlarging_shifts_least(
    project: Project, photo_folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--photos", photo_folders / "train", "--adapters", project.adapter, "--base", project.base]
    words += ["--out", tmp_path / "out", "--sides", 64, 0, "--count", 2, "--own-size"]
    assert bench.main([str(word) for word in words]) == 0
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "out/sizes.md").read_text("utf-8")
    lines = [line.split(" | ") for line in printed.splitlines() if line.startswith("|")]
    assert [line[0] for line in lines[2:]] == ["| the photo as it is", *(f"| {way}" for way in bench.WAYS)]
    (found,) = read_json(tmp_path / "out/sizes.json")["adapters"].values()
    assert len(found["rows"]) == 2 * len(bench.WAYS)
    assert found["size"] == 32
    assert all(row["shift"] > 0 for row in found["rows"])  # larger than it was trained at
    small = [row["shift"] for row in found["rows"] if row["way"] == "enlarged"]
    assert max(small) < min(row["shift"] for row in found["rows"] if row["way"] == "at the photo's size")
    assert read_image(tmp_path / "out" / f"{project.adapter.name}.png").shape[1] > 5 * bench.CELL


def test_an_edit_is_shifted_by_what_is_changed_and_a_blur_has_less_detail() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(40, 200, (64, 96, 3), np.uint8)
    small = bench.at_side(image, 32)
    assert small.shape == (32, 48, 3)
    assert bench.at_side(image, 0) is image
    assert bench.shift(image, small) == 0
    assert bench.shift(image + np.uint8(10), small) == pytest.approx(10, abs=0.5)
    assert bench.detail(np.full((32, 32, 3), 90, np.uint8)) == 0
    assert bench.detail(image) > 5 * bench.detail(bench.resize(small, (64, 96))) / 3
    assert bench.part(image).shape == (bench.CELL, bench.CELL, 3)


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (["--sides", "32"], "--sides: 0, or at least 64"),
        (["--count", "0"], "count"),
        (["--adapters", "nowhere"], "nowhere"),
        (["--adapters", "a/look", "b/look"], "--adapters: two are named alike (look, look)"),
    ],
)
def test_mistakes_are_told_before_anything_is_edited(
    photo_folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], line: str
) -> None:
    out = tmp_path / "out"
    words = ["--photos", str(photo_folders / "train"), "--adapters", "small-brush", "--out", str(out), *more]
    assert line in mistake(bench, words, capsys)
    assert not out.exists()
