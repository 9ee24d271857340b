"""The models of an experiment: each trained once, on selections that it makes itself."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from e2gan import run_table
from e2gan.core.errors import InputError
from tests.conftest import Project
from tests.research.tables.tiny_tables import Sets, run, settings


@pytest.mark.slow
def test_a_table_killed_midway_goes_on_to_the_same_numbers(
    sets: Sets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from e2gan.research.tables import models

    whole = run(settings(sets, "table5", tmp_path / "whole"))
    config = settings(sets, "table5", tmp_path / "killed")
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


def test_a_set_made_of_a_selection_is_not_selected_from_again(project: Project, sets: Sets, tmp_path: Path) -> None:
    from e2gan import PairsConfig, PhotoSet, make_pairs

    photos = tmp_path / "photos"
    shutil.copytree(project.photos, photos)
    ids = [photo.id for photo in PhotoSet.load(photos).split("train")]
    (photos / "selection.json").write_text(json.dumps({"ids": ids[:19]}))
    make_pairs(PairsConfig(photos=photos, concept="sepia", out=tmp_path / "sepia"))
    with pytest.raises(InputError, match="was made of a selection of its photos"):
        run_table(settings(sets, "5", tmp_path / "t", pairs=(tmp_path / "sepia",)))


@pytest.mark.slow
def test_the_base_given_is_the_one_that_is_used(sets: Sets, tmp_path: Path) -> None:
    first = run(settings(sets, "14", tmp_path, steps=2, base_steps=2))
    base = first.out / "models/bases/base"
    found = run(settings(sets, "5", tmp_path, steps=2, base=base, base_pairs=()))
    assert not (found.out / "models/bases").exists()
    assert found.rows[1].values == pytest.approx(
        first.rows[1].values | {"seconds a concept": found.rows[1].values["seconds a concept"]}
    )
