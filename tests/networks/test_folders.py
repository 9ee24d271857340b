"""Bases and adapters by folder, and by the names of those that ship."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from e2gan.cli import main
from e2gan.config import AdaptConfig
from e2gan.core.errors import InputError
from e2gan.core.images import write_png
from e2gan.networks import folders
from e2gan.networks.folders import DEPTH, base_folder, folders_below, shipped_adapters, shipped_bases
from e2gan.networks.models import Model
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


@pytest.fixture
def two_ship(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Assets with two bases: as `small` the project's, as `full` one of other weights."""
    shutil.copytree(project.base, tmp_path / "assets" / "small")
    shutil.copytree(project.model, tmp_path / "assets" / "base")
    monkeypatch.setattr(folders, "ASSETS", tmp_path / "assets")
    return tmp_path / "assets"


def test_a_base_that_ships_is_named_and_the_first_is_the_default(two_ship: Path) -> None:
    assert list(shipped_bases()) == ["full", "small"]
    assert base_folder(Path("small")) == two_ship / "small"
    assert base_folder(None) == two_ship / "base"
    with pytest.raises(InputError, match="there ship: full, small"):
        base_folder(Path("tiny"))


def test_an_adapter_of_a_shipped_base_brings_it_and_one_of_another_is_told(two_ship: Path, project: Project) -> None:
    assert base_folder(None, project.adapter) == two_ship / "small"
    assert Model.load(adapter=[project.adapter]).prompt
    shutil.rmtree(two_ship / "small")
    with pytest.raises(InputError, match="belongs to another base"):
        Model.load(adapter=[project.adapter])


def test_folders_below_leave_out_what_is_hidden_half_written_or_too_deep(tmp_path: Path) -> None:
    deep = Path("a", *"b" * DEPTH)
    for name in ("a/look", "a/look.partial/inside", ".hidden", "node_modules/x", str(deep)):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "a/look/model").touch()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    found = dict(folders_below(tmp_path, 100))
    assert {"a", "a/look", "a/b"} <= {path.relative_to(tmp_path).as_posix() for path in found}
    assert found[tmp_path / "a/look"] == {"model"}
    assert tmp_path / deep not in found
    assert (tmp_path / deep).parent in found
    assert not any("partial" in str(path) or "hidden" in str(path) or "link" in str(path) for path in found)
    assert len(list(folders_below(tmp_path, 3))) == 3
