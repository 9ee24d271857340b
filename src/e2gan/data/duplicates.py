"""Near-duplicates: the same picture resized, recompressed, mirrored or cropped a little, found by a perceptual hash.

A picture's hash is the low frequencies of its discrete cosine transform (DCT), as in pHash, each weighted by its
frequency so that none outweighs the others, and as numbers instead of bits: pHash's 64 bits lose a picture that was
cropped by a twentieth. Two pictures are compared by the cosine of their hashes, first as they are, then, where that is
not far off, with one of them cropped and mirrored in the ways that are looked for. `benchmarks/duplicates.py` measures
what it finds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from e2gan.core.images import Pixels

Floats = NDArray[np.float32]

SIDE = 32  # pixels of a thumbnail
COARSE, FINE = 8, 12  # frequencies along each axis: to find what may be the same, and to tell whether it is
MAYBE, SAME = 0.5, 0.85  # cosines. Made copies: 0.58 and 0.97 or more, 99 of 100; other landscapes: 0.4 % and 0.001 %
EVEN_ALONG_X = 0.4  # weight of what does not change along x: horizons, which landscapes share
SCALES = (0.95, 0.9)  # of a side that a crop leaves
LEAST_CONTRAST = 2.0  # standard deviation in 8-bit levels; below, a picture shows nothing to compare
LEAST_GROUPS = 3  # one for each split
ROWS = 512  # pictures compared with all others at a time,
PAIRS = 2**21  # or fewer, where there are many others


def thumbnail(image_HWC: Pixels) -> Pixels:
    """What a picture is compared by: uint8 (32, 32), its luminance. image_HWC: uint8 (size, size, 3)."""
    return np.asarray(Image.fromarray(image_HWC).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX))


def groups_of(thumbnails: Sequence[Pixels]) -> NDArray[np.int64]:
    """The group of each picture, (N,); near-duplicates, and near-duplicates of those, have the same number."""
    count = len(thumbnails)
    pairs = near_duplicates(np.stack(thumbnails)) if count else np.empty((0, 2), np.int64)
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    graph = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), (count, count))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def alike(names: Sequence[str], thumbnails: Sequence[Pixels]) -> dict[str, str]:
    """Each picture's name → the first name, by the alphabet, of those that show the same; its own where none does."""
    first: dict[int, str] = {}
    groups = groups_of(thumbnails).tolist()
    for name, group in zip(names, groups, strict=True):
        first[group] = min(name, first.get(group, name))
    return {name: first[group] for name, group in zip(names, groups, strict=True)}


def likeness_notes(like: Mapping[str, str]) -> list[str]:
    """What a user should know of pictures that show the same: how many, and an example. like: of `alike`."""
    others = [(name, first) for name, first in like.items() if name != first]
    if not others:
        return []
    name, first = min(others)
    if len(set(like.values())) < LEAST_GROUPS:
        return [
            f"nearly all of the {len(like)} pictures show the same, e.g. {first} and {name}: they are split one by "
            "one, so that val and test hold what is trained on"
        ]
    groups = len({first for _, first in others})
    return [
        f"{len(others) + groups} pictures are nearly the same as others (resized, recompressed, mirrored or cropped), "
        f"e.g. {first} and {name}: each group of them is in one split ({groups} group{'s' * (groups > 1)})"
    ]


