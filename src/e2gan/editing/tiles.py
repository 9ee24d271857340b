"""Tiles that cover a photo, edited one by one and faded into each other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from e2gan.core.images import Pixels

Place = tuple[float, float, float, float]  # left, top, right, bottom, in parts of the whole photo


def edit_in_tiles(edit: Callable[[Pixels, Place], Pixels], photo_HWC: Pixels, tile: int, multiple: int = 8) -> Pixels:
    """The photo, uint8 (H, W, 3), edited in tiles of so many pixels that overlap by a quarter; bounds memory.

    edit: uint8 (1, h, w, 3), and where in the photo that lies → the same. multiple: what the generator's sides are a
    multiple of; a tile is at least twice that.
    """
    height, width = photo_HWC.shape[:2]
    total = np.zeros((height, width, 3), np.float32)
    weights = np.zeros((height, width, 1), np.float32)
    for top in starts(height, tile, multiple):
        for left in starts(width, tile, multiple):
            part = photo_HWC[top : top + tile, left : left + tile]
            weight = fade(part.shape[0])[:, None, None] * fade(part.shape[1])[None, :, None]
            bottom, right = top + part.shape[0], left + part.shape[1]
            place = left / width, top / height, right / width, bottom / height
            total[top:bottom, left:right] += edit(part[None], place)[0] * weight
            weights[top:bottom, left:right] += weight
    return np.rint(total / weights).astype(np.uint8)


def starts(length: int, tile: int, multiple: int = 8) -> list[int]:
    """Where tiles begin so that they cover a length, each overlapping the next by about a quarter.

    At multiples of the generator's own, where the strided convolutions of all tiles look at the same pixels; the last
    may be shorter.
    """
    if length <= tile:
        return [0]
    step = tile * 3 // 4 // multiple * multiple
    count = -(-(length - tile) // step) + 1
    return [-(-i * (length - tile) // (count - 1) // multiple) * multiple for i in range(count)]


def fade(length: int) -> np.ndarray:
    """Weight of each pixel of a tile: rises over a quarter, and is next to nothing in the outermost sixteenth, where
    the tile's own padding shows. Nowhere zero: at the picture's border that is all there is."""
    distance = np.minimum(np.arange(length), np.arange(length)[::-1]) + 1
    return np.clip((distance - length / 16) / (length * 3 / 16), 1e-3, 1).astype(np.float32)
