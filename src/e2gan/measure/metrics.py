"""The registry of metrics: by name, which network's features are compared; and one number to choose by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from e2gan.core.errors import InputError
from e2gan.core.images import Pixels
from e2gan.core.schemas import known
from e2gan.features.clip import ClipModel
from e2gan.features.efficientnet import EfficientNetFeatures
from e2gan.features.embeddings import load_embedder
from e2gan.features.extractors import Extractor, Features, Once, random_features
from e2gan.features.hub import CLIP_NAME
from e2gan.features.inception import InceptionFeatures
from e2gan.features.squeezenet import SqueezeNetFeatures
from e2gan.measure.distances import Distance, distance, mean_interval
from e2gan.measure.sliced import SlicedDistance, fewer_patches, patch_projections, sliced_distance

L1 = "l1"
MIOU = "mIoU"


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """What the metrics' networks are loaded from: the commands' options of the same names."""

    features: Path | None = None
    inception: str | None = None
    efficientnet: str | None = None
    clip: str | None = None
    dinov2: str | None = None
    device: str = "auto"

    @cached_property
    def clip_model(self) -> ClipModel:
        """Loaded once for all metrics that it serves."""
        return ClipModel(self.clip or CLIP_NAME, self.device, "--clip")


@dataclass(frozen=True)
class FeatureDistance:
    """A metric: a distance between edits and targets in their features, by default the Fréchet and the kernel
    distance of a network's.

    load: the network, uint8 (N, H, W, 3) → (N, D); raises InputError where it is not at hand, and may have a `note` for
    the results. option: which of `NetworkOptions` names it; `evaluate` measures what is named, and what needs none.
    frechet, kernel: what the two numbers are called; None: there is one alone. between: the features (N, D), (M, D) and
    `paired` → the distance. keep: what of a batch's features is held until then, where there are so many images in all.
    """

    name: str
    load: Callable[[NetworkOptions], Extractor]
    option: str | None
    frechet: str
    kernel: str | None
    between: Callable[..., Distance | SlicedDistance] = distance
    keep: Callable[[Features, int], Features] = lambda features, _: features

    @property
    def key(self) -> str:
        """In metrics.json."""
        return self.name.replace("-", "_")

    def named(self, options: NetworkOptions) -> bool:
        return self.option is None or getattr(options, self.option) is not None


def _inception(options: NetworkOptions) -> Extractor:
    """Downloaded where no file is named."""
    path = None if options.inception in (None, "auto") else Path(options.inception)
    return InceptionFeatures(path, options.device)


def _dinov2(options: NetworkOptions) -> Extractor:
    return load_embedder("dinov2", model=options.dinov2, device=options.device, option="--dinov2")


def _squeezenet(options: NetworkOptions) -> Extractor:
    return SqueezeNetFeatures(options.features)


def _efficientnet(options: NetworkOptions) -> Extractor:
    """The installed package's where no file is named."""
    path = None if options.efficientnet in (None, "auto") else Path(options.efficientnet)
    return EfficientNetFeatures(path, options.device)


# By name, in the order in which they are printed. A new metric is one more entry.
METRICS: dict[str, FeatureDistance] = {
    metric.name: metric
    for metric in (
        FeatureDistance("fid", _inception, "inception", "FID", "KID"),
        FeatureDistance("fd-clip", lambda o: o.clip_model.images, "clip", "fd-clip", "kd-clip"),
        FeatureDistance("fd-dinov2", _dinov2, "dinov2", "fd-dinov2", "kd-dinov2"),
        FeatureDistance("fd-squeezenet", _squeezenet, None, "fd-squeezenet", "kd-squeezenet"),
        FeatureDistance("fd-efficientnet", _efficientnet, "efficientnet", "fd-efficientnet", "kd-efficientnet"),
        FeatureDistance("fd-random", lambda _: random_features, None, "fd-random", "kd-random"),
        FeatureDistance("swd", lambda _: patch_projections, None, "swd", None, sliced_distance, fewer_patches),
    )
}


@dataclass(frozen=True)
class Score:
    """A metric's value, lower is better, with its 95 % bootstrap interval, KID beside it, and the images seen."""

    value: float
    low: float
    high: float
    kernel: float | None
    images: int

    higher_is_better: ClassVar[bool] = False

    def __str__(self) -> str:
        kernel = "" if self.kernel is None else f" kd {self.kernel:.3g}"
        return f"{self.value:.4g} [{self.low:.3g}, {self.high:.3g}]{kernel}"

    @staticmethod
    def load(stored: Mapping[str, Any]) -> Score:
        """From what JSON holds of a score; only one of mIoU names its metric."""
        kind = MeanIou if stored.get("metric") == MIOU else Score
        return kind(**known(kind, stored))


@dataclass(frozen=True)
class MeanIou(Score):
    """Mean IoU in per cent, which stands in a metric's place where label maps are the truth; higher is better."""

    metric: str = MIOU

    higher_is_better: ClassVar[bool] = True

    def __str__(self) -> str:
        return f"{self.metric} {self.value:.1f} % [{self.low:.1f}, {self.high:.1f}]"


SCORE_LEGEND = "lower is better; [its 95 % bootstrap interval]; kd: the kernel distance (KID) on the same features"
MIOU_LEGEND = f"{MIOU}: mean IoU of the edits' segmentation against the label maps, higher is better"


def score_legend(scores: Iterable[Score]) -> str:
    """How to read these scores."""
    return f"{SCORE_LEGEND}; {MIOU_LEGEND}" if any(isinstance(s, MeanIou) for s in scores) else SCORE_LEGEND


def score_metrics() -> list[str]:
    """What --metric takes: the distances whose network its commands name or need no name for, and L1."""
    return [*(m.name for m in METRICS.values() if m.option in (None, "inception", "efficientnet")), L1]


class MetricScorer:
    """A metric of uint8 (N, H, W, 3) edits against targets of the same photos; lower is better.

    The features of a stack of targets are computed once. Raises InputError for an unknown metric, where its network is
    not at hand, and of a distance for fewer than two images.
    """

    def __init__(self, metric: str, options: NetworkOptions) -> None:
        if metric not in score_metrics():
            raise InputError(f"--metric {metric}: unknown; there are {', '.join(score_metrics())}")
        self.metric = metric
        self.extractor = None
        if metric != L1:
            try:
                self.extractor = METRICS[metric].load(options)
            except InputError as error:
                raise InputError(f"{error}; or take a --metric that needs no file, fd-squeezenet or l1") from None
            self.of_targets = Once(self.extractor)

    def __call__(self, edits_NHWC: Pixels, targets_NHWC: Pixels, *, paired: bool = True) -> Score:
        """paired: whether target i is of the photo of edit i."""
        if self.extractor is None and not paired:
            raise InputError("--metric l1 compares pairs, and this set holds none: choose a distance")
        if self.extractor is None:
            return _l1(edits_NHWC, targets_NHWC)
        if len(edits_NHWC) < 2:
            raise InputError(f"{self.metric} needs at least 2 images, here is {len(edits_NHWC)}")
        between = METRICS[self.metric].between
        measured = between(self.extractor(edits_NHWC), self.of_targets(targets_NHWC), paired=paired)
        kernel = measured.kernel if isinstance(measured, Distance) else None
        return Score(measured.value, measured.low, measured.high, kernel, measured.images)


def _l1(edits: Pixels, targets: Pixels) -> Score:
    of_images = np.array([np.abs(e.astype(np.int16) - t).mean() for e, t in zip(edits, targets, strict=True)])
    return Score(float(of_images.mean()), *mean_interval(of_images, draws=200), None, len(of_images))
