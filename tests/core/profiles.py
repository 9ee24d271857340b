"""Colour profiles, and pictures that have them, for the tests."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from e2gan.core.colour import SRGB_PRIMARIES, adobe_profile, matrix_profile, srgb_profile
from e2gan.core.images import Pixels

P3 = matrix_profile((0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06), None)
WIDEST = matrix_profile((0.3457, 0.3585, 0.7347, 0.2653, 0.1596, 0.8404, 0.0366, 0.0001), 1.8)  # ProPhoto
WIDE = {"adobe": adobe_profile(), "p3": P3, "prophoto": WIDEST}
LINEAR = matrix_profile(SRGB_PRIMARIES, 1.0)


def as_in(profile: bytes, image_HWC: Pixels) -> Pixels:
    """sRGB pixels as the numbers that show the same colours in a profile: by Pillow alone, not by what is tested."""
    srgb, other = (ImageCms.ImageCmsProfile(io.BytesIO(p)) for p in (srgb_profile(), profile))
    found = ImageCms.profileToProfile(Image.fromarray(image_HWC), srgb, other, outputMode="RGB")
    assert found is not None
    return np.asarray(found)


def smooth(height: int = 64, width: int = 64, seed: int = 0) -> Pixels:
    """Soft colours of all kinds, none at the ends of the range."""
    coarse = np.random.default_rng(seed).integers(30, 225, (5, 6, 3), np.uint8)
    return np.array(Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR))


def save(path: Path, pixels: np.ndarray, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path
