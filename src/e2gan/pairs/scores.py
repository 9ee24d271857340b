"""Scores of edits, and what they decide: which edits have failed, and which of a photo's edits is kept (Sec. 5.1).

The paper keeps the output "of the best perceptual quality" among the teachers, and does not say how it is measured.
Here it is a weighted sum of scores: does the edit keep the photo's structure, does it go where the prompt points, do
people prefer such pictures.
"""

from __future__ import annotations

import hashlib
import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from e2gan.core.errors import InputError
from e2gan.core.images import Pixels, resize
from e2gan.pairs.candidates import THRESHOLD, Candidate

if TYPE_CHECKING:
    from e2gan.features.clip import ClipModel

__all__ = ["best", "KNOWN", "parse_rejects", "parse_weights", "Reject", "Scorer", "scores_given", "structure"]

NEEDS = {"clip-direction": "--clip", "clip": "--clip", "preference": "--preference", "aesthetic": "--aesthetic"}
MEASURES = ("residual", "agreement", "shift", "zoom")  # of the alignment, see e2gan.alignment
KNOWN = ("structure", *NEEDS, *MEASURES)


# ---------------------------------------------------------------------------------------------------------- structure

LARGEST = 256  # pixels of the shorter side at which structure is compared
LEAST = 16  # pixels of the shorter side below which there is no further level
LEVELS = 3
NOTHING = 1e-6  # strength of an edge that is a rounding error; a step of one level of 255 has 1e-3

Plane = NDArray[np.complex64]


def structure(photo: Pixels, edit: Pixels) -> float:
    """How much of the photo's structure the edit keeps, 0..1; uint8 (H, W, 3) both, of one size. Needs no weights.

    The correlation of the two images' edges, each with its strength and direction, weighted by the strength of the
    photo's: what an edit adds where the photo is flat hardly counts, what it loses or bends does. The mean over three
    levels of an image pyramid. An edge is that of all colours together (the structure tensor of Di Zenzo, 1986), and
    points both ways: colours, brightness, contrast and negatives make no difference.
    A photo without an edge has none to keep: 1 where the edit has none either, else 0. Raises ValueError where the
    sizes differ.
    """
    if photo.shape != edit.shape:
        raise ValueError(f"a photo of {photo.shape} and an edit of {edit.shape} cannot be compared")
    levels = [_correlation(a, b) for a, b in zip(_edges(photo), _edges(edit), strict=True)]
    return min(1.0, sum(levels) / len(levels))


def _edges(image: Pixels) -> list[Plane]:
    """Each level's edges, (H, W): strength times exp(2i·angle), so that opposite directions are one."""
    from scipy.ndimage import gaussian_filter

    def blur(x: NDArray) -> NDArray:
        return gaussian_filter(x, 1.0, mode="nearest", truncate=3.0, axes=(0, 1))

    height, width = image.shape[:2]
    if min(height, width) > LARGEST:
        scale = LARGEST / min(height, width)
        image = resize(image, (round(height * scale), round(width * scale)))
    x = image.astype(np.float32) / 255
    planes: list[Plane] = []
    while not planes or (len(planes) < LEVELS and min(x.shape[:2]) >= LEAST):
        x = blur(x)
        down, right = np.gradient(x, axis=(0, 1))
        # Summed over the colours, then over the neighbourhood: a drawn line has two sides, whose directions agree.
        squared = blur((right * right - down * down).sum(-1)) + 1j * blur(2 * (right * down).sum(-1))
        plane = squared / np.sqrt(np.abs(squared) + 1e-8)  # strength as of a gradient, not of its square
        planes.append(plane.astype(np.complex64))
        x = x[::2, ::2]
    return planes


def _correlation(photo: Plane, edit: Plane) -> float:
    """0..1; of what is left of both after their mean direction, which a fence shares with a pinewood."""
    weight = np.abs(photo)
    flat, bare = weight.max() < NOTHING, np.abs(edit).max() < NOTHING
    if flat or bare:
        return float(flat and bare)
    weight /= weight.sum()
    photo, edit = photo - (weight * photo).sum(), edit - (weight * edit).sum()
    lengths = (weight * np.abs(photo) ** 2).sum() * (weight * np.abs(edit) ** 2).sum()
    common = (weight * (photo * edit.conj()).real).sum()
    return float(max(0.0, common / max(math.sqrt(lengths), 1e-12)))


# ------------------------------------------------------------------------------------------------------------- scorer


def scores_given(*, clip: object = None, preference: object = None, aesthetic: object = None) -> set[str]:
    """The names of the scores that edits have, with the options that are given; those of the alignment among them."""
    given = {"--clip": clip, "--preference": preference, "--aesthetic": aesthetic}
    return {name for name in KNOWN if name not in NEEDS or given[NEEDS[name]] is not None}


