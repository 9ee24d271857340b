"""What base.py found, as tables: a metric each, a row a concept, and what the trainings cost."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parent)]
from held_out import Concept  # noqa: E402 (a script beside this one, found by the line above)


class Tabled(Protocol):
    """What the tables say of base.py's plan. learned: the prompts that some of its bases were trained on."""

    @property
    def part(self) -> str: ...
    @property
    def concepts(self) -> list[Concept]: ...
    @property
    def notes(self) -> list[str]: ...
    @property
    def columns(self) -> list[str]: ...
    @property
    def learned(self) -> frozenset[str]: ...


@dataclass(frozen=True)
class Measure:
    """A metric of the tables. key: its field in `Metrics`."""

    key: str
    name: str
    higher: bool

    def of(self, cell: dict[str, Any]) -> float:
        found = cell[self.key]
        return found["frechet"] if isinstance(found, dict) else found

    def shown(self, cell: dict[str, Any]) -> str:
        found = cell[self.key]
        if not isinstance(found, dict):
            return self.number(found)
        return f"{self.number(found['frechet'])} [{self.number(found['low'])}, {self.number(found['high'])}]"

    def number(self, value: float) -> str:
        return f"{value:.3f}" if self.higher else f"{value:.2f}" if self.key == "l1" else f"{value:.4g}"

    def better(self, one: float, other: float) -> bool:
        return one > other if self.higher else one < other


MEASURES = (
    Measure("ssim", "SSIM", True),
    Measure("l1", "L1 of 255", False),
    Measure("fd_squeezenet", "fd-squeezenet", False),
)
PHOTO = "the photo as it is"
Cells = dict[tuple[str, str], dict[str, Any]]  # (concept, column) → its metrics and what it cost


def verdict(plan: Tabled, concept: Concept, cells: Cells) -> str | None:
    """Whether the adapter is ahead of all others in every metric; None while some are to be trained."""
    ours, *others = [*plan.columns, PHOTO]
    if any((concept.name, column) not in cells for column in (ours, *others)):
        return None
    mine, lost = cells[concept.name, ours], []
    for other in others:
        its = cells[concept.name, other]
        names = [kind.name for kind in MEASURES if not kind.better(kind.of(mine), kind.of(its))]
        lost += [f"{other} ({', '.join(names)})"] if names else []
    return f"no, behind {'; '.join(lost)}" if lost else "yes"


def tables(plan: Tabled, cells: Cells) -> str:
    """What is measured so far, as Markdown."""
    lines = [text for kind in MEASURES for text in metric_table(plan, cells, kind)]
    if any(concept.prompt in plan.learned for concept in plan.concepts):
        lines += ["† one of the bases has learned it: not in the mean", ""]
    lines += [*cost_table(plan, cells), "", *(f"{text}  " for text in plan.notes)]
    if plan.part == "main":
        lines += ["The adapter is ahead of all others in all three:"]
        lines += [f"- {c.prompt}: {verdict(plan, c, cells) or 'not all trained yet'}" for c in plan.concepts]
    return "\n".join(lines).rstrip() + "\n"


def metric_table(plan: Tabled, cells: Cells, kind: Measure) -> list[str]:
    """A row a concept, and the mean over those that are new to all bases."""
    columns = [*plan.columns, PHOTO]
    lines = [f"**{kind.name}** ({'higher' if kind.higher else 'lower'} is better)", "", row(["", *columns])]
    lines.append(row(["---"] * (1 + len(columns))))
    values: list[list[float | None]] = []
    for concept in plan.concepts:
        own = [cells.get((concept.name, column)) for column in columns]
        found = [None if cell is None else kind.of(cell) for cell in own]
        shown = [None if cell is None else kind.shown(cell) for cell in own]
        title = f"{concept.prompt} ({concept.kind}{', †' if concept.prompt in plan.learned else ''})"
        lines.append(row([title, *marked(found, shown, kind)]))
        values += [] if concept.prompt in plan.learned else [found]
    means = [mean(column) for column in zip(*values, strict=True)]
    return [*lines, row(["mean", *marked(means, [None if m is None else kind.number(m) for m in means], kind)]), ""]


def mean(values: Sequence[float | None]) -> float | None:
    """None where some are yet to be measured."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) else None


def cost_table(plan: Tabled, cells: Cells) -> list[str]:
    lines = [row(["trained", "parameters", "steps, mean", "seconds, mean"]), row(["---"] * 4)]
    for column in plan.columns:
        own = [cell for concept in plan.concepts if (cell := cells.get((concept.name, column)))]
        if own:
            steps, seconds = (np.mean([cell[name] for cell in own]) for name in ("steps", "seconds"))
            lines.append(row([column, f"{own[0]['parameters']:,}", f"{steps:,.0f}", f"{seconds:,.1f}"]))
    return lines


def marked(values: Sequence[float | None], shown: Sequence[str | None], kind: Measure) -> list[str]:
    """The best in bold, a dash where there is none yet."""
    top = (max if kind.higher else min)([value for value in values if value is not None], default=None)
    return [f"**{text}**" if text and value == top else text or "–" for value, text in zip(values, shown, strict=True)]


def row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