def near_duplicates(thumbnails_NHW: Pixels) -> NDArray[np.int64]:
    """The pairs of near-duplicates (M, 2), the first of a pair before the second; each pair once.

    All are compared with all by one product of matrices, at the coarse frequencies alone, which takes a second for
    10,000; one in 250 pairs is looked at closer.
    """
    shown = np.flatnonzero(_in_parts(lambda part: part.std((1, 2)) >= LEAST_CONTRAST, thumbnails_NHW))
    thumbnails = thumbnails_NHW[shown]
    coarse = _in_parts(lambda part: hashes(part, COARSE), thumbnails)
    fine = _in_parts(lambda part: hashes(part, FINE), thumbnails)
    found = [np.empty((0, 2), np.int64)]
    step = max(1, min(ROWS, PAIRS // max(1, len(thumbnails))))
    for start in range(0, len(thumbnails), step):
        rows = slice(start, start + step)
        seen = thumbnails[rows].astype(np.float32)
        crops = np.stack([hashes(seen, FINE, *crop).reshape(-1, FINE**2) for crop in _crops()], axis=1)
        i, j = np.nonzero(_cosines(coarse[rows], coarse) > MAYBE)
        other = i + start != j
        i, j = i[other], j[other]
        for part in range(0, len(i), ROWS):
            a, b = i[part : part + ROWS], j[part : part + ROWS]
            both_ways = np.stack([fine[b], fine[b] * _mirrors(FINE)], axis=-1).reshape(len(b), FINE**2, 2)
            same = (crops[a] @ both_ways).max((1, 2)) > SAME
            found.append(np.sort(np.stack([a[same] + start, b[same]], axis=1), axis=1))
    return shown[np.unique(np.concatenate(found), axis=0)].reshape(-1, 2)


def _in_parts(function: Callable[[Floats], NDArray[Any]], thumbnails_NHW: Pixels) -> NDArray[Any]:
    """function(thumbnails) as float32, of a few at a time: these are four times as large."""
    starts = range(0, max(1, len(thumbnails_NHW)), ROWS)
    return np.concatenate([function(thumbnails_NHW[i : i + ROWS].astype(np.float32)) for i in starts])


def hashes(thumbnails_NHW: Floats, count: int, scale: float = 1.0, top: float = 0.0, left: float = 0.0) -> Floats:
    """The weighted DCT of thumbnails, or of a crop of each, float32 (N, count, count) of length 1.

    scale: the crop's side, top and left: its place, as parts of the thumbnail's side.
    """
    down, along = _cosine_waves(count, scale, top), _cosine_waves(count, scale, left)
    waves = down @ thumbnails_NHW @ along.T
    k = np.arange(count)
    weights = np.hypot(k[:, None], k)  # brightness, (0, 0), has none
    weights[:, 0] *= EVEN_ALONG_X
    waves *= weights.astype(np.float32)
    return waves / np.maximum(np.linalg.norm(waves, axis=(1, 2), keepdims=True), 1e-6)


def _cosine_waves(count: int, scale: float, offset: float) -> Floats:
    """(count, SIDE): the DCT of a part of a row of pixels, which is enlarged to the whole by linear interpolation."""
    k, at = np.arange(count)[:, None], (np.arange(SIDE) + 0.5) / SIDE
    place = np.clip((offset + scale * at) * SIDE - 0.5, 0, SIDE - 1)
    low = np.minimum(place.astype(int), SIDE - 2)
    enlarge = np.zeros((SIDE, SIDE))
    enlarge[np.arange(SIDE), low] = 1 - (place - low)
    enlarge[np.arange(SIDE), low + 1] += place - low
    return (np.cos(np.pi * k * at) @ enlarge).astype(np.float32)


def _crops() -> Iterator[tuple[float, float, float]]:
    """Scale, top and left: the whole, and crops from each side, corner and all around."""
    yield 1.0, 0.0, 0.0
    for scale in SCALES:
        places = (0.0, (1 - scale) / 2, 1 - scale)
        yield from ((scale, top, left) for top in places for left in places)


def _mirrors(count: int) -> Floats:
    """What a wave along x is multiplied by where the picture is mirrored."""
    return np.where(np.arange(count) % 2, -1, 1).astype(np.float32)


def _cosines(a: Floats, b: Floats) -> Floats:
    """(A, B): of all pairs of hashes, of the second mirrored or not, the larger."""
    flat = a.reshape(len(a), -1)
    return np.maximum(flat @ b.reshape(len(b), -1).T, flat @ (b * _mirrors(COARSE)).reshape(len(b), -1).T)
