"""Settings take in Python what the command line takes, and nothing else."""

from __future__ import annotations

import dataclasses
import inspect
import math
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np
import pytest

import e2gan.config
from e2gan import Model
from e2gan.cli import COMMANDS
from e2gan.config import AdaptConfig, BaseConfig, EditConfig, PhotosConfig, TrainingConfig
from e2gan.config.settings import Settings
from e2gan.core.errors import InputError, InputTypeError

ALL = [
    value
    for value in vars(e2gan.config).values()
    if inspect.isclass(value) and dataclasses.is_dataclass(value) and value is not e2gan.config.Recipe
]
FIELDS = [(cls, f.name) for cls in ALL for f in dataclasses.fields(cls)]


def made(cls: type, **given: Any) -> Any:
    """Settings of a class, with something that will do for each field that has no default."""
    hints = get_type_hints(cls)
    wanted = {
        f.name: fitting(hints[f.name])
        for f in dataclasses.fields(cls)
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    }
    return cls(**wanted | given)


def fitting(kind: Any) -> Any:
    if kind is Path:
        return Path("x")
    if get_origin(kind) is tuple:
        return (fitting(get_args(kind)[0]),)
    if kind is int:
        return 1
    return get_args(kind)[0] if get_args(kind) else "x"


def test_every_command_has_settings_of_this_kind() -> None:
    assert all(issubclass(cls, Settings) for cls in ALL)
    assert {settings for settings, _ in COMMANDS.values()} <= set(ALL)


@pytest.mark.parametrize(("cls", "name"), FIELDS, ids=[f"{cls.__name__}.{name}" for cls, name in FIELDS])
def test_every_field_refuses_other_types_and_what_is_not_finite(cls: type, name: str) -> None:
    hint = str(get_type_hints(cls)[name])
    for wrong in (object(), 1j, {"a": 1}, {"a"}, b"x", [[object()]], math.nan, math.inf, -math.inf):
        with pytest.raises(InputError) as caught:
            made(cls, **{name: wrong})
        message = str(caught.value)
        assert message.startswith(f"--{name.replace('_', '-')}"), hint
        assert "\n" not in message
        if not isinstance(wrong, float):
            assert isinstance(caught.value, TypeError) or "must be" in message or "values" in message


def test_paths_tuples_and_numbers_are_taken_in_their_python_forms() -> None:
    settings = AdaptConfig(pairs="a", out="b", start="winter")  # pyright: ignore[reportArgumentType]
    assert settings == AdaptConfig(pairs=Path("a"), out=Path("b"), start=(Path("winter"),))
    assert BaseConfig(pairs=["a", Path("b")], out="c").pairs == (Path("a"), Path("b"))  # pyright: ignore
    training = TrainingConfig(lr=1, steps=np.int64(3), betas=[0, 0.5], flip=np.bool_(False))  # pyright: ignore
    assert training == TrainingConfig(lr=1.0, steps=3, betas=(0.0, 0.5), flip=False)
    assert [type(x) for x in (training.lr, training.steps, training.flip)] == [float, int, bool]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"steps": 2.0}, "--steps: expected is a whole number, not 2.0 (float)"),
        ({"steps": True}, "--steps: expected is a whole number, not True (bool)"),
        ({"lr": "1e-3"}, "--lr: expected is a number, not 1e-3"),
        ({"lr": math.nan}, "--lr: nan is not finite"),
        ({"minutes": math.inf}, "--minutes: inf is not finite"),
        ({"flip": 1}, "--flip: expected is True or False, not 1 (int)"),
        ({"schedule": "slow"}, "--schedule slow: must be constant, linear or cosine"),
        ({"betas": (0.5,)}, "--betas: 1 values, where 2 are expected"),
        ({"betas": (0.5, None)}, "--betas[1]: expected is a number, not None (NoneType)"),
    ],
)
def test_messages_say_what_is_expected(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        TrainingConfig(**wrong)
    assert str(caught.value) == said


@pytest.mark.parametrize("path", ["a" * 256, "b/" + "é" * 200, "/".join(["abc"] * 1100)])
def test_a_path_that_no_disk_holds_is_refused(path: str) -> None:
    for make in (lambda: PhotosConfig(folder=path, out="x"), lambda: EditConfig(input=("a", path), out="x")):  # pyright: ignore[reportArgumentType]
        with pytest.raises(InputError, match="too long for a path"):
            make()
    with pytest.raises(InputError, match="too long for a path"):
        Model.load(adapter=path)


def test_settings_of_another_stage_are_refused() -> None:
    photos = PhotosConfig(folder=Path("a"), out=Path("b"))
    with pytest.raises(InputTypeError, match=r"^expected is EditConfig"):
        EditConfig.checked(photos)
    with pytest.raises(InputTypeError, match=r"^expected is PhotosConfig"):
        PhotosConfig.checked({"folder": "a"})
    with pytest.raises(InputError, match="--size 7"):
        PhotosConfig.checked(dataclasses.replace(photos, size=7))
