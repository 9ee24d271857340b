"""What each lever of a step is worth: each is off where it says so, and changes no loss but by rounding."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2gan.core.files import read_json
from tests.benchmarks import mistake, script, stopped

bench = script("levers")
SMALL = "adapter, small, quick with Eq. 1"


@pytest.mark.slow
def test_each_lever_is_off_alone_and_the_losses_stay() -> None:
    rows = {name: bench.Row(SMALL, name, 64, 1) for name in bench.LEVERS}
    plain, _ = bench.of_row(rows[bench.AS_IT_IS])
    assert plain.optimizer_g.defaults["fused"]
    other, _ = bench.of_row(rows["Adam tensor by tensor"])
    assert not other.optimizer_g.defaults["fused"]
    assert not other.optimizer_d.defaults["fused"]
    losses = {name: bench.first_losses(row) for name, row in rows.items()}
    for name, found in losses.items():
        assert found == pytest.approx(losses[bench.AS_IT_IS], rel=0.05), name  # bf16, here or there


@pytest.mark.slow
def test_a_table_has_a_row_for_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--training", SMALL, "--size", "64", "--threads", "1", "--rounds", "1", "--seconds", "0"]
    assert bench.main([*command, "--out", str(tmp_path / "a.json")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == list(bench.LEVERS)
    assert lines[2].split("|")[3].strip() == "1.000"
    assert len(read_json(tmp_path / "a.json")["rows"]) == len(bench.LEVERS)


def test_a_training_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "adapter, small, best" in mistake(bench, ["--training", "x"], capsys)


def test_what_cannot_be_measured_or_written_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--size 30: must be a multiple of 8" in mistake(bench, ["--size", "30"], capsys)
    assert "--rounds 0: must be at least 1" in mistake(bench, ["--rounds", "0"], capsys)
    assert "is a folder" in mistake(bench, ["--out", str(tmp_path)], capsys)


def test_a_stopped_one_promises_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert stopped(bench, [], monkeypatch, capsys) == "benchmark: stopped"
