"""How close an edit is to the teacher's: the metrics of Sec. 5.1 and more, and a sheet to look at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from e2gan.config import EvaluateConfig
from e2gan.core.errors import InputError
from e2gan.core.files import write_json
from e2gan.core.images import Pixels, sheet, write_png
from e2gan.core.outputs import make_folder
from e2gan.data.pair_set import PairSet
from e2gan.editing.predictor import Predictor
from e2gan.features.clip import ClipModel, directional_similarity
from e2gan.features.embeddings import Embedder, load_embedder
from e2gan.features.extractors import Extractor, Once, random_features
from e2gan.features.inception import InceptionFeatures
from e2gan.features.squeezenet import SqueezeNetFeatures
from e2gan.measure.distances import Distance, distance
from e2gan.measure.segmentation import Overlap, Palette, Segmenter, overlaps
from e2gan.networks.folders import ASSETS
from e2gan.networks.models import Model
from e2gan.train.step import parameters

__all__ = ["evaluate", "Evaluation", "Metrics", "pixel_metrics", "shown", "TeacherMetrics"]

PSNR_CAP = 100.0  # dB, for identical images
DISTANCES = {  # field of Metrics → what its Fréchet and its kernel distance are called
    "fid": ("FID", "KID"),
    "fd_clip": ("fd-clip", "kd-clip"),
    "fd_dinov2": ("fd-dinov2", "kd-dinov2"),
    "fd_squeezenet": ("fd-squeezenet", "kd-squeezenet"),
    "fd_random": ("fd-random", "kd-random"),
}
SCORES = {"clip_direction": "clip-direction", "miou": "mIoU"}


@dataclass(frozen=True)
class Metrics:
    """Edits against the teacher's, a mean over images. Distances are None for fewer than two images."""

    l1: float
    """Mean absolute difference in 8-bit levels."""
    psnr: float
    """Peak signal-to-noise ratio in dB, at most 100."""
    ssim: float
    """Structural similarity, 1 for the same image."""
    fd_random: Distance | None = None
    """Fréchet distance on a fixed random network. Not FID."""
    fd_squeezenet: Distance | None = None
    """Fréchet distance on SqueezeNet 1.1, where its file was given. Not FID."""
    fid: Distance | None = None
    """FID as Clean-FID takes it, and KID, where the Inception file was given."""
    fd_clip: Distance | None = None
    """Fréchet distance of CLIP's image embeddings (of length 1), where a model was given."""
    fd_dinov2: Distance | None = None
    """Fréchet distance of DINOv2's image embeddings, where a model was given."""
    clip_direction: float | None = None
    """Cosine between what the edit changes in CLIP's image space and what the prompt changes in its text space."""
    miou: float | None = None
    """Mean IoU of the images' segmentation against the truth, 1 for the same layout."""
    class_iou: dict[str, float] | None = None
    """The IoU of each class that occurs in the truth."""


@dataclass(frozen=True)
class TeacherMetrics:
    """What the teacher's own images reach in the metrics that do not compare with them."""

    clip_direction: float | None = None
    miou: float | None = None


