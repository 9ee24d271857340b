"""The sense of place at two sizes, at the smallest: a table, pictures, a rerun, and mistakes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from e2gan import PairsConfig, PhotosConfig, make_pairs, prepare_photos
from e2gan.core.files import read_json
from e2gan.core.images import read_image
from tests.benchmarks import mistake, script
from tests.conftest import Project

bench = script("place")


@pytest.fixture(scope="module")
def sets(photo_folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """vintage at 32 and at 64 pixels."""
    root = tmp_path_factory.mktemp("place")
    for size in (32, 64):
        photos = root / f"photos-{size}"
        prepare_photos(PhotosConfig(folder=photo_folders / "train", out=photos, size=size))
        make_pairs(PairsConfig(photos=photos, concept="vintage", out=root / str(size) / "vintage"))
    return root


@pytest.mark.slow
def test_each_way_is_measured_at_both_sizes_and_a_rerun_goes_on(
    project: Project, sets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--pairs", sets / "32/vintage", "--larger", sets / "64", "--out", tmp_path, "--base", project.base]
    command = [str(word) for word in [*words, "--steps", 4]]
    assert bench.main(command) == 0
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "place.md").read_text("utf-8")
    lines = [[cell.strip() for cell in line.split("|")] for line in printed.splitlines() if line]
    assert lines[0][2:6] == ["at 32", "at 64", "frame", "inner"]
    assert [line[1] for line in lines[2:]] == ["the photo as it is", bench.ADAPTER, bench.WITH, bench.WITHOUT]
    for row in read_json(tmp_path / "place.json")["rows"]:
        weights = 1 - (48 / 64) ** 2
        assert row["larger"] == pytest.approx(weights * row["frame"] + (1 - weights) * row["inner"])
    assert read_image(tmp_path / "vintage.png").shape[1] > 5 * 64
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "models").rglob("*.safetensors")}
    assert len(before) >= 3
    assert bench.main(command) == 0
    assert capsys.readouterr().out == printed
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "models").rglob("*.safetensors")}


def test_the_frame_is_the_outermost_eighth() -> None:
    far = np.zeros((64, 32))
    far[:8], far[-8:], far[:, :4], far[:, -4:] = 1, 1, 1, 1
    found = bench.of_larger(far)
    assert (found["frame"], found["inner"]) == (1.0, 0.0)


def test_mistakes_are_told_before_anything_is_trained(
    project: Project, sets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ["--pairs", str(sets / "32/vintage"), "--base", str(project.base), "--out", str(out), "--larger"]
    assert "is not larger than" in mistake(bench, [*words, str(sets / "32")], capsys)
    assert "is no pair set" in mistake(bench, [*words, str(tmp_path)], capsys)
    assert "steps" in mistake(bench, [*words, str(sets / "64"), "--steps", "0"], capsys)
    assert not out.exists()
