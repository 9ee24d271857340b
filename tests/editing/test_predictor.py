"""Photos of any size, strength, and what an edit leaves as it was."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from e2gan import Predictor
from e2gan.core.images import resize
from e2gan.data.builtin_photos import builtin_pictures
from e2gan.editing.predictor import side_for_paint
from tests.editing.tiny_model import far, model, noise


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor(model(), "cpu")


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (33, 47), (64, 64), (20, 700), (700, 20), (101, 250)])
def test_every_size_comes_back_edited_at_its_own_size(predictor: Predictor, size: tuple[int, int]) -> None:
    photo = noise(*size)
    before = photo.copy()
    edited = predictor.edit(photo)
    assert edited.shape == photo.shape
    assert edited.dtype == np.uint8
    assert far(edited, photo) > 1
    assert np.array_equal(photo, before)  # the caller's array is left alone


def test_padding_leaves_no_trace_inside() -> None:
    """What is padded to multiples of 8 and cropped is the generator's own edit where no padding was needed."""
    photo = resize(builtin_pictures()["coffee"], (96, 128))
    bare = Predictor(model(transformers=()), "cpu")
    whole = bare.batch(photo[None])[0]
    odd = bare.batch(photo[None, :91, :125])[0]
    assert odd.shape == (91, 125, 3)
    assert np.abs(whole[:48, :64].astype(int) - odd[:48, :64]).max() <= 1


def test_a_batch_is_its_photos_one_by_one(predictor: Predictor) -> None:
    photos = np.stack([noise(40, 56), 255 - noise(40, 56), noise(40, 56)[::-1]])
    together = predictor.batch(photos)
    for photo, edited in zip(photos, together, strict=True):
        assert np.abs(edited.astype(int) - predictor.batch(photo[None])[0]).max() <= 1


def test_the_adapter_acts_and_the_model_stays_as_it_was() -> None:
    own = model()
    state = {k: v.clone() for k, v in own.generator.state_dict().items()}
    photo = noise(64, 64)
    edited = Predictor(own, "cpu").batch(photo[None])[0]
    with torch.no_grad():
        pixels = torch.from_numpy(photo).permute(2, 0, 1)[None] / 127.5 - 1
        expected = ((own.generator(pixels, own.tokens)[0].permute(1, 2, 0) + 1) * 127.5).round().clamp(0, 255).numpy()
    assert np.abs(edited - expected).max() <= 1
    assert all(torch.equal(v, state[k]) for k, v in own.generator.state_dict().items())


def test_strength_mixes_the_photo_with_its_edit(predictor: Predictor) -> None:
    photo = noise(90, 130)
    edited = predictor.edit(photo)
    nothing = predictor.edit(photo, strength=0)
    assert np.array_equal(nothing, photo)
    assert nothing is not photo
    for strength in (0.3, 1.5):
        expected = np.clip(photo + strength * (edited.astype(float) - photo), 0, 255)
        assert np.abs(predictor.edit(photo, strength=strength) - expected).max() <= 0.51


def test_side_is_where_the_generator_runs(predictor: Predictor) -> None:
    photo = resize(builtin_pictures()["coffee"], (128, 192))
    assert np.array_equal(predictor.edit(photo, side=0), predictor.batch(photo[None])[0])
    assert np.array_equal(predictor.edit(photo, side=1000), predictor.edit(photo, side=0))  # never enlarged for it
    small = resize(photo, (64, 96))
    enlarged = resize(predictor.batch(small[None])[0], (128, 192))
    assert np.array_equal(predictor.edit(photo, detail="none", side=64), enlarged)
    assert np.array_equal(predictor.edit(photo, side=64), predictor.edit(photo))


def test_paint_is_enlarged_as_the_adapter_says_and_half_of_the_way_is_the_generators() -> None:
    photo = resize(builtin_pictures()["coffee"], (256, 384))
    paint = Predictor(replace(model(), detail="none"), "cpu")
    at_128 = paint.batch(resize(photo, (128, 192))[None])[0]  # midway from 64 to 256, as a ratio
    assert np.array_equal(paint.edit(photo), resize(at_128, (256, 384)))
    light = Predictor(model(), "cpu")
    assert np.array_equal(light.edit(photo), light.edit(photo, detail="guided", side=64))
    assert np.array_equal(paint.edit(photo, detail="guided"), light.edit(photo))  # the switch stays
    assert side_for_paint(256, 100) == 256  # a smaller photo is never enlarged


@pytest.mark.slow
def test_twelve_megapixels_take_seconds(predictor: Predictor) -> None:
    photo = resize(builtin_pictures()["coffee"], (3000, 4000))
    start = time.process_time()
    edited = predictor.edit(photo)
    assert edited.shape == photo.shape
    assert time.process_time() - start < 30
