"""How close an edit is to the teacher's: the metrics of Sec. 5.1 and more, and a sheet to look at."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, make_dataclass, replace
from pathlib import Path

from e2gan.config import EvaluateConfig
from e2gan.config.schemas import MetricsFile
from e2gan.core.errors import InputError
from e2gan.core.files import plain, write_bytes
from e2gan.core.images import Pixels, encode_png
from e2gan.core.outputs import check_beside, make_folder, versions
from e2gan.core.progress import quietly, track
from e2gan.core.record import BLANK, place_of, sealed
from e2gan.core.reruns import ours
from e2gan.core.sheets import sheet
from e2gan.data.pair_set import PairSet
from e2gan.data.photos import read_stack
from e2gan.editing.edited import blank_lines
from e2gan.editing.predictor import Predictor
from e2gan.features.clip import along, prompt_direction
from e2gan.features.extractors import Extractor, random_features
from e2gan.measure.colour_table import Standing, standing, table_of
from e2gan.measure.distances import Distance
from e2gan.measure.metrics import METRICS, NetworkOptions
from e2gan.measure.segmentation import Overlap, Overlaps, OverlapTally, Palette, Segmenter
from e2gan.measure.sliced import SlicedDistance
from e2gan.measure.tallies import FeatureTally, SplitTally, Values, pixel_values
from e2gan.networks.baselines.lut import LookUpTable
from e2gan.networks.folders import ASSETS, METRICS_FILE, SHEET
from e2gan.networks.models import Model

TOGETHER = 32  # images that are in memory at a time, of each kind
SEAL = "sha256"  # in metrics.json: its own hash
SCORES = {"clip_direction": "clip-direction", "miou": "mIoU"}


@dataclass(frozen=True)
class Metrics:
    """Edits against the teacher's, a mean over images. Distances are None for fewer than two images.

    A metric that is registered besides these has a field of its own (`metrics_class`).
    """

    l1: float
    """Mean absolute difference in 8-bit levels."""
    psnr: float
    """Peak signal-to-noise ratio in dB, at most 100."""
    ssim: float
    """Structural similarity, 1 for the same image."""
    fd_random: Distance | None = None
    """Fréchet distance on a fixed random network. Not FID."""
    fd_squeezenet: Distance | None = None
    """Fréchet distance on SqueezeNet 1.1, on whose features `--perceptual` trains. Not FID."""
    fd_efficientnet: Distance | None = None
    """Fréchet distance on EfficientNet-Lite0, on which nothing trains, where it was asked for. Not FID."""
    fid: Distance | None = None
    """FID as Clean-FID takes it, and KID, where the Inception file was given."""
    fd_clip: Distance | None = None
    """Fréchet distance of CLIP's image embeddings (of length 1), where a model was given."""
    fd_dinov2: Distance | None = None
    """Fréchet distance of DINOv2's image embeddings, where a model was given."""
    swd: SlicedDistance | None = None
    """Sliced Wasserstein distance of patches, which no network judges."""
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
    lut: Metrics | None = None
    """The colour table of the set's training pairs; None where it has none, or the model is a colour table itself."""
    against_lut: Standing | None = None
    """Where the model stands against the colour table, by L1 and SSIM."""

    def __str__(self) -> str:
        lines = [
            f'"{self.prompt}", {self.images} {self.split} photos at {self.size}×{self.size}',
            _row("", ["edit", "photo as it is", *(["colour table"] if self.lut else [])]),
        ]
        columns = (self.model, self.photo, *([self.lut] if self.lut else []))
        for name, unit in (("l1", "of 255"), ("psnr", "dB"), ("ssim", "")) if self.paired else ():
            digits = 3 if name == "ssim" else 2
            cells = [f"{getattr(m, name):.{digits}f} {unit}".strip() for m in columns]
            lines.append(_row(name, cells))
        for metric in METRICS.values():
            distances = [getattr(m, metric.key, None) for m in columns]
            if any(distances):
                lines.append(_row(metric.frechet, [shown(d) for d in distances]))
                if metric.kernel is not None:
                    lines.append(_row(metric.kernel, ["" if d is None else f"{d.kernel:.3g}" for d in distances]))
        for name, title in SCORES.items():
            if getattr(self.model, name) is not None:
                cells = [getattr(m, name) for m in columns]
                lines.append(_row(title, ["-" if c is None else f"{c:.3f}" for c in cells]))
        return "\n".join([*lines, *self._remarks(), *self.notes, f"metrics.json and sheet.png in {self.out}"])

    def table_remark(self) -> str | None:
        """A sentence where the colour table does as well as the model, or better."""
        if self.lut is None or self.against_lut not in ("equal", "behind"):
            return None
        ours, table = self.model, self.lut
        return (
            f"a colour table does {'as well' if self.against_lut == 'equal' else 'better'}: "
            f"L1 {table.l1:.2f} against {ours.l1:.2f} of 255, SSIM {table.ssim:.3f} against {ours.ssim:.3f}"
        )

    def _remarks(self) -> list[str]:
        """How many images the distances saw, and what the teacher's images reach themselves."""
        remarks = []
        measured = next((d for m in METRICS.values() if (d := getattr(self.model, m.key, None))), None)
        if measured is not None:
            others = "as many of the teacher's" if self.paired else "all pictures of the other kind"
            remarks.append(
                f"N = {measured.images} edits against {others}, [95 % interval]; the fewer, the higher "
                "a Fréchet distance (FID, fd), not a kernel distance (KID, kd)"
            )
        reached = [f"{t} {v:.3f}" for n, t in SCORES.items() if (v := getattr(self.teacher, n)) is not None]
        if reached:
            remarks.append(f"the teacher's own images: {', '.join(reached)}")
        if remark := self.table_remark():
            remarks.append(remark)
        return remarks


