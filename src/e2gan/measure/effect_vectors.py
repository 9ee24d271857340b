"""What an edit does to photos, as a vector that hardly depends on which photos they are.

So an adapter that was run on a few built-in photographs can be compared with pairs of other photographs, of which no
adapter has been run. Three parts: what happens to each colour, by a small colour table; what happens to each place; and
to texture, by the Gram matrices of SqueezeNet's features. Distances of the first two are in 8-bit levels.
"""

from __future__ import annotations

import functools

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from e2gan.core.errors import InputError
from e2gan.core.files import sha256
from e2gan.core.images import Pixels, resize, square
from e2gan.data.builtin_photos import builtin_pictures, pictures_hash
from e2gan.features.squeezenet import SHIPPED
from e2gan.train.lut import bending, normal_equations
from e2gan.train.perceptual import LAYERS, gram, maps_of_pictures

NODES, CELLS, SKETCH = 3, 4, 32  # colours along an axis, places along a side, numbers that a Gram matrix becomes
WIDTH = 3 * NODES**3 + 3 * CELLS**2 + SKETCH * len(LAYERS)
TEXTURE = 100.0  # levels that a distance of 1 of the Gram matrices counts as (docs/log.md)
SMOOTH, NEAR_IDENTITY = 1e-3, 1e-4  # as in train/lut.py; far more, since few photos have few colours
LARGEST = 128  # pixels of a side at which effects are looked at; larger pairs are reduced
Vector = NDArray[np.float32]
Floats = NDArray[np.float64]


def form() -> str:
    """What of this module, the probes and the features decides a vector; another form's cannot be compared."""
    return f"1 {pictures_hash()[:16]} {sha256(SHIPPED)[:16]}"


@functools.cache
def _pictures() -> tuple[Pixels, ...]:
    return tuple(builtin_pictures().values())


def probes(size: int) -> Pixels:
    """The built-in photographs that adapters are run on, as squares of `size` pixels, LARGEST at most: uint8 (N, side,
    side, 3). Raises InputError where there are none."""
    if not _pictures():
        raise InputError("pictures of scikit-image or scikit-learn are missing: install both anew")
    side = min(size, LARGEST)
    return np.stack([square(picture, side) for picture in _pictures()])


def effect_vector(photos_NHWC: Pixels, edits_NHWC: Pixels) -> Vector:
    """Photos and their edits, uint8 (N, H, W, 3) each, to float32 (WIDTH,). From 32 pixels a side.

    Euclidean distances of such vectors are what effects are compared by.
    """
    photos, edits = (_reduced(images) for images in (photos_NHWC, edits_NHWC))
    parts = [_colours(photos, edits), _places(photos, edits), TEXTURE * _textures(photos, edits)]
    return np.concatenate(parts).astype(np.float32)


def _reduced(images: Pixels) -> Pixels:
    height, width = images.shape[1:3]
    scale = LARGEST / max(height, width)
    if scale >= 1:
        return images
    sides = round(height * scale), round(width * scale)
    return np.stack([resize(image, sides) for image in images])


@functools.cache
def _weights() -> Floats:
    """By which the difference of two colour tables is as long as that of what they make of the probes, root mean
    square in levels."""
    pixels = probes(64).reshape(-1, 3)
    data, _ = normal_equations(pixels, pixels, NODES)
    return np.linalg.cholesky(data.toarray() + 1e-6 * np.eye(NODES**3)).T


def _colours(photos: Pixels, edits: Pixels) -> Floats:
    """The change of each colour: of the best small table, in closed form."""
    data, change = normal_equations(photos.reshape(-1, 3), edits.reshape(-1, 3), NODES)
    count = NODES**3
    matrix = data + SMOOTH * bending(NODES) + NEAR_IDENTITY / count * sp.identity(count)
    return (_weights() @ (255 * np.linalg.solve(matrix.toarray(), change))).ravel()


def _places(photos: Pixels, edits: Pixels) -> Floats:
    """The mean change in each cell of the frame: of a vignette, a sky."""
    change = (edits.astype(np.float32) - photos).mean(0)
    rows, columns = (np.array_split(np.arange(side), CELLS) for side in change.shape[:2])
    cells = [change[np.ix_(row, column)].mean((0, 1)) for row in rows for column in columns]
    return np.concatenate(cells).astype(np.float64) / CELLS


@functools.cache
def _directions() -> tuple[tuple[Floats, Floats], ...]:
    """Of each layer, the random pairs of directions that its Gram matrix is looked at along: always the same."""
    rng = np.random.Generator(np.random.PCG64(0))
    channels = {"conv1": 64, "fire3": 128, "fire5": 256, "fire7": 384}
    return tuple(
        (rng.standard_normal((SKETCH, channels[layer])), rng.standard_normal((SKETCH, channels[layer])))
        for layer in LAYERS
    )


@torch.inference_mode()
def _textures(photos: Pixels, edits: Pixels) -> Floats:
    """The mean change of the Gram matrices, a few numbers of each (a random sketch, which keeps distances)."""
    before, after = map(maps_of_pictures, (photos, edits))
    found = []
    for a, b, (left, right) in zip(before, after, _directions(), strict=True):
        change = (gram(b) - gram(a)).mean(0).numpy().astype(np.float64)
        found.append(np.einsum("kc,cd,kd->k", left, change, right) / np.sqrt(SKETCH))
    return np.concatenate(found)
