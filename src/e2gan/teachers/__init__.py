"""Teachers by name: filters, diffusion models, programs."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from e2gan.core.errors import InputError
from e2gan.teachers.settings import parse_settings

if TYPE_CHECKING:
    from e2gan.config import PairsConfig
    from e2gan.teachers.teacher import Teacher


MODULES = {
    "filters": "e2gan.teachers.filters.filters",
    "command": "e2gan.teachers.command",
    "diffusers": "e2gan.teachers.diffusion.registry",
}
"""By what stands before the colon in --teacher; other names are those of diffusers' presets.

Each has a function make(name, config) that gives the `Teacher` of a name. That of diffusers takes its --model and --set
too: make(name, config, model, arguments), with the checkpoint, or None, and the arguments to set.
"""


def make_teachers(config: PairsConfig, settings: Mapping[str, Any] | None = None) -> list[Teacher]:
    """The teachers of --teacher, in their order, nothing loaded yet.

    settings: arguments of a concept's own, as of --set, which go before those of the command. Raises InputError for an
    unknown teacher, and for a --model or --set that belongs to none of them.
    """
    names = config.teachers
    models = _models(config.teach.model, [name for name in names if takes_settings(name)])
    arguments = _arguments(parse_settings(config.teach.set) | dict(settings or {}), names)
    return [_make(name, config, models.get(name), arguments[name]) for name in names]


def takes_settings(name: str) -> bool:
    """Whether a teacher is a diffusion model: the others have no arguments to set."""
    return _kind(name) == "diffusers"


def _kind(name: str) -> str:
    prefix = name.partition(":")[0]
    return prefix if prefix in MODULES else "diffusers"


def _make(name: str, config: PairsConfig, model: str | None, arguments: dict[str, Any]) -> Teacher:
    make = import_module(MODULES[_kind(name)]).make
    if takes_settings(name):
        return make(name, config, model, arguments)
    if arguments:
        raise InputError(f"--set {next(iter(arguments))}: {_kind(name)} takes no settings, only diffusion models do")
    return make(name, config)


def _models(texts: tuple[str, ...], names: list[str]) -> dict[str, str]:
    """Teacher → checkpoint, of TEACHER=FOLDER. A bare FOLDER belongs to the only diffusion model there is."""
    models: dict[str, str] = {}
    for text in texts:
        name, equals, folder = text.partition("=")
        if not equals or name not in names:
            if len(names) != 1:
                which = f"one of {', '.join(names)}" if names else "a diffusion model, and none is among the teachers"
                raise InputError(f"--model {text}: say whose it is: TEACHER=FOLDER, TEACHER being {which}")
            name, folder = names[0], text
        if name in models:
            raise InputError(f"--model: {name} is given two checkpoints")
        models[name] = folder
    return models


def _arguments(settings: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Teacher → arguments: NAME=VALUE is every diffusion model's, TEACHER.NAME=VALUE that one's."""
    arguments: dict[str, dict[str, Any]] = {name: {} for name in names}
    diffusion = [name for name in names if takes_settings(name)]
    for key, value in settings.items():
        teacher, dot, argument = key.rpartition(".")
        if dot and teacher in names:
            arguments[teacher][argument] = value
        elif dot or not diffusion:
            raise InputError(f"--set {key}: there is no such teacher among {', '.join(names)}")
        else:
            for name in diffusion:
                arguments[name].setdefault(key, value)
    return arguments
