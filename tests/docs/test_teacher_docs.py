"""The pages about teachers: one for each, right about its facts, and no command in them that does not exist."""

from __future__ import annotations

import dataclasses
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from e2gan.cli import main
from e2gan.core.images import read_image, write_png
from e2gan.data.builtin_photos import builtin_pictures
from e2gan.data.pair_set import PairSet
from e2gan.teachers.diffusion.presets import Preset, load_presets
from tests.conftest import Project

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [DOCS / "teachers.md", *sorted((DOCS / "teachers").glob("*.md"))]


def commands(text: str) -> list[str]:
    """The lines of indented code that begin with e2gan, those that go on joined."""
    joined = re.sub(r" \\\n +", " ", text)
    return [line.strip() for line in joined.splitlines() if line.startswith("    e2gan ")]


@pytest.mark.parametrize("name", load_presets())
def test_every_teacher_has_a_page_with_its_facts(name: str) -> None:
    preset, page = load_presets()[name], (DOCS / "teachers" / f"{name}.md").read_text("utf-8")
    for fact in (preset.checkpoint, preset.licence, preset.licence_url, preset.pipeline, preset.seconds, preset.lora):
        assert not fact or fact in page
    assert f"--teacher {name}" in page
    assert f"({name}.md)" in (DOCS / "teachers" / "README.md").read_text("utf-8")


def test_every_key_of_a_preset_is_in_the_table() -> None:
    page = (DOCS / "teachers" / "diffusers.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)`", page, re.MULTILINE)
    assert rows == [field.name for field in dataclasses.fields(Preset) if field.name != "name"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_parse_and_links_lead_somewhere(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = page.read_text("utf-8")
    for line in commands(text):
        arguments = shlex.split(line, comments=True)[1:]
        assert main([*arguments, "--dry-run"]) == 0, capsys.readouterr().err
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert link.startswith("https://") or (page.parent / link).exists(), link


def lines(page: str) -> str:
    """The one block of Python of a page."""
    (code,) = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text("utf-8"), re.DOTALL)
    return code


def test_the_function_of_the_page_is_a_teacher(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(project.photos, "photos")
    exec(lines("teachers.md"), {})
    photos, edits, _ = PairSet.load(Path("inverted")).arrays("train")
    assert len(photos) > 1
    np.testing.assert_array_equal(edits, 255 - photos)


def test_the_program_of_the_page_edits_a_folder(tmp_path: Path) -> None:
    (tmp_path / "posterize.py").write_text(lines("teachers/command.md"))
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    write_png(tmp_path / "in" / "a.png", next(iter(builtin_pictures().values()))[:64, :64])
    subprocess.run([sys.executable, "posterize.py", "in", "out"], cwd=tmp_path, check=True)
    assert set(np.unique(read_image(tmp_path / "out" / "a.png"))) <= {0, 64, 128, 192}
