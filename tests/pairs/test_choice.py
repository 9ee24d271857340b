"""Thresholds and weights, and the edit of each photo that they choose."""

from __future__ import annotations

import pytest

from e2gan.core.errors import InputError
from e2gan.pairs.candidates import Candidate
from e2gan.pairs.choice import parse_choice, parse_thresholds, parse_weights, pick_best


def row(photo: str = "a", seed: int = 0, rejected: str | None = None, **scores: float) -> Candidate:
    named = {name.replace("_", "-"): value for name, value in scores.items()}
    return Candidate(
        photo=photo, split="train", teacher="t", seed=seed, file=f"{photo}-{seed}.png", scores=named, rejected=rejected
    )


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
