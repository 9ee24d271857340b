"""A sheet of the edits that were rejected, each under its photo and the reason, as Fig. 9."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from e2gan.core.images import Pixels, read_image, resize, write_png
from e2gan.core.sheets import sheet, spread
from e2gan.data.photos import PhotoSet
from e2gan.pairs.candidates import THRESHOLD, Candidate

SIDE = 160  # pixels of a picture on the sheet
ACROSS = 8
ABSENT = 205  # grey, in place of a picture that there is not


def write_rejected_sheet(
    path: Path, folder: Path, rows: Sequence[Candidate], photo_set: PhotoSet, *, most: int = 4 * ACROSS
) -> None:
    """A PNG of rejected edits, each under its photo and the reason (as Fig. 9).

    Of more than `most` some of each kind of reason are shown, taken evenly. Raises ValueError for no rows.
    """
    shown, files = sample(rows, most), {photo.id: photo_set.folder / photo.file for photo in photo_set.photos}
    bands = []
    for i in range(0, len(shown), ACROSS):
        band = shown[i : i + ACROSS]
        labels = [_label(row) for row in band] + [""] * (min(len(shown), ACROSS) - len(band))
        pictures = [[_shrunk(files[row.photo]) for row in band]]
        pictures += [[_shrunk(None if row.file is None else folder / row.file) for row in band]]
        bands.append(sheet(pictures, labels))
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
        chosen += [group[i] for i in spread(len(group), share)]
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
