"""A person's own choice among the edits: a page to pick on; what was picked and deleted.

Numbers miss what a glance sees. The page lies in the pair set and is opened from disk; it gives picks.json, which
`e2gan choose` reads. Files deleted from candidates/ count as rejected.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from e2gan.config.schemas import PicksFile
from e2gan.core.errors import InputError
from e2gan.core.files import read_json, write_bytes
from e2gan.data.photos import PhotoSet
from e2gan.pairs.candidates import BY_HAND, DELETED, Candidate

PAGE, PICKS = "choose.html", "picks.json"


def write_page(folder: Path, prompt: str, rows: Sequence[Candidate], photo_set: PhotoSet) -> None:
    """choose.html in a pair set's folder: each photo with its candidates, to click at; whole or not at all.

    The page needs nothing but the pictures, which it finds by their paths from the folder. All texts are escaped.
    """
    files = {photo.id: photo.file for photo in photo_set.photos}
    sections = []
    for name, group in by_photo(rows).items():
        seen = [row for row in group if row.file is not None and (folder / row.file).is_file()]
        source = Path(os.path.relpath(photo_set.folder / files[name], folder)).as_posix()
        missing = "; ".join(f"{_label(row)}: {row.rejected or 'no picture'}" for row in group if row not in seen)
        edits = [{"row": row, "label": _label(row), "scores": _numbers(row)} for row in seen]
        sections.append({"photo": name, "split": group[0].split, "source": source, "edits": edits, "missing": missing})
    names = json.dumps([prompt, [(row.photo, row.name) for row in rows]])
    page = Environment(loader=PackageLoader("e2gan.pairs", ""), autoescape=True, undefined=StrictUndefined)
    text = page.get_template(PAGE).render(
        prompt=prompt,
        edits=sum(row.file is not None for row in rows),
        key=hashlib.sha256(names.encode()).hexdigest()[:16],  # the same for the same candidates, whichever are kept
        folder=folder.name.removesuffix(".partial"),
        size=photo_set.size,
        sections=sections,
    )
    write_bytes(folder / PAGE, text.encode())


def by_photo(rows: Iterable[Candidate]) -> dict[str, list[Candidate]]:
    groups: dict[str, list[Candidate]] = {}
    for row in rows:
        groups.setdefault(row.photo, []).append(row)
    return groups


def _label(row: Candidate) -> str:
    return f"{row.teacher}, seed {row.seed}"


def _numbers(row: Candidate) -> str:
    return " · ".join(f"{name} {value:.3g}" for name, value in row.scores.items() if math.isfinite(value))


@dataclass(frozen=True)
class Picks:
    """What a person said. chosen: photo → file name of its edit, or None for none of them. deleted: candidates' files
    that are gone, as in `Candidate.file`."""

    chosen: Mapping[str, str | None]
    deleted: frozenset[str]

    def __len__(self) -> int:
        """Photos that were decided on the page."""
        return len(self.chosen)

    def without_deleted(self, rows: Iterable[Candidate]) -> list[Candidate]:
        """The rows, those whose file was deleted rejected for that."""
        return [
            replace(row, rejected=DELETED) if row.rejected is None and row.file in self.deleted else row for row in rows
        ]

    def apply(self, rows: Iterable[Candidate]) -> list[Candidate]:
        """The rows with what was picked in place of what was best. A person overrules any threshold and any check."""
        return [self._applied(row) if row.photo in self.chosen else row for row in rows]

    def _applied(self, row: Candidate) -> Candidate:
        wanted = self.chosen[row.photo]
        if wanted is None:
            return replace(row, rejected=row.rejected or BY_HAND, picked=False)
        if row.name == wanted:
            return replace(row, rejected=None, overruled=row.rejected, picked=True)
        return replace(row, picked=False)


def read_picks(folder: Path, rows: Sequence[Candidate], path: Path | None = None) -> Picks:
    """A person's choices among a pair set's candidates.

    path: what choose.html gave; without one, the picks.json in the folder, where there is one. Raises InputError where
    it is missing or no such file, names a photo or an edit that the pair set does not have, or one that was deleted.
    """
    files = {row.file for row in rows if row.file is not None}
    deleted = frozenset(file for file in files if not (folder / file).is_file())
    if files and files == deleted:
        raise InputError(f"{folder} has none of its candidates left to choose from: put its folder candidates back")
    if path is None and not (folder / PICKS).is_file():
        return Picks({}, deleted)
    path = folder / PICKS if path is None else path
    try:
        chosen = read_json(path, PicksFile)["picks"]
    except InputError as error:
        raise InputError(
            f"{error}: this is not what {PAGE} saves: picks of a file name or null for each photo"
        ) from None
    known = {photo: {row.name: row for row in group if row.name} for photo, group in by_photo(rows).items()}
    for photo, name in chosen.items():
        if photo not in known:
            raise InputError(f"{path}: {folder} has no photo '{photo}': are these picks of another pair set?")
        if name is not None and name not in known[photo]:
            raise InputError(
                f"{path}: photo '{photo}' has no edit '{name}'; it has {', '.join(known[photo]) or 'none'}"
            )
        if name is not None and known[photo][name].file in deleted:
            raise InputError(f"{path}: the edit '{name}' of photo '{photo}' was deleted: pick another, or put it back")
    return Picks(chosen, deleted)
