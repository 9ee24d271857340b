"""The page on what stages write: an adapter is loaded by PEFT alone with its lines."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from e2gan import Model
from e2gan.networks.models import load_generator
from tests.conftest import ROOT, Project


def test_its_lines_load_an_adapter(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(project.adapter, Path("look"))
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "formats.md").read_text("utf-8"), re.DOTALL)
    names: dict[str, Any] = {"generator": load_generator(project.base)[0]}
    exec(code, names)
    ours, photo = Model.load(base=project.base, adapter=project.adapter), torch.rand(1, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        assert torch.allclose(names["model"](photo, ours.tokens), ours.generator(photo, ours.tokens), atol=1e-5)
