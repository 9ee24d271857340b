"""Candidates on disk: names with dots, and records of older versions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from e2gan.core.files import read_json, read_jsonl
from e2gan.core.images import Pixels
from e2gan.core.outputs import partial_of
from e2gan.data.photos import PhotoSet
from e2gan.teachers.function import FunctionTeacher
from tests.conftest import Project
from tests.pairs.tiny_teachers import Counted, count, run, sepia


def test_a_teachers_name_may_have_dots(project: Project, tmp_path: Path) -> None:
    mine = Counted()
    result = run(project, tmp_path / "pairs", [FunctionTeacher(mine.run, name="model-v1.5")], seeds=2)
    assert result.train + result.val + result.test == count(project)
    assert len(mine.asked) == 2 * count(project)
    assert max(mine.asked.values()) == 1
    assert all((tmp_path / "pairs" / row["file"]).is_file() for row in read_jsonl(tmp_path / "pairs/candidates.jsonl"))


@pytest.mark.slow
def test_what_was_once_marked_as_suspect_is_tried_again(project: Project, tmp_path: Path) -> None:
    """Older versions wrote so of photos that failed while everything did."""
    hopeless = PhotoSet.load(project.photos).array()[0].tobytes()

    def edit(photo: Pixels, seed: int) -> Pixels:
        if photo.tobytes() == hopeless:
            raise ValueError("no face")
        return sepia(photo, seed)

    out = tmp_path / "pairs"
    run(project, out, [Counted(edit).teacher], retries=0)
    (note,) = out.rglob("candidates/*/*.json")
    note.write_text(json.dumps(read_json(note) | {"suspect": True}))
    out.rename(partial_of(out))
    again = Counted()
    result = run(project, out, [again.teacher], retries=0)
    assert [photo for photo, _ in again.asked] == [hopeless]
    assert result.train + result.val + result.test == count(project)
    assert not result.rejected