class Scorer:
    """Scores of edits, higher is better, by name:

    structure: how much of the photo is kept, 0..1, always. With a CLIP: clip-direction, the cosine between what the
    edit changed and the way from `source` to `prompt`, and clip, the cosine between edit and prompt. With a
    preference model: preference, its logit of edit and prompt (PickScore, about 15..25). With an aesthetic head on
    the CLIP's embeddings: aesthetic, as it was trained (LAION's: 1..10).
    """

    def __init__(
        self,
        *,
        prompt: str,
        source: str = "a photo",
        clip: str | None = None,
        preference: str | None = None,
        aesthetic: Path | None = None,
        device: str = "auto",
    ) -> None:
        """clip, preference: CLIP models by a hub's name or a local folder. aesthetic: see `read_head`.

        Raises InputError where a model is not at hand, the head does not fit the CLIP, or source and prompt are the
        same to it.
        """
        if aesthetic is not None and clip is None:
            raise InputError("--aesthetic needs --clip, whose embeddings it reads")
        self._seen: dict[bytes, NDArray[np.float32]] = {}  # a photo's embedding serves all of its candidates
        self._clip = self._preference = self._head = None
        if clip is not None:
            from e2gan.features.clip import ClipModel, prompt_direction

            self._clip = ClipModel(clip, device, "--clip")
            self._prompt = self._clip.texts([prompt])[0].astype(np.float64)
            self._direction = prompt_direction(self._clip, source, prompt)
        if self._clip is not None and aesthetic is not None:
            self._head = read_head(aesthetic)
            if len(self._head[0]) != len(self._prompt):
                raise InputError(
                    f"{aesthetic} reads embeddings of {len(self._head[0])} numbers, {clip} gives {len(self._prompt)}: "
                    "name the CLIP that it was trained on with --clip"
                )
        if preference is not None:
            from e2gan.features.clip import ClipModel

            same = self._clip if preference == clip else None
            self._preference = same or ClipModel(preference, device, "--preference")
            self._wish = self._preference.scale * self._preference.texts([prompt])[0].astype(np.float64)

    def score(self, photos: Sequence[Pixels], edits: Sequence[Pixels]) -> list[dict[str, float]]:
        """The scores of each edit of its photo, uint8 (H, W, 3) both, of one size."""
        from e2gan.core.progress import in_threads

        if not edits:
            return []
        columns: dict[str, Iterable[float]] = {
            "structure": list(in_threads(lambda pair: structure(*pair), zip(photos, edits, strict=True)))
        }
        embedded = None
        if self._clip is not None:
            from e2gan.features.clip import along

            embedded = self._clip.images(edits)
            columns["clip-direction"] = along(self._direction, self._of_photos(self._clip, photos), embedded)
            columns["clip"] = embedded @ self._prompt
        if self._preference is not None:
            shared = embedded is not None and self._preference is self._clip
            columns["preference"] = (embedded if shared else self._preference.images(edits)) @ self._wish
        if embedded is not None and self._head is not None:
            columns["aesthetic"] = embedded @ self._head[0] + self._head[1]
        return [dict(zip(columns, map(float, row), strict=True)) for row in zip(*columns.values(), strict=True)]

    def _of_photos(self, clip: ClipModel, photos: Sequence[Pixels]) -> NDArray[np.float32]:
        """(N, D), each different photo embedded once."""
        keys = [hashlib.blake2b(photo.tobytes() + str(photo.shape).encode()).digest() for photo in photos]
        new = {key: photo for key, photo in zip(keys, photos, strict=True) if key not in self._seen}
        if new:
            self._seen.update(zip(new, clip.images(new.values()), strict=True))
        return np.stack([self._seen[key] for key in keys])


def read_head(path: Path) -> tuple[NDArray[np.float64], float]:
    """An aesthetic head as (D,) and a number: score = embedding · (D,) + number.

    A safetensors file of linear layers without anything between them, such as LAION's predictors: `weight` and `bias`,
    or a chain of them under names that are numbered in its order (layers.0.weight, layers.0.bias, layers.2.weight, …).
    Raises InputError where it is none, or ends in more than one number.
    """
    from e2gan.core.files import read_tensors

    if path.suffix.lower() in (".pth", ".pt", ".bin", ".ckpt"):
        raise InputError(f"--aesthetic {path}: pickled weights are not read: save them as safetensors first")
    tensors, _ = read_tensors(path)
    layers: dict[str, dict[str, NDArray[np.float64]]] = {}
    for name, tensor in tensors.items():
        layer, _, part = name.rpartition(".")
        layers.setdefault(layer, {})[part] = tensor.double().numpy()
    matrix, constant = None, np.zeros(0)
    for layer in sorted(layers, key=_numbers):
        if not _is_linear(layers[layer]):
            raise InputError(f"--aesthetic {path}: '{layer}' is no linear layer: it holds {', '.join(layers[layer])}")
        weight, bias = layers[layer]["weight"], layers[layer].get("bias", 0.0)
        if matrix is None:
            matrix, constant = weight, bias + np.zeros(len(weight))
        elif weight.shape[1] == len(matrix):
            matrix, constant = weight @ matrix, weight @ constant + bias
        else:
            raise InputError(f"--aesthetic {path}: '{layer}' does not fit the layer before it")
    if matrix is None or len(matrix) != 1:
        ends = 0 if matrix is None else len(matrix)
        raise InputError(f"--aesthetic {path}: a head ends in one number, this one in {ends}")
    return matrix[0], float(constant[0])