@dataclass(frozen=True)
class Evaluation:
    """One model on one split of one concept. photo: the same metrics of the photo as it is, to compare with.

    parameters: of the generator, adapters merged. notes: what else to know, a sentence each.
    """

    prompt: str
    split: str
    images: int
    size: int
    parameters: int
    model: Metrics
    photo: Metrics
    out: Path
    notes: tuple[str, ...] = ()
    teacher: TeacherMetrics = field(default_factory=TeacherMetrics)
    paired: bool = True
    """Where False, l1, psnr and ssim compare different scenes and say nothing; the distances hold."""

    def __str__(self) -> str:
        lines = [
            f'"{self.prompt}", {self.images} {self.split} photos at {self.size}×{self.size}',
            f"{'':<16}{'edit':>24}{'photo as it is':>24}",
        ]
        both = (self.model, self.photo)
        for name, unit in (("l1", "of 255"), ("psnr", "dB"), ("ssim", "")) if self.paired else ():
            digits = 3 if name == "ssim" else 2
            cells = [f"{getattr(m, name):.{digits}f} {unit}".strip() for m in both]
            lines.append(_row(name, cells))
        for name, (frechet, kernel) in DISTANCES.items():
            found = [getattr(m, name) for m in both]
            if any(found):
                lines.append(_row(frechet, [shown(d) for d in found]))
                lines.append(_row(kernel, ["" if d is None else f"{d.kernel:.3g}" for d in found]))
        for name, title in SCORES.items():
            if getattr(self.model, name) is not None:
                cells = [getattr(m, name) for m in both]
                lines.append(_row(title, ["-" if c is None else f"{c:.3f}" for c in cells]))
        return "\n".join([*lines, *self._remarks(), *self.notes, f"metrics.json and sheet.png in {self.out}"])

    def _remarks(self) -> list[str]:
        """How many images the distances saw, and what the teacher's images reach themselves."""
        remarks = []
        seen = next((d for name in DISTANCES if (d := getattr(self.model, name))), None)
        if seen is not None:
            remarks.append(
                f"N = {seen.images} edits against as many of the teacher's, [95 % interval]; the fewer, the higher a "
                "Fréchet distance (FID, fd), not a kernel distance (KID, kd)"
            )
        reached = [f"{t} {v:.3f}" for n, t in SCORES.items() if (v := getattr(self.teacher, n)) is not None]
        if reached:
            remarks.append(f"the teacher's own images: {', '.join(reached)}")
        return remarks


def _row(title: str, cells: list[str]) -> str:
    return f"{title:<16}{cells[0]:>24}{cells[1]:>24}".rstrip()


def shown(found: Distance | None) -> str:
    return "" if found is None else f"{found.frechet:.3g} [{found.low:.3g}, {found.high:.3g}]"


def pixel_metrics(edits_NHWC: Pixels, targets_NHWC: Pixels) -> dict[str, float]:
    """l1, psnr and ssim of uint8 (N, H, W, 3) against uint8 of the same shape, as `Metrics` has them.

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
    return {"l1": float(np.mean(l1)), "psnr": float(np.mean(psnr)), "ssim": float(np.mean(ssim))}


class ClipOnce(ClipModel):
    """CLIP that sees each stack of images once."""

    def __init__(self, name: str, device: str) -> None:
        super().__init__(name, device, "--clip")
        self.kept = Once(super().images)

    def images(self, pixels: Iterable[Pixels] | Pixels) -> NDArray[np.float32]:
        return self.kept(pixels) if isinstance(pixels, np.ndarray) else super().images(pixels)


def _dinov2(name: str, device: str) -> Embedder:
    try:
        return load_embedder("dinov2", model=name, device=device)
    except InputError as error:  # --model is something else here
        raise InputError(str(error).replace("--model", "--dinov2")) from None


def metrics(
    edits_NHWC: Pixels,
    targets_NHWC: Pixels,
    extractors: Mapping[str, Extractor] | None = None,
    *,
    paired: bool = True,
) -> Metrics:
    """Edits against the teacher's: of the pixels, and the distances in these features (names as in `Metrics`)."""
    extractors = {"fd_random": random_features} if extractors is None else extractors
    pixels = pixel_metrics(edits_NHWC, targets_NHWC)
    found = Metrics(l1=pixels["l1"], psnr=pixels["psnr"], ssim=pixels["ssim"])
    if len(edits_NHWC) < 2:
        return found
    return replace(
        found, **{name: distance(of(edits_NHWC), of(targets_NHWC), paired=paired) for name, of in extractors.items()}
    )


