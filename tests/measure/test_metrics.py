"""The registry of metrics: a new one is one entry, and all commands know it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from e2gan.cli import main
from e2gan.config import EvaluateConfig
from e2gan.core.files import read_json
from e2gan.data.pair_set import PairSet
from e2gan.measure.distances import distance
from e2gan.measure.evaluate import evaluate
from e2gan.measure.metrics import METRICS, FeatureDistance, MetricScorer, NetworkOptions
from tests.conftest import Project


def mean_colours(images: np.ndarray) -> np.ndarray:
    return images.mean((1, 2)).astype(np.float32)


COLOURS = FeatureDistance("fd-colours", lambda _: mean_colours, None, "fd-colours", "kd-colours")


def test_a_metric_is_added_by_one_entry(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METRICS, COLOURS.name, COLOURS)
    found = evaluate(EvaluateConfig(model=project.model, pairs=project.sepia, out=tmp_path))
    written = read_json(tmp_path / "metrics.json")
    photos, targets, _ = PairSet.load(project.sepia).arrays("test")
    expected = distance(mean_colours(photos), mean_colours(targets))
    assert written["photo"]["fd_colours"] == vars(expected)
    assert written["model"]["fd_colours"]["dimensions"] == 3
    line = next(line for line in str(found).splitlines() if line.startswith("fd-colours"))
    assert f"{expected.frechet:.3g} [{expected.low:.3g}, {expected.high:.3g}]" in line
    assert any(line.startswith("kd-colours") for line in str(found).splitlines())


@pytest.mark.parametrize("command", ["crucial", "ranks", "table 6"])
def test_commands_know_the_metrics_that_are_registered(
    command: str, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / ("ranks.json" if command == "ranks" else "out")
    arguments = f"{command} --base {project.base} --pairs {project.sepia} --metric fd-colours --out {out}".split()
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "--metric fd-colours: unknown; there are fid, fd-squeezenet, fd-efficientnet, fd-random, swd, l1" in error
    assert error.count("\n") == 1
    assert not out.exists()
    monkeypatch.setitem(METRICS, COLOURS.name, COLOURS)
    photos, targets, _ = PairSet.load(project.sepia).arrays("test")
    score = MetricScorer("fd-colours", NetworkOptions())(photos, targets)
    assert score.value == distance(mean_colours(photos), mean_colours(targets)).frechet


@pytest.mark.slow
def test_a_table_of_a_metric_of_ones_own(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(METRICS, COLOURS.name, COLOURS)
    command = f"table 6 --text hashed --pairs {project.sepia} --out {tmp_path} --metric fd-colours --steps 1"
    assert main(command.split()) == 0
    assert "fd-colours on 3 test photos" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["ranks", "crucial", "table"])
def test_help_lists_the_metrics(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    told = capsys.readouterr().out
    assert all(name in told for name in ("fid", "fd-squeezenet", "fd-efficientnet", "fd-random", "swd", "l1"))
