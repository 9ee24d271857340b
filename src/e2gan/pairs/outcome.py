"""The result of making a pair set, whether by teachers, by a filter or from pairs that the user has."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the user should know. skipped: (file, reason); notes: a sentence each."""

    skipped: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    rejected: dict[str, int] = field(default_factory=dict)
    """Why edits were not used → how many."""
    already_done: bool = False
