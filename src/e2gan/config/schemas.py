"""The form of each file that is read: one type a file, in one place. `core/schemas.py` checks what is read by it.

A key that is not NotRequired has been there in every version. Keys beyond these are let pass: a later version may say
more. Settings of a stage are those that a reader needs; what a rerun is compared by may be anything.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, TypedDict

from msgspec import Meta

from e2gan.config.network import GeneratorConfig
from e2gan.config.plan_schemas import GpuFile as GpuFile
from e2gan.config.plan_schemas import PlanFile as PlanFile
from e2gan.config.sweep_schemas import ManifestFile as ManifestFile
from e2gan.config.sweep_schemas import SweepFile as SweepFile
from e2gan.core.schemas import Count, FileName, Id, RankNumbers, RanksOf

Side = Annotated[int, Meta(ge=1, le=8192)]
"""Pixels of a square."""
Split = Literal["train", "val", "test"]
Table = dict[str, Any]

# -- photo sets and pair sets -----------------------------------------------------------------------------------------


class PhotoSettings(TypedDict):
    size: Side


class PhotoRow(TypedDict):
    """A line of photos.jsonl."""

    id: Id
    file: FileName
    split: Split
    source: str
    width: Count
    height: Count
    sha256: str


class KeptPhoto(TypedDict):
    """A line of kept.jsonl, while a photo set is made."""

    id: Id
    source: str
    width: Count
    height: Count
    sha256: str


class ChoiceSettings(TypedDict):
    reject: list[str]
    prefer: list[str]
    clip: NotRequired[str | None]
    preference: NotRequired[str | None]
    aesthetic: NotRequired[str | None]


class PairSettings(TypedDict):
    concept: str
    teacher: str
    size: Side
    photos: Annotated[str, Meta(min_length=1)]
    """Where the photo set lies, from the pair set: outside of it, by design. It is only read."""
    unpaired: NotRequired[bool]
    choice: NotRequired[ChoiceSettings]
    selection_sha256: NotRequired[str | None]


class SidedRecord(TypedDict):
    """What a pair set's config.json says beside its settings, where its edit has a side."""

    sided: NotRequired[bool]


class PairRow(TypedDict):
    """A line of metadata.jsonl."""

    file_name: FileName
    photo: Id | None
    split: Split
    prompt: NotRequired[str]
    teacher: NotRequired[str]
    seed: NotRequired[int | None]
    score: NotRequired[float | None]
    scores: NotRequired[dict[str, float]]


class CandidateRow(TypedDict):
    """A line of candidates.jsonl."""

    photo: Id
    split: Split
    teacher: str
    seed: int
    file: FileName | None
    scores: dict[str, float]
    rejected: str | None
    picked: bool
    total: float | None
    overruled: str | None


class CandidateRecord(TypedDict):
    """What a candidate's PNG says of itself, or the .json in its place."""

    teacher: str
    seed: int
    reason: str | None
    again: bool
    measures: dict[str, float]
    suspect: NotRequired[bool]


class KeptScores(TypedDict):
    """A line of scores-HOST-PROCESS.jsonl."""

    key: str
    file: FileName
    scores: dict[str, float]


class Written(TypedDict):
    """Of a pair set's config.json: the files that its teachers' programs name and write themselves."""

    written: NotRequired[list[str]]


class LastChoice(TypedDict):
    """choice.json."""

    reject: NotRequired[list[str]]
    prefer: NotRequired[list[str]]


class PicksFile(TypedDict):
    """picks.json."""

    picks: dict[Id, str | None]


class SelectedIds(TypedDict):
    """selection.json, to those who take its photos."""

    ids: list[Id]


class SelectionFile(SelectedIds):
    """selection.json, to `select` that finds it done."""

    clusters: dict[str, int]
    embedding: str | None


class ConceptChoice(TypedDict):
    prompt: str
    pairs: str
    cluster: int | None


class ConceptsFile(TypedDict):
    """concepts.json."""

    keep: Annotated[list[ConceptChoice], Meta(min_length=1)]
    rest: list[ConceptChoice]


# -- models and adapters ----------------------------------------------------------------------------------------------


class ModelSettings(TypedDict):
    """A base, a model from scratch, a base that was fine-tuned."""

    generator: GeneratorConfig
    size: Side
    text: str
    text_fingerprint: NotRequired[list[float] | None]
    model: NotRequired[Literal["pix2pix", "pix2pix-unet", "comodgan", "cyclegan", "e2gan", "lut"]]
    lut_size: NotRequired[Annotated[int, Meta(ge=2, le=64)]]
    prompt: NotRequired[str]


class _Adversarial(TypedDict):
    gan: float


class BaseSettings(ModelSettings):
    training: _Adversarial
    concepts: NotRequired[Table]


class ModelFacts(TypedDict):
    """What a model's config.json says beside its settings."""

    detail: NotRequired[Literal["guided", "none"] | None]


