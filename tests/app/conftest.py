"""One app for the tests that only ask it: the project's tiny base and adapter, and a second one, in a folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from e2gan import AppConfig
from tests.conftest import Project
from tests.tiny_effects import second_adapter


@dataclass(frozen=True)
class Shelf:
    """folder: what the app is given. base, adapter, second: in it."""

    folder: Path
    base: Path
    adapter: Path
    second: Path

    def copy(self, place: Path) -> Shelf:
        folder = shutil.copytree(self.folder, place)
        return Shelf(folder, folder / "base", folder / "runs/adapter", folder / "runs/second")


@pytest.fixture(scope="session")
def shelf(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    folder = tmp_path_factory.mktemp("app") / "folder"
    shutil.copytree(project.base, folder / "base")
    shutil.copytree(project.adapter, folder / "runs/adapter")
    second = second_adapter(project, folder / "runs/second")
    return Shelf(folder, folder / "base", folder / "runs/adapter", second)


@pytest.fixture(scope="session")
def address(shelf: Shelf) -> Iterator[str]:
    """Of the app; skips where a package of it or the built page is missing."""
    for name in ("starlette", "uvicorn", "cryptography"):
        pytest.importorskip(name, reason=f"{name} is missing: pip install 'e2gan[app]'")
    from e2gan.app.app import serving
    from e2gan.export.web import page_folder

    if not (page_folder() / "index.html").is_file():
        pytest.skip("the page is not built: make web")
    with serving(AppConfig(folder=shelf.folder, port=0, device="cpu", megabytes=2, megapixels=1)) as app:
        yield app.address
