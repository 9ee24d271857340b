"""Diffusion teachers by the names of presets."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from e2gan.config import PairsConfig, TeachConfig
from e2gan.teachers.diffusion import presets
from e2gan.teachers.diffusion.registry import CLASSES, make


def test_every_kind_of_a_preset_has_a_class() -> None:
    assert set(CLASSES) == set(get_args(presets.Kind))


def test_the_commands_options_reach_the_teacher(tmp_path: Path) -> None:
    teach = TeachConfig(batch=3, precision="fp32", attention="native")
    config = PairsConfig(concept="x", out=tmp_path, device="cpu", teach=teach)
    one = make("sd-img2img", config, str(tmp_path), {"strength": 0.5, "side": 64})
    assert (one.teach, one.device) == (teach, "cpu")
    assert (one.batch, one.side, one.model, one.arguments["strength"]) == (3, 64, str(tmp_path), 0.5)
    plain = PairsConfig(concept="x", out=tmp_path)
    assert type(make("null-text", plain, None, {})).__name__ == "NullTextTeacher"
