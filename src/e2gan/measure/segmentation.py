"""Does an edit keep the layout: mean IoU of the edits' segmentation against label maps, or the teacher's images."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from e2gan.config.schemas import PaletteFile
from e2gan.core.device import resolve_device
from e2gan.core.errors import InputError
from e2gan.core.files import read_json
from e2gan.core.images import Pixels
from e2gan.core.progress import track
from e2gan.features.hub import need_transformers, pretrained, pretrained_network
from e2gan.measure.metrics import MIOU, MeanIou

OPTION = "--segmenter"
IGNORE = -1  # a pixel whose truth does not count; a prediction of a class that the truth does not have
TOGETHER = 4  # images that run through the network together
FAR = 60.0  # levels, by which no compression or resizing moves most of a label map's pixels

Labels = NDArray[np.int32]  # (N, H, W)


def confusions(pred: NDArray[np.integer], truth: NDArray[np.integer], classes: int, ignore: int) -> NDArray[np.int64]:
    """How often each class of the truth (rows) was seen as which (columns, the last for one outside), by image:
    (N, …) → (N, classes, classes + 1). Pixels whose truth is `ignore` do not count."""
    counts = truth != ignore
    images = np.broadcast_to(np.arange(len(truth)).reshape(-1, *[1] * (truth.ndim - 1)), truth.shape)[counts]
    predicted = pred[counts].astype(np.int64)
    predicted[(predicted < 0) | (predicted >= classes)] = classes
    cells = (images * classes + truth[counts]) * (classes + 1) + predicted
    shape = (len(truth), classes, classes + 1)
    return np.bincount(cells, minlength=int(np.prod(shape))).reshape(shape)


def iou_of(confusion: NDArray[np.number]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of confusion matrices (…, K, K + 1): intersection over union as on Cityscapes, the mean (…) over the classes that
    occur in the truth, and each class's (…, K), NaN where it does not."""
    square = confusion[..., :-1]
    intersection = np.diagonal(square, axis1=-2, axis2=-1)
    in_truth = confusion.sum(-1)
    union = in_truth + square.sum(-2) - intersection
    of_classes = np.where(in_truth > 0, intersection / np.maximum(union, 1), np.nan)
    occurring = (in_truth > 0).sum(-1)
    mean = np.where(occurring > 0, np.nansum(of_classes, -1) / np.maximum(occurring, 1), np.nan)
    return mean, of_classes


@dataclass(frozen=True)
class Palette:
    """The colours of a label map: names, and colours (K, 3) uint8 in their order."""

    names: tuple[str, ...]
    colours: Pixels

    @classmethod
    def load(cls, path: Path) -> Palette:
        """From {"classes": {"road": [128, 64, 128], ...}}. Raises InputError where the file is none."""
        try:
            classes = read_json(Path(path), PaletteFile)["classes"]
        except InputError as error:
            form = '{"classes": {"name": [r, g, b], ...}}, two or more of three whole numbers in 0..255'
            raise InputError(f"{error}: this is no palette, which is {form}") from None
        seen: dict[tuple[int, ...], str] = {}
        for name, colour in classes.items():
            if twin := seen.get(tuple(colour)):
                raise InputError(f"{path}: '{twin}' and '{name}' have the same colour {colour}: keep one of them")
            seen[tuple(colour)] = name
        return cls(tuple(classes), np.array(list(seen), np.uint8))

    def labels(self, images_NHWC: Pixels) -> Labels:
        """Each pixel's class by the nearest colour: uint8 (N, H, W, 3) → (N, H, W).

        Raises InputError where a quarter of the pixels is far from every colour: then they are no label maps of this
        palette.
        """
        from sklearn.metrics import pairwise_distances_argmin_min

        labels = np.empty(images_NHWC.shape[:3], np.int32)
        far = 0
        for i, image in enumerate(images_NHWC):  # one at a time: its pixels are in memory as float64
            nearest, distances = pairwise_distances_argmin_min(image.reshape(-1, 3), self.colours)
            labels[i] = nearest.reshape(image.shape[:2])
            far += int((distances > FAR).sum())
        if far > labels.size / 4:
            raise InputError(
                f"{100 * far / labels.size:.0f} % of the photos' pixels are far from every colour of --labels: "
                "they are no label maps of this palette"
            )
        return labels


def _words(label: str) -> list[str]:
    """A label's names: "door;double_door" is one, and also a door and a double door."""
    parts = [label, *re.split(r"[,;/]", label)]
    return [" ".join(re.sub(r"[_\-]+", " ", part).casefold().split()) for part in parts]


