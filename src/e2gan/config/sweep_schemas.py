"""The forms of the files of `sweep`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypedDict

from msgspec import Meta

from e2gan.core.schemas import Count, FileName


class ManifestEntry(TypedDict):
    """A file of a thing that a sweep made."""

    name: FileName
    bytes: Count
    sha256: str


class ManifestFacts(TypedDict, total=False):
    """What a task found out about the thing it made, of each kind some of these; model, photo, lut: by metric."""

    seconds: Annotated[float, Meta(ge=0)]
    prompt: str
    teacher: str
    train: Count
    val: Count
    test: Count
    kept: Count
    parameters: Count
    bytes: Count
    steps: Count
    training_l1: float | None
    images: Count
    against_lut: str | None
    notes: list[str]
    format: str
    precision: str
    file: FileName
    parity: dict[str, float] | None
    model: dict[str, float]
    photo: dict[str, float]
    lut: dict[str, float] | None


class ManifestFile(TypedDict):
    """manifests/KIND/IDENTITY.json of `sweep`: that a thing is there, and of what."""

    form: Literal[1]
    kind: str
    identity: str
    files: Annotated[list[ManifestEntry], Meta(min_length=1)]
    facts: ManifestFacts


class SweepFile(TypedDict):
    """sweep.json: what the last sweep into a place was asked for."""

    stage: Literal["sweep"]
    settings: dict[str, Any]
