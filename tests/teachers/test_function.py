"""A Python function as a teacher."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

from e2gan.core.errors import InputError
from e2gan.core.images import Pixels
from e2gan.teachers.function import FunctionTeacher
from e2gan.teachers.teacher import Failed, Teacher
from tests.teachers.tiny_programs import ASK, photos


def brighten(photos: list[Pixels], prompt: str, seeds: list[int]) -> list[Pixels]:
    assert prompt == "make it autumn"
    for photo, seed in zip(photos, seeds, strict=True):
        photo //= 2  # the photos are the function's own
        photo += np.uint8(seed)
    return photos


def test_a_function_is_a_teacher() -> None:
    teacher: Teacher = FunctionTeacher(brighten, version="2")
    teacher.load()
    given = photos(2)
    edits = teacher.edit(given, ASK, [3, 4])
    np.testing.assert_array_equal(edits[0], given[0] // 2 + 3)
    np.testing.assert_array_equal(edits[1], given[1] // 2 + 4)
    assert (teacher.name, teacher.batch, teacher.deterministic) == ("function:brighten", 8, False)
    assert teacher.settings(ASK) == {"function": "function:brighten", "version": "2"}
    assert teacher.settings(ASK) != FunctionTeacher(brighten).settings(ASK)
    teacher.close()


def test_a_function_may_say_why_there_is_no_edit_and_give_other_sizes() -> None:
    def picky(photos: list[Pixels], prompt: str, seeds: list[int]) -> tuple[Pixels | Failed, ...]:
        return Failed(f"no {prompt} for {seeds[0]}"), photos[1][:8]

    refused, edit = FunctionTeacher(picky).edit(photos(2), ASK, [7, 8])
    assert refused == Failed("no make it autumn for 7")
    np.testing.assert_array_equal(edit, photos(2)[1][:8])


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (None, "must return a list of edits, not NoneType"),
        ([], "returned 0 edits of 1 photos"),
        ([np.zeros((8, 8, 3), np.float32)], r"edit 0 is ndarray float32 \(8, 8, 3\): return uint8 \(H, W, 3\)"),
        ([np.zeros((3, 8, 8), np.uint8)], r"\(3, 8, 8\)"),
        ([np.zeros((8, 8), np.uint8)], r"\(8, 8\)"),
        ([np.zeros((0, 8, 3), np.uint8)], r"\(0, 8, 3\)"),
        (["autumn.png"], "edit 0 is str"),
    ],
)
def test_what_a_function_returns_is_checked(returned: Any, message: str) -> None:
    teacher = FunctionTeacher(lambda photos, prompt, seeds: returned, name="mine")  # noqa: ARG005
    with pytest.raises(InputError, match=f"mine: .*{message}"):
        teacher.edit(photos(1), ASK, [0])


def test_what_is_no_function_of_photos_is_refused() -> None:
    nothing: Any = "autumn"
    with pytest.raises(InputError, match="must be callable, not str"):
        FunctionTeacher(nothing)
    for unnamed in (lambda photos, prompt, seeds: photos, functools.partial(brighten)):  # noqa: ARG005
        with pytest.raises(InputError, match="needs one"):
            FunctionTeacher(unnamed)
    with pytest.raises(InputError, match="batch=0"):
        FunctionTeacher(brighten, batch=0)
    short: Any = lambda photos: photos  # noqa: E731
    with pytest.raises(InputError, match=r"must take \(photos, prompt, seeds\), not \(photos\)"):
        FunctionTeacher(short, name="short").load()
