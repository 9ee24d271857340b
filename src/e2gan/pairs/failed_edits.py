"""Finds edits that failed without an error (black, blank, noise, unchanged), from the photo and the edit alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from e2gan.core.images import FLAT, Pixels, contrast, is_blank, resize, shrink
from e2gan.pairs.align import estimate

SHAPE = 1.02  # ratio of the two aspect ratios
DARK, LIT = 12, 0.02  # of 255: a pixel no brighter is black; the share of brighter ones that a picture has
GRAINY = 0.4  # of the contrast in 32 cells a side, what is left in 8: noise has 0.25, photographs 0.45 and more
STRANGE = 0.15  # agreement of edges, under which an edit shows nothing of the photo
TINT, PATCH = 2.5, 36.0  # of 255: colours that differ by less, on average and in the one place that differs most
REDRAWN = 0.8  # agreement of edges, as a share of the photo's with itself


def flaw(photo_HWC: Pixels, edit_HWC: Pixels) -> str | None:
    """Why an edit cannot be used, in a few words, or None. Both uint8 (H, W, 3); the edit may be of another size.

    An edit that moved is judged better aligned: a photo that only moved is not "unchanged".

    "of another shape": its aspect ratio is more than 2 % off. "black": hardly a pixel is lit. "blank": one flat colour.
    "noise": nothing of the photo, and no shapes either, as from latents that were not denoised. "unchanged": the photo
    again, but for what compression or an autoencoder's round trip change: averaged over an eighth of the side, colours
    differ by less than 2.5 of 255, nowhere over a sixteenth by more than 36, and the edges are the photo's. An edit is
    not blamed for being as dark or as flat as its photo is.
    """
    height, width = photo_HWC.shape[:2]
    ratio = edit_HWC.shape[1] / edit_HWC.shape[0] / (width / height)
    if max(ratio, 1 / ratio) > SHAPE:
        return "of another shape"
    edit = resize(edit_HWC, (height, width))
    if _lit(edit) < min(LIT, _lit(photo_HWC) / 10):
        return "black"
    if is_blank(photo_HWC, edit):
        return "blank"
    if _grainy(edit) and not _grainy(photo_HWC) and estimate(photo_HWC, edit).agreement < STRANGE:
        return "noise"
    if contrast(photo_HWC) >= FLAT and _same_colours(photo_HWC, edit) and _same_edges(photo_HWC, edit):
        return "unchanged"
    return None


def _lit(image: Pixels) -> float:
    """Share of the pixels that are not black."""
    return float((image.max(-1) > DARK).mean())


def _cells(image: Pixels, count: int) -> NDArray[np.float32]:
    """The picture in at most `count` cells along the shorter side."""
    return shrink(image, count).astype(np.float32)


def _grainy(image: Pixels) -> bool:
    """Whether all contrast is small: it averages out as that of independent grains does."""
    return contrast(_cells(image, 8)) < GRAINY * contrast(_cells(image, 32))


def _same_colours(photo: Pixels, edit: Pixels) -> bool:
    wide, close = (np.abs(_cells(photo, n) - _cells(edit, n)).max(-1) for n in (8, 16))
    return bool(wide.mean() < TINT and close.max() < PATCH)


def _same_edges(photo: Pixels, edit: Pixels) -> bool:
    return estimate(photo, edit).agreement > REDRAWN * estimate(photo, photo).agreement