class _Took(TypedDict):
    seconds: float


class AdapterFacts(ModelFacts):
    """e2gan.json."""

    prompt: str
    base: NotRequired[str | None]
    base_sha256: NotRequired[str | None]
    size: NotRequired[Side]
    metrics: NotRequired[_Took]


class IndexRow(TypedDict):
    """A line of nearest.jsonl: what is known of an adapter. path: from the file's folder, where it lies below that;
    looked up as a name is that a file gives (`core/names.py`, `inside`)."""

    key: Annotated[str, Meta(min_length=1)]
    base: str
    form: str
    path: str | None
    prompt: str
    vector: str
    """Base 64 of half floats."""
    pooled: NotRequired[str]
    """The same of the pooled prompt, where the base's text is CLIP."""


class PeftFile(TypedDict):
    """adapter_config.json of PEFT."""

    r: NotRequired[int]
    lora_alpha: NotRequired[float]
    rank_pattern: NotRequired[dict[str, int] | None]
    alpha_pattern: NotRequired[dict[str, float] | None]
    use_rslora: NotRequired[bool | None]


class LogRow(TypedDict):
    """A line of metrics.jsonl; its losses stand beside."""

    step: Count
    seconds: float


class CourseRecord(TypedDict):
    """What a checkpoint keeps of how its run went."""

    best: float
    level: NotRequired[float | None]  # this and `least`: not kept before 2026-11-27
    least: NotRequired[float | None]
    photo_l1: NotRequired[float | None]  # not before 2026-11-28
    varied: bool
    changed: bool
    worse: Count
    slower: float
    lost: Count


PHOTO_SET = {"photos": PhotoSettings}
PAIR_SET = {"pairs": PairSettings}
BASE = {"base": BaseSettings}
MODEL_SETTINGS = {"base": BaseSettings, "scratch": ModelSettings, "finetune": ModelSettings}

# -- research, export, measures ---------------------------------------------------------------------------------------


class ScoreRecord(TypedDict):
    value: float
    low: float
    high: float
    kernel: float | None
    images: Count
    metric: NotRequired[str]


class StepRecord(TypedDict):
    """step.json, and a step in ranks.json."""

    ranks: RankNumbers
    score: ScoreRecord
    parameters: Count
    steps: Count
    seconds: float


class ConceptSearch(TypedDict):
    prompt: str
    pairs: str
    history: Annotated[list[StepRecord], Meta(min_length=1)]
    best: Count


class RanksFile(RanksOf):
    """ranks.json, to `ranks` that finds it done."""

    metric: str
    parameters: Count
    concepts: Annotated[list[ConceptSearch], Meta(min_length=1)]


class ScoreFile(TypedDict):
    """score-METRIC-SET-test.json."""

    key: Table
    score: ScoreRecord


class FlopsRecord(TypedDict):
    generator_forward: Count
    generator_backward: Count
    discriminator: Count
    total: Count


class MeasuredFile(TypedDict):
    """step-METHOD.json of the tables of costs."""

    trained: Count
    flops: FlopsRecord
    flops_r1: Count
    seconds: float
    stored: Count
    steps: Count


class ImageRecord(TypedDict):
    parameters: Count
    macs: Count
    macs_at_output: Count
    attention: Count
    milliseconds: float


ImagesFile = dict[str, ImageRecord]  # images.json of the tables of costs


class MetricsFile(TypedDict):
    """metrics.json of `evaluate`. Earlier ones have no `stage`."""

    stage: NotRequired[Literal["evaluate"]]
    place: NotRequired[str]
    sha256: NotRequired[str]  # the file's own, without these digits
    model: Table
    photo: Table
    lut: NotRequired[Table | None]
    teacher: NotRequired[Table | None]
    settings: NotRequired[Table]
    sheet_sha256: NotRequired[str]


class EditedPhoto(TypedDict):
    """A line of edits.jsonl, of a folder that `edit` wrote. skipped: why there is no such edit. lost: what of the photo
    it does not have."""

    edit: FileName
    photo: str
    skipped: NotRequired[str]
    lost: NotRequired[list[str]]
    blank: NotRequired[bool]


# -- what users write, and other programs -----------------------------------------------------------------------------


Level = Annotated[int, Meta(ge=0, le=255)]


class PaletteFile(TypedDict):
    """The palette of label maps."""

    classes: Annotated[dict[str, Annotated[list[Level], Meta(min_length=3, max_length=3)]], Meta(min_length=2)]


ConceptListFile = Table
"""A list of concepts: `pairs/concept_lists.py` says of each wrong value where it stands."""
PresetFile = Table
"""Diffusion teachers: `teachers/diffusion/presets.py` says of each wrong value where it stands."""


class Preprocessor(TypedDict):
    """preprocessor_config.json of transformers."""

    image_mean: list[float]
    image_std: list[float]


ModelIndex = Table
"""model_index.json of diffusers."""
