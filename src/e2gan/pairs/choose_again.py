"""The stage `choose`: a pair set built anew from its candidates, nothing edited again."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2gan.config import ChooseConfig
from e2gan.config.schemas import PAIR_SET, CandidateRow, LastChoice
from e2gan.core.errors import InputError
from e2gan.core.files import clear_beside, read_json, read_jsonl, write_json
from e2gan.core.outputs import read_settings
from e2gan.core.record import record
from e2gan.core.summary import count_reasons
from e2gan.data.pair_set import SELECTION
from e2gan.data.photos import PhotoSet
from e2gan.pairs.build_set import INDEX, need_usable, reasons, without_edit, write_set
from e2gan.pairs.candidates import Candidate
from e2gan.pairs.choice import parse_choice, pick_best
from e2gan.pairs.pick_by_hand import PICKS, read_picks

LAST = "choice.json"  # thresholds and weights of the last `e2gan choose`


@dataclass(frozen=True)
class Chosen:
    """A pair set built anew. picked: photos whose edit a person chose. changed: photos whose edit is another
    one than before, or gone, or back."""

    folder: Path
    pairs: int
    picked: int
    changed: int
    without: int
    rejected: dict[str, int]

    def __str__(self) -> str:
        lines = [f"{self.pairs} pairs in {self.folder}: {self.changed} changed, {self.picked} picked by hand"]
        if self.rejected:
            lines.append(f"not used: {count_reasons(self.rejected)}")
        if self.without:
            lines.append(f"{self.without} photos have no edit that can be used, and are left out")
        return "\n".join(lines)


def choose_again(config: ChooseConfig) -> Chosen:
    """Choose again among the candidates of a pair set that a teacher made; nothing is edited.

    By hand: picks of choose.html, and candidates whose files were deleted; by other thresholds or weights where they
    are given. What was given stays: the picks as picks.json in the pair set, thresholds and weights in choice.json,
    until others are given. Run again, it comes to the same. Raises InputError where the folder is no such pair set, the
    picks name what is not there, or no training photo is left.
    """
    ChooseConfig.checked(config)
    folder = config.pairs
    settings = _settings(folder)
    photo_set = PhotoSet.load(Path(os.path.normpath(folder / settings["photos"])))
    choice = settings["choice"] | (read_json(folder / LAST, LastChoice) if (folder / LAST).exists() else {})
    choice |= {k: list(v) for k, v in (("reject", config.reject), ("prefer", config.prefer)) if v is not None}
    rules = parse_choice(choice["reject"], choice["prefer"], choice)
    old = [Candidate.read(row) for row in read_jsonl(folder / INDEX, CandidateRow, finite=False)]
    ids = {photo.id for photo in photo_set.photos}
    if strange := next((row.photo for row in old if row.photo not in ids), None):
        raise InputError(f"{folder / INDEX}: {photo_set.folder} has no photo '{strange}'")
    picks = read_picks(folder, old, config.picks)
    # What an edit is rejected for by itself stays; what a threshold or a person said is decided anew.
    rows = rules.reject(row.unmarked() for row in old)
    rows = picks.apply(pick_best(picks.without_deleted(rows), rules.weights))
    seen = {row.photo for row in rows}
    photos = [photo for photo in photo_set.photos if photo.id in seen]
    need_usable(rows, "the set stays as it was")
    clear_beside(folder)
    write_set(folder, settings["concept"], rows, photos, photo_set)
    write_json(folder / LAST, {"reject": choice["reject"], "prefer": choice["prefer"]})
    if config.picks is not None:
        write_json(folder / PICKS, {"picks": dict(picks.chosen)})
    record(folder, leave_out=(SELECTION,))
    before, after = ({row.photo: row.file for row in candidates if row.picked} for candidates in (old, rows))
    return Chosen(
        folder=folder,
        pairs=len(after),
        picked=len(picks),
        changed=sum(before.get(photo.id) != after.get(photo.id) for photo in photos),
        without=without_edit(rows, photos),
        rejected=reasons(rows),
    )


def _settings(folder: Path) -> dict[str, Any]:
    """The settings of a pair set that has candidates. Raises InputError for any other folder."""
    settings = read_settings(folder, PAIR_SET, "pair set")
    if "choice" not in settings or not (folder / INDEX).is_file():
        raise InputError(f"{folder} has no candidates to choose from: only pair sets of teachers beside filters have")
    return settings
