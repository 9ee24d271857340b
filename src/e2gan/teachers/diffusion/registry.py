"""Diffusion teachers by the names of presets: which class a preset's kind stands for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from e2gan.config import PairsConfig
from e2gan.teachers.diffusion.presets import Kind, find_preset
from e2gan.teachers.diffusion.teacher import DiffusionTeacher, Loading

CLASSES: dict[Kind, tuple[str, str]] = {
    "diffusers": ("teacher", "DiffusionTeacher"),
    "controlnet-normal": ("normals", "NormalTeacher"),
    "instruct-diffusion": ("instruct_diffusion", "InstructDiffusionTeacher"),
    "ledits": ("ledits", "LeditsTeacher"),
    "null-text": ("null_text", "NullTextTeacher"),
}
"""A preset's kind → module of this package, imported when it is needed, and class."""


def make(name: str, config: PairsConfig, model: str | None, arguments: Mapping[str, Any]) -> DiffusionTeacher:
    """The teacher of --teacher NAME, as --precision, --batch and the like say; see `make_teacher`."""
    teach = config.teach
    loading = Loading(
        device=config.device,
        precision=teach.precision,
        batch=teach.batch,
        compile=teach.compile,
        offload=teach.offload,
        attention=teach.attention,
    )
    return make_teacher(name, model, arguments, loading, teach.presets)


def make_teacher(
    name: str,
    model: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    loading: Loading | None = None,
    presets: Path | None = None,
) -> DiffusionTeacher:
    """The teacher of a preset's name, or of "diffusers:MODEL". presets: a user's own TOML file of presets.

    Raises InputError for a name that is none, and for overrides and a loading that cannot be.
    """
    preset = find_preset(name, presets)
    module, kind = CLASSES[preset.kind]
    return getattr(import_module(f"e2gan.teachers.diffusion.{module}"), kind)(preset, model, overrides, loading)
