"""Crops of four pictures, and a CLIP of random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from e2gan.core.images import Pixels
from tests.features.tiny_photos import PICTURES, crops
from tests.tiny_clip import write_clip


@pytest.fixture(scope="module")
def photos() -> Pixels:
    """4 crops of each of 4 pictures, in their order: (16, 128, 128, 3)."""
    return np.stack([crop for name in PICTURES for crop in crops(name)])


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "whole")
