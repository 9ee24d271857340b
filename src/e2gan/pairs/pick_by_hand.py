"""A person's own choice among the edits: a page to pick on, what was picked and deleted, a sheet of the rejected ones.

Numbers miss what a glance sees. The page lies in the pair set and is opened from disk; it gives picks.json, which
`e2gan choose` reads. Files deleted from candidates/ count as said no to.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from importlib.resources import files as package_files
from pathlib import Path
from string import Template
from urllib.parse import quote

import numpy as np

from e2gan.core.errors import InputError
from e2gan.core.files import read_json, write_bytes
from e2gan.core.images import Pixels, read_image, resize, sheet, write_png
from e2gan.data.photos import PhotoSet
from e2gan.pairs.candidates import BY_HAND, DELETED, THRESHOLD, Candidate

__all__ = ["PAGE", "PICKS", "Picks", "read_picks", "rejected_sheet", "write_page"]

PAGE, PICKS = "choose.html", "picks.json"
KEYS = 9  # candidates of a photo that a number key picks


# --------------------------------------------------------------------------------------------------------------- page


def write_page(folder: Path, prompt: str, rows: Sequence[Candidate], photo_set: PhotoSet) -> None:
    """choose.html in a pair set's folder: each photo with its candidates, to click at; whole or not at all.

    The page needs nothing but the pictures, which it finds by their paths from the folder. All texts are escaped.
    """
    photos, files = by_photo(rows), {photo.id: photo.file for photo in photo_set.photos}
    size = photo_set.size
    source = {name: os.path.relpath(photo_set.folder / files[name], folder) for name in photos}
    template = Template((package_files("e2gan.pairs") / PAGE).read_text("utf-8"))
    page = template.substitute(
        prompt=escape(prompt),
        edits=f"{sum(row.file is not None for row in rows):,}",
        photos=f"{len(photos):,}",
        key=_key(prompt, rows),
        folder=escape(folder.name.removesuffix(".partial")),
        sections="\n".join(_section(folder, group, source[name], size) for name, group in photos.items()),
    )
    write_bytes(folder / PAGE, page.encode())


def by_photo(rows: Iterable[Candidate]) -> dict[str, list[Candidate]]:
    groups: dict[str, list[Candidate]] = {}
    for row in rows:
        groups.setdefault(row.photo, []).append(row)
    return groups


def _key(prompt: str, rows: Sequence[Candidate]) -> str:
    """What the page's memory goes by: the same for the same candidates, whichever of them are kept."""
    names = json.dumps([prompt, [(row.photo, row.name) for row in rows]])
    return hashlib.sha256(names.encode()).hexdigest()[:16]


def _section(folder: Path, rows: Sequence[Candidate], source: str, size: int) -> str:
    """One photo with its candidates. source: the photo's path from the folder. size: pixels of a side."""
    seen = [row for row in rows if row.file is not None and (folder / row.file).is_file()]
    unseen = [row for row in rows if row not in seen]
    picture = _picture(Path(source).as_posix(), rows[0].photo, size)
    edits = "".join(_edit(row, number, size) for number, row in enumerate(seen, 1))
    missing = "; ".join(f"{row.teacher}, seed {row.seed}: {row.rejected or 'no picture'}" for row in unseen)
    name = escape(rows[0].photo)
    return (
        f'<section class="photo" data-photo="{name}"><header><h2>{name}</h2><span>{escape(rows[0].split)}</span>'
        f'<b class="state"></b><button type="button" class="none" aria-pressed="false" '
        f'aria-label="none of these edits of {name}">✕ none</button></header>'
        f'<div class="edits"><figure>{picture}<figcaption>photo</figcaption></figure>{edits}</div>'
        + (f'<p class="missing">{escape(missing)}</p>' if missing else "")
        + "</section>"
    )


