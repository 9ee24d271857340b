"""Photos of random colours, and pair sets of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from e2gan.config import PairsConfig, PhotosConfig
from e2gan.core.errors import InputError
from e2gan.core.images import encode_png
from e2gan.data.photos import prepare_photos
from e2gan.pairs.make import PairsResult, make_pairs


def picture(seed: int, height: int = 48, width: int = 48) -> np.ndarray:
    coarse = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (5, 6, 3), np.uint8))
    return np.array(coarse.resize((width, height), Image.Resampling.BICUBIC))


def photo_set(folder: Path, count: int, side: int = 32) -> Path:
    camera = folder / "camera"
    camera.mkdir()
    for i in range(count):
        (camera / f"test_{i:03}.png").write_bytes(encode_png(picture(i, side, side)))
    prepare_photos(PhotosConfig(folder=camera, out=folder / "photos", size=side))
    return folder / "photos"


def run(out: Path, concept: str = "autumn", **settings: object) -> PairsResult:
    return make_pairs(PairsConfig(out=out, concept=concept, **settings))  # type: ignore[arg-type]


def refused(out: Path, concept: str = "autumn", **settings: object) -> str:
    """The one line; and nothing is left of the output."""
    before = sorted(out.parent.iterdir())
    with pytest.raises(InputError) as caught:
        run(out, concept, **settings)
    assert "\n" not in str(caught.value)
    assert sorted(out.parent.iterdir()) == before
    return str(caught.value)
