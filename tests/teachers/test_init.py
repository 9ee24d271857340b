"""Teachers by name: which file makes which, and how a new kind is added."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from e2gan.config import PairsConfig, TeachConfig
from e2gan.core.errors import InputError
from e2gan.teachers import MODULES, make_teachers, takes_settings
from e2gan.teachers.teacher import Ask


def wanted(*teachers: str, **teach: Any) -> PairsConfig:
    return PairsConfig(concept="make it autumn", out=Path("pairs"), teacher=teachers, teach=TeachConfig(**teach))


def test_teachers_are_made_in_their_order() -> None:
    names = ("sd-img2img", "filters", "command:edit {input} {output}", "filters:sepia", "diffusers:owner/model")
    teachers = make_teachers(wanted(*names))
    assert [teacher.name for teacher in teachers] == [
        "sd-img2img",
        "filters:autumn",
        "command:edit",
        "filters:sepia",
        "diffusers:model",
    ]
    assert [takes_settings(name) for name in names] == [True, False, False, False, True]


def test_a_new_kind_of_teacher_is_one_file_and_one_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "inverting.py").write_text("""
from e2gan.teachers.function import FunctionTeacher
def make(name, config):
    return FunctionTeacher(lambda photos, prompt, seeds: [255 - photo for photo in photos], name=name)
""")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(MODULES, "invert", "inverting")
    first, second = make_teachers(wanted("invert", "invert:again"))
    assert [first.name, second.name] == ["invert", "invert:again"]
    photo = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    np.testing.assert_array_equal(first.edit([photo], Ask("inverted"), [0])[0], 255 - photo)


@pytest.mark.parametrize(
    ("teachers", "teach", "message"),
    [
        (("filters:",), {}, "--teacher filters:: unknown; there are 'filters' and 'filters:NAME'"),
        (("command",), {}, "names no program"),
        (("sd-img2im",), {}, "did you mean sd-img2img"),
        (("filters:sepia",), {"set": ("filters:sepia.strength=1",)}, "--set strength: filters takes no settings"),
        (("filters:sepia",), {"set": ("strength=1",)}, "--set strength: there is no such teacher among filters:sepia"),
        (("filters:sepia",), {"model": ("folder",)}, "a diffusion model, and none is among the teachers"),
        (("sd-img2img", "null-text"), {"model": ("folder",)}, "TEACHER being one of sd-img2img, null-text"),
        (("sd-img2img",), {"model": ("a", "b")}, "--model: sd-img2img is given two checkpoints"),
    ],
)
def test_what_cannot_be_meant_is_one_line(teachers: tuple[str, ...], teach: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as refused:
        make_teachers(wanted(*teachers, **teach))
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
