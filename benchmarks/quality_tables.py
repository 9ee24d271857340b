"""What quality.py found, as tables: means of each row, and how far each adapter is from the others, photo by photo."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from e2gan import PairSet
from e2gan.core.files import write_bytes, write_json
from e2gan.core.outputs import versions
from e2gan.measure.distances import draws_interval, mean_interval

sys.path[:0] = [str(Path(__file__).resolve().parent)]
from quality_jobs import ADAPTER, PHOTO, Job, Settings  # noqa: E402 (found by the line above)
from runs import markdown  # noqa: E402

DIGITS = {"L1": ".2f", "SSIM": ".3f"}  # of a column; the others have three significant ones
COMPARED = ("L1", "SSIM", "fd-efficientnet")
HIGHER = {"SSIM"}  # is better

Cell = dict[str, Any] | None  # what `scores` gives; None for a training that was lost


@dataclass(frozen=True)
class Difference:
    """Of two models on the same test photos: ours less theirs, with its 95 % interval; positive is better."""

    value: float
    low: float
    high: float

    @property
    def standing(self) -> str:
        return "ahead" if self.low > 0 else "behind" if self.high < 0 else "equal"


def difference(ours: dict[str, Any], theirs: dict[str, Any], column: str) -> Difference | None:
    """None for a distance that was not measured. A mean's interval is the bootstrap's over the photos; of a Fréchet
    distance by the same draws of both."""
    sign = 1 if column in HIGHER else -1
    if column in ours["photos"]:
        values = sign * (np.array(ours["photos"][column]) - np.array(theirs["photos"][column]))
        return Difference(float(values.mean()), *mean_interval(values))
    if column not in ours["draws"]:
        return None
    value = sign * (ours["mean"][column] - theirs["mean"][column])
    drawn: NDArray[np.float64] = sign * (np.array(ours["draws"][column]) - np.array(theirs["draws"][column]))
    return Difference(value, *draws_interval(drawn, value))


@dataclass(frozen=True)
class Table:
    """What is measured: of each job, and of the photos as they are by concept."""

    config: Settings
    sets: Sequence[PairSet]
    wanted: tuple[str, ...]
    notes: Sequence[str]
    photos: dict[str, dict[str, Any]]
    found: list[tuple[Job, Cell]]

    def markdown(self) -> str:
        lines: list[str] = []
        for length in self.config.lengths:
            lines += [] if length is None else [f"## {length:g} minutes", ""]
            many = len(self.sets) > 1
            lines += [*(["Mean of the concepts", ""] if many else []), *self.of(length, self.sets), ""]
            for pair_set in self.sets if many else ():
                lines += [f"{pair_set.prompt[:1].upper()}{pair_set.prompt[1:]}", "", *self.of(length, [pair_set]), ""]
            lines += self.compared(length)
        return "\n".join([*lines, *(f"{text}  " for text in self.notes)]).rstrip() + "\n"

    def rows(self, length: float | None, sets: Sequence[PairSet]) -> dict[tuple[str, str, str], list[tuple[Job, Cell]]]:
        """The rows of one length, each by its concepts."""
        rows: dict[tuple[str, str, str], list[tuple[Job, Cell]]] = {}
        folders = [pair_set.folder for pair_set in sets]
        for job, cell in self.found:
            if job.pair_set.folder in folders and (not job.recipe or job.length == length):
                rows.setdefault(job.key, []).append((job, cell))
        return rows

    def of(self, length: float | None, sets: Sequence[PairSet]) -> list[str]:
        """Means over these concepts, where all of them are measured."""
        columns = ["L1", "SSIM", *self.wanted]
        rows = [["", PHOTO, "", "", *values([self.photos[s.folder.name]["mean"] for s in sets], columns)]]
        for own in self.rows(length, sets).values():
            if len(own) == len(sets):
                job = own[0][0]
                taken = [span(j.steps for j, _ in own), span(j.seconds for j, _ in own)] if job.recipe else ["", ""]
                rows.append([job.recipe, job.title, *taken, *values([c and c["mean"] for _, c in own], columns)])
        return markdown(["recipe", "", "steps", "seconds", *columns], rows)

    def compared(self, length: float | None) -> list[str]:
        """A recipe's adapter against each row that is no recipe's, or its own recipe's and its base's: on how many
        concepts it is ahead, equal and behind, and by how much."""
        rows = self.rows(length, self.sets)
        lines = []
        for (recipe, base, title), ours in rows.items():
            if title != ADAPTER or not recipe:
                continue
            others = [
                theirs
                for key, theirs in rows.items()
                if key[2] != ADAPTER and key[0] in ("", recipe) and key[1] in ("", base)
            ]
            table = [row for theirs in others for row in against(ours, theirs)]
            if table:
                heading = f"{recipe}, {base}: the adapter against the others, 95 % intervals; positive is better for it"
                lines += [heading, "", *markdown(["against", "concept", *COMPARED], table), ""]
        return lines

    def write(self) -> str:
        text = self.markdown()
        rows = [
            {
                "concept": job.pair_set.folder.name,
                "recipe": job.recipe,
                "minutes": job.length,
                "base": job.base,
                "trained": job.trained,
                "steps": job.steps,
                "seconds": job.seconds,
                "folder": job.model.folder,
                "scores": cell and cell["mean"],
            }
            for job, cell in self.found
        ]
        photos = {name: cell["mean"] for name, cell in self.photos.items()}
        write_json(
            self.config.out / "results.json",
            {"settings": self.config, "versions": versions(), "photos": photos, "models": rows},
        )
        write_bytes(self.config.out / "quality.md", text.encode())
        return text


def against(ours: Sequence[tuple[Job, Cell]], theirs: Sequence[tuple[Job, Cell]]) -> Iterator[list[str]]:
    """A row for each concept that both have, and one that counts them."""
    others = {job.pair_set.folder: (job, cell) for job, cell in theirs}
    found: list[dict[str, Difference | None]] = []
    for job, cell in ours:
        other, other_cell = others.get(job.pair_set.folder, (None, None))
        if other is None or cell is None or other_cell is None:
            continue
        found.append({column: difference(cell, other_cell, column) for column in COMPARED})
        yield [other.title, job.pair_set.folder.name, *(shown(found[-1][column], column) for column in COMPARED)]
    if len(found) > 1:
        yield [theirs[0][0].title, "ahead, equal, behind", *(counts([d[column] for d in found]) for column in COMPARED)]


def shown(difference: Difference | None, column: str) -> str:
    if difference is None:
        return ""
    digits = DIGITS.get(column, ".3g")
    low, high = (format(end, f"+{digits}") for end in (difference.low, difference.high))
    return f"{format(difference.value, f'+{digits}')} [{low}, {high}] {difference.standing}"


def counts(found: Sequence[Difference | None]) -> str:
    known = [difference.standing for difference in found if difference is not None]
    return ", ".join(str(known.count(standing)) for standing in ("ahead", "equal", "behind")) if known else ""


def span(numbers: Iterable[float]) -> str:
    found = list(numbers)
    low, high = min(found), max(found)
    return f"{low:,.0f}" if round(low) == round(high) else f"{low:,.0f} to {high:,.0f}"


def values(means: Sequence[dict[str, float] | None], columns: Sequence[str]) -> list[str]:
    """Means over the concepts, or that some trainings were lost."""
    known = [cell for cell in means if cell is not None]
    if len(known) < len(means):
        return [f"{len(means) - len(known)} lost"] + [""] * (len(columns) - 1)
    return [format(float(np.mean([cell[name] for cell in known])), DIGITS.get(name, ".3g")) for name in columns]
