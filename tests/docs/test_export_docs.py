"""The pages about exported files: one for each format, commands that exist, and Python lines that run."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from e2gan import ExportConfig, export_model
from e2gan.cli import main
from e2gan.core.errors import InputError
from e2gan.export.formats import FORMATS, find_format
from e2gan.export.preview import served
from tests.conftest import ROOT, Project
from tests.export.tiny_export import photos
from tests.web.web_tools import WEB, node

DOCS = ROOT / "docs" / "export"
# What a page has around the lines of JavaScript: its address, a canvas with the photo, and what becomes of the edit.
AROUND = """import {{ readFileSync, writeFileSync }} from "node:fs";
const load = globalThis.fetch;
globalThis.fetch = (place) => load(new URL(place, "{address}"));
const context = {{ getImageData: () => ({{ data: new Uint8ClampedArray(readFileSync("photo.rgba")) }}) }};
{code}
writeFileSync("edit.rgb", edit.data);
"""


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_has_a_page_and_its_line_in_the_table(name: str) -> None:
    page, table = (DOCS / f"{name}.md").read_text("utf-8"), (DOCS / "README.md").read_text("utf-8")
    kind = find_format(name)
    assert f"`{kind.file}`" in page
    assert f"[{name}]({name}.md) | `{kind.file}`" in table
    assert f"| {', '.join(kind.precisions)} |" in table


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.stem)
def test_every_command_exists(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commands = re.findall(r"^    e2gan (.*)$", page.read_text("utf-8"), re.MULTILINE)
    assert commands
    for command in commands:
        assert main([*shlex.split(command, comments=True), "--dry-run"]) == 0, command
    capsys.readouterr()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the converters and what they load
@pytest.mark.parametrize("name", ["onnx", "openvino", "litert", "executorch", "effects"])
def test_the_python_lines_edit_a_photo(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    try:
        find_format(name).require()
    except InputError as error:
        pytest.skip(str(error))
    monkeypatch.chdir(tmp_path)
    kind = find_format(name)
    folder, size = Path("effects" if kind.several else "effect"), None if kind.several else 256
    adapters = (
        (project.adapter, shutil.copytree(project.adapter, Path("other"))) if kind.several else (project.adapter,)
    )
    config = ExportConfig(
        base=project.base, adapter=adapters, format=name, size=size, out=folder, photos=project.photos
    )
    export_model(config)
    photo = photos(256, 256)[0]
    Image.fromarray(photo).save("photo.jpg", quality=95)
    (code,) = re.findall(r"```python\n(.*?)```", (DOCS / f"{name}.md").read_text("utf-8"), re.DOTALL)
    exec(code, {})
    assert kind.load is not None
    expected = kind.load(folder / kind.file)(np.asarray(Image.open("photo.jpg"))[None])[0]
    assert np.abs(np.asarray(Image.open("edit.png")).astype(int) - expected).max() <= 1
    assert np.abs(expected.astype(int) - photo).mean() > 0.5


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the converter
def test_the_python_lines_of_core_ml_open_packages(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All but what only Apple's systems do, which is the last line of each block."""
    try:
        find_format("coreml").require()
    except InputError as error:
        pytest.skip(str(error))
    monkeypatch.chdir(tmp_path)
    golden = shutil.copytree(project.adapter, Path("golden"))
    config = ExportConfig(base=project.base, adapter=(golden,), format="coreml", size=256, out=Path("effect"))
    export_model(config)
    export_model(replace(config, adapter=(project.adapter, golden), out=Path("effects")))
    Image.fromarray(photos(256, 256)[0]).save("photo.jpg")
    names: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "coreml.md").read_text("utf-8"), re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        *lines, last = block.strip().splitlines()
        assert ".predict(" in last
        exec("\n".join(lines), names)
    assert names["photo"].size == (256, 256)
    assert names["model"].function_name is None
    assert names["golden"].function_name == "golden"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["onnx", "effects"])
def test_the_javascript_lines_edit_a_photo(project: Project, tmp_path: Path, name: str) -> None:
    """In Node, where onnxruntime-web takes its WASM; the canvas is the photo's pixels, and the page's own address that
    of a server here."""
    program, packages, kind = node(), WEB / "node_modules", find_format(name)
    if not (packages / "onnxruntime-web").is_dir():
        pytest.skip("onnxruntime-web is missing: make web installs it")
    folder = tmp_path / ("effects" if kind.several else "effect")
    config = ExportConfig(
        base=project.base,
        adapter=(project.adapter,),
        format=name,
        size=None if kind.several else 256,
        out=folder,
        photos=project.photos,
    )
    export_model(config)
    photo = photos(256, 256)[0]
    (tmp_path / "photo.rgba").write_bytes(np.dstack([photo, np.full((256, 256), 255, np.uint8)]).tobytes())
    (tmp_path / "node_modules").symlink_to(packages, target_is_directory=True)
    (code,) = re.findall(r"```js\n(.*?)```", (DOCS / f"{name}.md").read_text("utf-8"), re.DOTALL)
    with served(tmp_path) as address:
        (tmp_path / "page.mjs").write_text(AROUND.format(address=address, code=code))
        done = subprocess.run([program, "page.mjs"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    edit = np.frombuffer((tmp_path / "edit.rgb").read_bytes(), np.uint8).reshape(256, 256, 3)
    assert kind.load is not None
    expected = kind.load(folder / kind.file)(photo[None])[0]
    assert np.abs(edit.astype(int) - expected).max() <= 1
    assert np.abs(expected.astype(int) - photo).mean() > 0.5
