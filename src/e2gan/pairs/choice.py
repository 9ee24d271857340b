"""Which edits are used (Sec. 5.1): thresholds reject, the weighted sum of scores chooses among the rest."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from e2gan.core.errors import InputError
from e2gan.pairs.candidates import THRESHOLD, Candidate

NEEDS = {"clip-direction": "clip", "clip": "clip", "preference": "preference"}  # score → the option that it needs
MEASURES = ("residual", "agreement", "shift", "zoom")  # of the alignment, see `e2gan.pairs.align`
KNOWN = ("structure", *NEEDS, *MEASURES)
FORMER = "aesthetic"  # a score that candidates of older pair sets may have: its weights and thresholds stay valid


@dataclass(frozen=True)
class Threshold:
    """Edits whose score is on its wrong side are not used."""

    score: str
    side: str
    """< or >"""
    value: float

    def rejects(self, row: Candidate) -> bool:
        """Whether it rejects this edit; never one that was not measured."""
        score = row.scores.get(self.score)
        beyond: Callable[[float, float], bool] = operator.lt if self.side == "<" else operator.gt
        return score is not None and beyond(score, self.value)

    def __str__(self) -> str:
        return f"{self.score}{self.side}{self.value:g}"


@dataclass(frozen=True)
class Choice:
    """How a photo's edit is chosen. weights: score → weight."""

    thresholds: Sequence[Threshold]
    weights: Mapping[str, float]

    def reject(self, rows: Iterable[Candidate]) -> list[Candidate]:
        """The rows, those beyond a threshold rejected by it."""
        marked = []
        for row in rows:
            hit = next((t for t in self.thresholds if row.rejected is None and t.rejects(row)), None)
            marked.append(row if hit is None else replace(row, rejected=str(hit)))
        return marked


def parse_choice(reject: Iterable[str], prefer: Iterable[str], models: Mapping[str, object]) -> Choice:
    """Of the texts of --reject and --prefer. models: clip, preference → what the option names, or None.

    Raises InputError as `parse_thresholds` and `parse_weights` do.
    """
    needs = {**NEEDS, FORMER: FORMER}
    given = [name for name in (*KNOWN, FORMER) if name not in needs or models.get(needs[name]) is not None]
    return Choice(parse_thresholds(reject, given), parse_weights(prefer))


def parse_thresholds(texts: Iterable[str], given: Collection[str] = KNOWN) -> list[Threshold]:
    """Thresholds such as "structure<0.35" and "residual>3".

    given: the scores that edits have. Raises InputError for what is no threshold, and for a score that is unknown or
    not given, whose threshold would never reject anything.
    """
    thresholds = []
    for text in texts:
        match = THRESHOLD.fullmatch(text.strip())
        if match is None:
            raise InputError(f'--reject {text}: must be SCORE<NUMBER or SCORE>NUMBER, in quotes, as "structure<0.35"')
        name, side, value = match.groups()
        if name not in given:
            _check_known("--reject", text, name, KNOWN)
            raise InputError(f"--reject {text}: no edit has that score without --{NEEDS[name]}")
        thresholds.append(Threshold(name, side, _number("--reject", text, value)))
    return thresholds


def parse_weights(texts: Iterable[str]) -> dict[str, float]:
    """Weights such as "clip-direction=1" and "residual=-0.5"; negative where a lower score is better.

    A text may hold several, with spaces between. Raises InputError for what is no weight, and an unknown score.
    """
    weights: dict[str, float] = {}
    for text in (part for whole in texts for part in whole.split()):
        name, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"--prefer {text}: must be SCORE=NUMBER, as structure=1")
        _check_known("--prefer", text, name, (*KNOWN, FORMER))
        if name in weights:
            raise InputError(f"--prefer {text}: {name} has a weight already: give it once")
        weights[name] = _number("--prefer", text, value)
    return weights


def _check_known(option: str, text: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        raise InputError(f"{option} {text}: there is no score '{name}'; there are {', '.join(KNOWN)}")


def _number(option: str, text: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{option} {text}: '{value}' is no number")
    return number


def pick_best(rows: Sequence[Candidate], weights: Mapping[str, float]) -> list[Candidate]:
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
