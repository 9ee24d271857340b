"""The models of an experiment: each trained once, on selections that it makes itself."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from e2gan import run_table
from e2gan.core.errors import InputError
from tests.conftest import Project
from tests.research.tables.tiny_tables import run, settings


@pytest.mark.slow
def test_a_table_killed_midway_goes_on_to_the_same_numbers(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from e2gan.research.tables import models

    whole = run(settings(project, "table6", tmp_path / "whole", base=project.base))
    config = settings(project, "table6", tmp_path / "killed", base=project.base)
    real, calls = models.adapt, [0]

    def killed(config: object) -> object:
        calls[0] += 1
        if calls[0] == 2:
            raise KeyboardInterrupt
        return real(config)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(models, "adapt", killed)
        with pytest.raises(KeyboardInterrupt):
            run_table(config)
    again = run(config)
    assert [r.values["mean"] for r in again.rows] == [r.values["mean"] for r in whole.rows]


def test_a_set_made_of_a_selection_is_not_selected_from_again(project: Project, tmp_path: Path) -> None:
    from e2gan import PairsConfig, PhotoSet, make_pairs

    photos = tmp_path / "photos"
    shutil.copytree(project.photos, photos)
    ids = [photo.id for photo in PhotoSet.load(photos).split("train")]
    (photos / "selection.json").write_text(json.dumps({"ids": ids[:9]}))
    make_pairs(PairsConfig(photos=photos, concept="sepia", out=tmp_path / "sepia"))
    with pytest.raises(InputError, match="lacks 15 of its photo set's training photos"):
        run_table(settings(project, "6", tmp_path / "t", base=project.base, pairs=(tmp_path / "sepia",)))