def matches(names: Sequence[str], labels: Mapping[int, str]) -> Labels:
    """For each of a model's labels the index of the palette's class of the same name, IGNORE where there is none.

    Names are compared without case, with spaces for "_" and "-"; of a label with several names any may match, the
    whole one first. Raises InputError where no class is common.
    """
    known = {_words(name)[0]: i for i, name in reversed(list(enumerate(names)))}
    match = np.full(max(labels, default=-1) + 1, IGNORE, np.int32)
    for label, text in labels.items():
        match[label] = next((known[word] for word in _words(text) if word in known), IGNORE)
    if (match == IGNORE).all():
        raise InputError(
            f"{OPTION} and --labels have no class in common: the model has {_first(list(labels.values()))}; "
            f"the palette has {_first(names)}: give the palette's classes the model's names"
        )
    return match


def _first(names: Sequence[str], count: int = 6) -> str:
    return ", ".join(names[:count]) + (f" and {len(names) - count} more" if len(names) > count else "")


class Segmenter:
    """A semantic segmentation model of transformers (Segformer, UperNet, DPT, …): uint8 images → their label maps.

    labels: id → name, the model's own (id2label).
    """

    def __init__(self, name: str, device: str = "auto") -> None:
        """name: on the hub, or a local folder. Raises InputError where it is neither, or of another kind."""
        transformers = need_transformers(f"{OPTION} {name}")
        self.device = resolve_device(device)
        self.processor = pretrained(
            transformers.AutoImageProcessor.from_pretrained, name, OPTION, trust_remote_code=False, backend="pil"
        )
        if getattr(self.processor, "do_center_crop", None):
            self.processor.do_center_crop = False  # it would lose pixels
        network = pretrained_network(transformers.AutoModelForSemanticSegmentation, name, OPTION)
        self.network = network.to(self.device)
        self.labels: dict[int, str] = {int(label): str(text) for label, text in network.config.id2label.items()}

    def __call__(self, images_NHWC: Pixels) -> Labels:
        """uint8 (N, H, W, 3) → (N, H, W), the model's labels at the images' own size."""
        labels = np.empty(images_NHWC.shape[:3], np.int32)
        starts = range(0, len(images_NHWC), TOGETHER)
        for start in track(starts, "segmentation"):
            images = images_NHWC[start : start + TOGETHER]
            pixels = self.processor(list(images), return_tensors="pt")["pixel_values"]
            with torch.inference_mode():
                logits = self.network(pixel_values=pixels.to(self.device)).logits
            for i, logit in enumerate(logits, start):  # one at a time: all classes at full size are in memory
                full = F.interpolate(logit[None].float(), size=images.shape[1:3], mode="bilinear", align_corners=False)
                labels[i] = full[0].argmax(0).cpu().numpy()
        return labels


@dataclass(frozen=True)
class Overlap:
    """Mean IoU, and that of each class that occurs in the truth."""

    mean: float
    classes: dict[str, float]


@dataclass(frozen=True)
class Overlaps:
    """Of the edits, and what to compare them with: the photos where they are the truth's equals, the teacher's images
    where label maps are the truth. notes: what else to know, a sentence each."""

    edit: Overlap
    photo: Overlap | None
    teacher: Overlap | None
    notes: tuple[str, ...] = ()


class OverlapTally:
    """How well a segmentation of the edits meets the truth, of images that come batch by batch.

    With a palette the photos are label maps and the truth, over the classes that the model knows too. Without one the
    truth is the segmentation of the teacher's images. Raises InputError where palette and model have no class in
    common.
    """

    def __init__(self, segmenter: Segmenter, palette: Palette | None) -> None:
        self.segmenter = segmenter
        self.scorer = None if palette is None else SegmentationScorer(segmenter, palette)
        labels = segmenter.labels
        self.names = palette.names if palette else [labels.get(i, str(i)) for i in range(max(labels) + 1)]
        self.confusions: dict[str, NDArray[np.int64]] = {}  # by the kind of images, of all together
        self.occurring = np.zeros(len(self.names), bool)

    def add(self, photos_NHWC: Pixels, targets_NHWC: Pixels, edits_NHWC: Pixels) -> None:
        """uint8 (N, H, W, 3) each. Raises InputError where the photos are no label maps of the palette."""
        if self.scorer is None:
            truth = self.segmenter(targets_NHWC)
            seen = {"edit": self.segmenter(edits_NHWC), "photo": self.segmenter(photos_NHWC)}
        else:
            labels = self.scorer.labels(photos_NHWC)
            self.occurring |= np.isin(np.arange(len(self.names)), labels)
            truth = self.scorer.counted(labels)
            seen = {"edit": self.scorer.classes(edits_NHWC), "teacher": self.scorer.classes(targets_NHWC)}
        for kind, found in seen.items():
            self.confusions[kind] = self.confusions.get(kind, 0) + confusions(
                found[None], truth[None], len(self.names), IGNORE
            )

    def found(self) -> Overlaps:
        """Raises InputError where the photos have no pixel of a class that counts."""
        if self.scorer is not None:
            if not (self.occurring & self.scorer.known).any():
                raise self.scorer.nothing_counts()
            notes = self.scorer.lost(self.occurring)
        else:
            notes = ["miou: the truth is the segmentation of the teacher's images"]
        of = {kind: _overlap(confusion[0], self.names) for kind, confusion in self.confusions.items()}
        return Overlaps(of["edit"], of.get("photo"), of.get("teacher"), tuple(notes))


