"""The table of what recipes reach, at the smallest size: equal time by steps, all rows, and a rerun that goes on."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from e2gan.config import PRESETS, RECIPES, Ranks
from e2gan.core.files import read_json, write_json
from e2gan.core.images import read_image
from e2gan.core.outputs import make_folder
from e2gan.data.pair_set import PairSet
from tests.benchmarks import mistake, script
from tests.conftest import Project

bench = script("quality")


def options(project: Project, out: Path, **others: object) -> list[str]:
    """A step of an adapter counts as a second, one from nothing as two: ten steps of it in ten seconds."""
    make_folder(out)
    write_json(out / "step-times.json", {"quick": {"adapt": 1.0, "scratch": 2.0}})
    given: dict[str, object] = {"--pairs": [project.sepia, project.dusk], "--base": project.base, "--out": out}
    given |= {"--minutes": 1 / 6, "--device": "cpu"} | {f"--{k.replace('_', '-')}": v for k, v in others.items()}
    lists = [[name, *(value if isinstance(value, list) else [value])] for name, value in given.items() if value]
    return [str(text) for words in lists for text in words]


def cells(text: str, row: str) -> list[list[str]]:
    """The cells of every row of this name."""
    return [[cell.strip() for cell in line.split("|")[3:-1]] for line in text.splitlines() if line.startswith(row)]


@pytest.mark.slow
def test_all_rows_are_measured_and_a_rerun_trains_what_is_missing_alone(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = options(project, tmp_path)
    assert bench.main(command) == 0
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "quality.md").read_text("utf-8")
    assert "| recipe |  | steps | seconds | L1 | SSIM | fd-squeezenet | " in printed
    for row, taken in {
        "|  | the photo as it is |": ["", ""],
        "|  | colour table |": ["", ""],
        "| quick | adapter |": ["10", "10"],
        "| quick | from nothing |": ["5", "10"],
        "| quick | from nothing, 3× the time |": ["15", "30"],
    }.items():
        found = cells(printed, row)
        assert [cell[:2] for cell in found] == [taken] * 3  # the mean, and each concept
        mean, *own = ([float(number) for number in cell[2:]] for cell in found)
        assert mean[0] == pytest.approx((own[0][0] + own[1][0]) / 2, abs=0.006)
    models = tmp_path / "models" / "sepia"
    steps = [read_json(f / "config.json")["settings"]["training"]["steps"] for f in sorted(models.glob("quick-*/*"))]
    assert steps == [10, 5, 15]
    sheet = read_image(next(tmp_path.glob("sheets/sepia-quick-*.png")))
    assert sheet.shape[1] > 6 * 128
    assert sheet.shape[0] > 3 * 128  # no more test photos are there

    shutil.rmtree(next(models.glob("quick-*/adapter")))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "models").rglob("*.safetensors")}
    assert bench.main(command) == 0
    assert capsys.readouterr().out == printed
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "models").rglob("*.safetensors")}
    assert before.items() < after.items()
    assert {path.parent.name for path in after.keys() - before.keys()} == {"adapter"}


@pytest.mark.slow
def test_a_curve_is_a_table_for_each_length(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    others: dict[str, Any] = {"pairs": [project.sepia], "minutes": None, "curve": [0.05, 0.2], "scratch_factors": [2]}
    assert bench.main(options(project, tmp_path, **others)) == 0
    printed = capsys.readouterr().out
    assert [line for line in printed.splitlines() if line.startswith("##")] == ["## 0.05 minutes", "## 0.2 minutes"]
    assert [cell[0] for cell in cells(printed, "| quick | adapter |")] == ["3", "12"]
    assert [cell[0] for cell in cells(printed, "| quick | from nothing, 2× the time |")] == ["3", "12"]
    assert "Mean of the concepts" not in printed
    assert len(list((tmp_path / "sheets").iterdir())) == 2


def test_a_step_is_timed_as_the_recipe_has_it(project: Project, tmp_path: Path) -> None:
    config = bench.Settings(pairs=(project.sepia,), out=tmp_path, recipe=("quick",), repeat=3, device="cpu")
    found = bench.step_times(config, bench.Base.load(project.base), 32)
    assert found == read_json(tmp_path / "step-times.json")
    assert found["quick"]["adapt"] > 0
    assert found["quick"]["scratch"] > 0
    assert bench.step_times(config, bench.Base.load(project.base), 32) == found  # not timed anew
    own = bench.trained(config, "quick", "adapt", 7)
    assert own == replace(RECIPES["quick"].training["adapt"], minutes=None, steps=7, device="cpu")


def test_steps_follow_minutes_cores_or_epochs(project: Project, tmp_path: Path) -> None:
    config = bench.Settings(pairs=(project.sepia,), out=tmp_path, cores=2.0)
    assert bench.adapter_steps(config, "quick", 0.5, 0.1, 400) == 600
    own = RECIPES["quick"].training["adapt"].minutes
    assert own is not None
    assert bench.adapter_steps(config, "quick", None, 0.1, 400) == round(1200 * own)
    assert bench.adapter_steps(config, "paper", None, 0.1, 400) == 40_000  # Sec. 5.1: 100 epochs


def test_a_lost_training_is_told_in_the_table(project: Project, tmp_path: Path) -> None:
    config = bench.Settings(pairs=(project.sepia,), out=tmp_path)
    pair_set, adapter = PairSet.load(project.sepia), bench.AdaptConfig(pairs=project.sepia, out=tmp_path)
    job = bench.Job(pair_set, "quick", None, "adapter", adapter, 10, 60.0, (), bench.NetworkOptions())
    table = bench.Table(config, [pair_set], (), ["Without it."], {"sepia": {"L1": 20.0, "SSIM": 0.9}}, [(job, None)])
    assert table.markdown().splitlines()[2:] == [
        "|  | the photo as it is |  |  | 20.00 | 0.900 |",
        "| quick | adapter | 10 | 60 | 1 lost |  |",
        "",
        "Without it.",
    ]


@pytest.mark.parametrize(
    ("others", "told"),
    [
        ({"recipe": "huge"}, "--recipe huge: there are paper"),
        ({"base": "nowhere"}, "nowhere is no base"),
        ({"curve": [1, 5]}, "--minutes and --curve exclude each other"),
        ({"scratch_factors": [0.0]}, "--scratch-factors: each must be positive"),
        ({"efficientnet": "nowhere.pth"}, "nowhere.pth is missing"),
    ],
)
def test_mistakes_are_told_in_one_line(
    others: dict[str, object], told: str, project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told in mistake(bench, options(project, tmp_path, **others), capsys)


def test_an_adapters_step_is_timed_at_the_recipes_own_ranks() -> None:
    assert bench.recipe_ranks("best", PRESETS["small"]) == RECIPES["best"].adapter["ranks"]
    assert bench.recipe_ranks("quick", PRESETS["small"]) == Ranks()
