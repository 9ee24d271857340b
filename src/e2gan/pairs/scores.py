"""Scores of edits: does an edit keep the photo's structure, does it go where the prompt points, do people prefer it.

The paper keeps the output "of the best perceptual quality" among the teachers (Sec. 5.1), and does not say how it is
measured. Here it is a weighted sum of these scores, see `e2gan.pairs.choice`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from e2gan.core.errors import InputError
from e2gan.core.files import plain
from e2gan.core.images import Pixels, shrink
from e2gan.core.memory import give_back_memory, is_no_memory
from e2gan.core.progress import in_threads
from e2gan.pairs.edges import Field, blur, correlation, doubled_gradient

if TYPE_CHECKING:
    from e2gan.features.clip import ClipModel


LARGEST = 256  # pixels of the shorter side at which structure is compared
LEAST = 16  # pixels of the shorter side below which there is no further level
LEVELS = 3
NOTHING = 1e-6  # strength of an edge that is a rounding error; a step of one level of 255 has 1e-3


def structure(photo: Pixels, edit: Pixels) -> float:
    """How much of the photo's structure the edit keeps, 0..1; uint8 (H, W, 3) both, of one size. Needs no weights.

    The correlation of the two images' edges, each with its strength and direction, weighted by the strength of the
    photo's: what an edit adds where the photo is flat hardly counts, what it loses or bends does. The mean over three
    levels of an image pyramid. Colours, brightness, contrast and negatives make no difference. A photo without an edge
    has none to keep: 1 where the edit has none either, else 0. Raises ValueError where the sizes differ.
    """
    if photo.shape != edit.shape:
        raise ValueError(f"a photo of {photo.shape} and an edit of {edit.shape} cannot be compared")
    levels = [_kept(a, b) for a, b in zip(_edges(photo), _edges(edit), strict=True)]
    return sum(levels) / len(levels)


def _edges(image: Pixels) -> list[Field]:
    """The edges of each level of the pyramid, (H, W)."""
    x = shrink(image, LARGEST).astype(np.float32) / 255
    levels: list[Field] = []
    while not levels or (len(levels) < LEVELS and min(x.shape[:2]) >= LEAST):
        x = blur(x, 1)
        # Summed over the neighbourhood: a drawn line has two sides, whose directions agree.
        squared = blur(doubled_gradient(x), 1)
        field = squared / np.sqrt(np.abs(squared) + 1e-8)  # strength as of a gradient, not of its square
        levels.append(field.astype(np.complex64))
        x = x[::2, ::2]
    return levels


def _kept(photo: Field, edit: Field) -> float:
    """0..1; of what is left of both after their mean direction, which a fence shares with a pinewood."""
    weight = np.abs(photo)
    flat, bare = weight.max() < NOTHING, np.abs(edit).max() < NOTHING
    if flat or bare:
        return float(flat and bare)
    weight /= weight.sum()
    return correlation(photo - (weight * photo).sum(), edit - (weight * edit).sum(), np.sqrt(weight))


@dataclass(frozen=True, kw_only=True)
class ScoreModels:
    """Which scores edits are to have, nothing loaded: CLIP models by a hub's name or a local folder, or None."""

    prompt: str
    source: str = "a photo"
    """What the photos show, in words."""
    clip: str | None = None
    preference: str | None = None
    content: tuple[str, ...] = ()
    """Hashes of those of them that are folders."""

    @property
    def key(self) -> str:
        """What scores go by: the same models asked for the same."""
        return hashlib.sha256(json.dumps(plain(self), sort_keys=True).encode()).hexdigest()[:16]


class EditScores:
    """Scores of edits, higher is better, by name:

    structure: how much of the photo is kept, 0..1, always. With a CLIP: clip-direction, the cosine between what the
    edit changed and the way from `source` to `prompt`, and clip, the cosine between edit and prompt. With a
    preference model: preference, its logit of edit and prompt (PickScore, about 15..25).
    """

    def __init__(self, models: ScoreModels, device: str = "auto") -> None:
        """Raises InputError where a model is not at hand, or source and prompt are the same to it."""
        self._seen: dict[bytes, NDArray[np.float32]] = {}  # a photo's embedding serves all of its candidates
        self._clip = self._preference = None
        asked = {models.clip: "--clip", models.preference: "--preference"}
        if not any(asked):
            return
        from e2gan.features.clip import ClipModel, prompt_direction

        loaded = {name: ClipModel(name, device, option) for name, option in asked.items() if name is not None}
        self._clip, self._preference = (loaded[name] if name else None for name in (models.clip, models.preference))
        if self._clip is not None:
            self._prompt = self._clip.texts([models.prompt])[0].astype(np.float64)
            self._direction = prompt_direction(self._clip, models.source, models.prompt)
        if self._preference is not None:
            self._wish = self._preference.scale * self._preference.texts([models.prompt])[0].astype(np.float64)

    def score(self, photos: Sequence[Pixels], edits: Sequence[Pixels]) -> list[dict[str, float]]:
        """The scores of each edit of its photo, uint8 (H, W, 3) both, of one size.

        Fewer at a time where memory runs out; raises InputError where one is more than it holds.
        """
        scores: list[dict[str, float]] = []
        size = len(edits)
        while len(scores) < len(edits):
            part = slice(len(scores), len(scores) + size)
            try:
                scores += self._score(photos[part], edits[part])
                continue
            except Exception as error:
                if not is_no_memory(error):
                    raise
            give_back_memory()  # the exception's frames held it until here
            if size == 1:
                raise InputError(
                    "the models that score need more memory than there is: name smaller ones, or --device cpu"
                )
            size //= 2
        return scores

    def _score(self, photos: Sequence[Pixels], edits: Sequence[Pixels]) -> list[dict[str, float]]:
        columns: dict[str, Iterable[float]] = {"structure": ()}
        embedded = None
        if self._clip is not None:
            from e2gan.features.clip import along

            before, embedded = self._of_photos(self._clip, photos), self._clip.images(edits)
            columns["clip-direction"] = along(self._direction, before, embedded)
            columns["clip"] = embedded @ self._prompt
        if self._preference is not None:
            shared = embedded is not None and self._preference is self._clip
            columns["preference"] = (embedded if shared else self._preference.images(edits)) @ self._wish
        columns["structure"] = in_threads(lambda pair: structure(*pair), zip(photos, edits, strict=True))
        return [dict(zip(columns, map(float, row), strict=True)) for row in zip(*columns.values(), strict=True)]

    def _of_photos(self, clip: ClipModel, photos: Sequence[Pixels]) -> NDArray[np.float32]:
        """(N, D), each different photo embedded once."""
        keys = [hashlib.blake2b(photo.tobytes() + str(photo.shape).encode()).digest() for photo in photos]
        new = {key: photo for key, photo in zip(keys, photos, strict=True) if key not in self._seen}
        if new:
            self._seen.update(zip(new, clip.images(new.values()), strict=True))
        return np.stack([self._seen[key] for key in keys])