def _is_linear(parts: Mapping[str, NDArray]) -> bool:
    if not {"weight"} <= parts.keys() <= {"weight", "bias"} or parts["weight"].ndim != 2:
        return False
    return "bias" not in parts or parts["bias"].shape == parts["weight"].shape[:1]


def _numbers(name: str) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", name)]


# --------------------------------------------------------------------------------------------------- failed, and best


@dataclass(frozen=True)
class Reject:
    """A threshold: edits whose score is on its wrong side are not used."""

    score: str
    side: str
    """< or >"""
    value: float

    def hits(self, row: Candidate) -> bool:
        """Whether it rejects this edit; never one that was not measured."""
        found = row.scores.get(self.score)
        beyond: Callable[[float, float], bool] = operator.lt if self.side == "<" else operator.gt
        return found is not None and beyond(found, self.value)

    def __str__(self) -> str:
        return f"{self.score}{self.side}{self.value:g}"


def parse_rejects(texts: Iterable[str], given: Iterable[str] = KNOWN) -> list[Reject]:
    """Thresholds such as "structure<0.35" and "residual>3".

    given: the scores that there will be, see `scores_given`. Raises InputError for what is no threshold, and for a
    score that is unknown or not given, whose threshold would never reject anything.
    """
    found, given = [], set(given)
    for text in texts:
        match = THRESHOLD.fullmatch(text.strip())
        if match is None:
            raise InputError(f'--reject {text}: must be SCORE<NUMBER or SCORE>NUMBER, in quotes, as "structure<0.35"')
        name, side, value = match.groups()
        _known("--reject", text, name)
        if name not in given:
            raise InputError(f"--reject {text}: no edit has that score without {NEEDS.get(name, 'its measure')}")
        found.append(Reject(name, side, _number("--reject", text, value)))
    return found


def parse_weights(texts: Iterable[str]) -> dict[str, float]:
    """Weights such as "clip-direction=1" and "residual=-0.5"; negative where a lower score is better.

    A text may hold several, with spaces between. Raises InputError for what is no weight, and an unknown score.
    """
    found: dict[str, float] = {}
    for text in (part for whole in texts for part in whole.split()):
        name, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"--prefer {text}: must be SCORE=NUMBER, as structure=1")
        _known("--prefer", text, name)
        if name in found:
            raise InputError(f"--prefer {text}: {name} has a weight already: give it once")
        found[name] = _number("--prefer", text, value)
    return found


def _known(option: str, text: str, name: str) -> None:
    if name not in KNOWN:
        raise InputError(f"{option} {text}: there is no score '{name}'; there are {', '.join(KNOWN)}")


def _number(option: str, text: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{option} {text}: '{value}' is no number")
    return number


def best(rows: Sequence[Candidate], weights: Mapping[str, float]) -> list[Candidate]:
    """The rows with their `total`, and of each photo's usable ones the one of the largest total `picked`.

    Scores have scales of their own (a PickScore varies by 1, a CLIP direction by 0.05), so that each is standardised
    before it is weighted: less its mean, over its standard deviation. Both are over all candidates of the run, the
    rejected ones too: over one photo's few they would blow a meaningless difference up to the size of a real one, and
    over those in use a threshold, or one deleted file, would change the choice for other photos. A score that one
    candidate lacks counts as average for it; one that is the same everywhere does not count. Of equals the first is
    taken.
    """
    totals = np.zeros(len(rows))
    for name, weight in weights.items():
        values = np.array([row.scores.get(name, math.nan) for row in rows], np.float64)
        finite = np.isfinite(values)
        spread = values[finite].std() if finite.any() else 0.0
        if spread > 1e-9 * np.abs(values[finite]).max(initial=0.0):
            totals[finite] += weight * (values[finite] - values[finite].mean()) / spread
    first: dict[str, int] = {}
    for i, row in enumerate(rows):
        if row.rejected is None and (row.photo not in first or totals[i] > totals[first[row.photo]]):
            first[row.photo] = i
    return [
        replace(row, total=None if row.rejected else float(totals[i]), picked=first.get(row.photo) == i)
        for i, row in enumerate(rows)
    ]
