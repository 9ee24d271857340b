"""A user's programs on disk, and the folder in which a teacher makes its own."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from e2gan.teachers.command import CommandTeacher
from tests.teachers.tiny_programs import PYTHON, STEPS


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., Path]:
    """Writes a program of the user's."""

    def write(text: str, name: str = "edit.py") -> Path:
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the teacher makes its folders."""
    folder = tmp_path / "temporary files"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def steps(script: Callable[..., Path], tmp_path: Path) -> Callable[..., CommandTeacher]:
    """A teacher that is a program of these lines; the widths of the photos that it gets are in the file log."""

    def make(lines: str, **options: Any) -> CommandTeacher:
        return CommandTeacher(f"{PYTHON} {script(STEPS + lines)} {{input}} {{output}} '{tmp_path}'", **options)

    return make
