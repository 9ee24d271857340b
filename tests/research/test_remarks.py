"""Every setting of an experiment is the paper's, said to be another, or said to be left open."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest

from e2gan.cli import main
from e2gan.config import PRESETS, ReproduceConfig, TableConfig, TrainingConfig
from e2gan.pairs.concept_lists import read_list
from e2gan.research.remarks import FIVE, NEUTRAL, OFF, OPEN, OPEN_IN_TRAINING, PRINTED, remarks
from e2gan.research.tables.experiments import ALL

FACES = ReproduceConfig(photos_of="faces", photos=Path("p"), out=Path("o"))
OTHERS = "not the paper's"


def test_no_setting_is_passed_over() -> None:
    known = {*PRINTED, *OPEN, *NEUTRAL}
    assert {f.name for config in (ReproduceConfig, TableConfig) for f in fields(config)} <= known
    assert {f"generator.{f.name}" for f in fields(FACES.generator)} <= known
    assert {f"ranks.{f.name}" for f in fields(FACES.ranks)} <= known
    own = {"epochs", "steps", "minutes", "batch", "lr", "schedule", "precision", "device", "seed", "save_every"}
    own |= {"memory_share", "compile"}
    assert {f.name for f in fields(TrainingConfig)} <= own | set(OFF) | set(OPEN_IN_TRAINING)


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
    for name, experiment in ALL.items():
        found = set(remarks(TableConfig(number=name, size=256))[OTHERS])
        assert found == ({"trainings.comodgan"} if "comodgan" in experiment.trains else set()), name


def test_a_recipe_tells_what_its_defaults_come_to() -> None:
    for photos_of, embedding, kept in (("faces", "facenet", "all"), ("scenes", "clip", 7)):
        recipe = remarks(replace(FACES, photos_of=photos_of))["recipe"]
        assert (recipe["embedding"], recipe["keep_concepts"], recipe["keep"]) == (embedding, kept, 400)


@pytest.mark.parametrize(
    ("changes", "name", "words"),
    [
        ({"epochs": 3}, "epochs", "3; the paper: 100 (Sec. 5.1)"),
        ({"keep": (5,)}, "keep", "5; the paper: 400"),
        ({"generator": PRESETS["residual"]}, "generator.upsample", "resize; the paper: transpose"),
        ({"embedding": "gradient-colour"}, "embedding", "facenet for faces"),
        (
            {"steps": 7, "epochs": 3},
            "steps",
            "7 steps in place of the paper's 100 epochs of E²GAN",
        ),
        ({"size": 64}, "size", "64; the paper: 256"),
        ({"limit": 12}, "limit", "12; the paper: 1000"),
        ({"metric": "fd-random"}, "metric", "the paper: fid"),
        ({"teacher": ("filters",)}, "teacher", "the paper: ('sd-img2img'"),
        ({"set": ("sd-img2img.strength=0.3",)}, "set", "strength=0.3"),
        ({"keep_concepts": 5}, "keep_concepts", "5; the paper: 7 for scenes"),
        (
            {"base_steps": 7, "base_epochs": 3},
            "base_steps",
            "7 steps in place of epochs, whose number",
        ),
        ({"clip": "none"}, "clip", "structure alone chooses"),
        ({"align": True}, "align", "ours"),
        ({"retries": 2}, "retries", "ours"),
        ({"embedding": "clip"}, "embedding", "facenet for faces"),
        ({"evaluation_concepts": "filters"}, "evaluation_concepts", "your own"),
    ],
)
def test_another_value_is_named_with_the_papers(changes: dict, name: str, words: str) -> None:
    found = remarks(replace(FACES, **changes))[OTHERS]
    assert words in found[name]


@pytest.mark.parametrize(
    ("changes", "name", "words"),
    [
        ({"batch": 4}, "batch", "4 is given here; ours is 1"),
        ({"text": "hashed"}, "text", "hashed is given here; ours is clip"),
        ({"generator": PRESETS["residual"]}, "generator.norm", "none is given here; ours is instance"),
        ({}, "generator.heads", "8: latent diffusion's"),
    ],
)
def test_what_the_paper_leaves_open_is_not_called_its_own(changes: dict, name: str, words: str) -> None:
    found = remarks(replace(FACES, **changes))
    assert words in found["left open by the paper"][name]
    assert name not in found[OTHERS]


def test_each_experiment_is_shown_as_its_own() -> None:
    nine, twelve, seven = (remarks(TableConfig(number=n)) for n in ("9", "12", "fig7"))
    assert set(nine["trainings"]) == {"scratch", "of all three", "CycleGAN", "CUT, E2GAN"}
    assert "gan 0" in twelve["trainings"]["autoencoder"]
    assert "comodgan" not in twelve["trainings"]
    assert "that of the pair sets; the paper: 256" in twelve[OTHERS]["size"]
    assert "keep" not in seven[OTHERS]
    several = remarks(TableConfig(number="fig7", keep=(8, 9)))
    assert several[OTHERS]["keep"] == "8, 9; Fig. 7: 100 to 800"
    faces, scenes = (remarks(TableConfig(number=n, embedding="clip"))[OTHERS] for n in ("4", "5"))
    assert "facenet for faces" in faces["embedding"]
    assert "embedding" not in scenes


def test_only_what_an_experiment_uses_is_remarked_on() -> None:
    used = {"keep": (5,), "adapter_lr": 1e-2, "epochs": 5, "baseline_epochs": 6, "steps": None}
    ten, six = (remarks(TableConfig(number=n, size=256, **used)) for n in ("10", "6"))
    assert set(ten[OTHERS]) == {"epochs"}  # all weights on all photos
    assert set(ten["trainings"]) >= {"base", "finetune"}
    assert set(six[OTHERS]) == {"baseline_epochs"}
    costs = remarks(TableConfig(number="fig6", keep=(5,), batch=4, epochs=5))
    assert set(costs[OTHERS]) == {"epochs"}
    assert "batch" not in costs["left open by the paper"]


def test_names_in_another_order_are_the_same() -> None:
    found = remarks(replace(FACES, teacher=FIVE[::-1]))
    assert "teacher" not in found[OTHERS]
    falling = remarks(TableConfig(number="fig7", size=256, keep=tuple(range(800, 0, -100))))
    assert "keep" not in falling[OTHERS]


def test_a_dry_run_of_no_experiment_is_refused(capsys: pytest.CaptureFixture) -> None:
    assert main(["table", "99", "--dry-run"]) == 2
    assert main(["table", "3", "--dry-run"]) == 2
    assert capsys.readouterr().err.count("\n") == 2


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