def _row(title: str, cells: list[str]) -> str:
    return f"{title:<16}{''.join(f'{cell:>30}' for cell in cells)}".rstrip()


def shown(measured: Distance | SlicedDistance | None) -> str:
    return "" if measured is None else f"{measured.value:.3g} [{measured.low:.3g}, {measured.high:.3g}]"


def pixel_metrics(edits_NHWC: Pixels, targets_NHWC: Pixels) -> dict[str, float]:
    """l1, psnr and ssim of uint8 (N, H, W, 3) against uint8 of the same shape, as `Metrics` has them.

    Raises InputError as `pixel_values`.
    """
    return _means(pixel_values(edits_NHWC, targets_NHWC))


def _means(values: Values) -> dict[str, float]:
    return {name: float(of_images.mean()) for name, of_images in values.items()}


def metrics_class() -> type[Metrics]:
    """`Metrics` with a field for each registered metric that it has none for, so that metrics.json has its key."""
    known = {f.name for f in fields(Metrics)}
    more = [(m.key, Distance | None, field(default=None)) for m in METRICS.values() if m.key not in known]
    return make_dataclass("Metrics", more, bases=(Metrics,), frozen=True) if more else Metrics


def metrics(
    edits_NHWC: Pixels, targets_NHWC: Pixels, extractors: Mapping[str, Extractor] | None = None, *, paired: bool = True
) -> Metrics:
    """Edits against the teacher's: of the pixels, and the distances in these features (keys as in `Metrics`).

    Not paired, there may be another number of targets than of edits.
    """
    extractors = {"fd_random": random_features} if extractors is None else extractors
    pairs = len(edits_NHWC) if paired else min(len(edits_NHWC), len(targets_NHWC))
    values = pixel_values(edits_NHWC[:pairs], targets_NHWC[:pairs])
    ours, theirs = (FeatureTally(extractors, len(images)) for images in (edits_NHWC, targets_NHWC))
    if pairs >= 2:
        ours.add(edits_NHWC)
        theirs.add(targets_NHWC)
    return _metrics(values, ours, theirs, paired=paired)


def _metrics(values: Values, edits: FeatureTally, targets: FeatureTally, *, paired: bool) -> Metrics:
    """Distances are left out for fewer than two pairs of images."""
    means = _means(values)
    of_pixels = metrics_class()(l1=means["l1"], psnr=means["psnr"], ssim=means["ssim"])
    if len(values["l1"]) < 2:
        return of_pixels
    between = {metric.key: metric.between for metric in METRICS.values()}
    return replace(
        of_pixels, **{key: between[key](edits.of(key), targets.of(key), paired=paired) for key in edits.extractors}
    )


@dataclass(frozen=True)
class _Networks:
    """What the settings name to measure with, all of it loaded before the work begins: a wrong name shows at once."""

    config: EvaluateConfig
    options: NetworkOptions
    extractors: dict[str, Extractor]
    notes: list[str]
    overlaps: OverlapTally | None

    @classmethod
    def load(cls, config: EvaluateConfig) -> _Networks:
        options = NetworkOptions(**{f.name: getattr(config, f.name) for f in fields(NetworkOptions)})
        loaded = {metric.key: metric.load(options) for metric in METRICS.values() if metric.named(options)}
        overlaps = None
        if config.segmenter is not None:
            palette = None if config.labels is None else Palette.load(config.labels)
            overlaps = OverlapTally(Segmenter(config.segmenter, config.device), palette)
        return cls(
            config=config,
            options=options,
            extractors=loaded,
            notes=[note for extractor in loaded.values() if (note := getattr(extractor, "note", ""))],
            overlaps=overlaps,
        )

    def add_directions(
        self, found: dict[str, Metrics], features: Mapping[str, FeatureTally], prompt: str, pairs: int
    ) -> TeacherMetrics:
        """CLIP's direction of each kind of edit, into `found`; the photo as it is has none. Returns the teacher's."""
        direction = prompt_direction(self.options.clip_model, self.config.source_prompt, prompt)
        embedded = {name: of.of("fd_clip")[:pairs] for name, of in features.items()}
        before = embedded.pop("photo")
        reached = {name: float(along(direction, before, after).mean()) for name, after in embedded.items()}
        teacher = TeacherMetrics(clip_direction=reached.pop("teacher"))
        found |= {name: replace(found[name], clip_direction=value) for name, value in reached.items()}
        return teacher

    def add_overlaps(self, found: dict[str, Metrics], measured: Overlaps, teacher: TeacherMetrics) -> TeacherMetrics:
        """The mean IoU of the edits and the photos, into `found`. Returns the teacher's added."""
        for name, overlap in (("model", measured.edit), ("photo", measured.photo)):
            found[name] = _with_iou(found[name], overlap)
        return replace(teacher, miou=None if measured.teacher is None else measured.teacher.mean)


