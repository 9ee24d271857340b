"""One number to choose by: a metric by its name, of edits against the teacher's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from e2gan.config import Metric
from e2gan.core.errors import InputError
from e2gan.core.images import Pixels
from e2gan.features.extractors import Once, random_features
from e2gan.features.squeezenet import SqueezeNetFeatures
from e2gan.measure.distances import distance

__all__ = ["BESIDE", "Score", "Scorer"]


@dataclass(frozen=True)
class Score:
    """A metric's value, lower is better, with its 95 % bootstrap interval, KID beside it, and the images seen."""

    value: float
    low: float
    high: float
    kernel: float | None
    images: int

    def __str__(self) -> str:
        kernel = "" if self.kernel is None else f" kd {self.kernel:.3g}"
        return f"{self.value:.4g} [{self.low:.3g}, {self.high:.3g}]{kernel}"


BESIDE = "lower is better; [its 95 % bootstrap interval]; kd: the kernel distance (KID) on the same features"


class Scorer:
    """A metric of uint8 (N, H, W, 3) edits against targets of the same photos; lower is better.

    The features of a stack of targets are computed once. Raises InputError where the metric's network is not at hand,
    and for fewer than two images.
    """

    def __init__(self, metric: Metric, *, features: Path | None = None, inception: str | None = None) -> None:
        self.metric = metric
        self.network = network_of(metric, features, inception)
        self.of_targets = None if self.network is None else Once(self.network)

    def __call__(self, edits_NHWC: Pixels, targets_NHWC: Pixels, *, paired: bool = True) -> Score:
        """paired: whether target i is of the photo of edit i."""
        if self.network is None and not paired:
            raise InputError("--metric l1 compares pairs, and this set holds none: choose a distance")
        if len(edits_NHWC) < 2:
            raise InputError(f"{self.metric} needs at least 2 images, here is {len(edits_NHWC)}")
        if self.network is None or self.of_targets is None:
            return _l1(edits_NHWC, targets_NHWC)
        found = distance(self.network(edits_NHWC), self.of_targets(targets_NHWC), paired=paired)
        return Score(found.frechet, found.low, found.high, found.kernel, found.images)


def network_of(metric: Metric, features: Path | None, inception: str | None) -> Callable[..., NDArray] | None:
    """The feature network of a metric; None for L1, which needs none."""
    if metric == "l1":
        return None
    if metric == "fd-random":
        return random_features
    if metric == "fd-squeezenet":
        if features is None:
            raise InputError("--metric fd-squeezenet needs SqueezeNet 1.1's weights: name the file with --features")
        return SqueezeNetFeatures(features)
    from e2gan.features.inception import InceptionFeatures

    try:
        return InceptionFeatures(None if inception in (None, "auto") else Path(inception))
    except InputError as error:
        raise InputError(f"{error}; or take a --metric that needs no file, fd-random or l1") from None


def _l1(edits: Pixels, targets: Pixels, draws: int = 200) -> Score:
    each = np.array([np.abs(e.astype(np.int16) - t).mean() for e, t in zip(edits, targets, strict=True)])
    rng = np.random.default_rng(0)
    means = [each[rng.integers(len(each), size=len(each))].mean() for _ in range(draws)]
    low, high = np.percentile(means, [2.5, 97.5])
    return Score(float(each.mean()), float(low), float(high), None, len(each))
