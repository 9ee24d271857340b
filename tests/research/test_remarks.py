"""Every setting of an experiment is the paper's, said to be another, or said to be left open."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest

from e2gan.cli import main
from e2gan.config import PRESETS, ReproduceConfig, TableConfig, TrainingConfig, remarks
from e2gan.config.paper import NEUTRAL, OFF, OPEN, PRINTED
from e2gan.pairs.concept_lists import read_list

FACES = ReproduceConfig(photos_of="faces", photos=Path("p"), out=Path("o"))
OTHERS = "not the paper's"


def test_no_setting_is_passed_over() -> None:
    known = {*PRINTED, *OPEN, *NEUTRAL}
    assert {f.name for f in fields(ReproduceConfig)} <= known
    trained = {f"training.{f.name}" for f in fields(TrainingConfig)}
    own = {f"training.{name}" for name in ("epochs", "steps", "minutes", "batch", "lr", "schedule", "precision")}
    own |= {f"training.{name}" for name in (*OFF, "device", "seed", "save_every")}
    assert trained - own <= known


def test_what_is_off_in_the_paper_is_off() -> None:
    for name in OFF:
        assert not getattr(FACES.training("base"), name)


def test_the_recipe_differs_only_where_it_says_so() -> None:
    faces = remarks(FACES)[OTHERS]
    assert set(faces) == {"trainings.comodgan", "base_concepts"}
    assert "Low Quality photo" in faces["base_concepts"]
    scenes = remarks(replace(FACES, photos_of="scenes"))[OTHERS]
    assert set(scenes) == {"trainings.comodgan", "base_concepts", "evaluation_concepts"}
    assert "never published" in scenes["base_concepts"]
    assert set(remarks(TableConfig(number="5"))[OTHERS]) == {"trainings.comodgan"}


def test_a_recipe_tells_what_its_defaults_come_to() -> None:
    for photos_of, embedding, kept in (("faces", "facenet", "all"), ("scenes", "clip", 7)):
        recipe = remarks(replace(FACES, photos_of=photos_of))["recipe"]
        assert (recipe["embedding"], recipe["keep_concepts"], recipe["keep"]) == (embedding, kept, 400)


@pytest.mark.parametrize(
    ("changes", "name", "words"),
    [
        ({"epochs": 3}, "epochs", "3; the paper: 100 (Sec. 5.1)"),
        ({"keep": (5,)}, "keep", "5; the paper: 400"),
        ({"generator": PRESETS["residual"]}, "generator.norm", "none; the paper: instance"),
        ({"text": "hashed"}, "text", "hashed"),
        ({"embedding": "gradient-colour"}, "embedding", "facenet for faces"),
        ({"steps": 7, "epochs": 3}, "steps", "7 in place of epochs; the paper: 100 epochs"),
        ({"size": 64}, "size", "64; the paper: 256"),
        ({"limit": 12}, "limit", "12; the paper: 1000"),
        ({"metric": "fd-random"}, "metric", "the paper: fid"),
        ({"teacher": ("filters",)}, "teacher", "the paper: ('sd-img2img'"),
        ({"set": ("sd-img2img.strength=0.3",)}, "set", "strength=0.3"),
        ({"keep_concepts": 5}, "keep_concepts", "5; the paper: 7 for scenes"),
        ({"base_steps": 7, "base_epochs": 3}, "base_steps", "7 in place of epochs; the paper: 100 epochs"),
        ({"evaluation_concepts": "filters"}, "evaluation_concepts", "your own"),
    ],
)
def test_another_value_is_named_with_the_papers(changes: dict, name: str, words: str) -> None:
    found = remarks(replace(FACES, **changes))[OTHERS]
    assert words in found[name]


def test_the_teachers_of_the_lists_are_the_papers() -> None:
    for name in FACES.lists:
        (teachers,) = {row.teachers for row in read_list(name).concepts}
        assert "teacher" not in remarks(replace(FACES, teacher=teachers))[OTHERS]


def test_a_dry_run_shows_settings_trainings_and_remarks(capsys: pytest.CaptureFixture) -> None:
    assert main(["reproduce", "faces", "--photos", "p", "--out", "o", "--dry-run"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["epochs"] == 100
    assert shown["generator"]["norm"] == "instance"
    assert shown["trainings"]["scratch"]["epochs"] == 200
    assert shown["left open by the paper"]["batch"]
    assert shown[OTHERS]["trainings.comodgan"].startswith("lr 0.002")
