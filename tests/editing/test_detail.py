from __future__ import annotations

import numpy as np
import pytest

from e2gan.core.images import Pixels, resize, square
from e2gan.data.builtin_photos import builtin_pictures
from e2gan.data.builtin_photos import test_pictures as pictures_of_no_training
from e2gan.editing.detail import detail_of, distances, guided
from e2gan.teachers.filters.filters import apply, find
from tests.editing.tiny_model import far


def test_guided_keeps_the_photos_detail_in_a_change_of_colour() -> None:
    photo = builtin_pictures()["china"]
    height, width = photo.shape[:2]
    matrix = np.array([[0.9, 0.3, 0.0], [0.2, 0.5, 0.1], [0.0, 0.1, 0.6]])

    def recolour(image: Pixels) -> Pixels:
        return np.clip(image @ matrix.T, 0, 255).astype(np.uint8)

    small = resize(photo, (height // 3, width // 3))
    expected = recolour(photo)
    guided_off = far(guided(photo, small, recolour(small)), expected)
    enlarged_off = far(resize(recolour(small), (height, width)), expected)
    assert guided_off < 0.35 * enlarged_off
    assert guided_off < 3


def test_guided_keeps_what_the_photo_does_not_explain() -> None:
    """A stroke that is in the edit only stays, as enlarging shows it, and a flat photo gets no halo around it."""
    photo = np.full((120, 120, 3), 128, np.uint8)
    small = resize(photo, (40, 40))
    stroke = small.copy()
    stroke[:, 19:21] = 10
    found = guided(photo, small, stroke).astype(int)
    assert found[60, 60].max() < 40
    assert np.abs(found[:, :50] - 128).max() <= 1
    assert np.abs(found[:, 70:] - 128).max() <= 1
    assert np.array_equal(guided(small, small, stroke), stroke)


@pytest.mark.parametrize(
    ("names", "detail"), [(("sepia", "dusk", "autumn", "rain"), "guided"), (("oil", "comic", "lowpoly"), "none")]
)
def test_light_is_told_from_paint_by_its_pairs(names: tuple[str, ...], detail: str) -> None:
    photos = np.stack([square(photo, 128) for photo in builtin_pictures().values()])
    for name in names:
        edits = np.stack([apply(find(name), photo) for photo in photos])
        assert detail_of(photos, edits) == detail, (name, distances(photos, edits))


@pytest.mark.parametrize("name", ["brush", "hatching", "kuwahara", "pointillism", "impasto"])
def test_the_stroke_filters_are_paint(name: str) -> None:
    photos = np.stack([resize(picture, (256, 256)) for picture in list(pictures_of_no_training().values())[:2]])
    assert detail_of(photos, np.stack([apply(find(name), photo) for photo in photos])) == "none"
