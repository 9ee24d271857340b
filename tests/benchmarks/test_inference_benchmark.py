"""The benchmark of inference: rows in their own processes, and what its table says of them."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.benchmarks import ROOT, script


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    return script("inference")


@pytest.mark.slow
def test_rows_take_turns_in_processes_of_their_own(bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]))
    kinds = [("PyTorch", "fp32"), ("ONNX Runtime", "fp32"), ("ONNX Runtime", "int8"), ("nothing", "fp32")]
    group = [bench.Row("small", runtime, precision, 32, 2, 1) for runtime, precision in kinds]
    found = bench.measure(group, bench.Files(tmp_path), rounds=1, seconds=0.0)
    *ran, absent = found
    for facts in ran:
        assert facts["error"] is None
        assert facts["turns"] >= 1
        assert 0 < facts["ms"] <= facts["ms_p95"]
        assert facts["peak_megabytes"] > 50
        assert 0 < facts["gmacs"] < 0.1
    assert ran[2]["file_megabytes"] < ran[1]["file_megabytes"] / 2
    assert "KeyError" in absent["error"]
    assert "ms" not in absent


def test_the_table_shows_the_best_batch_and_ratios_within_a_group(bench: Any) -> None:
    def facts(group: int, model: str, batch: int, ms: float) -> dict[str, Any]:
        row = bench.Row(model, "PyTorch", "bf16", 256, batch, 2)
        found = bench.turns.Found(turns=[(0.0, [ms])], megabytes=300).facts()
        return asdict(row) | {"group": group, "gmacs": 1.0, "file_megabytes": None} | found

    rows = [
        facts(0, "full", 1, 20.0),
        facts(1, "full", 2, 15.0),
        facts(2, "full", 4, 16.0),
        facts(3, "full", 1, 25.0),
        facts(3, bench.BASELINE, 1, 50.0),
    ]
    kept = bench.best_batches(rows)
    assert [(f["group"], f["batch"]) for f in kept] == [(0, 1), (1, 2), (3, 1), (3, 1)]
    text = bench.table(kept, {2: {"bf16": 1e12}}).splitlines()[2:]
    assert "| 5% |" in text[0]  # 1 GMAC in 20 ms of a peak of 1,000 GMAC a second
    assert text[0].endswith("|  |")
    assert [line.split("|")[-2].strip() for line in text] == ["", "", "2.00", "1.00"]


def test_a_stopped_run_goes_on_with_what_is_missing(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    groups = [[bench.Row("small", "PyTorch", "fp32", 32, batch, 1)] for batch in (1, 2, 4)]
    monkeypatch.setattr(bench, "rows", lambda *_: iter(groups))
    monkeypatch.setattr(bench.turns, "peaks", lambda threads: {n: {"fp32": 1e9} for n in threads})
    measured: list[int] = []

    def measure(group: list[Any], *_: object) -> list[dict[str, Any]]:
        measured.append(group[0].batch)
        if measured == [1, 2]:
            raise KeyboardInterrupt
        return [asdict(row) | {"gmacs": 1.0, "error": "not run"} for row in group]

    monkeypatch.setattr(bench, "measure", measure)
    out = tmp_path / "found.json"

    def main(*more: str) -> int:
        monkeypatch.setattr("sys.argv", ["inference.py", "--threads", "1", "--out", str(out), *more])
        return bench.main()

    assert main() == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert main() == 0
    assert measured == [1, 2, 2, 4]
    assert [row["batch"] for row in json.loads(out.read_text())["rows"]] == [1, 2, 4]
    assert main("--rounds", "2") == 2
    assert "has rows of other settings" in capsys.readouterr().err
    ours = bench.machine()
    assert ours["processor"]
    assert ours["torch"] == bench.torch.__version__
    more = {"runtimes": ours["runtimes"] | {"another": "1.0"}}  # installed since
    for other in ({"processor": "another"}, {"torch": "1.0"}, more):
        monkeypatch.setattr(bench, "machine", lambda other=other: ours | other)
        assert main() == 2
        assert "has rows of other settings" in capsys.readouterr().err
    assert measured == [1, 2, 2, 4]


@pytest.mark.parametrize(
    ("option", "value", "least"), [("rounds", "0", 1), ("seconds", "-1", 0), ("threads", "0", 1), ("threads", "-2", 1)]
)
def test_numbers_that_measure_nothing_are_refused(
    bench: Any, option: str, value: str, least: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [f"--{option}", "2", value] if option == "threads" else [f"--{option}", value]
    monkeypatch.setattr("sys.argv", ["inference.py", *given])
    assert bench.main() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"benchmark: --{option} {value}")
    assert line.endswith(f"must be at least {least}")


def test_a_folder_is_refused_before_anything_is_measured(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["inference.py", "--out", str(tmp_path)])
    assert bench.main() == 2
    assert "is a folder" in capsys.readouterr().err
