"""`--format web`: what is in the folder, what is told, and what is refused. tests/web/ runs it in a browser."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from e2gan import ExportConfig, export_model
from e2gan.core.files import sha256
from e2gan.export import web
from tests.conftest import Project, refused


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As `make web` builds it, but for what its files hold."""
    folder = tmp_path / "page"
    for name in ("index.html", "manifest.webmanifest", "icon.svg", "assets/index-1.js"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"of the page: {name}")
    (folder / "sw.js").write_text("const version = `0123 __E2GAN_VERSION__`;")
    (folder / "licences.txt").write_text("the runtime is MIT")
    for stem, size in zip(web.KINDS.values(), (3000, 5000, 7000), strict=True):
        (folder / "ort").mkdir(exist_ok=True)
        (folder / "ort" / f"{stem}.wasm.gz").write_bytes(bytes(size))
        (folder / "ort" / f"{stem}.mjs").write_text("//")
    monkeypatch.setattr(web, "page_folder", lambda: folder)
    return folder


def config(project: Project, out: Path) -> ExportConfig:
    return ExportConfig(base=project.base, adapter=(project.adapter,), format="web", out=out, photos=project.photos)


@pytest.mark.slow
def test_a_site_is_the_page_with_the_effects_beside_it(project: Project, page: Path, tmp_path: Path) -> None:
    exported = export_model(config(project, tmp_path / "site"))
    site = exported.folder
    for name in ("index.html", "assets/index-1.js"):
        assert (site / name).read_bytes() == (page / name).read_bytes()
    manifest = json.loads((site / "effects.json").read_text())
    assert [(site / entry["file"]).is_file() for entry in manifest["effects"]] == [True]
    # another site is another version: a browser must not take some files of each
    assert (site / "sw.js").read_text() == f"const version = `0123 {sha256(site / 'effects.json')}`;"
    told = (site / "LICENCE.txt").read_text()
    assert (project.base / "README.md").read_text().strip() in told
    assert "the runtime is MIT" in told
    assert exported.parity is not None
    assert exported.parity.mean < 0.2
    figures = r"first visit, compressed: \d+\.\d MB with WASM, \d+\.\d MB with WebGPU, .* on disk \d+\.\d MB"
    assert re.search(figures, str(exported))
    first = web.bytes_over_the_wire(site, web.KINDS["WASM"])
    assert web.bytes_over_the_wire(site, web.KINDS["WebGPU"]) - first == 2000  # one of the runtimes, not all of them
    assert exported.bytes > first


@pytest.mark.slow
@pytest.mark.usefixtures("page")
def test_a_site_that_is_too_large_says_so(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "MOST_WIRE", 1e3)
    exported = export_model(config(project, tmp_path / "site"))
    assert not all(check.passed for check in exported.checks)
    assert "more than 0 MB with WASM" in str(exported)


def test_where_the_page_is_not_built_one_line_says_how(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "page_folder", lambda: tmp_path / "nowhere")
    assert "make web" in refused(lambda: export_model(config(project, tmp_path / "site")))
    assert not (tmp_path / "site").exists()
