from __future__ import annotations

import numpy as np

from e2gan import Predictor
from e2gan.core.images import resize
from e2gan.data.builtin_photos import builtin_pictures
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
