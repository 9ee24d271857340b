"""A pair set built from the candidates of teachers: they are scored, and the best of each photo is kept."""

from __future__ import annotations

import json
import os
import re
import socket
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from e2gan.config.schemas import KeptScores
from e2gan.core.errors import InputError
from e2gan.core.files import parse_json, plain, read_bytes, read_lines, write_bytes, write_jsonl
from e2gan.core.images import MOST_BYTES, read_image
from e2gan.core.names import inside, one_name
from e2gan.core.outputs import finish, partial_of
from e2gan.core.progress import track
from e2gan.core.summary import count_reasons
from e2gan.data.pair_set import ROWS
from e2gan.data.photos import Photo, PhotoSet
from e2gan.pairs.candidates import Candidate, CandidateFolder
from e2gan.pairs.choice import Choice, pick_best
from e2gan.pairs.outcome import Outcome
from e2gan.pairs.pick_by_hand import PAGE, write_page
from e2gan.pairs.rejected_sheet import write_rejected_sheet
from e2gan.pairs.scores import EditScores, ScoreModels

MOST_BAD = 1000  # lines that runs which were killed may have left in a file of scores
INDEX = "candidates.jsonl"
SHEET = "rejected.png"
SCORES = "scores"  # how the files begin in which scores are kept until the set is whole
AT_A_TIME = 32  # candidates read and scored at a time


def build_set(
    out: Path,
    prompt: str,
    candidates: CandidateFolder,
    choice: Choice,
    models: ScoreModels,
    device: str,
    photos: Sequence[Photo],
    photo_set: PhotoSet,
) -> Outcome:
    """Build `out` of the candidates in its partial folder, the best of each photo.

    Raises InputError as `score_candidates` and `write_set` do.
    """
    folder = partial_of(out)
    rows = score_candidates(candidates, models, device, photos, photo_set)
    rows = pick_best(choice.reject(rows), choice.weights)
    rejected, without = reasons(rows), without_edit(rows, photos)
    write_set(folder, prompt, rows, photos, photo_set)
    for path in folder.glob(f"{SCORES}-*.jsonl"):
        path.unlink()  # candidates.jsonl has them
    finish(out)
    notes = [
        f"not used: {count_reasons(rejected)}; to look at: {out / SHEET}" if rejected else "",
        f"{without} photos have no edit that can be used, and are left out" if without else "",
        f"to choose by hand: open {out / PAGE}, then: e2gan choose {out}",
    ]
    return Outcome(rejected=rejected, notes=[line for line in notes if line])


def score_candidates(
    candidates: CandidateFolder, models: ScoreModels, device: str, photos: Sequence[Photo], photo_set: PhotoSet
) -> list[Candidate]:
    """The candidates of photos, those of use scored. Scores are kept as they are made, so that a rerun goes on.

    Raises InputError as `EditScores` does.
    """
    folder = candidates.folder.parent
    kept = _kept_scores(folder, models.key)
    rows = candidates.rows(photos)
    left = [row for row in rows if row.rejected is None and row.file is not None and row.file not in kept]
    if left:
        scores = EditScores(models, device)
        files = {photo.id: photo_set.folder / photo.file for photo in photos}
        name = f"{SCORES}-{socket.gethostname()}-{os.getpid()}.jsonl"
        chunks = [left[i : i + AT_A_TIME] for i in range(0, len(left), AT_A_TIME)]
        with (folder / name).open("a", encoding="utf-8") as log:
            for chunk in track(chunks, "scores"):
                before = [read_image(files[row.photo]) for row in chunk]
                after = [read_image(folder / str(row.file)) for row in chunk]
                for row, numbers in zip(chunk, scores.score(before, after), strict=True):
                    kept[str(row.file)] = numbers
                    log.write(json.dumps({"key": models.key, "file": row.file, "scores": numbers}) + "\n")
                log.flush()
    return [row if row.rejected is not None else replace(row, scores=row.scores | kept[str(row.file)]) for row in rows]


def _kept_scores(folder: Path, key: str) -> dict[str, dict[str, float]]:
    """File → scores, of all that were kept. A line that was cut off by a kill is not there."""
    kept: dict[str, dict[str, float]] = {}
    for path in sorted(folder.glob(f"{SCORES}-*.jsonl")):
        bad = 0
        for line in read_lines(path):
            try:
                row = parse_json(line, KeptScores, str(path), folder=folder, finite=False)
            except InputError:
                if (bad := bad + 1) > MOST_BAD:
                    raise
                continue
            if row["key"] == key:
                kept[row["file"]] = row["scores"]
    return kept


def write_set(
    folder: Path, prompt: str, rows: Sequence[Candidate], photos: Sequence[Photo], photo_set: PhotoSet
) -> None:
    """images/ and metadata.jsonl of the picked candidates; all of them in candidates.jsonl, on the page, on the sheet.

    In an order in which a kill leaves no line without its image. Raises InputError where no training photo has a
    picked one; the page and the sheet, which show why, are written all the same.
    """
    picked = {row.photo: row for row in rows if row.picked}
    usable = any(row.split == "train" for row in picked.values())
    if usable:
        _write_images(folder, prompt, picked, photos)
        write_jsonl(folder / INDEX, map(plain, rows))
    write_page(folder, prompt, rows, photo_set)
    rejected = [row for row in rows if row.rejected is not None]
    if rejected:
        write_rejected_sheet(folder / SHEET, folder, rejected, photo_set)
    else:
        (folder / SHEET).unlink(missing_ok=True)
    need_usable(rows, f"see {folder / SHEET}")


def need_usable(rows: Sequence[Candidate], then: str) -> None:
    """Raises InputError where no training photo has a picked candidate. then: what the message ends with."""
    if not any(row.picked and row.split == "train" for row in rows):
        counts = count_reasons(reasons(rows))
        raise InputError(f"no training photo has an edit that can be used ({counts}): {then}")


def _write_images(folder: Path, prompt: str, picked: Mapping[str, Candidate], photos: Sequence[Photo]) -> None:
    images = folder / "images"
    images.mkdir(exist_ok=True)
    lines = []
    for photo in photos:
        row, image = picked.get(photo.id), inside(folder, f"images/{one_name(photo.id)}.png")
        if row is None or row.file is None:
            continue
        edit = _edit_of(inside(folder, row.file))
        if not image.exists() or read_bytes(image, MOST_BYTES) != edit:
            write_bytes(image, edit)
        about = {"file_name": f"images/{image.name}", "photo": photo.id, "split": photo.split, "prompt": prompt}
        lines.append(about | {"teacher": row.teacher, "seed": row.seed, "score": row.total, "scores": row.scores})
    write_jsonl(folder / ROWS, lines)
    for image in images.glob("*.png"):
        if image.stem not in picked:
            image.unlink()


def _edit_of(path: Path) -> bytes:
    """A candidate's PNG. Raises InputError for a file that is gone, or no PNG: it goes into the pair set as it is."""
    found = read_bytes(path, MOST_BYTES)
    if not found.startswith(b"\x89PNG\r\n\x1a\n"):
        raise InputError(f"{path} is no PNG")
    return found


def reasons(rows: Sequence[Candidate]) -> dict[str, int]:
    """Why edits are not used, without the numbers → how many, the commonest first."""
    counts = Counter(re.sub(r" by [\d.]+ pixels$", "", row.rejected) for row in rows if row.rejected is not None)
    return dict(counts.most_common())


def without_edit(rows: Sequence[Candidate], photos: Sequence[Photo]) -> int:
    """Photos that none of the candidates is kept of."""
    picked = {row.photo for row in rows if row.picked}
    return sum(photo.id not in picked for photo in photos)