class SegmentationScorer:
    """mIoU of images' segmentation against label maps in the colours of a palette, in per cent; higher is better.

    Classes that the model has no label for do not count. Raises InputError where it has none of the palette's.
    """

    def __init__(self, segmenter: Segmenter, palette: Palette) -> None:
        self.segmenter, self.palette = segmenter, palette
        self.match = matches(palette.names, segmenter.labels)
        self.known = np.isin(np.arange(len(palette.names)), self.match)
        self.seen: tuple[Pixels, Labels] | None = None

    def classes(self, images_NHWC: Pixels) -> Labels:
        """The images' segmentation, uint8 (N, H, W, 3) → the palette's classes (N, H, W), IGNORE for any other."""
        return self.match[self.segmenter(images_NHWC)]

    def labels(self, maps_NHWC: Pixels) -> Labels:
        """`Palette.labels`, once for all that is compared with the same array."""
        if self.seen is None or self.seen[0] is not maps_NHWC:
            self.seen = maps_NHWC, self.palette.labels(maps_NHWC)
        return self.seen[1]

    def truth(self, maps_NHWC: Pixels) -> Labels:
        """Label maps, uint8 (N, H, W, 3), as classes (N, H, W), with IGNORE where the model does not know the class.

        Raises InputError where the images are no label maps of this palette, or hold no pixel of a class that counts.
        """
        truth = self.counted(self.labels(maps_NHWC))
        if (truth == IGNORE).all():
            raise self.nothing_counts()
        return truth

    def counted(self, labels: Labels) -> Labels:
        """The palette's classes with IGNORE where the model does not know the class."""
        return np.where(self.known[labels], labels, IGNORE)

    def nothing_counts(self) -> InputError:
        known = _first(_named(self.palette, self.known))
        return InputError(f"the photos hold no pixel of a class that {OPTION} knows ({known})")

    def notes(self, maps_NHWC: Pixels) -> list[str]:
        """Which classes of these label maps do not count, a sentence where there are any."""
        return self.lost(np.isin(np.arange(len(self.known)), self.labels(maps_NHWC)))

    def lost(self, occurring: NDArray[np.bool_]) -> list[str]:
        """`notes` of label maps in which these classes (K,) occur."""
        lost = _named(self.palette, occurring & ~self.known)
        return [f"miou: {OPTION} has no label for {_first(lost)}; their pixels do not count"] if lost else []

    def __call__(self, images_NHWC: Pixels, maps_NHWC: Pixels, draws: int = 1000) -> MeanIou:
        """The mIoU over all images together, with a 95 % bootstrap interval over the images.

        Raises InputError as `truth`, and for fewer than two images.
        """
        count = len(images_NHWC)
        if count < 2:
            raise InputError(f"{MIOU} needs at least 2 images, here is {count}")
        truth = self.truth(maps_NHWC)
        of_images = confusions(self.classes(images_NHWC), truth, len(self.palette.names), IGNORE)
        times = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=draws)
        drawn = times.astype(np.float64) @ of_images.reshape(count, -1)
        means, _ = iou_of(drawn.reshape(draws, *of_images.shape[1:]))
        low, high = np.nanpercentile(means, [2.5, 97.5])
        mean, _ = iou_of(of_images.sum(0))
        return MeanIou(100 * float(mean), 100 * float(low), 100 * float(high), None, count)


def _named(palette: Palette, which: NDArray[np.bool_]) -> list[str]:
    return [name for name, chosen in zip(palette.names, which, strict=True) if chosen]


def _overlap(confusion: NDArray[np.int64], names: Sequence[str]) -> Overlap:
    mean, of_classes = iou_of(confusion)
    return Overlap(
        float(mean), {name: float(iou) for name, iou in zip(names, of_classes, strict=True) if not np.isnan(iou)}
    )
