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

from e2gan.core.errors import InputError
from e2gan.core.images import Pixels
from e2gan.features.extractors import FeatureExtractor, Features
from e2gan.measure.distances import checked, draws_interval

SIDE = 7  # pixels of a patch
PATCHES, DIRECTIONS = 64, 64  # of each image at each level; at each level
MOST = 32_768  # patches of all images at each level: of more than 512 images, each has fewer
COARSEST = 16  # pixels of the pyramid's last level, at least
DRAWS = 50  # of the bootstrap
BINS = 1024  # equal parts of a direction's projections, at whose ends the bootstrap knows the distributions
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
    """uint8 images of one size, 7 pixels a side at least → (N, levels, PATCHES, DIRECTIONS) float32 in 8-bit levels.

    Places and directions are fixed, so that photo, edit and target are seen at the same places.
    """

    least = SIDE

    def extract(self, prepared_NHWC: Pixels) -> Features:
        x = torch.from_numpy(np.ascontiguousarray(prepared_NHWC, np.float32)).permute(0, 3, 1, 2)
        return torch.stack([_project(level, i) for i, level in enumerate(pyramid(x))], 1).numpy()


patch_projections = PatchProjections()


def fewer_patches(projections: Features, images: int) -> Features:
    """Those of a batch to keep, where there are so many images in all: the same places of each, MOST together."""
    return projections[:, :, : max(1, min(PATCHES, MOST // images))].copy()


def pyramid(x_NCHW: Tensor) -> list[Tensor]:
    """The Laplacian pyramid: what each halving loses, finest first, and what is left at the end."""
    levels = []
    while min(x_NCHW.shape[2:]) >= 2 * COARSEST:
        half = F.avg_pool2d(x_NCHW, 2)
        levels.append(x_NCHW - F.interpolate(half, size=x_NCHW.shape[2:], mode="bilinear", align_corners=False))
        x_NCHW = half
    return [*levels, x_NCHW]


def _project(level_NCHW: Tensor, index: int) -> Tensor:
    """(N, PATCHES, DIRECTIONS)."""
    count, channels, height, width = level_NCHW.shape
    rng = np.random.Generator(np.random.PCG64([SEED, index]))
    top, left = (torch.from_numpy(rng.integers(side - SIDE + 1, size=PATCHES)) for side in (height, width))
    offset = torch.arange(SIDE)
    rows, columns = (top[:, None] + offset)[:, :, None], (left[:, None] + offset)[:, None, :]
    patches = level_NCHW[:, :, rows, columns].permute(0, 2, 1, 3, 4).reshape(count, PATCHES, -1)
    return patches @ _directions(channels * SIDE**2)


@functools.cache
def _directions(length: int) -> Tensor:
    """(length, DIRECTIONS), each of length 1."""
    rng = np.random.Generator(np.random.PCG64(SEED))
    return F.normalize(torch.from_numpy(rng.standard_normal((length, DIRECTIONS), np.float32)), dim=0)


def sliced_distance(a: NDArray, b: NDArray, *, paired: bool = True) -> SlicedDistance:
    """The distance of images' projections (N, levels, P, DIRECTIONS), as `PatchProjections` gives them, to the targets'
    (M, …): of P patches of each.

    Of each level, the mean over directions of the Wasserstein-1 distance of all its patches, in the standard deviation
    of the targets' projections; the mean over levels. paired: row i of both is of the same photo, so that a draw of the
    bootstrap takes the same rows of both. As in `frechet_interval`, what a draw's repeated images add is taken out.
    Raises InputError as `frechet_distance`, and for paired sets of different length.
    """
    if a.ndim != 4 or a.shape[1:] != b.shape[1:]:
        raise InputError(f"projections of {a.shape} and {b.shape} cannot be compared")
    checked(a.reshape(len(a), -1)[:, :1], b.reshape(len(b), -1)[:, :1], paired=paired)  # how many there are
    patches = a.shape[2]
    rng, draws = np.random.default_rng(0), []
    for _ in range(DRAWS):
        times = rng.multinomial(len(a), np.full(len(a), 1 / len(a)))
        others = times if paired else rng.multinomial(len(b), np.full(len(b), 1 / len(b)))
        draws.append(np.concatenate([times / len(a), -others / len(b)]) / patches)
    shares, values, of_draws = np.array(draws, np.float32), [], []
    for i in range(a.shape[1]):  # one level's at a time in memory
        level = _Level.of(_of_level(a, i), _of_level(b, i), patches)
        values.append(level.distance(len(a), len(b)))
        of_draws.append(level.drawn(shares))
    value, drawn = float(np.mean(values)), np.mean(of_draws, 0)
    low, high = draws_interval(drawn, value)
    return SlicedDistance(value, max(0.0, low), high, len(a))


def _of_level(projections: NDArray, level: int) -> NDArray[np.float64]:
    """(DIRECTIONS, N · P): images in their order, the patches of one together. Raises InputError where they are not
    finite."""
    (found,) = checked(projections[:, level].reshape(len(projections), -1))
    return found.reshape(len(projections), -1, DIRECTIONS).transpose(2, 0, 1).reshape(DIRECTIONS, -1)


@dataclass(frozen=True)
class _Level:
    """All projections of one level in order.

    owner: the image, of both sets one after the other, whose each is; (DIRECTIONS, (N + M) · P), as values. patches: P,
    those of an image.
    """

    owner: NDArray[np.int32]
    values: NDArray[np.float32]
    patches: int
    deviation: float

    @classmethod
    def of(cls, a: NDArray, b: NDArray, patches: int) -> _Level:
        both = np.concatenate([a, b], 1)
        order = both.argsort(1)
        values = np.take_along_axis(both, order, 1).astype(np.float32)
        # At least one 8-bit level: edits of one colour would be infinitely far from all others.
        return cls((order // patches).astype(np.int32), values, patches, max(1.0, float(b.std(1).mean())))

    def distance(self, count_a: int, count_b: int) -> float:
        """The area between the two cumulative distributions."""
        share = np.repeat([1 / count_a, -1 / count_b], [count_a, count_b]) / self.patches
        between = np.abs(np.cumsum(share[self.owner[:, :-1]], axis=1))
        return float(np.einsum("dn,dn->d", between, np.diff(self.values)).mean()) / self.deviation

    def drawn(self, shares: NDArray[np.float32]) -> NDArray[np.float64]:
        """The area for each draw of images. shares (DRAWS, N + M): what each patch of an image counts, less than zero
        for the targets' → (DRAWS,).

        Distributions are known at the ends of BINS parts and run straight between them, so that all draws are one
        matrix product a direction.
        """
        length, images = self.owner.shape[1], shares.shape[1]
        bins = min(BINS, length)
        even = np.linspace(0, length - 1, bins + 1).astype(np.int64)
        areas = np.zeros(len(shares))
        for owner, values in zip(self.owner, self.values, strict=True):
            ends = np.searchsorted(values, values[even])  # before all of the same value: none is cut off
            part = np.repeat(np.arange(bins), np.diff(ends))
            counts = np.bincount(owner[: ends[-1]] * bins + part, minlength=images * bins)
            upto = np.cumsum(shares @ counts.reshape(images, bins).astype(np.float32), axis=1)
            heights = np.abs(np.concatenate([np.zeros((len(shares), 1)), upto], 1))
            areas += (heights[:, 1:] + heights[:, :-1]) @ np.diff(values[even]) / 2
        return areas / len(self.owner) / self.deviation
