"""Crops of photographs, and what embeds them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import skimage.data

from e2gan.core.images import Pixels
from e2gan.features.embeddings import load_embedder
from e2gan.features.extractors import Features


def embed(images: Iterable[Pixels] | Pixels, kind: str, **options: Any) -> Features:
    return load_embedder(kind, **options)(images)


PICTURES = ("astronaut", "coffee", "chelsea", "rocket")


def crops(name: str, count: int = 4, size: int = 128) -> list[Pixels]:
    """Overlapping pieces of one of scikit-image's photographs: alike in what they show and in colour."""
    picture = getattr(skimage.data, name)()
    return [np.ascontiguousarray(picture[10 * i :, 15 * i :][:size, :size]) for i in range(count)]
