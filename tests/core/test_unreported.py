from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

# A converted model needs all of OpenVINO that the program uses; a fork would be the one that sends.
WATCHED = """
import os, sys
forks = []
os.register_at_fork(before=lambda: forks.append(1))
import torch
from e2gan.core.unreported import import_openvino
openvino = import_openvino()
model = openvino.convert_model(torch.nn.ReLU(), example_input=torch.zeros(1, 3))
openvino.Core().compile_model(model, "CPU")(torch.ones(1, 3).numpy())
assert not forks
assert "openvino_telemetry" not in sys.modules
import openvino_telemetry
"""


def test_openvino_reports_nothing(tmp_path: Path) -> None:
    """Its reports leave a client's number in the home folder, and are sent by a process that is forked."""
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", WATCHED],
        env={name: value for name, value in os.environ.items() if name != "CI"} | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    if "No module named 'openvino'" in answer.stderr:
        pytest.skip("OpenVINO is missing: pip install 'e2gan[openvino]'")
    assert answer.returncode == 0, answer.stderr
    assert not (tmp_path / "intel").exists()


def test_nothing_imports_openvino_in_another_way() -> None:
    for path in (ROOT / "src").rglob("*.py"):
        assert not re.search(r"^\s*(import|from) openvino", path.read_text("utf-8"), re.MULTILINE), path
