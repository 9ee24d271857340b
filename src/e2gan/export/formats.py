"""The formats of `export` by name: a new one is a file of its own beside onnx.py, and an entry here."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial

from e2gan.core.errors import InputError
from e2gan.export.format import Format

EVERY = "all"  # a name that no format has: each that is installed


def _of(module: str) -> Format:
    return importlib.import_module(f"e2gan.export.{module}").FORMAT


FORMATS: dict[str, Callable[[], Format]] = {
    "onnx": partial(_of, "onnx"),
    "openvino": partial(_of, "openvino"),
    "litert": partial(_of, "litert"),
    "coreml": partial(_of, "coreml"),
    "executorch": partial(_of, "executorch"),
    "effects": partial(_of, "effects"),
    "web": partial(_of, "web"),
}
"""Name of --format → the format, imported when it is asked for."""


def find_format(name: str) -> Format:
    """Raises InputError for a name that is none."""
    if name not in FORMATS:
        raise InputError(f"--format {name}: unknown; there are {', '.join(FORMATS)}, and all")
    return FORMATS[name]()
