"""Scores of edits: structure, CLIP's, a preference model's; thresholds, and the choice of the best."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.ndimage import gaussian_filter

from e2gan.core.errors import InputError
from e2gan.core.images import Pixels, square
from e2gan.data.builtin_photos import builtin_pictures
from e2gan.features.clip import ClipModel, clip_scores, directional_similarity
from e2gan.pairs.candidates import Candidate
from e2gan.pairs.scores import Scorer, best, parse_rejects, parse_weights, scores_given, structure
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
    scorer = Scorer(prompt="in autumn", source="a photo", clip=str(clip), preference=str(clip), device="cpu")
    found = scorer.score(photos, edits) + scorer.score([], [])
    model = ClipModel(str(clip), "cpu")
    direction = directional_similarity(model, photos, edits, "a photo", "in autumn")
    cosine = clip_scores(model, edits, "in autumn")
    for scores, one, two in zip(found, direction, cosine, strict=True):
        assert scores["clip-direction"] == pytest.approx(one, abs=1e-5)
        assert scores["clip"] == pytest.approx(two, abs=1e-5)
        assert scores["preference"] == pytest.approx(two * model.scale, rel=1e-4)
        assert 0 < scores["structure"] <= 1


def test_an_aesthetic_head_reads_clips_embeddings(photos: list[Pixels], clip: Path, tmp_path: Path) -> None:
    model = ClipModel(str(clip), "cpu")
    width = model.images(photos[:1]).shape[1]
    torch.manual_seed(0)
    one, two = torch.nn.Linear(width, 5), torch.nn.Linear(5, 1)
    tensors = {f"layers.{i}.{n}": t.detach() for i, layer in ((0, one), (10, two)) for n, t in layer.named_parameters()}
    save_file(tensors, tmp_path / "head.safetensors")
    found = Scorer(prompt="x", clip=str(clip), aesthetic=tmp_path / "head.safetensors", device="cpu").score(
        photos, photos
    )
    wanted = two(one(torch.from_numpy(model.images(photos))))[:, 0].tolist()
    assert [scores["aesthetic"] for scores in found] == pytest.approx(wanted, abs=1e-4)
    save_file({"weight": torch.zeros(1, width + 1)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="reads embeddings of"):
        Scorer(prompt="x", clip=str(clip), aesthetic=tmp_path / "other.safetensors")
    save_file({"weight": torch.zeros(3, width)}, tmp_path / "three.safetensors")
    with pytest.raises(InputError, match="ends in one number"):
        Scorer(prompt="x", clip=str(clip), aesthetic=tmp_path / "three.safetensors")
    with pytest.raises(InputError, match="pickled"):
        Scorer(prompt="x", clip=str(clip), aesthetic=tmp_path / "head.pth")


# --------------------------------------------------------------------------------------------------- failed, and best


def test_thresholds() -> None:
    low, high = parse_rejects(["structure<0.35", " residual > 3 "])
    assert (str(low), str(high)) == ("structure<0.35", "residual>3")
    assert low.hits(row(structure=0.3))
    assert not low.hits(row(structure=0.4))
    assert not low.hits(row(clip=0.1))
    assert high.hits(row(residual=3.1))
    for text, words in (
        ("structure", "must be SCORE<NUMBER"),
        ("beauty<1", "there are structure"),
        ("structure<big", "is no number"),
        ("clip<0.1", "without --clip"),
    ):
        with pytest.raises(InputError, match=words):
            parse_rejects([text], scores_given())


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
    assert [r.picked for r in best(rows, {"structure": 1})] == [True, False, True, False]
    found = best(rows, {"structure": 0.1, "preference": 1})
    assert [r.picked for r in found] == [False, True, True, False]
    assert found[3].total is None
    # The scale of a score does not matter; one that nobody has, or all have alike, does not count.
    scaled = [row(r.photo, r.seed, r.rejected, structure=r.scores["structure"] * 1000, clip=1.0) for r in rows]
    assert [r.picked for r in best(scaled, {"structure": 1, "clip": 5, "aesthetic": 9})] == [True, False, True, False]
    assert [r.picked for r in best([row("a", 0), row("a", 1)], {"structure": 1})] == [True, False]
