"""A pair set of the best candidates: thresholds, scores that are kept, one builder at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from e2gan.core.errors import InputError
from e2gan.core.files import read_jsonl
from e2gan.core.images import Pixels
from e2gan.core.outputs import partial_of
from e2gan.data.pair_set import PairSet
from e2gan.data.photos import PhotoSet
from e2gan.pairs import build_set
from e2gan.pairs.scores import EditScores
from e2gan.teachers.function import FunctionTeacher
from tests.conftest import Project
from tests.pairs.tiny_teachers import Counted, count, run, sepia


@pytest.mark.slow
def test_of_several_edits_the_best_is_kept(project: Project, tmp_path: Path) -> None:
    """Two teachers, two seeds: one of four keeps the photo's structure."""

    def blurred(photo: Pixels, seed: int) -> Pixels:
        from scipy.ndimage import gaussian_filter

        return np.asarray(gaussian_filter(sepia(photo, seed), (4 + seed % 2, 4, 0)), np.uint8)

    good, bad = Counted(), Counted(blurred)
    teachers = [
        FunctionTeacher(bad.run, name="bad"),
        FunctionTeacher(good.run, name="good"),
    ]
    result = run(project, tmp_path / "pairs", teachers, seeds=2, max_residual=99)
    assert result.teacher == "bad, good"
    pairs = PairSet.load(tmp_path / "pairs")
    assert Counter(row["teacher"] for row in pairs.rows).most_common(1)[0] == ("good", len(pairs.rows))
    rows = read_jsonl(tmp_path / "pairs" / "candidates.jsonl")
    assert len(rows) == 4 * count(project)
    assert sum(row["picked"] for row in rows) == count(project)
    assert all((tmp_path / "pairs" / row["file"]).is_file() for row in rows)


@pytest.mark.slow
def test_thresholds_reject_and_say_how_many(project: Project, tmp_path: Path) -> None:
    other = PhotoSet.load(project.photos).array()[0]

    def edit(photo: Pixels, seed: int) -> Pixels:
        return sepia(other if photo.sum() % 3 == 0 else photo, seed)

    result = run(
        project, tmp_path / "pairs", [Counted(edit).teacher], reject=("structure<0.4",), max_residual=99, align=False
    )
    lost = count(project) - (result.train + result.val + result.test)
    assert lost > 0
    assert "structure" in str(result)
    assert result.rejected == {"structure<0.4": lost}
    with pytest.raises(InputError, match="no training photo has an edit"):
        run(project, tmp_path / "none", [Counted().teacher], reject=("structure<1.1",))


@pytest.mark.slow
def test_scores_are_kept_and_made_smaller_where_memory_runs_out(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score, sizes = EditScores._score, []

    def little(self: EditScores, photos: Sequence[Pixels], edits: Sequence[Pixels]) -> list[dict[str, float]]:
        sizes.append(len(edits))
        if len(edits) > 4:
            raise RuntimeError("CUDA out of memory.")
        if len(sizes) == stop:
            raise KeyboardInterrupt
        return score(self, photos, edits)

    monkeypatch.setattr(EditScores, "_score", little)
    stop, out = 12, tmp_path / "pairs"
    monkeypatch.setattr(build_set, "AT_A_TIME", 8)
    with pytest.raises(KeyboardInterrupt):
        run(project, out, [Counted().teacher])
    scored = sum(len(path.read_text().splitlines()) for path in partial_of(out).glob("scores-*.jsonl"))
    assert 0 < scored < count(project)
    stop = 0
    sizes.clear()
    run(project, out, [Counted().teacher])
    assert sum(size for size in sizes if size <= 4) == count(project) - scored
    assert not list(out.glob("scores-*"))
    assert all("structure" in row["scores"] for row in read_jsonl(out / "candidates.jsonl"))


def test_a_set_that_another_process_builds_is_left_to_it(project: Project, tmp_path: Path) -> None:
    out = tmp_path / "pairs"
    run(project, out, [Counted().teacher])
    out.rename(partial_of(out))
    with FileLock(tmp_path / "pairs.lock"), pytest.raises(InputError, match="is being written by another process"):
        run(project, out, [Counted().teacher])
    (tmp_path / "pairs.lock").touch()  # what a killed process leaves
    run(project, out, [Counted().teacher])
    assert [path.name for path in tmp_path.iterdir()] == ["pairs"]
