"""The benchmark of small generators, whole, at tiny widths; and what it holds against the two wishes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.benchmarks import ROOT, script
from tests.conftest import refused

TINY = ("--plain", "4", "2", "--folded", "4", "--size", "32", "--rounds", "1", "--seconds", "0")


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    return script("small")


def printed(*options: str) -> str:
    command = [sys.executable, str(ROOT / "benchmarks" / "small.py"), *TINY, *options]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout


def tables(text: str) -> list[list[dict[str, str]]]:
    """Each table's rows, by the names of the columns."""
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        heads, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()]
        found.append([dict(zip(heads, row, strict=True)) for row in rows])
    return found


def in_wasm(times: dict[str, float], wasm: dict[str, float]) -> dict[str, dict[str, list[float]]]:
    return {"PyTorch fp32": {n: [t] for n, t in times.items()}, "WASM fp32": {n: [t] for n, t in wasm.items()}}


# ------------------------------------------------------------------------------------------------------------ the run


@pytest.mark.slow
def test_a_table_for_each_number_of_threads_and_a_line_for_what_is_absent() -> None:
    pytest.importorskip("onnxruntime")
    text = printed("--threads", "1", "2")
    one, two = tables(text)
    for threads, rows in (("1 thread, 32 px", one), ("2 threads, 32 px", two)):
        assert [row[threads] for row in rows] == ["width 4", "width 2", "width 4, folded"]
        count = [int(row["parameters"].replace(",", "")) for row in rows]
        assert count[1] < count[0]
        assert float(rows[2]["GMACs"]) <= float(rows[0]["GMACs"])
        for column in ("PyTorch fp32, ms", "PyTorch bf16, ms", "ONNX Runtime fp32, ms"):
            assert rows[0][column].endswith("(1.0×)")
            assert all(float(row[column].split()[0]) > 0 for row in rows)
        assert all(row["30 frames a second, and 15× in WASM"] == "not known without WASM" for row in rows)
    assert re.search(r"^WASM was not timed: .+$", text, re.MULTILINE)


@pytest.mark.slow
def test_wasm_gives_pytorchs_edit_and_a_time() -> None:
    pytest.importorskip("onnxruntime")
    modules = os.environ.get("E2GAN_NODE_MODULES")
    if modules is None:
        pytest.skip("no onnxruntime-web: set E2GAN_NODE_MODULES to a folder where npm installed it")
    text = printed("--threads", "1", "2", "--node-modules", modules)
    for rows in tables(text):
        assert all(float(row["WASM fp32, ms"].split()[0]) > 0 for row in rows)
    assert "WASM was not timed" not in text


# --------------------------------------------------------------------------------------------------------- its verdict


def test_both_wishes_must_be_met(bench: Any) -> None:
    times = in_wasm({"full": 300, "small": 30, "slow": 40, "coarse": 20}, {"full": 3000, "small": 190, "slow": 190})
    times["WASM fp32"]["coarse"] = [210.0]
    assert bench.verdict(times, "small") == ("33.3 (PyTorch fp32; fastest round 33.3)", "yes")
    assert bench.verdict(times, "slow")[1] == "no"  # 25 frames a second
    assert bench.verdict(times, "coarse")[1] == "no"  # 14.3 times as fast in WASM
    del times["WASM fp32"]
    assert bench.verdict(times, "small")[1] == "not known without WASM"


def test_a_ratio_is_of_what_ran_in_the_same_round(bench: Any) -> None:
    assert bench.speedup({"full": [100, 900, 100], "small": [10, 90, 50]}, "small") == 10


def test_a_runtime_with_another_edit_is_refused(bench: Any) -> None:
    def of(value: int) -> Any:
        return SimpleNamespace(edit=lambda _: np.full((1, 8, 8, 3), value, np.uint8), time=lambda *_: 1.0)

    found = {"PyTorch fp32": of(100), "ONNX Runtime fp32": of(103)}
    message = refused(lambda: bench.measure(found, [SimpleNamespace(name="width 4")], 1, 0.0))
    assert message == "ONNX Runtime fp32, width 4: its edit is 3 levels from PyTorch's"


def test_what_cannot_be_timed_is_told_with_its_reason(bench: Any, tmp_path: Path, monkeypatch: Any) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(bench.wasm.shutil, "which", lambda _: "/usr/bin/node")
        assert bench.absent(None)["WASM"] == "--node-modules was not given"
        assert bench.absent(tmp_path)["WASM"] == f"{tmp_path} has no onnxruntime-web"
        (tmp_path / "node_modules" / "onnxruntime-web").mkdir(parents=True)
        assert "WASM" not in bench.absent(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert bench.absent(tmp_path)["WASM"] == "there is no node on the path"
