"""Scores of edits: structure, CLIP's, a preference model's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from e2gan.core.images import Pixels, square
from e2gan.data.builtin_photos import builtin_pictures
from e2gan.features.clip import ClipModel, along, prompt_direction
from e2gan.pairs.scores import EditScores, ScoreModels, structure
from e2gan.teachers.filters.filters import FILTERS, apply
from tests.tiny_clip import write_clip


@pytest.fixture(scope="module")
def photos() -> list[Pixels]:
    return [square(picture, 128) for name, picture in builtin_pictures().items() if name != "hubble"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "whole")


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
