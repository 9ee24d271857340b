"""The pages about teachers: one for each, right about its facts, and no command in them that does not exist."""

from __future__ import annotations

import dataclasses
import re
import shlex
from pathlib import Path

import pytest

from e2gan.cli import main
from e2gan.teachers.diffusion.presets import Preset, load_presets

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
