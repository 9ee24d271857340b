"""What all settings have in common: their fields are of the types they say, wherever they come from."""

from __future__ import annotations

import dataclasses
import functools
import math
import numbers
import os
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from e2gan.core.errors import InputError, InputTypeError

LARGEST = 2**53 - 1  # of whole numbers: what JSON and floats can hold
LARGEST_SEED = 2**32 - 1  # what NumPy takes, and what the steps of a training can be counted on from
NAMES = {Path: "a path", str: "a text", int: "a whole number", float: "a number", bool: "True or False"}


class Settings:
    """A dataclass of settings.

    Python code may give what the command line takes: a text for a path, a list for a tuple, one for several, a whole
    number for a float, NumPy's numbers. Anything else raises InputTypeError, and a number that is not finite or a word
    that is no choice InputError, when the settings are made.
    """

    def __post_init__(self) -> None:
        for name, wanted in _types(type(self)).items():
            given = getattr(self, name)
            if type(given).__module__.startswith(
                "tyro."
            ):  # left open by the command line, which fills it in or refuses
                continue
            value = fitted(given, wanted, f"--{name.replace('_', '-')}")
            if name == "seed" and not 0 <= value <= LARGEST_SEED:
                raise InputError(f"--seed {value}: must lie in 0..{LARGEST_SEED}")
            if value is not given:
                object.__setattr__(self, name, value)

    def check(self) -> None:
        """Raises InputError for settings that do not go together."""

    @classmethod
    def checked(cls, settings: object) -> None:
        """What every stage begins with: raises InputTypeError for settings of another stage, and as `check`."""
        if not isinstance(settings, cls):
            raise InputTypeError(f"expected is {cls.__name__}(…), not {_shown(settings)}")
        settings.check()


@functools.cache
def _types(cls: type) -> dict[str, Any]:
    hints = get_type_hints(cls)
    return {f.name: hints[f.name] for f in dataclasses.fields(cls)}  # pyright: ignore[reportArgumentType]


def fitted(value: Any, wanted: Any, where: str) -> Any:
    """The value as the type that is wanted. Raises InputTypeError, or InputError, where it is none."""
    origin, inside = get_origin(wanted), get_args(wanted)
    if wanted is Any or origin is dict:
        return value
    if origin in (Union, types.UnionType):
        if value is None and type(None) in inside:
            return None
        (one,) = (kind for kind in inside if kind is not type(None))
        return fitted(value, one, where)
    if origin is Literal:
        if isinstance(value, str) and value in inside:
            return value
        *others, last = map(str, inside)
        raise InputError(f"{where} {_shown(value)}: must be {', '.join(others)}{' or ' * bool(others)}{last}")
    if origin is tuple:
        return _several(value, inside, where)
    return _one(value, wanted, where)


def _several(value: Any, inside: tuple[Any, ...], where: str) -> tuple[Any, ...]:
    if isinstance(value, (str, os.PathLike, numbers.Number)):
        value = (value,)
    if isinstance(value, (Mapping, set, frozenset, bytes, bytearray)) or not hasattr(value, "__iter__"):
        raise InputTypeError(f"{where}: expected is a tuple, not {_shown(value)}")
    items = list(value)
    if len(inside) == 2 and inside[1] is ...:
        return tuple(fitted(item, inside[0], f"{where}[{i}]") for i, item in enumerate(items))
    if len(items) != len(inside):
        raise InputError(f"{where}: {len(items)} values, where {len(inside)} are expected")
    return tuple(fitted(item, kind, f"{where}[{i}]") for i, (item, kind) in enumerate(zip(items, inside, strict=True)))


def _one(value: Any, wanted: type, where: str) -> Any:
    if wanted is Path and isinstance(value, (str, os.PathLike)):
        path = os.fspath(value)
        if isinstance(path, str) and "\0" not in path:
            check_length(path, where)
            return value if isinstance(value, Path) else Path(path)
    elif wanted is str and isinstance(value, (str, os.PathLike)):
        return value if isinstance(value, str) else str(value)
    elif wanted is float:
        return number(value, where)
    elif wanted is int and isinstance(value, numbers.Integral) and not isinstance(value, bool):
        if abs(int(value)) > LARGEST:
            raise InputError(f"{where}: a whole number of more than {LARGEST.bit_length()} bits")
        return int(value)
    elif wanted is bool and type(value).__name__ in ("bool", "bool_"):
        return bool(value)
    elif isinstance(value, wanted) and wanted not in NAMES:
        return value
    raise InputTypeError(f"{where}: expected is {NAMES.get(wanted, wanted.__name__)}, not {_shown(value)}")


def check_length(path: str, where: str) -> None:
    """Raises InputError for a path that no disk holds: a name in it above 255 bytes, or all of it above 4,095."""
    longest = max((len(os.fsencode(part)) for part in Path(path).parts), default=0)
    if longest > 255 or len(os.fsencode(path)) > 4095:
        raise InputError(f"{where} {_shown(path)}: is too long for a path (255 bytes a name, 4,095 in all)")


def number(value: Any, where: str) -> float:
    """A real, finite number as a float. Raises InputTypeError, or InputError for one that is not finite."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise InputTypeError(f"{where}: expected is a number, not {_shown(value)}")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise InputError(f"{where}: {value} is not finite")
    return found


def _shown(value: object) -> str:
    text = " ".join((value if isinstance(value, str) else repr(value)).split())
    if isinstance(value, str):
        return f"{text[:60]}{'…' * (len(text) > 60)}" or "an empty text"
    return f"{text[:60]}{'…' * (len(text) > 60)} ({type(value).__name__})"
