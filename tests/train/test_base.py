"""A base: its files, and one that starts from another base."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from e2gan import BaseConfig, GeneratorConfig, Model, TrainingConfig, train_base
from e2gan.core.errors import InputError
from e2gan.core.files import read_json
from e2gan.core.tensors import read_tensors
from e2gan.networks import folders
from tests.conftest import Project


def test_a_base_goes_on_from_another_ones_weights(project: Project, tmp_path: Path) -> None:
    # So small a rate that what is there after a step is what it started from.
    training = TrainingConfig(steps=1, batch=2, lr=1e-9, precision="fp32")
    train_base(BaseConfig(pairs=(project.sepia,), start=project.base, out=tmp_path / "next", training=training))
    for file in ("model.safetensors", "discriminator.safetensors"):
        before, after = read_tensors(project.base / file)[0], read_tensors(tmp_path / "next" / file)[0]
        assert before.keys() == after.keys()
        assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in before)
    settings, old = (read_json(folder / "config.json")["settings"] for folder in (tmp_path / "next", project.base))
    assert settings["generator"] == old["generator"]
    assert settings["start_sha256"]


def test_another_generator_or_text_than_the_starts_is_refused(project: Project, tmp_path: Path) -> None:
    wide = BaseConfig(
        pairs=(project.sepia,), start=project.base, out=tmp_path / "x", generator=GeneratorConfig(width=16)
    )
    with pytest.raises(InputError, match="its generator is another"):
        train_base(wide)
    with pytest.raises(InputError, match="no base"):
        train_base(BaseConfig(pairs=(project.sepia,), start=tmp_path / "none", out=tmp_path / "x"))
    assert not (tmp_path / "x").exists()


def test_a_base_holds_what_an_adapter_needs(project: Project) -> None:
    assert sorted(p.name for p in project.base.iterdir()) == [
        "README.md",
        "config.json",
        "discriminator.safetensors",
        "metrics.jsonl",
        "model.safetensors",
    ]
    settings = json.loads((project.base / "config.json").read_text())["settings"]
    assert settings["size"] == 32
    assert list(settings["concepts"]) == ["make it dusk"]
    assert "make it dusk" in (project.base / "README.md").read_text()


def test_a_training_starts_from_a_base_that_ships_by_its_name(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(project.base, tmp_path / "assets" / "base")
    monkeypatch.setattr(folders, "ASSETS", tmp_path / "assets")
    training = TrainingConfig(steps=1, precision="fp32")
    train_base(BaseConfig(pairs=(project.sepia,), start=Path("full"), out=tmp_path / "out", training=training))
    assert Model.load(base=tmp_path / "out", prompt="as a sepia photo").size == 32
