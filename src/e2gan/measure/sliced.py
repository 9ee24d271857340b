"""The sliced Wasserstein distance of patches (Rabin et al. 2011; of images, Karras et al. 2018, Sec. 5).

No network judges: patches of the images' Laplacian pyramids are projected onto random directions, and the distances
along each of them are averaged. The finest level sees strokes and sharpness, the last one colours.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from e2gan.core.images import Pixels
from e2gan.features.extractors import FeatureExtractor, Features
from e2gan.measure.distances import checked

SIDE = 7  # pixels of a patch
PATCHES, DIRECTIONS = 64, 64  # of each image at each level; at each level
COARSEST = 16  # pixels of the pyramid's last level, at least
DRAWS = 50  # of the bootstrap
SEED = 20181026


@dataclass(frozen=True)
class SlicedDistance:
    """The distance with its 95 % bootstrap interval, and the images seen. 0: the same patches; 1: on average, a patch's
    projection is off by one standard deviation of the targets'."""

    value: float
    low: float
    high: float
    images: int


class PatchProjections(FeatureExtractor):
    """uint8 images of one size, 7 pixels a side at least → (N, levels · PATCHES · DIRECTIONS) float32 in 8-bit levels.

    Places and directions are fixed, so that photo, edit and target are seen at the same places.
    """

    least = SIDE

    def extract(self, prepared_NHWC: Pixels) -> Features:
        x = torch.from_numpy(np.ascontiguousarray(prepared_NHWC, np.float32)).permute(0, 3, 1, 2)
        return torch.cat([_project(level, i) for i, level in enumerate(pyramid(x))], 1).numpy()


patch_projections = PatchProjections()


def pyramid(x_NCHW: Tensor) -> list[Tensor]:
    """The Laplacian pyramid: what each halving loses, finest first, and what is left at the end."""
    levels = []
    while min(x_NCHW.shape[2:]) >= 2 * COARSEST:
        half = F.avg_pool2d(x_NCHW, 2)
        levels.append(x_NCHW - F.interpolate(half, size=x_NCHW.shape[2:], mode="bilinear", align_corners=False))
        x_NCHW = half
    return [*levels, x_NCHW]


def _project(level_NCHW: Tensor, index: int) -> Tensor:
    """(N, PATCHES · DIRECTIONS)."""
    count, channels, height, width = level_NCHW.shape
    rng = np.random.Generator(np.random.PCG64([SEED, index]))
    top, left = (torch.from_numpy(rng.integers(side - SIDE + 1, size=PATCHES)) for side in (height, width))
    offset = torch.arange(SIDE)
    rows, columns = (top[:, None] + offset)[:, :, None], (left[:, None] + offset)[:, None, :]
    patches = level_NCHW[:, :, rows, columns].permute(0, 2, 1, 3, 4).reshape(count, PATCHES, -1)
    return (patches @ _directions(channels * SIDE**2)).reshape(count, -1)


@functools.cache
def _directions(length: int) -> Tensor:
    """(length, DIRECTIONS), each of length 1."""
    rng = np.random.Generator(np.random.PCG64(SEED))
    return F.normalize(torch.from_numpy(rng.standard_normal((length, DIRECTIONS), np.float32)), dim=0)


def sliced_distance(a: NDArray, b: NDArray, *, paired: bool = True) -> SlicedDistance:
    """The distance of images' projections (N, D) to the targets' (M, D), as `PatchProjections` gives them.

    Of each level, the mean over directions of the Wasserstein-1 distance of all its patches, in the standard deviation
    of the targets' projections; the mean over levels. paired: row i of both is of the same photo, so that a draw of the
    bootstrap takes the same rows of both. As in `frechet_interval`, what a draw's repeated images add is taken out.
    Raises InputError as `frechet_distance`, and for paired sets of different length.
    """
    a, b = checked(a, b, paired=paired)
    levels = [_Level.of(x, y) for x, y in zip(_by_level(a), _by_level(b), strict=True)]

    def mean(times_a: NDArray, times_b: NDArray) -> float:
        return float(np.mean([level.distance(times_a, times_b) for level in levels]))

    value, rng = mean(np.ones(len(a)), np.ones(len(b))), np.random.default_rng(0)
    drawn = []
    for _ in range(DRAWS):
        times = rng.multinomial(len(a), np.full(len(a), 1 / len(a)))
        drawn.append(mean(times, times if paired else rng.multinomial(len(b), np.full(len(b), 1 / len(b)))))
    low, high = np.percentile(np.array(drawn) - np.mean(drawn) + value, [2.5, 97.5])
    return SlicedDistance(value, max(0.0, float(low)), float(high), len(a))


def _by_level(features_ND: NDArray) -> NDArray:
    """(levels, DIRECTIONS, N · PATCHES): images in their order, the patches of one together."""
    shaped = features_ND.reshape(len(features_ND), -1, PATCHES, DIRECTIONS)
    return shaped.transpose(1, 3, 0, 2).reshape(shaped.shape[1], DIRECTIONS, -1)


@dataclass(frozen=True)
class _Level:
    """All projections of one level in order, so that each draw of images is a sum over them.

    owner: the image, of both sets one after the other, whose each is; gap: to the next. (DIRECTIONS, (N + M) · PATCHES)
    """

    owner: NDArray[np.int32]
    gap: NDArray[np.float32]
    deviation: float

    @classmethod
    def of(cls, a: NDArray, b: NDArray) -> _Level:
        both = np.concatenate([a, b], 1)
        order = both.argsort(1)
        gap = np.diff(np.take_along_axis(both, order, 1), axis=1).astype(np.float32)
        # At least one 8-bit level: edits of one colour would be infinitely far from all others.
        return cls((order // PATCHES)[:, :-1].astype(np.int32), gap, max(1.0, float(b.std(1).mean())))

    def distance(self, times_a: NDArray, times_b: NDArray) -> float:
        """With each image counted so many times: the area between the two cumulative distributions."""
        share = np.concatenate([times_a / times_a.sum(), -times_b / times_b.sum()]) / PATCHES
        between = np.abs(np.cumsum(share[self.owner], axis=1))
        return float(np.einsum("dn,dn->d", between, self.gap).mean()) / self.deviation
