"""Diffusion teachers by the names of presets: which class a preset's kind stands for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from e2gan.config import PairsConfig, TeachConfig
from e2gan.teachers.diffusion.presets import Kind, find_preset
from e2gan.teachers.diffusion.teacher import DiffusionTeacher

CLASSES: dict[Kind, tuple[str, str]] = {
    "diffusers": ("teacher", "DiffusionTeacher"),
    "controlnet-normal": ("normals", "NormalTeacher"),
    "instruct-diffusion": ("instruct_diffusion", "InstructDiffusionTeacher"),
    "ledits": ("ledits", "LeditsTeacher"),
    "null-text": ("null_text", "NullTextTeacher"),
}
"""A preset's kind → module of this package, imported when it is needed, and class."""


def make(name: str, config: PairsConfig, model: str | None, arguments: Mapping[str, Any]) -> DiffusionTeacher:
    """The teacher of --teacher NAME; see `make_teacher`. Raises InputError, too, where it has no checkpoint."""
    teacher = make_teacher(name, model, arguments, config.teach, config.device)
    teacher.checkpoint()  # told now, not when other teachers have edited for hours
    return teacher


def make_teacher(
    name: str,
    model: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    teach: TeachConfig | None = None,
    device: str = "auto",
) -> DiffusionTeacher:
    """The teacher of a preset's name, among those of `teach.presets` too, or of "diffusers:MODEL".

    Raises InputError for a name that is none, and for overrides and ways to hold the model that cannot be.
    """
    preset = find_preset(name, None if teach is None else teach.presets)
    module, kind = CLASSES[preset.kind]
    return getattr(import_module(f"e2gan.teachers.diffusion.{module}"), kind)(preset, model, overrides, teach, device)
