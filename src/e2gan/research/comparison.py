"""Trained models, scored on a concept's photos and put side by side; what a rerun finds scored it does not repeat."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from e2gan.config.schemas import ScoreFile
from e2gan.core.errors import InputError
from e2gan.core.files import plain, read_json, sha256, write_json
from e2gan.core.identity import Reads, hash_of_named
from e2gan.core.images import Pixels, write_png
from e2gan.core.names import slug
from e2gan.core.progress import note
from e2gan.core.record import as_recorded
from e2gan.core.reruns import CONTENT, differences
from e2gan.core.sheets import sheet, spread
from e2gan.data.pair_set import PairSet
from e2gan.editing.predictor import Predictor
from e2gan.measure.metrics import MIOU, MetricScorer, NetworkOptions, Score
from e2gan.measure.segmentation import Palette, SegmentationScorer, Segmenter
from e2gan.networks.folders import ADAPTER, MODEL
from e2gan.networks.models import Model
from e2gan.train.loop import NOT_DECISIVE, Trained, read_log

SHEET_ROWS, SHEET_SIDE = 4, 128


@dataclass(frozen=True)
class TrainedModel:
    """A whole model, or an adapter on a base. parameters: those that were trained for the concept. text: its text
    encoder, where that has to be named."""

    folder: Path
    parameters: int
    base: Path | None = None
    text: str | None = None

    @classmethod
    def of(cls, trained: Trained, base: Path | None = None, text: str | None = None) -> TrainedModel:
        return cls(trained.folder, trained.parameters, base, text)

    def load(self) -> Model:
        if self.base is None:
            return Model.load(model=self.folder, text=self.text)
        return Model.load(base=self.base, adapter=(self.folder,))

    @property
    def weights(self) -> Path:
        return self.folder / (MODEL if self.base is None else ADAPTER)


@dataclass(frozen=True)
class Result:
    """One model on one concept: its score on the test photos, what was trained, for how long, and what it stores."""

    score: Score
    parameters: int
    steps: int
    seconds: float
    bytes: int


@dataclass(frozen=True)
class Variant:
    """One row of a comparison: its name, and how its model for a concept is trained. x: its place on these curves.

    check: raises InputError where that cannot be done, and trains nothing. extra: more of its columns.
    """

    name: str
    train: Callable[[PairSet], TrainedModel]
    check: Callable[[PairSet], object] = lambda _: None
    x: float | None = None
    curves: tuple[str, ...] = ()
    extra: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Segmented:
    """How label maps are scored; key: by which model and palette, as a stored score tells it."""

    scorer: SegmentationScorer
    key: dict[str, str]


def _segmentation_scorers(segmenter: str, labels: Mapping[Path, Path], device: str) -> dict[Path, Segmented]:
    """For each folder of label maps, by its resolved path. One model serves all of them."""
    palettes = {folder.resolve(): (path, Palette.load(path)) for folder, path in labels.items()}
    network = Segmenter(segmenter, device)
    return {
        folder: Segmented(
            SegmentationScorer(network, palette),
            {"metric": MIOU.lower(), "segmenter": segmenter, "palette_sha256": sha256(path)},
        )
        for folder, (path, palette) in palettes.items()
    }


class Comparison:
    """Scores models on test photos, and puts their edits side by side. `out`: the comparison's folder.

    Pair sets whose folder `labels` names are label maps with photos as their edits: they are scored by the mIoU of the
    edits' segmentation by `segmenter` instead of the metric. labels: folder → palette file, as `evaluate --labels`.
    """

    def __init__(
        self,
        out: Path,
        metric: str,
        options: NetworkOptions,
        segmenter: str | None = None,
        labels: Mapping[Path, Path] | None = None,
    ) -> None:
        """Raises InputError where the metric is unknown, a network is not at hand, or a palette does not fit it."""
        self.out, self.metric, self.device = out, metric, options.device
        labels = labels or {}
        if bool(labels) != (segmenter is not None):
            raise InputError("--labels and --segmenter go together: label maps are scored by a segmentation model")
        self.scorer = MetricScorer(metric, options)
        self.networks = networks_read(options) | ({"segmenter": hash_of_named(segmenter)} if segmenter else {})
        self.segmented = _segmentation_scorers(segmenter, labels, options.device) if segmenter is not None else {}
        self.folders: dict[str, list[Path]] = {}  # of each variant's models, once they are trained
        self.arrays_read: dict[Path, tuple[Pixels, Pixels]] = {}

    def run(self, variants: Sequence[Variant], sets: Sequence[PairSet]) -> list[list[Result]]:
        """Train each variant on each concept and score it: its results by concept. Writes a sheet a concept."""
        results: list[list[Result]] = []
        trained: list[list[TrainedModel]] = [[] for _ in sets]
        for variant in variants:
            results.append([])
            for pair_set, of_set in zip(sets, trained, strict=True):
                of_set.append(variant.train(pair_set))
                results[-1].append(self.result(of_set[-1], pair_set))
        names = [variant.name for variant in variants]
        self.folders = {n: [of[i].folder for of in trained] for i, n in enumerate(names)}
        for pair_set, of_set in zip(sets, trained, strict=True):
            path = self.out / f"sheet-{slug(pair_set.folder.name)}.png"
            self.sheet(path, pair_set, list(zip(names, of_set, strict=True)))
        return results

    def _arrays(self, pair_set: PairSet) -> tuple[Pixels, Pixels]:
        """Test photos and edits, read once for all of a comparison's rows."""
        if pair_set.folder not in self.arrays_read:
            self.arrays_read[pair_set.folder] = pair_set.both_kinds("test")[:2]
        return self.arrays_read[pair_set.folder]

    def folder(self, *parts: str) -> Path:
        """Where a model of this name, on a concept of this name, lies."""
        folder = self.out.joinpath("models", *map(slug, parts))
        folder.parent.mkdir(parents=True, exist_ok=True)
        return folder

    def result(self, model: TrainedModel, pair_set: PairSet) -> Result:
        """The model's score on the test photos, computed once for these weights, pairs and metric."""
        metric = self._metric(pair_set)
        key = {
            **metric,
            "split": "test",
            "weights_sha256": sha256(model.weights),
            "pairs_sha256": sha256(pair_set.folder / "metadata.jsonl"),
            CONTENT: {"pairs": pair_set.content()} | self.networks,
        }
        known = model.folder / f"score-{metric['metric']}-{slug(pair_set.folder.name)}-test.json"
        earlier = read_json(known, ScoreFile) if known.exists() and as_recorded(known, self.out) else None
        if earlier is not None and not differences(earlier["key"], key):
            score = Score.load(earlier["score"])
        else:
            photos, _ = self._arrays(pair_set)
            score = self._score(Predictor(model.load(), self.device).batch(photos), pair_set)
            write_json(known, {"key": key, "score": score})
        log = read_log(model.folder)[-1]  # steps, seconds and losses at the training's end
        return Result(score, model.parameters, int(log["step"]), log["seconds"], model.weights.stat().st_size)

    def photo_as_it_is(self, pair_set: PairSet) -> Score:
        """What leaving the photo alone scores, or the label map: the line that an edit has to beat."""
        return self._score(self._arrays(pair_set)[0], pair_set)

    def teacher_as_it_is(self, pair_set: PairSet) -> Score | None:
        """What the teacher's own images reach by mIoU; None where the metric compares with them, or they are of other
        scenes."""
        if not pair_set.paired or self._segmented(pair_set) is None:
            return None
        return self._score(self._arrays(pair_set)[1], pair_set)

    def check(self, pair_set: PairSet) -> None:
        """Say which classes of the test photos do not count, where they are label maps.

        Raises InputError where they are to be, and are none of their palette.
        """
        if segmented := self._segmented(pair_set):
            maps, _ = self._arrays(pair_set)
            segmented.scorer.truth(maps)
            for sentence in segmented.scorer.notes(maps):
                note(f'"{pair_set.prompt}": {sentence}')

    def _segmented(self, pair_set: PairSet) -> Segmented | None:
        return self.segmented.get(pair_set.folder.resolve())

    def _metric(self, pair_set: PairSet) -> dict[str, str]:
        """What a pair set is scored by, as a stored score's key tells it."""
        segmented = self._segmented(pair_set)
        return {"metric": self.metric} if segmented is None else segmented.key

    def _score(self, images_NHWC: Pixels, pair_set: PairSet) -> Score:
        photos, targets = self._arrays(pair_set)
        if segmented := self._segmented(pair_set):
            return segmented.scorer(images_NHWC, photos)
        return self.scorer(images_NHWC, targets, paired=pair_set.paired)

    def sheet(
        self, path: Path, pair_set: PairSet, models: Sequence[tuple[str, TrainedModel]], count: int = SHEET_ROWS
    ) -> None:
        """A few test photos as a picture: photo, the teacher's edit, each model's."""
        photos, targets = self._arrays(pair_set)
        rows = spread(min(len(photos), len(targets)), count)
        edits = [(name, Predictor(model.load(), self.device).batch(photos[rows])) for name, model in models]
        write_sheet(path, photos[rows], targets[rows], edits)


