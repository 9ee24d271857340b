"""The forms of what a plan is computed with: the figures that ship, and what was measured on a card."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired, TypedDict

from msgspec import Meta

Side = Annotated[int, Meta(ge=1, le=8192)]
More = Annotated[float, Meta(gt=0, le=1e15)]
Text = Annotated[str, Meta(min_length=1)]


class TrainingShare(TypedDict):
    """A training that was timed on a card: what share of its peak another one gets."""

    hardware: str
    seconds: More
    photos: More
    gflop: More
    source: Text


class StepTime(TypedDict):
    size: Side
    photos_a_second: More


class HardwareRow(TypedDict):
    """A card by its peak, or a CPU by what a training got of it. steps: of the full base, all weights."""

    source: Text
    device: NotRequired[Literal["cuda", "cpu"]]
    card: NotRequired[Text]
    tflops: NotRequired[More]
    memory_gb: NotRequired[More]
    gflops: NotRequired[More]
    steps: NotRequired[list[StepTime]]


class TeacherRow(TypedDict):
    """seconds: of a photo on `hardware`, as published. cpu_seconds: of one thread, measured."""

    source: Text
    seconds: NotRequired[More]
    hardware: NotRequired[str]
    cpu_seconds: NotRequired[More]
    gmacs: NotRequired[More]
    passes: NotRequired[More]
    slower: NotRequired[More]
    like: NotRequired[str]
    few_steps: NotRequired[bool]


class PictureRow(TypedDict):
    size: Side
    photo: More
    edit: More


class PicturesTable(TypedDict):
    """Mean bytes of a PNG file."""

    source: Text
    sizes: Annotated[list[PictureRow], Meta(min_length=1)]


class ProcessorTable(TypedDict):
    """Seconds of one thread."""

    source: Text
    prepare: More
    select: More
    export: More


class FilesTable(TypedDict):
    """Bytes of what is stored beside the weights themselves."""

    source: Text
    adapter_rest: More
    effect: More
    effect_base: More


class EvaluationTable(TypedDict):
    source: Text
    gmacs: More


class PlanFile(TypedDict):
    """measure/plan.toml."""

    training: TrainingShare
    evaluation: EvaluationTable
    hardware: dict[str, HardwareRow]
    teachers: dict[str, TeacherRow]
    pictures: PicturesTable
    processor: ProcessorTable
    files: FilesTable


class GpuRow(TypedDict, total=False):
    """A row of benchmarks/gpu.py; one that failed has its `error`, and no figures."""

    name: Text
    error: str | None
    card: str
    device: str
    batch: Annotated[int, Meta(ge=1)]
    how: str
    size: Side
    ms: More


class GpuPart(TypedDict):
    rows: list[GpuRow]


class GpuFile(TypedDict):
    """The JSON of benchmarks/gpu.py."""

    options: dict[str, str]
    parts: dict[str, GpuPart]
