"""Scores of edits: structure, CLIP's, a preference model's; thresholds, and the choice of the best."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from e2gan.core.errors import InputError
from e2gan.core.images import Pixels, square
from e2gan.data.builtin_photos import builtin_pictures
from e2gan.features.clip import ClipModel, along, prompt_direction
from e2gan.pairs.candidates import Candidate
from e2gan.pairs.choice import parse_choice, parse_thresholds, parse_weights, pick_best
from e2gan.pairs.scores import EditScores, ScoreModels, structure
from e2gan.teachers.filters.filters import FILTERS, apply
from tests.tiny_clip import write_clip


@pytest.fixture(scope="module")
def photos() -> list[Pixels]:
    return [square(picture, 128) for name, picture in builtin_pictures().items() if name != "hubble"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "whole")


def row(photo: str = "a", seed: int = 0, rejected: str | None = None, **scores: float) -> Candidate:
    named = {name.replace("_", "-"): value for name, value in scores.items()}
    return Candidate(
        photo=photo, split="train", teacher="t", seed=seed, file=f"{photo}-{seed}.png", scores=named, rejected=rejected
    )


# ---------------------------------------------------------------------------------------------------------- structure


@pytest.mark.parametrize("name", [f.name for f in FILTERS.values() if f.kind == "colour"])
def test_other_colours_keep_the_structure(photos: list[Pixels], name: str) -> None:
    assert np.mean([structure(photo, apply(FILTERS[name], photo)) for photo in photos]) > 0.8


@pytest.mark.parametrize("name", ["sketch", "oil", "comic", "watercolour", "night", "stone"])
def test_a_drawing_keeps_more_than_another_photos(photos: list[Pixels], name: str) -> None:
    edits = [apply(FILTERS[name], photo) for photo in photos]
    own = [structure(a, b) for a, b in zip(photos, edits, strict=True)]
    others = [structure(a, b) for a, b in zip(photos, edits[1:] + edits[:1], strict=True)]
    assert np.mean(own) > np.mean(others) + 0.25
    assert np.mean([a > b for a, b in zip(own, others, strict=True)]) > 0.8


def test_structure_falls_with_what_is_lost(photos: list[Pixels]) -> None:
    photo, other = photos[0], photos[1]
    assert structure(photo, photo) == pytest.approx(1)
    assert structure(photo, 255 - photo) == pytest.approx(1, abs=1e-3)
    blurred = [structure(photo, np.asarray(gaussian_filter(photo, (s, s, 0)), np.uint8)) for s in (0.5, 1.5, 4.0)]
    shifted = [structure(photo, np.roll(photo, n, axis=1)) for n in (1, 3, 8)]
    mixed = [structure(photo, (photo * (1 - t) + other * t).astype(np.uint8)) for t in (0.2, 0.5, 0.9)]
    for falling in (blurred, shifted, mixed):
        assert falling == sorted(falling, reverse=True)
    noise = np.random.default_rng(0).integers(0, 256, photo.shape, np.uint8)
    assert structure(photo, noise) < 0.15
    assert structure(photo, np.full_like(photo, 90)) == 0
    with pytest.raises(ValueError, match="cannot be compared"):
        structure(photo, photo[:-1])


# ------------------------------------------------------------------------------------------------------------- models


def test_clips_scores_are_its_definitions(photos: list[Pixels], clip: Path) -> None:
    edits = [apply(FILTERS["autumn"], photo) for photo in photos]
    scorer = EditScores(ScoreModels(prompt="in autumn", clip=str(clip), preference=str(clip)), "cpu")
    found = scorer.score(photos, edits) + scorer.score([], [])
    model = ClipModel(str(clip), "cpu")
    way = prompt_direction(model, "a photo", "in autumn")
    direction = along(way, model.images(photos), model.images(edits))
    cosine = model.images(edits) @ model.texts(["in autumn"])[0]
    for scores, one, two in zip(found, direction, cosine, strict=True):
        assert scores["clip-direction"] == pytest.approx(one, abs=1e-5)
        assert scores["clip"] == pytest.approx(two, abs=1e-5)
        assert scores["preference"] == pytest.approx(two * model.scale, rel=1e-4)
        assert 0 < scores["structure"] <= 1


# --------------------------------------------------------------------------------------------------- failed, and best


def test_thresholds() -> None:
    low, high = parse_thresholds(["structure<0.35", " residual > 3 "])
    assert (str(low), str(high)) == ("structure<0.35", "residual>3")
    assert low.rejects(row(structure=0.3))
    assert not low.rejects(row(structure=0.4))
    assert not low.rejects(row(clip=0.1))
    assert high.rejects(row(residual=3.1))
    for text, words in (
        ("structure", "must be SCORE<NUMBER"),
        ("beauty<1", "there are structure"),
        ("structure<big", "is no number"),
        ("clip<0.1", "without --clip"),
    ):
        with pytest.raises(InputError, match=words):
            parse_choice([text], [], {})


def test_weights() -> None:
    assert parse_weights(["structure=1", "clip-direction=2 residual=-0.5"]) == {
        "structure": 1,
        "clip-direction": 2,
        "residual": -0.5,
    }
    for text, words in (
        ("structure", "SCORE=NUMBER"),
        ("x=1", "no score"),
        ("clip=a", "no number"),
        ("clip=1 clip=2", "once"),
    ):
        with pytest.raises(InputError, match=words):
            parse_weights([text])


def test_the_best_of_each_photo_by_standardised_scores() -> None:
    rows = [
        row("a", 0, structure=0.9, preference=20.0),
        row("a", 1, structure=0.8, preference=22.0),
        row("b", 0, structure=0.2, preference=19.0),
        row("b", 1, structure=0.9, preference=30.0, rejected="black"),
    ]
    assert [r.picked for r in pick_best(rows, {"structure": 1})] == [True, False, True, False]
    found = pick_best(rows, {"structure": 0.1, "preference": 1})
    assert [r.picked for r in found] == [False, True, True, False]
    assert found[3].total is None
    # The scale of a score does not matter; one that nobody has, or all have alike, does not count.
    scaled = [row(r.photo, r.seed, r.rejected, structure=r.scores["structure"] * 1000, clip=1.0) for r in rows]
    assert [r.picked for r in pick_best(scaled, {"structure": 1, "clip": 5, "aesthetic": 9})] == [
        True,
        False,
        True,
        False,
    ]
    assert [r.picked for r in pick_best([row("a", 0), row("a", 1)], {"structure": 1})] == [True, False]


def test_the_former_score_of_older_pair_sets_stays_valid() -> None:
    """Their config.json has a weight of it by default, and candidates of some have it."""
    former = ["structure=1", "clip-direction=1", "preference=1", "aesthetic=1"]
    choice = parse_choice(
        ["aesthetic<5"], former, {"clip": "clip", "preference": None, "aesthetic": "head.safetensors"}
    )
    rows = [row("a", 0, aesthetic=4.0), row("a", 1, aesthetic=5.5), row("a", 2, aesthetic=6.0)]
    chosen = pick_best(choice.reject(rows), choice.weights)
    assert [r.rejected for r in chosen] == ["aesthetic<5", None, None]
    assert [r.picked for r in chosen] == [False, False, True]
    with pytest.raises(InputError, match="there is no score 'aesthetic'; there are structure"):
        parse_choice(["aesthetic<5"], former, {})
