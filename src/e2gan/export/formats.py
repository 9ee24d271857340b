"""The formats of `export` by name: a new one is a file of its own beside onnx.py, and an entry here."""

from __future__ import annotations

from collections.abc import Callable

from e2gan.core.errors import InputError
from e2gan.export.format import Format


def _onnx() -> Format:
    from e2gan.export.onnx import FORMAT

    return FORMAT


FORMATS: dict[str, Callable[[], Format]] = {"onnx": _onnx}
"""Name of --format → the format, imported when it is asked for."""


def find_format(name: str) -> Format:
    """Raises InputError for a name that is none."""
    if name not in FORMATS:
        raise InputError(f"--format {name}: unknown; there are {', '.join(FORMATS)}")
    return FORMATS[name]()
