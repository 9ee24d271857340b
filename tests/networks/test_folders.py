"""Bases and adapters by folder, and by the names of those that ship."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from e2gan.cli import main
from e2gan.config import AdaptConfig
from e2gan.core.errors import InputError
from e2gan.core.images import write_png
from e2gan.networks.folders import base_folder, shipped_adapters
from e2gan.train.adapter import adapt
from tests.conftest import Project


def test_without_a_base_that_ships_one_line_says_what_to_do(project: Project, tmp_path: Path) -> None:
    try:
        assert (base_folder(None) / "model.safetensors").is_file()
    except InputError as error:
        assert "e2gan base" in str(error)  # noqa: PT017
        with pytest.raises(InputError, match="--base"):
            adapt(AdaptConfig(pairs=project.sepia, out=tmp_path / "x"))


def test_an_unknown_name_is_told_with_those_that_ship(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_png(tmp_path / "photo.png", np.zeros((64, 64, 3), np.uint8))
    command = ["edit", "--adapter", "nothing", str(tmp_path / "photo.png"), "--out", str(tmp_path / "out.png")]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert "nothing is no adapter" in error
    assert all(name in error for name in shipped_adapters())
