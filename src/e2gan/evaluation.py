"""How close an edit is to the teacher's: L1, PSNR, SSIM, Fréchet distances, and a sheet to look at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from skimage.metrics import structural_similarity

from e2gan.config import EvaluateConfig
from e2gan.errors import InputError
from e2gan.fid import Distance, Extractor, SqueezeNetFeatures, distance, random_features
from e2gan.files import write_json
from e2gan.images import Pixels, sheet, write_png
from e2gan.models import Model
from e2gan.pairs import PairSet
from e2gan.predictor import Predictor
from e2gan.training import parameters

__all__ = ["Evaluation", "Metrics", "evaluate", "pixel_metrics"]

PSNR_CAP = 100.0  # dB, for identical images


@dataclass(frozen=True)
class Metrics:
    """Edits against the teacher's, a mean over images. Distances are None for fewer than two images."""

    l1: float
    """Mean absolute difference in 8-bit levels."""
    psnr: float
    """Peak signal-to-noise ratio in dB, at most 100."""
    ssim: float
    """Structural similarity, 1 for the same image."""
    fd_random: Distance | None
    """Fréchet distance on a fixed random network. Not FID."""
    fd_squeezenet: Distance | None
    """Fréchet distance on SqueezeNet 1.1, where its file was given. Not FID."""


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

    def __str__(self) -> str:
        lines = [
            f'"{self.prompt}", {self.images} {self.split} photos at {self.size}×{self.size}',
            f"{'':<16}{'edit':>24}{'photo as it is':>24}",
        ]
        for name, unit in (("l1", "of 255"), ("psnr", "dB"), ("ssim", "")):
            digits = 3 if name == "ssim" else 2
            cells = [f"{getattr(m, name):.{digits}f} {unit}".strip() for m in (self.model, self.photo)]
            lines.append(f"{name:<16}{cells[0]:>24}{cells[1]:>24}")
        for name in ("fd_random", "fd_squeezenet"):
            cells = [shown(getattr(m, name)) for m in (self.model, self.photo)]
            if any(cells):
                lines.append(f"{name.replace('_', '-'):<16}{cells[0]:>24}{cells[1]:>24}")
                kernels = [f"{getattr(m, name).kernel:.3g}" for m in (self.model, self.photo)]
                lines.append(f"{name.replace('fd_', 'kd-'):<16}{kernels[0]:>24}{kernels[1]:>24}")
        return "\n".join([*lines, *self.notes, f"metrics.json and sheet.png in {self.out}"])


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


def metrics(edits_NHWC: Pixels, targets_NHWC: Pixels, squeezenet: SqueezeNetFeatures | None = None) -> Metrics:
    """All metrics of edits against the teacher's."""
    enough = len(edits_NHWC) >= 2

    def between(network: Extractor | None) -> Distance | None:
        return distance(network(edits_NHWC), network(targets_NHWC)) if network and enough else None

    pixels = pixel_metrics(edits_NHWC, targets_NHWC)
    return Metrics(**pixels, fd_random=between(random_features), fd_squeezenet=between(squeezenet))


def evaluate(config: EvaluateConfig) -> Evaluation:
    """Edit a split of a pair set, compare with the teacher, write metrics.json and sheet.png.

    Raises InputError for bad settings or folders, or an `out` that is a file.
    """
    config.check()
    pair_set = PairSet.load(config.pairs)
    adapter = () if config.adapter is None else (config.adapter,)
    prompt = pair_set.prompt if config.adapter is None and config.model is None else None
    model = Model.load(base=config.base, adapter=adapter, model=config.model, prompt=prompt)
    squeezenet = None if config.features is None else SqueezeNetFeatures(config.features)
    photos, targets, _ = pair_set.arrays(config.split)
    out = config.out or model.folder
    try:
        out.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise InputError(f"{out} is a file, or lies in one: --out needs a folder") from None
    predictor = Predictor(model, config.device)
    edits = predictor.batch(photos)
    notes = () if len(photos) >= 2 else (f"no distances: they need at least 2 {config.split} photos",)
    found = Evaluation(
        prompt=pair_set.prompt,
        split=config.split,
        images=len(photos),
        size=pair_set.size,
        parameters=parameters(predictor.generator),
        model=metrics(edits, targets, squeezenet),
        photo=metrics(photos, targets, squeezenet),
        out=out,
        notes=notes,
    )
    chosen = np.unique(np.linspace(0, len(photos) - 1, config.rows).round().astype(int))
    rows = [[photos[i], targets[i], edits[i]] for i in chosen]
    write_png(out / "sheet.png", sheet(rows, ["photo", "teacher", "ours"]))
    write_json(out / "metrics.json", found)
    return found
