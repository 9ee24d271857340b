"""Tiles that cover a photo, edited one by one and faded into each other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from e2gan.core.images import Pixels

Place = tuple[float, float, float, float]  # left, top, right, bottom, in parts of the whole photo


def edit_in_tiles(edit: Callable[[Pixels, Place], Pixels], photo_HWC: Pixels, tile: int, multiple: int = 8) -> Pixels:
    """The photo, uint8 (H, W, 3), edited in tiles of so many pixels that overlap by a quarter: beside the
    photo and its edit that takes the memory of one tile, and of floats for a strip of them.

    edit: uint8 (1, h, w, 3), and where in the photo that lies → the same. multiple: what the generator's sides are a
    multiple of; a tile is at least twice that.
    """
    out = np.empty_like(photo_HWC)
    height, width = photo_HWC.shape[:2]
    # Along the longer side; what is not yet whole is never more than one tile long.
    turned = width > height
    across = _spans(min(height, width), tile, multiple)
    along = _spans(max(height, width), tile, multiple)
    into = out.swapaxes(0, 1) if turned else out
    kept = np.zeros((0, into.shape[1], 3), np.float32)
    for (span, share), after in zip(along, [*(span.start for span, _ in along[1:]), len(into)], strict=True):
        strip = np.zeros((span.stop - span.start, into.shape[1], 3), np.float32)
        strip[: len(kept)] = kept
        for other, other_share in across:
            rows, columns = (other, span) if turned else (span, other)
            place = columns.start / width, rows.start / height, columns.stop / width, rows.stop / height
            edited = edit(photo_HWC[rows, columns][None], place)[0]
            strip[:, other] += (edited.swapaxes(0, 1) if turned else edited) * (share[:, None] * other_share)[..., None]
        done = after - span.start
        into[span.start : after] = np.clip(np.rint(strip[:done]), 0, 255).astype(np.uint8)
        kept = strip[done:]
    return out


def _spans(length: int, tile: int, multiple: int) -> list[tuple[slice, np.ndarray]]:
    """Where tiles lie along a side, and the share of each of their pixels: at every place they add up to 1."""
    spans = [slice(start, min(start + tile, length)) for start in starts(length, tile, multiple)]
    total = np.zeros(length, np.float64)
    for span in spans:
        total[span] += fade(span.stop - span.start)
    return [(span, (fade(span.stop - span.start) / total[span]).astype(np.float32)) for span in spans]


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
