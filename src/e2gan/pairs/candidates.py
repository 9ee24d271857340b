"""A candidate: one edit of one photo, by one teacher with one seed. Of each photo's candidates one is kept."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from e2gan.core.errors import InputError

__all__ = ["BY_HAND", "Candidate", "DELETED", "THRESHOLD"]

BY_HAND, DELETED = "rejected by hand", "deleted by hand"
THRESHOLD = re.compile(r"([a-z]+(?:-[a-z]+)*)\s*([<>])\s*(\S+)")  # score, side, value: "structure<0.35"


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One edit, a line of candidates.jsonl."""

    photo: str
    """The photo's id."""
    split: str
    """train, val or test."""
    teacher: str
    seed: int
    file: str | None
    """Path inside the pair set, with slashes; None where the teacher gave no picture."""
    scores: dict[str, float]
    """By name, see `e2gan.pairs.scores.KNOWN`; those that were measured."""
    rejected: str | None = None
    """Why it is of no use; None where it may be kept. What is wrong with the edit itself, a threshold that it fails
    ("structure<0.35"), or what a person said."""
    picked: bool = False
    """Whether it is the one of its photo that is kept."""
    total: float | None = None
    """The weighted sum of standardised scores that it was compared by."""
    overruled: str | None = None
    """What it was rejected for, where a person kept it all the same."""

    @property
    def name(self) -> str | None:
        """Its file's name, which is its own among those of the same photo."""
        return None if self.file is None else self.file.rpartition("/")[2]

    def unmarked(self) -> Candidate:
        """As before thresholds, weights and persons had their say: what is wrong with the edit itself stays."""
        reason = self.rejected or self.overruled
        if reason in (BY_HAND, DELETED) or (reason and THRESHOLD.fullmatch(reason)):
            reason = None
        return replace(self, rejected=reason, overruled=None, picked=False, total=None)

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> Candidate:
        """From a line of candidates.jsonl. Raises InputError where it is none."""
        names = [f.name for f in fields(cls)]
        try:
            found = cls(**{name: row[name] for name in names})
            scores = {str(k): float(v) for k, v in found.scores.items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(
                f"candidates.jsonl is not of this version ({type(error).__name__} {error}): make the pair set anew"
            ) from error
        return replace(found, scores=scores)
