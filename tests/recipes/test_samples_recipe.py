"""The recipe of the sample adapters: what ships is as it writes it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from e2gan.core.files import read_json
from e2gan.networks.folders import ABOUT, shipped_adapters, shipped_base_of
from tests.benchmarks import ROOT, script


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "recipes"))
    return script("samples", "recipes")


def test_each_sample_has_the_card_of_its_training(recipe: Any, tmp_path: Path) -> None:
    for name, folder in shipped_adapters().items():
        about = read_json(folder / ABOUT)
        assert (folder / "README.md").read_text("utf-8") == recipe.card(name, about)
        assert about["steps"] == recipe.steps_of(shipped_base_of(folder), name.removeprefix("small-"))
        shutil.copytree(folder, tmp_path / "trained" / name)
        (tmp_path / "trained" / name / "README.md").unlink()
        recipe.ship(tmp_path / "trained" / name, tmp_path / "shipped" / name)
        written = {path.name: path.read_bytes() for path in (tmp_path / "shipped" / name).iterdir()}
        assert written == {path.name: path.read_bytes() for path in folder.iterdir()}
