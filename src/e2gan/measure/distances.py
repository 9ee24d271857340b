"""Distances between sets of images, in the features of a network.

`fd-random` is a Fréchet distance on a fixed random network, `fd-squeezenet` one on SqueezeNet 1.1. Neither is FID,
which is the same distance on Inception-v3's features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from e2gan.core.errors import InputError, InputTypeError

Features = NDArray[np.float64]
LARGEST = 1e60  # of a feature: the fourth powers that a distance takes are still finite


@dataclass(frozen=True)
class Distance:
    """A Fréchet distance with its 95 % bootstrap interval, the kernel distance (KID) beside it, and the images seen."""

    frechet: float
    low: float
    high: float
    kernel: float
    images: int
    dimensions: int

    @property
    def value(self) -> float:
        """What is printed, and chosen by."""
        return self.frechet


def frechet_distance(a: NDArray, b: NDArray) -> float:
    """Fréchet distance of two feature sets (N, D), (M, D), each taken as a Gaussian with its sample covariance.

    The trace of the root of the covariances' product is the nuclear norm of X_a X_bᵀ, where the rows of X are the
    centred features over √(n - 1): min(N, M, D) decides the cost, and no D×D root is taken where N or M is smaller.
    Raises InputError for fewer than two images a set, different D, or features that are not finite.
    """
    a, b = checked(a, b)
    mean_a, mean_b = a.mean(0), b.mean(0)
    x, y = (a - mean_a) / np.sqrt(len(a) - 1), (b - mean_b) / np.sqrt(len(b) - 1)
    # Orthogonal factors change no nuclear norm: tall matrices shrink to their triangular one.
    root = np.linalg.svd(_short(x) @ _short(y).T, compute_uv=False).sum()
    squares = float((x**2).sum() + (y**2).sum() - 2 * root)
    return max(0.0, float(((mean_a - mean_b) ** 2).sum()) + squares)


def _short(x: Features) -> Features:
    return np.asarray(np.linalg.qr(x, mode="r")) if len(x) > x.shape[1] else x


def checked(*sets: NDArray, paired: bool = False) -> list[Features]:
    """The sets as float64 (N, D), fit for a distance between them. Raises InputError where they are not."""
    if paired and len({len(features) for features in sets}) > 1:
        raise InputError(f"sets of {' and '.join(str(len(features)) for features in sets)} images are not pairs")
    kinds = {np.asarray(features).dtype.kind for features in sets}
    if not kinds <= set("fiu"):
        raise InputTypeError("features are arrays (N, D) of real numbers, and these are none")
    checked = [np.asarray(features, np.float64) for features in sets]
    for features in checked:
        if features.ndim != 2 or len(features) < 2:
            raise InputError(f"a distance needs at least 2 images a set, as (N, D): here is {features.shape}")
        if not np.isfinite(features).all():
            raise InputError("the features are not finite: the feature network's file is damaged, or the images are")
        if np.abs(features).max(initial=0) > LARGEST:
            raise InputError(f"the features are above {LARGEST:g}: their squares would not be finite")
    if len({features.shape[1] for features in checked}) > 1:
        raise InputError(f"features of {' and '.join(str(f.shape[1]) for f in checked)} dimensions cannot be compared")
    return checked


def mean_interval(values: NDArray[np.float64], draws: int = 1000) -> tuple[float, float]:
    """95 % bootstrap interval of the mean of values (N,)."""
    rows = np.random.default_rng(0).integers(len(values), size=(draws, len(values)))
    low, high = np.percentile(values[rows].mean(1), [2.5, 97.5])
    return float(low), float(high)


def draws_interval(drawn: NDArray[np.float64], value: float) -> tuple[float, float]:
    """95 % interval of a value by its bootstrap draws (draws,), whose own shift, their mean less the value, is taken
    out."""
    low, high = np.percentile(drawn - drawn.mean() + value, [2.5, 97.5])
    return float(low), float(high)


def frechet_interval(
    a: NDArray, b: NDArray, draws: int = 100, seed: int = 0, *, paired: bool = False
) -> tuple[float, float]:
    """95 % interval of the Fréchet distance by bootstrap draws, each of the sets' own sizes.

    paired: row i of both sets is of the same photo, so that a draw takes the same rows of both. Edits and a teacher's
    edits of the same photos vary together: drawn apart, the interval of 100 dusk edits came out 9 times too wide.
    A draw repeats images, which moves the distance up where images are few. That shift, the draws' mean less the
    distance, is taken out of the percentiles; the distance's own bias with few images is not.
    Raises InputError as `frechet_distance`, and for paired sets of different length.
    """
    low, high = draws_interval(frechet_draws(a, b, draws, seed, paired=paired), frechet_distance(a, b))
    return max(0.0, low), high


def frechet_draws(
    a: NDArray, b: NDArray, draws: int = 100, seed: int = 0, *, paired: bool = False
) -> NDArray[np.float64]:
    """The Fréchet distances of `draws` bootstrap draws, (draws,), as `frechet_interval` takes them.

    Paired sets of the same length have the same rows drawn by the same seed, so that two models' edits of the same
    photos can be compared draw by draw. Raises InputError as `frechet_interval`.
    """
    a, b = checked(a, b, paired=paired)
    rng = np.random.default_rng(seed)
    # A draw holds about 0.63 of a set's rows, each once or more. Where that is fewer than D, it is quicker from the
    # rows' products: 9 times for 100 images at D = 2048.
    draw = _draws_by_products(a, b) if 0.63 * max(len(a), len(b)) < a.shape[1] else _draws_by_features(a, b)
    drawn = []
    for _ in range(draws):
        rows = rng.integers(len(a), size=len(a))
        drawn.append(draw(rows, rows if paired else rng.integers(len(b), size=len(b))))
    return np.array(drawn)


Draw = Callable[[NDArray[np.int64], NDArray[np.int64]], float]  # rows of a, rows of b → their Fréchet distance


def _draws_by_features(a: Features, b: Features) -> Draw:
    return lambda rows_a, rows_b: frechet_distance(a[rows_a], b[rows_b])


def _draws_by_products(a: Features, b: Features) -> Draw:
    """`frechet_distance` of any rows, from the rows' products alone."""
    middle = (a.mean(0) + b.mean(0)) / 2  # moves both sets to where the differences below lose no digits
    a, b = a - middle, b - middle
    aa, bb, ab = a @ a.T, b @ b.T, a @ b.T

    def draw(rows_a: NDArray[np.int64], rows_b: NDArray[np.int64]) -> float:
        (i, times_i), (j, times_j) = (np.unique(rows, return_counts=True) for rows in (rows_a, rows_b))
        p, q = times_i / len(rows_a), times_j / len(rows_b)  # the means are p @ a[i] and q @ b[j]
        mean_a2, mean_b2 = p @ aa[np.ix_(i, i)] @ p, q @ bb[np.ix_(j, j)] @ q
        trace_a = (p @ aa[i, i] - mean_a2) * len(rows_a) / (len(rows_a) - 1)
        trace_b = (q @ bb[j, j] - mean_b2) * len(rows_b) / (len(rows_b) - 1)
        g = ab[np.ix_(i, j)]
        g_i, g_j = g @ q, p @ g
        mean_ab = p @ g_i
        centred = g - g_i[:, None] - g_j[None] + mean_ab
        # A row that was drawn w times counts in the nuclear norm as one row of √w times its length.
        scale_a, scale_b = np.sqrt(times_i / (len(rows_a) - 1)), np.sqrt(times_j / (len(rows_b) - 1))
        root = np.linalg.svd(scale_a[:, None] * centred * scale_b[None], compute_uv=False).sum()
        return max(0.0, float(mean_a2 + mean_b2 - 2 * mean_ab)) + float(trace_a + trace_b - 2 * root)

    return draw


