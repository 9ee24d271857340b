"""`--format all`: what is installed, in a folder each, and a page."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from e2gan import ExportConfig, export_all
from e2gan.cli import main
from e2gan.core.errors import InputError
from e2gan.export.format import Order
from e2gan.export.formats import FORMATS
from tests.conftest import Project, refused
from tests.export.test_formats import ADDED, Eager


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two formats and one whose package is missing."""

    def missing() -> None:
        raise InputError("the third export needs a package: pip install <it>")

    eager = replace(ADDED, load=Eager)
    monkeypatch.setattr("e2gan.export.all_formats.FORMATS", formats := dict.fromkeys(("one", "two", "three")))
    for name in formats:
        kind = replace(eager, require=missing) if name == "three" else eager
        monkeypatch.setitem(FORMATS, name, lambda kind=kind: kind)


@pytest.mark.usefixtures("three")
def test_a_folder_for_each_format_and_a_page_that_names_them(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = ExportConfig(model=project.model, format="all", out=tmp_path / "o", size=32)
    found = export_all(config)
    assert [exported.format for exported in found.formats] == ["one", "two"]
    names = sorted(path.name for path in (tmp_path / "o" / "two").iterdir())
    assert names == ["LICENCE.txt", "effect.txt", "parity.json"]
    page = found.page.read_text("utf-8")
    assert 'href="one/effect.txt"' in page
    assert "pip install &lt;it&gt;" in page
    assert found.missing.keys() == {"three"}
    assert page.count(f"<p>{ADDED.purpose}</p>") == 3  # of the one that is left out too
    assert (
        main(["export", "--model", str(project.model), "--format", "all", "--out", str(tmp_path / "o"), "--size", "32"])
        == 0
    )
    assert "nothing to do" in capsys.readouterr().out
    assert json.loads((tmp_path / "o" / "one" / "parity.json").read_text())["compared"] is True


@pytest.mark.usefixtures("three")
def test_where_no_format_has_the_precision_it_says_so(project: Project, tmp_path: Path) -> None:
    config = ExportConfig(model=project.model, format="all", precision="int8", out=tmp_path / "o", size=32)
    assert refused(lambda: export_all(config)).startswith(
        "no format can be written here: --precision int8: one has fp32"
    )
    assert not (tmp_path / "o").exists()
    assert "export_model writes one" in refused(lambda: export_all(replace(config, format="one")))


@pytest.mark.usefixtures("three")
def test_after_a_kill_the_formats_that_are_whole_are_not_written_again(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = ExportConfig(model=project.model, format="all", out=tmp_path / "o", size=32)
    whole = export_all(replace(config, out=tmp_path / "whole"))
    two = FORMATS["two"]()

    def killed(order: Order, path: Path) -> None:
        two.write(order, path)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setitem(FORMATS, "two", lambda: replace(two, write=killed))
        with pytest.raises(KeyboardInterrupt):
            export_all(config)
    partial = tmp_path / "o.partial"
    assert [path.name for path in (partial / "two").iterdir()] == ["effect.txt"]
    first = (partial / "one/effect.txt").stat().st_mtime_ns
    found = export_all(config)
    assert (tmp_path / "o/one/effect.txt").stat().st_mtime_ns == first
    assert found.page.read_bytes() == whole.page.read_bytes()
