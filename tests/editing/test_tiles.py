from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from e2gan import Predictor
from e2gan.core.images import resize
from e2gan.data.builtin_photos import builtin_pictures
from e2gan.editing.tiles import edit_in_tiles, starts
from tests.conftest import refused
from tests.editing.tiny_model import far, model, noise


def test_tiles_are_the_whole_picture_without_seams() -> None:
    """Where nothing looks beyond its surroundings: no attention, no norm."""
    local = Predictor(model(transformers=()), "cpu")
    photo = resize(builtin_pictures()["coffee"], (200, 300))
    whole = local.edit(photo, side=0)
    tiled = local.edit(photo, side=0, tile=128)
    assert far(whole, photo) > 3
    difference = np.abs(tiled.astype(int) - whole)
    assert difference.mean() < 0.1
    assert difference.max() <= 12
    # Attention sees the tile only, yet the photo comes back whole, at its size.
    for around in ("conv", "max"):
        attentive = Predictor(model(around=around), "cpu")
        assert attentive.edit(noise(70, 300), side=0, tile=64).shape == (70, 300, 3)
        assert attentive.edit(noise(75, 50), side=0).shape == (75, 50, 3)


def by_place_alone() -> Predictor:
    """Its edit is a brightness that depends on the place in the photo, and on little else."""
    own = model(fold=2, place=True, activation="leaky", output="clamp")
    with torch.no_grad():
        for name, p in own.generator.named_parameters():
            if "transformers" in name and "proj_out" in name:
                p.mul_(20)
    return Predictor(own, "cpu")


def test_a_tile_knows_where_it_lies() -> None:
    """Edited in tiles, the photo looks as edited whole; it does not where each tile takes itself for the photo."""
    predictor = by_place_alone()
    photo = np.full((170, 260, 3), 100, np.uint8)  # sides that are padded: no multiples of 16
    whole = predictor.edit(photo, side=0)
    tiled = predictor.edit(photo, side=0, tile=128)
    astray = edit_in_tiles(lambda part, _: predictor.batch(part), photo, 128, predictor.multiple)
    inside = slice(16, -16), slice(16, -16)  # at the border, a tile sees its own padding
    assert far(whole, photo) > 3
    assert far(tiled[inside], whole[inside]) < 0.5 * far(astray[inside], whole[inside])


def test_padding_leaves_the_true_pixels_at_their_place() -> None:
    """A photo that must be padded, told where it lies in a larger one, is edited as that part of the larger one."""
    predictor = by_place_alone()
    photo = np.full((128, 192, 3), 100, np.uint8)
    whole = predictor.batch(photo[None])[0]
    part = predictor.batch(photo[None, :120, :180], (0, 0, 180 / 192, 120 / 128))[0]
    assert np.abs(part[:80, :130].astype(int) - whole[:80, :130]).max() <= 3


@pytest.mark.parametrize("multiple", [8, 16, 64])
def test_tiles_start_where_the_strided_convolutions_do_and_cover_all(multiple: int) -> None:
    for tile in (2 * multiple, 5 * multiple):
        for length in (tile + 1, 3 * tile - 5, 7 * tile + 3):
            found = starts(length, tile, multiple)
            assert found[0] == 0
            assert found[-1] + tile >= length
            assert all(start % multiple == 0 for start in found)
            assert all(0 < after - before < tile for before, after in pairwise(found))


def test_a_tile_that_does_not_fit_is_refused_in_one_line() -> None:
    predictor = Predictor(model(fold=2), "cpu")
    assert refused(lambda: predictor.edit(noise(200, 200), tile=72)) == (
        "--tile 72: this model takes multiples of 16, at least 32"
    )
