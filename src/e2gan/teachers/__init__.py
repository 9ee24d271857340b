"""Teachers by name: filters, diffusion models, programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from e2gan.core.errors import InputError

if TYPE_CHECKING:
    from e2gan.config import PairsConfig
    from e2gan.teachers.teacher import Teacher

__all__ = ["make_teachers", "takes_settings"]

COMMAND = "command:"
FILTERS = ("filters", "filters:")


def make_teachers(config: PairsConfig, settings: Mapping[str, Any] | None = None) -> list[Teacher]:
    """The teachers of --teacher, in their order, nothing loaded yet.

    settings: arguments of a concept's own, as of --set, which go before those of the command. Raises InputError for an
    unknown teacher, and for a --model or --set that belongs to none of them.
    """
    from e2gan.teachers.settings import parse_settings

    names = config.teacher
    models = _models(config.teach.model, [name for name in names if takes_settings(name)])
    wanted = _by_teacher(parse_settings(config.teach.set) | dict(settings or {}), names)
    teachers = [_make(name, models.get(name), wanted[name], config) for name in names]
    if any(name.startswith(COMMAND) for name in names):
        from e2gan.teachers.command import distinct

        distinct(teachers)
    return teachers


def takes_settings(name: str) -> bool:
    """Whether a teacher is a diffusion model: the others have no arguments to set."""
    return not name.startswith((COMMAND, *FILTERS))


def _make(name: str, model: str | None, arguments: dict[str, Any], config: PairsConfig) -> Teacher:
    teach = config.teach
    if not takes_settings(name) and arguments:
        raise InputError(
            f"--set {next(iter(arguments))}: {name.split(':')[0]} takes no settings, only diffusion models do"
        )
    if name.startswith(COMMAND):
        from e2gan.teachers.command import CommandTeacher

        return CommandTeacher(name.removeprefix(COMMAND), teach.batch, teach.timeout)
    if name.startswith(FILTERS):
        from e2gan.teachers.filters.filters import FilterTeacher

        return FilterTeacher.named(name, config.concept or "")
    from e2gan.teachers.diffusion.diffusion import Loading, make_teacher

    loading = Loading(
        device=config.device,
        precision=teach.precision,
        batch=teach.batch,
        compile=teach.compile,
        offload=teach.offload,
        attention=teach.attention,
    )
    return make_teacher(name, model, arguments, loading, teach.presets)


def _models(given: tuple[str, ...], names: list[str]) -> dict[str, str]:
    """Teacher → checkpoint. A bare one belongs to the only diffusion model there is."""
    models: dict[str, str] = {}
    for text in given:
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


def _by_teacher(settings: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Settings by teacher: NAME=VALUE is every diffusion model's, TEACHER.NAME=VALUE that one's."""
    found: dict[str, dict[str, Any]] = {name: {} for name in names}
    own = [name for name in names if takes_settings(name)]
    for key, value in settings.items():
        name, dot, argument = key.rpartition(".")
        if dot and name in names:
            found[name][argument] = value
        elif dot or not own:
            raise InputError(f"--set {key}: there is no such teacher among {', '.join(names)}")
        else:
            for teacher in own:
                found[teacher].setdefault(key, value)
    return found
