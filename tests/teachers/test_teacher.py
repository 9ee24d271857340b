"""What every teacher keeps to, of whatever kind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from e2gan.config import PairsConfig
from e2gan.teachers import make_teachers
from e2gan.teachers.function import FunctionTeacher
from e2gan.teachers.teacher import Teacher
from tests.teachers.tiny_programs import ASK, PYTHON, photos


@pytest.fixture(params=["filters", "command", "function"])
def teacher(request: pytest.FixtureRequest, script: Callable[..., Path]) -> Teacher:
    """One of each kind that needs no weights."""
    if request.param == "function":
        return FunctionTeacher(lambda photos, _, seeds: [p // 2 + s for p, s in zip(photos, seeds, strict=True)], "dim")
    program = script(
        "import sys\nfrom PIL import Image, ImageOps\nImageOps.invert(Image.open(sys.argv[1])).save(sys.argv[2])\n"
    )
    names = {"filters": "filters", "command": f"command:{PYTHON} {program} {{photo}} {{edit}}"}
    config = PairsConfig(concept="make it autumn", out=Path("pairs"), teacher=(names[request.param],))
    return make_teachers(config)[0]


def test_a_photos_edit_is_its_own_and_the_photo_stays_as_it_is(teacher: Teacher) -> None:
    given = photos(3)
    kept = [photo.copy() for photo in given]
    settings = teacher.settings(ASK)  # before anything is loaded
    teacher.load()
    together = teacher.edit(given, ASK, [1, 2, 3])
    alone = [teacher.edit([photo], ASK, [seed])[0] for photo, seed in zip(given, (1, 2, 3), strict=True)]
    for photo, before, edit, other in zip(given, kept, together, alone, strict=True):
        np.testing.assert_array_equal(photo, before)
        assert isinstance(edit, np.ndarray)
        assert edit.dtype == np.uint8
        np.testing.assert_array_equal(edit, other)
        assert not np.array_equal(edit, photo)
    assert teacher.settings(ASK) == settings
    assert json.loads(json.dumps(settings)) == settings
    teacher.close()


def test_a_deterministic_teacher_gives_the_same_with_any_seed(teacher: Teacher) -> None:
    [photo] = photos(1)
    [one], [other] = (teacher.edit([photo], ASK, [seed]) for seed in (1, 2))
    assert np.array_equal(one, other) == teacher.deterministic  # pyright: ignore[reportArgumentType]
