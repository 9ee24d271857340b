"""Every exported folder says what may be done with it: by the base's own card, and where that says nothing, so."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from e2gan import ExportConfig, export_model
from e2gan.cli import main
from e2gan.export.formats import FORMATS, find_format
from e2gan.export.licence import LICENCE, licence_text
from tests.conftest import Project
from tests.export.test_formats import ready


def test_a_card_that_states_nothing_is_told_as_one(tmp_path: Path) -> None:
    assert licence_text("model", tmp_path).startswith("Licence of the model that this is made of: not stated\n")
    assert "It has no model card." in licence_text("model", tmp_path)
    (tmp_path / "README.md").write_text("# Mine\n")
    told = licence_text("base", tmp_path, notices="the runtime is MIT\n")
    assert "not stated" in told
    assert told.endswith("Its model card:\n\n# Mine\n\n\nthe runtime is MIT\n")


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.filterwarnings("ignore")  # of the converters and what they load
def test_every_format_carries_the_licence_of_its_base(project: Project, tmp_path: Path, name: str) -> None:
    ready(name)
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    shutil.copytree(project.base, base)
    shutil.copytree(project.adapter, adapter)
    (base / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n# Our base\n")
    (adapter / "README.md").write_text("---\nlicense: mit\n---\n# Our look\n")
    size = None if find_format(name).several else 32
    config = ExportConfig(
        base=base, adapter=(adapter,), format=name, out=tmp_path / "o", size=size, photos=project.photos
    )
    exported = export_model(config)
    text = (exported.folder / LICENCE).read_text("utf-8")
    assert "the base that this is made of: cc-by-4.0" in text
    assert "# Our base" in text
    assert "the adapter adapter that this is made of: mit" in text
    assert "licence: cc-by-4.0, see LICENCE.txt" in str(exported)
    kind = find_format(name)
    metadata = getattr(
        kind.load(exported.file) if kind.load is not None else None, "metadata", {"licence": "cc-by-4.0"}
    )
    assert metadata["licence"] == "cc-by-4.0"  # where the file's own reader tells it
    told = json.loads((exported.folder / "parity.json").read_text())
    assert told["licence"] == "cc-by-4.0"
    del told["licence"]  # as in a folder of an earlier version, which is done too
    (exported.folder / "parity.json").write_text(json.dumps(told))
    (exported.folder / LICENCE).unlink()
    assert export_model(config).already_done


@pytest.mark.slow
def test_the_page_of_all_formats_tells_the_licence(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("e2gan.export.all_formats.FORMATS", {"onnx": FORMATS["onnx"]})
    command = ["export", "--model", str(project.model), "--format", "all", "--out", str(tmp_path / "o"), "--size", "32"]
    assert main(command) == 0
    assert "licence: not stated, see LICENCE.txt" in capsys.readouterr().out
    assert "licence: not stated" in (tmp_path / "o" / "index.html").read_text("utf-8")
    assert "The model" not in (tmp_path / "o" / "onnx" / LICENCE).read_text("utf-8")
    assert "Licence of the model" in (tmp_path / "o" / "onnx" / LICENCE).read_text("utf-8")