def kernel_distance(a: NDArray, b: NDArray, *, paired: bool = False) -> float:
    """Kernel inception distance's formula (Bińkowski et al. 2018): the unbiased squared maximum mean discrepancy under
    the kernel (x·y/D + 1)³. It may come out negative.

    paired: row i of both sets is of the same photo. Then k(a_i, b_i) is left out (Gretton et al. 2012, Eq. 4): with it
    the estimate is too low, and below zero for identical sets. Raises InputError as `frechet_interval`.
    """
    a, b = checked(a, b, paired=paired)

    def kernel(x: Features, y: Features) -> Features:
        return (x @ y.T / x.shape[1] + 1) ** 3

    def off_diagonal(k: Features) -> float:
        return float((k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)))

    between = off_diagonal(kernel(a, b)) if paired else float(kernel(a, b).mean())
    return off_diagonal(kernel(a, a)) + off_diagonal(kernel(b, b)) - 2 * between


def distance(a: NDArray, b: NDArray, *, paired: bool = True) -> Distance:
    """Both distances of two feature sets (N, D); paired: row i of both is of the same photo."""
    low, high = frechet_interval(a, b, paired=paired)
    return Distance(frechet_distance(a, b), low, high, kernel_distance(a, b, paired=paired), len(a), a.shape[1])
