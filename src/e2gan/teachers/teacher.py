"""What every teacher is: something that edits photos by a prompt, a batch at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from e2gan.core.images import Pixels


@dataclass(frozen=True)
class Ask:
    """What to do to a photo. source: what the photo shows, in words, for teachers that go from one text to another."""

    prompt: str
    source: str = "a photo"


@dataclass(frozen=True)
class Failed:
    """In place of an edit: why there is none. again: whether another seed may do better. crashed: by an exception."""

    reason: str
    again: bool = True
    crashed: bool = False


class Teacher(Protocol):
    """A teacher. Nothing heavy happens before `load`: to make one only looks at the settings.

    name: as it stands in metadata.jsonl and in file names, e.g. "sd-img2img" or "filters:autumn".
    batch: photos at a time; the caller halves it where memory runs out.
    deterministic: whether the same photo gives the same edit with any seed, so that trying again is useless.
    sided, where it has one: whether its edits have a side, so that trainings mirror no pairs of it.
    """

    @property
    def name(self) -> str: ...

    @property
    def batch(self) -> int: ...

    @property
    def deterministic(self) -> bool: ...

    def settings(self, ask: Ask) -> dict[str, Any]:
        """What decides the edits, for config.json. Raises InputError where it is not possible."""
        ...

    def load(self) -> None:
        """Make ready, where it was not. Raises InputError where weights, a package or a program are not at hand."""
        ...

    def edit(self, photos: Sequence[Pixels], ask: Ask, seeds: Sequence[int]) -> list[Pixels | Failed]:
        """The edits of photos, uint8 (H, W, 3) RGB each, one seed a photo; the edits may be of another size.

        A photo's edit depends on that photo, the prompt and its seed alone, not on the others of the batch. Raises
        InputError for settings that cannot work, which ends the run; any other exception, memory that ran out among
        them, is this batch's alone: the caller tries smaller ones.
        """
        ...

    def close(self) -> None:
        """Give its memory back, where other teachers follow."""
        ...
