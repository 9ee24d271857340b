"""The built-in teacher: right shapes, the promised kinds, edits that differ, and names that are found."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from e2gan.core.errors import InputError
from e2gan.teachers.filters.filters import FILTERS, apply, find

Photo = NDArray[np.uint8]
NAMES = sorted(FILTERS)
POINTWISE = [name for name in NAMES if FILTERS[name].kind == "colour"]
PAINTED = ["brush", "kuwahara", "pointillism", "impasto"]
LOCAL = [name for name in NAMES if FILTERS[name].kind != "colour"]


def resized(photo: Photo, size: int) -> Photo:
    return np.asarray(Image.fromarray(photo).resize((size, size), Image.Resampling.LANCZOS))


def difference(a: Photo, b: Photo) -> float:
    return float(np.abs(a.astype(np.float32) - b).mean())


@pytest.fixture(scope="module")
def photos() -> list[Photo]:
    """A woman before a shuttle, a cat, a red cup on a table: 128×128."""
    crops = [data.astronaut()[:400, 30:430], data.chelsea()[:300, 80:380], data.coffee()[:400, 100:500]]
    return [resized(np.ascontiguousarray(crop), 128) for crop in crops]


@pytest.fixture(scope="module")
def edits(photos: list[Photo]) -> dict[str, list[Photo]]:
    return {name: [apply(FILTERS[name], photo) for photo in photos] for name in NAMES}


def test_there_are_enough_filters_and_most_are_a_task_for_a_convolutional_network() -> None:
    assert len(FILTERS) >= 26
    assert len(LOCAL) >= 10
    assert all(name == FILTERS[name].name for name in NAMES)
    texts = [text.casefold() for f in FILTERS.values() for text in (f.name, f.prompt)]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("name", NAMES)
def test_each_filter_clearly_changes_a_photo_and_gives_the_same_each_time(
    name: str, photos: list[Photo], edits: dict[str, list[Photo]]
) -> None:
    for photo, edit in zip(photos, edits[name], strict=True):
        before = photo.copy()
        again = apply(FILTERS[name], photo)
        assert again.dtype == np.uint8
        assert again.shape == photo.shape
        np.testing.assert_array_equal(again, edit)
        np.testing.assert_array_equal(photo, before)
        assert difference(photo, edit) > 8


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("height", "width"), [(32, 32), (40, 97), (131, 33), (8, 8), (9, 250)])
def test_any_size_and_shape(name: str, height: int, width: int, photos: list[Photo]) -> None:
    photo = np.asarray(Image.fromarray(photos[0]).resize((width, height)))
    assert apply(FILTERS[name], photo).shape == (height, width, 3)
    view = photo[::-1, ::-1]  # not contiguous, as a flipped photo is
    np.testing.assert_array_equal(apply(FILTERS[name], view), apply(FILTERS[name], view.copy()))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (128, 128, 128), (20, 160, 40), (0, 0, 255)])
def test_one_colour_photos_work_and_get_no_noise(name: str, colour: tuple[int, int, int]) -> None:
    edit = apply(FILTERS[name], np.full((48, 48, 3), colour, np.uint8))
    if FILTERS[name].kind == "edges" and name != "neon":  # no edges in the photo, so no lines in the drawing
        assert np.ptp(edit.reshape(-1, 3), axis=0).max() <= 2


@pytest.mark.parametrize("name", POINTWISE)
def test_colour_filters_look_at_one_pixel_alone(name: str, photos: list[Photo], edits: dict[str, list[Photo]]) -> None:
    order = np.random.default_rng(0).permutation(128 * 128)
    shuffled = photos[0].reshape(-1, 3)[order].reshape(128, 128, 3)
    expected = edits[name][0].reshape(-1, 3)[order].reshape(128, 128, 3)
    np.testing.assert_allclose(apply(FILTERS[name], shuffled), expected, atol=1)


@pytest.mark.parametrize("name", LOCAL)
def test_all_other_filters_give_one_colour_different_edits(name: str, photos: list[Photo]) -> None:
    photo = photos[0] // 32 * 32 + 16  # few colours, each in many places
    edit = apply(FILTERS[name], photo).reshape(-1, 3).astype(np.float64)
    _, index, count = np.unique(photo.reshape(-1, 3), axis=0, return_inverse=True, return_counts=True)
    index = index.ravel()
    means = np.stack([np.bincount(index, edit[:, c]) / count for c in range(3)], -1)
    # The best that any function of the pixel's own colour could do still misses by this much.
    assert np.abs(edit - means[index]).mean() > 2


def test_no_two_filters_look_alike(edits: dict[str, list[Photo]]) -> None:
    near = {
        (a, b): round(value, 1)
        for a, b in itertools.combinations(NAMES, 2)
        if (value := np.mean([difference(x, y) for x, y in zip(edits[a], edits[b], strict=True)])) < 10
    }
    assert not near


@pytest.mark.parametrize("name", NAMES)
def test_a_small_and_a_large_photo_are_edited_alike(name: str) -> None:
    large = resized(np.ascontiguousarray(data.astronaut()[:400, 30:430]), 256)
    edited_large = resized(apply(FILTERS[name], large), 64)
    edited_small = apply(FILTERS[name], resized(large, 64))
    coarse = difference(resized(edited_large, 16), resized(edited_small, 16))
    effect = difference(resized(large, 16), resized(edited_large, 16))
    # Lines are at least a pixel wide, and regions fall another way, but the picture is the same.
    assert coarse < (0.4 * effect if FILTERS[name].kind in ("colour", "light") else min(25, effect))


@pytest.mark.parametrize("skin", [(224, 178, 150), (112, 66, 44)])
@pytest.mark.parametrize("name", ["autumn", "spring", "cartoon", "comic", "crayon", "mosaic", "oil", *PAINTED])
def test_skin_light_and_dark_stays_skin(name: str, skin: tuple[int, int, int]) -> None:
    edit = apply(FILTERS[name], np.full((64, 64, 3), skin, np.uint8))
    red, green, blue = np.median(edit.reshape(-1, 3).astype(int), axis=0)
    assert red > green > blue
    assert red - blue < 1.7 * (skin[0] - skin[2])  # not a sunburn


@pytest.mark.parametrize(
    "text", ["autumn", "Autumn", "make it autumn", "Make it  autumn!", " MAKE IT AUTUMN. ", "make-it-autumn"]
)
def test_autumn_is_found_by_name_and_prompt(text: str) -> None:
    assert find(text) is FILTERS["autumn"]


def test_every_name_and_prompt_is_found_in_both_spellings() -> None:
    for chosen in FILTERS.values():
        for text in (chosen.name, chosen.prompt, chosen.name.upper(), chosen.prompt.replace("colour", "color")):
            assert find(text) is chosen


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("autum", "autumn"),
        ("as a penc1l sketch", "sketch"),
        ("a lovely winter day", "winter"),
        ("make it snowy", "make it"),
    ],
)
def test_unknown_names_are_refused_in_one_line_with_the_nearest(text: str, near: str) -> None:
    with pytest.raises(InputError) as refused:
        find(text)
    message = str(refused.value)
    assert "\n" not in message
    assert text in message
    hint, listed = message.split("There are:")
    assert near in hint.split("did you mean")[1]
    assert all(name in listed for name in NAMES)


@pytest.mark.parametrize("text", ["", "zzzqqq", "two\nlines"])
def test_what_is_like_nothing_lists_all_names_without_a_hint(text: str) -> None:
    with pytest.raises(InputError, match="There are: autumn, ") as refused:
        find(text)
    assert "\n" not in str(refused.value)


def test_apply_refuses_what_is_no_photo() -> None:
    with pytest.raises(ValueError, match="float32"):
        apply(FILTERS["sepia"], np.zeros((8, 8, 3), np.float32))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="uint8"):
        apply(FILTERS["sepia"], np.zeros((8, 8), np.uint8))


@pytest.mark.slow
def test_real_photographs_keep_their_drawing_and_take_their_time(shared: Path) -> None:
    """On landscapes and faces: clear edits, never one flat colour, at most a third of a second each at 256×256."""
    files = [*sorted((shared / "photos/landscapes").iterdir())[:4], *sorted((shared / "photos/faces").iterdir())[:4]]
    photos = [np.asarray(Image.open(file).convert("RGB")) for file in files]
    for name, chosen in FILTERS.items():
        start = time.process_time()
        made = [apply(chosen, photo) for photo in photos]
        assert (time.process_time() - start) / len(photos) < 0.33, name
        assert np.mean([difference(photo, edit) for photo, edit in zip(photos, made, strict=True)]) > 10, name
        assert min(edit.std() for edit in made) > 8, name


@pytest.mark.parametrize("name", NAMES)
def test_a_filter_that_has_a_side_says_so(name: str, photos: list[Photo]) -> None:
    """At a side that grids of cells fit, and one that they do not."""
    far = []
    for side in (128, 104):
        photo = photos[0][:side, :side]
        mirrored = apply(FILTERS[name], np.ascontiguousarray(photo[:, ::-1]))[:, ::-1]
        far.append(difference(mirrored, apply(FILTERS[name], photo)))
    assert FILTERS[name].sided == (max(far) > 0.5)
