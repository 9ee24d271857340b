"""Settings of teachers as texts: NAME=VALUE."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

from e2gan.config.checks import need
from e2gan.core.errors import InputError
from e2gan.core.files import parse_json

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
SETTING = re.compile(r"([\w:/.-]+\.)?[A-Za-z_]\w*", re.ASCII)  # TEACHER.NAME is that teacher's alone


def parse_settings(texts: Iterable[str]) -> dict[str, Any]:
    """{"strength": 0.6, "steps": 20} of ["strength=0.6", "steps=20"].

    A value is an integer, a number, true or false, JSON where it begins with a double quote or a square bracket (a
    text in quotes stays a text: "20"), else text. Raises InputError for what is no NAME=VALUE, and a name that
    is there twice.
    """
    settings: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip()
        need(bool(equals) and bool(value.strip()), f"--set {text}: write NAME=VALUE")
        need(bool(SETTING.fullmatch(name)), f"--set {text}: '{name}' is no name of an argument")
        need(name not in settings, f"--set {text}: {name} is set twice")
        settings[name] = _value(value.strip(), f"--set {text}")
    return settings


def _value(text: str, where: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if _NUMBER.fullmatch(text) and len(text) <= 100:
        value: Any = int(text) if text.lstrip("+-").isdecimal() else float(text)
    elif text.startswith(('"', "[")):
        try:
            value = parse_json(text, Any, where, finite=False)
        except InputError as error:
            raise InputError(f"{error}; put a text in double quotes") from None
    else:
        return text
    need(storable(value), f"{where}: a value is true, false, a finite number, a text, or a list of these")
    return value


def storable(value: object) -> bool:
    """Whether a value may be an argument of a teacher: JSON keeps it as it is."""
    if isinstance(value, list):
        return all(map(storable, value))
    return isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value))