def _edit(row: Candidate, number: int, size: int) -> str:
    label = f"{row.teacher}, seed {row.seed}"
    mark = f"<kbd>{number}</kbd>" if number <= KEYS else ""
    scores = " · ".join(f"{name} {value:.3g}" for name, value in row.scores.items() if np.isfinite(value))
    if row.total is not None:
        scores = f"<b>{row.total:+.2f}</b> {scores}"
    reason = row.rejected or (row.overruled and f"was {row.overruled}")
    return (
        f'<button type="button" class="edit{" rejected" * (row.rejected is not None)}{" kept" * row.picked}" '
        f'data-file="{escape(str(row.name))}" aria-pressed="false">'
        f"{_picture(str(row.file), f'{row.photo}: {label}', size)}"
        f"<span>{mark}{escape(label)}</span>"
        + (f'<span class="reason">{escape(reason)}</span>' if reason else "")
        + f"<small>{scores}</small></button>"
    )


def _picture(path: str, about: str, size: int) -> str:
    # The pixels' size is known before they come, so that nothing jumps while a long page loads.
    return (
        f'<img src="{escape(quote(path))}" alt="{escape(about)}" width="{size}" height="{size}" '
        'loading="lazy" decoding="async">'
    )


# -------------------------------------------------------------------------------------------------------------- picks


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
    found = read_json(path)
    chosen = found.get("picks") if isinstance(found, dict) else None
    if not isinstance(chosen, dict) or not all(name is None or isinstance(name, str) for name in chosen.values()):
        raise InputError(f"{path} is not what {PAGE} saves: it has no picks of a file name or null for each photo")
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


# -------------------------------------------------------------------------------------------------------------- sheet

SIDE = 160  # pixels of a picture on the sheet
ACROSS = 8
ABSENT = 205  # grey, in place of a picture that there is not


def rejected_sheet(
    path: Path, folder: Path, rows: Sequence[Candidate], photo_set: PhotoSet, *, most: int = 4 * ACROSS
) -> None:
    """A PNG of rejected edits, each under its photo and the reason (as Fig. 9).

    Of more than `most` some of each kind of reason are shown, taken evenly. Raises ValueError for no rows.
    """
    shown = sample(rows, most)
    bands = []
    for i in range(0, len(shown), ACROSS):
        some = shown[i : i + ACROSS]
        pictures = [[_shrunk(photo_set.folder / photo_set.by_id(row.photo).file) for row in some]]
        pictures += [[_shrunk(None if row.file is None else folder / row.file) for row in some]]
        bands.append(sheet(pictures, [_label(row) for row in some] + [""] * (min(len(shown), ACROSS) - len(some))))
    write_png(path, np.concatenate(bands))


def sample(rows: Sequence[Candidate], most: int) -> list[Candidate]:
    """At most `most` rows, by kind of reason, the commonest first; of each kind its share, but at least one."""
    kinds: dict[str, list[Candidate]] = {}
    for row in rows:
        kinds.setdefault(re.sub(r"[\d.]+", "", row.rejected or ""), []).append(row)
    groups = sorted(kinds.values(), key=len, reverse=True)
    shares = [max(1, most * len(group) // max(len(rows), most)) for group in groups]
    while sum(shares) > most and shares[0] > 1:
        shares[0] -= 1  # the rare ones are what one has not seen yet
    chosen = []
    for group, share in zip(groups, shares, strict=True):
        chosen += [group[i] for i in np.linspace(0, len(group) - 1, share).round().astype(int)]
    return chosen[:most]


def _shrunk(file: Path | None) -> Pixels:
    if file is None or not file.is_file():
        return np.full((SIDE, SIDE, 3), ABSENT, np.uint8)
    return resize(read_image(file), (SIDE, SIDE))


def _label(row: Candidate) -> str:
    """The reason, a threshold's with what was measured, and the teacher; in letters that the sheet's font has."""
    reason = row.rejected or ""
    if (match := THRESHOLD.fullmatch(reason)) and match[1] in row.scores:
        reason = f"{match[1]} {row.scores[match[1]]:.2f} {match[2]} {match[3]}"
    text = unicodedata.normalize("NFKD", f"{reason} ({row.teacher})".replace("×", "x"))
    return "".join(c for c in text if not unicodedata.combining(c)).encode("ascii", "replace").decode()
