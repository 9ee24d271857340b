"""What the edits of quality.py's models score: each model trained, measured, and its edits kept for pictures."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from e2gan import AdaptConfig, InputError, Predictor
from e2gan.core.errors import LostTrainingError
from e2gan.core.files import read_json, sha256
from e2gan.core.images import Pixels, read_image, write_png
from e2gan.core.outputs import make_folder
from e2gan.core.progress import note
from e2gan.data.photos import pixel_hash
from e2gan.measure.distances import frechet_draws
from e2gan.measure.metrics import METRICS
from e2gan.measure.tallies import pixel_values

sys.path[:0] = [str(Path(__file__).resolve().parent)]
from quality_jobs import Job, Settings  # noqa: E402 (scripts beside this one, found by the line above)
from runs import once  # noqa: E402
from trainings import pairs_of, settings_of, train  # noqa: E402

DISTANCES = ("fd-squeezenet", "fd-efficientnet", "swd")
DRAWS = 400  # of the test photos, by which two models' Fréchet distances are compared
TRAINED = "trained.json"  # settings and pairs of a model whose weights were not kept


def measured(job: Job) -> dict[str, Any] | None:
    """Train, where it is not yet, and measure on the test photos; None for a training that was lost. Weights that are
    not to be kept go when they are measured."""
    path = job.scores / f"{'-'.join(('scores', *job.wanted))}.json"
    of_pairs = pairs_of(job.pair_set) | {"draws": DRAWS}
    if (job.scores / TRAINED).exists():
        forget_weights(job, of_pairs)
        if not path.exists() or any(edits_of(job, photos) is None for photos in job.seen):
            raise InputError(f"{job.scores}: its weights were not kept, and not all was measured; delete it")
        return read_json(path)["result"]
    try:
        if job.stage is not None:
            train(job.stage)
    except LostTrainingError as error:
        note(f"{job.model.folder}: {error}")
        return None
    key = {"weights_sha256": sha256(job.model.weights)} | of_pairs

    def work() -> dict[str, Any]:
        photos, targets, _ = job.pair_set.arrays("test")
        return scores(Predictor(job.model.load(), job.networks.device).batch(photos), targets, job)

    found = once(path, key, work)
    for photos in job.seen:
        edits_of(job, photos)
    if not (job.keep or isinstance(job.stage, AdaptConfig) or job.stage is None):
        forget_weights(job, of_pairs)
    return found


def forget_weights(job: Job, of_pairs: dict[str, Any]) -> None:
    """Of a measured model leaves scores and edits, and what it was trained on; raises InputError where that differs."""
    assert job.stage is not None  # what was trained elsewhere keeps its weights
    once(job.scores / TRAINED, settings_of(job.stage) | of_pairs, dict)
    job.model.weights.unlink(missing_ok=True)  # first: a model without its weights is none
    for file in job.scores.iterdir():
        if file.name != TRAINED and not file.name.startswith(("scores", "edits")):
            shutil.rmtree(file) if file.is_dir() else file.unlink()


def edits_of(job: Job, photos_NHWC: Pixels) -> Pixels | None:
    """The model's edits, kept beside its scores as a strip; None where it was lost, or neither was kept."""
    path = job.scores / f"edits-{pixel_hash(photos_NHWC)[:8]}.png"
    weights = job.model.weights
    if weights.exists() and not (path.exists() and path.stat().st_mtime >= weights.stat().st_mtime):
        edits = Predictor(job.model.load(), job.networks.device).batch(photos_NHWC)
        make_folder(path.parent)
        write_png(path, edits.reshape(-1, *edits.shape[2:]))
    return read_image(path).reshape(photos_NHWC.shape) if path.exists() else None


def scores(edits_NHWC: Pixels, targets_NHWC: Pixels, job: Job) -> dict[str, Any]:
    """mean: by the columns' names. photos: L1 and SSIM of each test photo. draws: Fréchet distances of the same draws
    of the test photos for all models, so that two models' can be compared."""
    values = pixel_values(edits_NHWC, targets_NHWC)
    photos = {"L1": values["l1"].tolist(), "SSIM": values["ssim"].tolist()}
    mean = {name: float(values[name.lower()].mean()) for name in photos}
    draws = {}
    for name in job.wanted:
        kind = METRICS[name]
        extract = kind.load(job.networks)
        ours, theirs = (kind.keep(extract(images), len(images)) for images in (edits_NHWC, targets_NHWC))
        mean[name] = kind.between(ours, theirs, paired=True).value
        if kind.kernel is not None:
            draws[name] = frechet_draws(ours, theirs, DRAWS, paired=True).tolist()
    return {"mean": mean, "photos": photos, "draws": draws}


def scores_of_photos(job: Job) -> dict[str, Any]:
    """What the job's test photos score as they are."""
    photos, targets, _ = job.pair_set.arrays("test")
    return scores(photos, targets, job)


def distances(config: Settings) -> tuple[tuple[str, ...], list[str]]:
    """The distances whose networks are at hand, and a line on each that is not. Raises InputError for a wrong file."""
    found, missing = [], []
    for name in DISTANCES:
        try:
            METRICS[name].load(config.networks)
            found.append(name)
        except InputError as error:
            if name != "fd-efficientnet" or config.efficientnet != "auto":
                raise
            missing.append(f"Without {name}: {error}")
    return tuple(found), missing