class _Networks:
    """The feature networks that the settings name, loaded before the work begins, so that a wrong name shows at once.

    extractors: by the field of `Metrics` that they serve. notes: what else to know of their files.
    """

    def __init__(self, config: EvaluateConfig) -> None:
        networks: dict[str, Extractor] = {"fd_random": random_features}
        self.notes: list[str] = []
        if config.features is not None:
            networks["fd_squeezenet"] = SqueezeNetFeatures(config.features)
        if config.inception is not None:
            path = None if config.inception == "auto" else Path(config.inception)
            inception = InceptionFeatures(path, config.device)
            networks["fid"] = inception
            self.notes += [inception.note] if inception.note else []
        self.clip = None if config.clip is None else ClipOnce(config.clip, config.device)
        if self.clip is not None:
            networks["fd_clip"] = self.clip.images
        if config.dinov2 is not None:
            networks["fd_dinov2"] = _dinov2(config.dinov2, config.device)
        self.extractors = {name: Once(network) for name, network in networks.items()}
        self.segmenter = None if config.segmenter is None else Segmenter(config.segmenter, config.device)
        self.palette = None if config.labels is None else Palette.load(config.labels)


def evaluate(config: EvaluateConfig) -> Evaluation:
    """Edit a split of a pair set, compare with the teacher, write metrics.json and sheet.png.

    Raises InputError for bad settings or folders, or an `out` that is a file.
    """
    config.check()
    pair_set = PairSet.load(config.pairs)
    adapter = () if config.adapter is None else (config.adapter,)
    prompt = pair_set.prompt if config.adapter is None and config.model is None else None
    model = Model.load(base=config.base, adapter=adapter, model=config.model, prompt=prompt)
    networks = _Networks(config)
    photos, targets, _ = pair_set.arrays(config.split)
    out = config.out or model.folder
    if config.out is None and out.is_relative_to(ASSETS):
        raise InputError(f"name --out: {out.name} ships with the package, which is no place to write to")
    make_folder(out)
    predictor = Predictor(model, config.device)
    edits = predictor.batch(photos)
    notes = [] if len(photos) >= 2 else [f"no distances: they need at least 2 {config.split} photos"]
    found = Evaluation(
        prompt=pair_set.prompt,
        split=config.split,
        images=len(photos),
        size=pair_set.size,
        parameters=parameters(predictor.generator),
        model=metrics(edits, targets, networks.extractors, paired=pair_set.paired),
        photo=metrics(photos, targets, networks.extractors, paired=pair_set.paired),
        out=out,
        paired=pair_set.paired,
        notes=(*notes, *networks.notes),
    )
    found = _with_direction(found, config, networks.clip, photos, targets, edits)
    found = _with_overlap(found, networks, photos, targets, edits)
    chosen = np.unique(np.linspace(0, len(photos) - 1, config.rows).round().astype(int))
    rows = [[photos[i], targets[i], edits[i]] for i in chosen]
    write_png(out / "sheet.png", sheet(rows, ["photo", "teacher", "ours"]))
    write_json(out / "metrics.json", found)
    return found


def _with_direction(
    found: Evaluation, config: EvaluateConfig, clip: ClipModel | None, photos: Pixels, targets: Pixels, edits: Pixels
) -> Evaluation:
    """With CLIP's directional similarity, where a CLIP was named. The photo as it is has no direction."""
    if clip is None:
        return found

    def direction(images: Pixels) -> float:
        return float(directional_similarity(clip, photos, images, config.source_prompt, found.prompt).mean())

    return replace(
        found,
        model=replace(found.model, clip_direction=direction(edits)),
        teacher=replace(found.teacher, clip_direction=direction(targets)),
    )


def _with_overlap(found: Evaluation, networks: _Networks, photos: Pixels, targets: Pixels, edits: Pixels) -> Evaluation:
    """With mIoU, where a segmenter was named."""
    if networks.segmenter is None:
        return found
    measured = overlaps(networks.segmenter, networks.palette, photos, targets, edits)

    def put(into: Metrics, overlap: Overlap | None) -> Metrics:
        return into if overlap is None else replace(into, miou=overlap.mean, class_iou=overlap.classes)

    return replace(
        found,
        model=put(found.model, measured.edit),
        photo=put(found.photo, measured.photo),
        teacher=replace(found.teacher, miou=None if measured.teacher is None else measured.teacher.mean),
        notes=(*found.notes, *measured.notes),
    )
