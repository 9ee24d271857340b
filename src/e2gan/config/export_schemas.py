"""The form of each file that an export has, as `config/schemas.py` has it of what other stages write."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired, TypedDict

from msgspec import Meta

from e2gan.config.schemas import Side, Table
from e2gan.core.schemas import Count, FileName

EffectName = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")]
"""Shown to whoever chooses an effect."""


class ExportCheck(TypedDict):
    name: str
    passed: bool
    reasons: list[str]


class ComparedFile(TypedDict):
    """parity.json of a file that was compared with PyTorch."""

    max: int
    mean: float
    photos: Count
    sizes: list[tuple[int, int]]
    runs: list[Table]
    providers: list[str]


class ExportFunction(TypedDict):
    """An effect as a function of a file of several."""

    name: str
    effect: EffectName
    prompt: str
    bytes: Count
    mean: float
    max: int


class ParityFile(TypedDict):
    """parity.json."""

    max: NotRequired[int]  # this and what follows: not of a file that could not be run
    mean: NotRequired[float]
    photos: NotRequired[Count]
    sizes: NotRequired[list[tuple[int, int]]]
    runs: NotRequired[list[Table]]
    providers: NotRequired[list[str]]
    versions: dict[str, str]
    contrast: NotRequired[float | None]
    calibrated: NotRequired[Count]
    format: NotRequired[str]
    precision: NotRequired[str]
    compared: NotRequired[bool]
    checks: NotRequired[list[ExportCheck]]
    licence: NotRequired[str]
    functions: NotRequired[list[ExportFunction]]


class EffectsBase(TypedDict):
    """The base of `export --format effects`."""

    file: FileName
    sha256: str
    multiple: Annotated[int, Meta(ge=1, le=1024)]


class EffectsInput(TypedDict):
    """An input of its graph; None in a shape: of any length."""

    name: str
    type: Literal["uint8", "float32"]
    shape: list[Annotated[int, Meta(ge=1, le=2**20)] | None]
    kind: Literal["photo", "place", "strength", "weights", "prompt", "lora"]
    rank_axis: NotRequired[Annotated[int, Meta(ge=0, le=3)]]
    scaled: NotRequired[bool]


class EffectEntry(TypedDict):
    name: EffectName
    file: FileName
    bytes: Count
    sha256: str
    prompt_file: FileName
    prompt_sha256: str
    size: Side


class EffectsFile(TypedDict):
    """effects.json."""

    format: Literal["e2gan effects"]
    version: Literal[1]
    base: EffectsBase
    inputs: Annotated[list[EffectsInput], Meta(min_length=1)]
    effects: Annotated[list[EffectEntry], Meta(min_length=1)]


MissingFile = dict[str, str]
"""missing.json of `export --format all`: a format → why it is left out."""
