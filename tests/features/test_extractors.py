from __future__ import annotations

import numpy as np
import pytest

from e2gan.features import extractors
from e2gan.features.extractors import random_features


def test_random_features_never_change() -> None:
    image = (np.arange(64 * 48 * 3) % 251).astype(np.uint8).reshape(1, 64, 48, 3)
    found = random_features(image)
    assert found.shape == (1, 352)
    assert found[0, [0, 3, 60, 200, 351]].tolist() == pytest.approx(GOLDEN, rel=1e-4)
    assert np.allclose(random_features(np.repeat(image, 40, 0)), found, atol=1e-5)
    locked = np.repeat(image, 2, 0)
    locked.flags.writeable = False  # as NumPy gives a Pillow image
    assert np.allclose(random_features(locked), found, atol=1e-5)


def test_large_images_run_in_parts_that_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 40, 56, 3), dtype=np.uint8)
    together = random_features(images)
    monkeypatch.setattr(extractors, "BATCH_PIXELS", 2 * 40 * 56)
    assert np.allclose(random_features(images), together, atol=1e-5)


GOLDEN = [-0.02519913, 0.56697220, 0.33927128, 0.17509072, 0.48381719]
