"""Diffusion teachers by the names of presets."""

from __future__ import annotations

from typing import get_args

from e2gan.teachers.diffusion import presets
from e2gan.teachers.diffusion.registry import CLASSES


def test_every_kind_of_a_preset_has_a_class() -> None:
    assert set(CLASSES) == set(get_args(presets.Kind))
