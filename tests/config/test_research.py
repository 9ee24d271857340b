"""Settings of the searches and comparisons."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from e2gan.config import COMODGAN_TRAINING, RECIPES, FinetuneConfig, ReproduceConfig, TableConfig
from e2gan.core.errors import InputError
from e2gan.train.finetune import finetune_base
from tests.conftest import Project


def test_all_parts_frozen_is_refused(project: Project, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing would be trained"):
        finetune_base(FinetuneConfig(pairs=project.sepia, out=tmp_path / "m", frozen=("sl", "tb", "rb")))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"minutes": 1.0, "steps": 5}, "^--minutes and --steps: name one of them"),
        ({"base_minutes": 1.0, "base_steps": 5}, "^--base-minutes and --base-steps: name one of them"),
        ({"adapter_lr": 0.0}, "^--adapter-lr 0.0: must be positive"),
        ({"keep": (0,)}, "^--keep 0"),
        ({"keep": (5, 5)}, "one number is there twice"),
    ],
)
def test_a_table_is_trained_for_one_length_and_at_a_rate(changes: dict[str, Any], words: str) -> None:
    TableConfig(number="5").check()
    with pytest.raises(InputError, match=words):
        TableConfig(number="5", **changes).check()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"keep": (5, 8)}, "^--keep: Table 3 keeps one number of photos"),
        ({"teacher": ()}, "^--teacher is empty"),
        ({"limit": 2}, "^--limit 2"),
        ({"keep_concepts": 0}, "^--keep-concepts 0"),
    ],
)
def test_what_the_recipe_cannot_be_run_with_is_refused(changes: dict[str, Any], words: str) -> None:
    recipe = ReproduceConfig(photos_of="faces", photos=Path("p"))
    recipe.check()
    with pytest.raises(InputError, match=words):
        replace(recipe, **changes).check()


def test_a_part_of_a_training_is_a_part_of_its_length() -> None:
    table = TableConfig(number="5")
    assert [table.training(of).epochs for of in ("base", "adapter", "scratch", "comodgan")] == [100, 100, 200, 200]
    assert table.training("adapter", 2).epochs == 200
    quick = TableConfig(number="5", steps=30, base_minutes=4.0)
    assert quick.training("scratch", 0.5).steps == 15
    assert quick.training("base").minutes == 4
    assert quick.training("base").steps is None


def test_the_defaults_of_the_tables_are_the_recipe_paper() -> None:
    table, recipe = TableConfig(number="5"), RECIPES["paper"]
    assert table.generator == recipe.generator
    assert table.text == recipe.text
    assert table.ranks == recipe.adapter["ranks"]
    assert table.training("base") == recipe.training["base"]
    assert table.training("adapter") == recipe.training["adapt"]
    assert table.training("scratch") == recipe.training["scratch"]
    assert table.training("comodgan") == COMODGAN_TRAINING


def test_the_recipe_of_faces_and_of_scenes() -> None:
    faces = ReproduceConfig(photos_of="faces", photos=Path("p"), out=Path("o"))
    scenes = replace(faces, photos_of="scenes")
    assert faces.lists == ("paper-faces-base", "paper-faces-evaluation")
    assert scenes.lists == ("scenes-base", "paper-scenes-evaluation")
    assert (faces.base_count, scenes.base_count) == (None, 7)
    table = faces.table((Path("a"),), (Path("b"),))
    assert (table.number, table.pairs, table.base_pairs, table.out) == (
        "table3-faces",
        (Path("a"),),
        (Path("b"),),
        Path("o"),
    )
    assert replace(table, number="5", pairs=(), base_pairs=(), out=Path("tables")) == TableConfig(number="5")
