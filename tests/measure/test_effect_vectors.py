"""What edits do, told across different photographs."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data

from e2gan.core.images import Pixels, square
from e2gan.measure.effect_vectors import WIDTH, effect_vector, form, probes
from e2gan.teachers.filters.filters import FILTERS, apply

NAMES = ("sepia", "night", "golden", "oil", "hatching", "neon", "fog", "mosaic", "infrared", "vintage")


def crops(size: int) -> Pixels:
    """Photographs that are none of the probes' squares."""
    coffee, cat = skimage.data.coffee(), skimage.data.chelsea()
    return np.stack(
        [square(x[t : t + 150, s : s + 150], size) for x in (coffee, cat) for t in (0, 140) for s in (0, 250)]
    )


def edited(name: str, photos: Pixels) -> Pixels:
    return np.stack([apply(FILTERS[name], photo) for photo in photos])


def test_the_same_edit_of_other_photographs_is_nearest() -> None:
    ours, theirs = crops(64), probes(64)
    library = np.stack([effect_vector(theirs, edited(name, theirs)) for name in NAMES])
    assert library.shape == (len(NAMES), WIDTH)
    assert library.dtype == np.float32
    hits = 0
    for i, name in enumerate(NAMES):
        distance = np.linalg.norm(library - effect_vector(ours, edited(name, ours)), axis=1)
        hits += int(distance.argmin() == i)
        assert i in np.argsort(distance)[:2], name
    assert hits >= len(NAMES) - 1


def test_no_edit_is_no_effect_and_a_colour_counts_in_levels() -> None:
    photos = crops(64)
    assert np.abs(effect_vector(photos, photos)).max() < 1e-6
    brighter = np.clip(photos.astype(int) + 20, 0, 255).astype(np.uint8)
    length = np.linalg.norm(effect_vector(photos, brighter))
    assert 20 < length < 80  # 20 levels of three channels, told by colours and by places


def test_where_an_edit_acts_and_what_it_draws_are_told_apart() -> None:
    photos = crops(64)
    left, right = photos.copy(), photos.copy()
    left[:, :, :32] //= 2
    right[:, :, 32:] //= 2
    a, b = (effect_vector(photos, x) for x in (left, right))
    assert np.linalg.norm(a - b) > 0.5 * np.linalg.norm(a)
    noise = np.random.default_rng(0).integers(-25, 26, photos.shape)
    rough = np.clip(photos + noise, 0, 255).astype(np.uint8)
    vector = effect_vector(photos, rough)
    assert np.linalg.norm(vector[-128:]) > 3 * np.linalg.norm(vector[:-128])


def test_larger_pairs_are_reduced_and_the_form_is_always_the_same() -> None:
    photos = crops(192)
    small = np.stack([square(photo, 128) for photo in photos])
    np.testing.assert_allclose(effect_vector(photos, 255 - photos), effect_vector(small, 255 - small), atol=2)
    assert probes(1000).shape[1:] == (128, 128, 3)
    assert form() == form()
    assert effect_vector(small, 255 - small) == pytest.approx(effect_vector(small, 255 - small))