def write_sheet(path: Path, photos_NHWC: Pixels, targets_NHWC: Pixels, edits: Sequence[tuple[str, Pixels]]) -> None:
    """A picture with a row for each photo: it, the teacher's edit, and each model's under its name."""
    larger = -(-SHEET_SIDE // photos_NHWC.shape[1])  # whole pixels, so that a small image is seen as it is
    columns = [("photo", photos_NHWC), ("teacher", targets_NHWC), *edits]
    images = [column.repeat(larger, 1).repeat(larger, 2) for _, column in columns]
    write_png(path, sheet(list(zip(*images, strict=True)), [name for name, _ in columns]))


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of text as lines of columns, the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([f"{r[0]:<{widths[0]}}", *(f"{c:>{w}}" for c, w in zip(r[1:], widths[1:], strict=True))])
        for r in rows
    ]


def mean_over(results: Sequence[Result], of: Callable[[Result], float]) -> float:
    return float(np.mean([of(result) for result in results]))


REPORTING = ("out", "metric", "features", "inception", "paper", "device", "number")


def settings_with_sets(config: Any, sets: Sequence[PairSet], **more: object) -> dict[str, Any]:
    """The settings of a comparison that decide what is trained, with the state of the pair sets it is made on.

    How it is scored and where it runs do not count: another metric scores the same models.
    """
    settings = {k: v for k, v in plain(config).items() if k not in REPORTING}
    if "training" in settings:
        settings["training"] = {k: v for k, v in settings["training"].items() if k not in (*NOT_DECISIVE, "device")}
    settings["pairs_sha256"] = [sha256(s.folder / "metadata.jsonl") for s in sets]
    if settings.get("training", {}).get("flip") and (sided := [i for i, s in enumerate(sets) if s.sided]):
        settings["sided"] = sided  # the sets whose pairs are not mirrored
    return settings | plain(more)


def reads_of_sets(sets: Sequence[PairSet], **more: str | Sequence[str] | None) -> Reads:
    """Hashes of the bytes of what a comparison is made on. more: of what else it reads."""
    return {"pairs": [s.content() for s in sets], **more}


def networks_read(options: NetworkOptions) -> dict[str, str | None]:
    """Hashes of the user's own files that images are measured by."""
    return {name: hash_of_named(str(path)) for name in ("features", "inception") if (path := getattr(options, name))}


def load_sets(folders: Sequence[Path]) -> list[PairSet]:
    """The pair sets of a comparison. Raises InputError where two have the same folder name, or the same prompt."""
    sets = [PairSet.load(folder) for folder in folders]
    for what, of in (("folder name", lambda s: slug(s.folder.name)), ("prompt", lambda s: s.prompt)):
        names = [of(s) for s in sets]
        if twice := next((n for n in names if names.count(n) > 1), None):
            raise InputError(f"two of the pair sets have the {what} '{twice}': a comparison needs to tell them apart")
    return sets
