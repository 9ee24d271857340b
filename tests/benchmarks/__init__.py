"""The commands that figures come from, at their smallest size."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


def script(name: str, folder: str = "benchmarks") -> ModuleType:
    """FOLDER/NAME.py as a module."""
    spec = importlib.util.spec_from_file_location(f"{folder}_{name}", ROOT / folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def count_steps_as(monkeypatch: pytest.MonkeyPatch, seconds: Mapping[str, float]) -> None:
    """What a step of each training takes, instead of what it does: as many steps whatever the machine."""
    equal_time = sys.modules["equal_time"]  # that a script has imported
    monkeypatch.setattr(equal_time, "in_turns", lambda trainings, *_: {name: seconds[name] for name in trainings})


def mistake(bench: ModuleType, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on standard error of a command that ends with status 2 and prints nothing else."""
    assert bench.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith("benchmark: ")
    return line


def stopped(
    bench: ModuleType, arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    """What a benchmark whose rows take turns says where Ctrl-C is pressed while they do."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(bench.turns, "take_turns", interrupted)
    assert bench.main(arguments) == 130
    return capsys.readouterr().err.splitlines()[-1]
