"""What is measured of images that come batch by batch: no more than a batch of them is in memory at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from e2gan.core.errors import InputError
from e2gan.core.images import Pixels, is_blank
from e2gan.core.sheets import spread
from e2gan.features.extractors import Extractor, Features
from e2gan.measure.metrics import METRICS
from e2gan.measure.segmentation import OverlapTally

PSNR_CAP = 100.0  # dB, for identical images

Values = dict[str, NDArray[np.float64]]  # l1, psnr and ssim of each image, (N,)


def pixel_values(edits_NHWC: Pixels, targets_NHWC: Pixels) -> Values:
    """l1, psnr and ssim of each image, float64 (N,).

    Raises InputError where the shapes differ, or the images are smaller than SSIM's window of 7 pixels.
    """
    if edits_NHWC.shape != targets_NHWC.shape or len(edits_NHWC) == 0:
        raise InputError(f"images of {edits_NHWC.shape} and {targets_NHWC.shape} cannot be compared")
    if min(edits_NHWC.shape[1:3]) < 7:
        raise InputError("SSIM needs images of at least 7 pixels a side")
    l1, psnr, ssim = [], [], []
    for edit, target in zip(edits_NHWC, targets_NHWC, strict=True):
        difference = edit.astype(np.float64) - target
        error = float((difference**2).mean())
        l1.append(float(np.abs(difference).mean()))
        psnr.append(min(PSNR_CAP, 10 * np.log10(255**2 / error)) if error else PSNR_CAP)
        ssim.append(structural_similarity(edit, target, channel_axis=2, data_range=255))
    return {"l1": np.array(l1), "psnr": np.array(psnr), "ssim": np.array(ssim)}


@dataclass
class FeatureTally:
    """The features of one kind of images, `images` in all, by the metric's key."""

    extractors: Mapping[str, Extractor]
    images: int
    parts: dict[str, list[Features]] = field(default_factory=dict)

    def add(self, images_NHWC: Pixels) -> None:
        """uint8 (N, H, W, 3)."""
        keep = {metric.key: metric.keep for metric in METRICS.values()}
        for key, extractor in self.extractors.items() if len(images_NHWC) else ():
            self.parts.setdefault(key, []).append(keep[key](extractor(images_NHWC), self.images))

    def of(self, key: str) -> Features:
        return np.concatenate(self.parts[key])


class SplitTally:
    """What is known of a split's images, by their kind: photo, teacher, and each of `edited`.

    photos, targets: how many there are of each, of which the first `pairs` are compared one by one. rows: how many of
    these are kept to be shown, evenly over them.
    """

    def __init__(
        self,
        extractors: Mapping[str, Extractor],
        overlaps: OverlapTally | None,
        edited: Sequence[str],
        photos: int,
        targets: int,
        rows: int,
    ) -> None:
        kinds = ("photo", "teacher", *edited)
        self.pairs = min(photos, targets)
        self.features = {kind: FeatureTally(extractors, targets if kind == "teacher" else photos) for kind in kinds}
        self.shown: dict[str, list[Pixels]] = {kind: [] for kind in kinds}
        self.blank: list[int] = []
        self._values: dict[str, list[Values]] = {kind: [] for kind in ("photo", *edited)}
        self._overlaps = overlaps
        self._rows = spread(self.pairs, rows)

    def add(self, start: int, photos: Pixels, targets: Pixels, edits: Mapping[str, Pixels]) -> None:
        """The images from number `start` on: uint8 (N, H, W, 3) and (M, H, W, 3), and of each kind of edits (N, …)."""
        images = {"photo": photos, "teacher": targets, **edits}
        pairs = min(len(photos), len(targets))
        for kind, of_kind in images.items():
            self.features[kind].add(of_kind)
            self.shown[kind] += [of_kind[i - start] for i in self._rows if start <= i < start + pairs]
        if pairs:
            for kind, parts in self._values.items():
                parts.append(pixel_values(images[kind][:pairs], targets[:pairs]))
            if self._overlaps is not None:
                self._overlaps.add(photos[:pairs], targets[:pairs], edits["model"][:pairs])
        both = zip(photos, edits["model"], strict=True)
        self.blank += [i for i, (photo, edit) in enumerate(both, start) if is_blank(photo, edit)]

    def values_of(self, kind: str) -> Values:
        parts = self._values[kind]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
