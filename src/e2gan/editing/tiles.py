"""Tiles that cover a photo, faded into each other."""

from __future__ import annotations

import numpy as np

MULTIPLE = 8  # the generator halves three times; a U-Net, more often


def starts(length: int, tile: int) -> list[int]:
    """Where tiles begin so that they cover a length, each overlapping the next by about a quarter.

    At multiples of 8, where the strided convolutions of all tiles look at the same pixels; the last may be shorter.
    """
    if length <= tile:
        return [0]
    count = -(-(length - tile) // (tile * 3 // 4)) + 1
    return [-(-i * (length - tile) // (count - 1) // MULTIPLE) * MULTIPLE for i in range(count)]


def fade(length: int) -> np.ndarray:
    """Weight of each pixel of a tile: rises over a quarter, and is next to nothing in the outermost sixteenth, where
    the tile's own padding shows. Nowhere zero: at the picture's border that is all there is."""
    distance = np.minimum(np.arange(length), np.arange(length)[::-1]) + 1
    return np.clip((distance - length / 16) / (length * 3 / 16), 1e-3, 1).astype(np.float32)