def evaluate(config: EvaluateConfig) -> Evaluation:
    """Edit a split of a pair set, compare with the teacher, write metrics.json and sheet.png.

    Edits that are one flat colour are told. Raises InputError for bad settings or folders, an `out` that is a file, and
    where a metrics.json or a sheet.png is there that this program did not write; NotFiniteError where the model's
    output is not finite.
    """
    evaluation, picture = measure(config)
    out, sheet_png = evaluation.out, encode_png(picture)
    make_folder(out)
    made_by = {"stage": "evaluate", "settings": plain(config), "versions": versions(), **place_of(out)}
    made_by |= {"sheet_sha256": hashlib.sha256(sheet_png).hexdigest(), SEAL: BLANK}
    write_bytes(out / METRICS_FILE, sealed(plain(evaluation) | made_by, SEAL))  # by which the sheet is known as ours
    write_bytes(out / SHEET, sheet_png)
    return evaluation


def measure(config: EvaluateConfig) -> tuple[Evaluation, Pixels]:
    """What `evaluate` finds, and its sheet; nothing is written. Raises as it does."""
    EvaluateConfig.checked(config)
    pair_set = PairSet.load(config.pairs)
    adapter = () if config.adapter is None else (config.adapter,)
    prompt = pair_set.prompt if config.adapter is None and config.model is None else None
    model = Model.load(base=config.base, adapter=adapter, model=config.model, prompt=prompt, text=config.text)
    networks = _Networks.load(config)
    photos, targets, _ = pair_set.files_of_both_kinds(config.split)
    out = config.out or model.folder
    if config.out is None and out.is_relative_to(ASSETS):
        raise InputError(f"name --out: {out.name} ships with the package, which is no place to write to")
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file: --out needs a folder")
    ours(out / METRICS_FILE, "evaluate", MetricsFile)
    check_beside(out / METRICS_FILE, [out / SHEET])
    predictors, why = {"model": Predictor(model, config.device)}, None
    if not isinstance(predictors["model"].generator, LookUpTable):
        table, why = table_of(pair_set)
        predictors |= {} if table is None else {"lut": table}
    seen = SplitTally(networks.extractors, networks.overlaps, list(predictors), len(photos), len(targets), config.rows)
    for start in track(range(0, max(len(photos), len(targets)), TOGETHER), "evaluation"):
        together = slice(start, start + TOGETHER)
        before = read_stack(photos[together], pair_set.photos.size)
        after = read_stack(targets[together], pair_set.size)
        with quietly():
            edits = {kind: of.batch(before) if len(before) else before for kind, of in predictors.items()}
            seen.add(start, before, after, edits)
    notes = [] if seen.pairs >= 2 else [f"no distances: they need at least 2 {config.split} photos"]
    if len(targets) != len(photos):
        notes.append(f"the distances compare {len(photos)} edits with {len(targets)} pictures of the other kind")
    notes += blank_lines([f"image {i}" for i in seen.blank], len(photos))
    notes += networks.notes
    notes += [] if why is None else [why]
    values = {kind: seen.values_of(kind) for kind in ("photo", *predictors)}
    against_lut = standing(values["model"], values["lut"]) if "lut" in values else None
    found = {
        kind: _metrics(values[kind], seen.features[kind], seen.features["teacher"], paired=pair_set.paired)
        for kind in values
    }
    of_teacher = TeacherMetrics()
    if config.clip is not None:
        of_teacher = networks.add_directions(found, seen.features, pair_set.prompt, seen.pairs)
    if networks.overlaps is not None:
        measured = networks.overlaps.found()
        of_teacher = networks.add_overlaps(found, measured, of_teacher)
        notes += measured.notes
    evaluation = Evaluation(
        prompt=pair_set.prompt,
        split=config.split,
        images=len(photos),
        size=pair_set.size,
        parameters=predictors["model"].parameters,
        model=found["model"],
        photo=found["photo"],
        out=out,
        notes=tuple(notes),
        teacher=of_teacher,
        paired=pair_set.paired,
        lut=found.get("lut"),
        against_lut=against_lut,
    )
    return evaluation, _sheet(seen.shown)


def _sheet(shown: Mapping[str, Sequence[Pixels]]) -> Pixels:
    """Photo, teacher, edit, and the colour table's where there is one, of some pairs."""
    titles = {"photo": "photo", "teacher": "teacher", "model": "ours", "lut": "colour table"}
    columns = [name for name in titles if name in shown]
    return sheet(list(zip(*(shown[name] for name in columns), strict=True)), [titles[name] for name in columns])


def _with_iou(metrics: Metrics, overlap: Overlap | None) -> Metrics:
    return metrics if overlap is None else replace(metrics, miou=overlap.mean, class_iou=overlap.classes)
