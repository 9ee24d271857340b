"""A pair set put together from the edits that teachers made: scored, the best of each photo kept; and chosen anew."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from e2gan.config import TeachConfig
from e2gan.core.errors import InputError
from e2gan.core.files import plain, read_json, write_bytes, write_json, write_jsonl
from e2gan.core.images import Pixels, read_image
from e2gan.core.memory import give_back_memory, is_no_memory
from e2gan.core.progress import track
from e2gan.data.pair_set import ROWS
from e2gan.data.photos import Photo, PhotoSet
from e2gan.pairs.attempts import Store
from e2gan.pairs.candidates import Candidate
from e2gan.pairs.pick_by_hand import rejected_sheet, write_page
from e2gan.pairs.scores import Reject, Scorer, best, parse_rejects, parse_weights, scores_given
from e2gan.teachers.teacher import Ask

__all__ = ["assembling", "BusyError", "CHOICE", "choice_of", "make_scorer", "put_together", "score_photos"]

INDEX = "candidates.jsonl"
SHEET = "rejected.png"
LOCK = "assembling.json"
SCORES = "scores"  # how the files begin in which scores are kept until the set is whole
CHOICE = ("clip", "preference", "aesthetic", "prefer", "reject")  # they leave the edits what they are
SCORED = 32  # candidates read and scored at a time
TOLD = 5  # kinds of reasons that are told


# ----------------------------------------------------------------------------------------------------- one at a time


HELD: set[Path] = set()  # locks of this process: its threads have one number


class BusyError(InputError):
    """Another machine is putting the same pair set together."""


@contextmanager
def assembling(folder: Path) -> Iterator[None]:
    """Of several machines that finish at once, one alone puts the pair set together.

    Raises BusyError where another one is at it, or has just done it. A lock that a killed process of this machine left
    is taken over.
    """
    lock = folder / LOCK
    own = {"host": socket.gethostname(), "pid": os.getpid()}
    try:
        with lock.open("x") as file:
            file.write(json.dumps(own))
    except FileExistsError:
        other = _owner(lock)
        if other.get("host") != own["host"] or _runs(other.get("pid")) or lock in HELD:
            raise BusyError(
                f"process {other.get('pid')} on {other.get('host')} is putting {folder} together; if it was killed, "
                f"delete {lock} and run this again"
            ) from None
        write_json(lock, own)
    except FileNotFoundError:
        raise BusyError(f"{folder} is gone: another machine has just put the pair set together") from None
    HELD.add(lock)
    try:
        yield
    finally:
        HELD.discard(lock)
        for place in (lock, folder.with_name(folder.name.removesuffix(".partial")) / LOCK):
            place.unlink(missing_ok=True)


def _owner(lock: Path) -> dict[str, Any]:
    """Who made the lock, which may be in the middle of writing it."""
    for _ in range(20):
        try:
            found = read_json(lock)
            return found if isinstance(found, dict) else {}
        except InputError:
            time.sleep(0.1)
    return {}


def _runs(pid: object) -> bool:
    if not isinstance(pid, int) or pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


# ------------------------------------------------------------------------------------------------------------ scores


def choice_of(teach: TeachConfig) -> tuple[list[Reject], dict[str, float]]:
    """Thresholds and weights. Raises InputError for what is none, and for scores that there will not be."""
    given = scores_given(clip=teach.clip, preference=teach.preference, aesthetic=teach.aesthetic)
    return parse_rejects(teach.reject, given), parse_weights(teach.prefer)


def make_scorer(teach: TeachConfig, ask: Ask, device: str) -> Scorer:
    """Raises InputError where a model that scores is not at hand, or does not fit."""
    return Scorer(
        clip=teach.clip,
        preference=teach.preference,
        aesthetic=teach.aesthetic,
        source=ask.source,
        prompt=ask.prompt,
        device=device,
    )


def _key(teach: TeachConfig, ask: Ask) -> str:
    """What scores go by: the same models asked for the same."""
    found = [teach.clip, teach.preference, plain(teach.aesthetic), ask.source, ask.prompt]
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()[:16]


def _kept_scores(folder: Path, key: str) -> dict[str, dict[str, float]]:
    """File → scores, of all that were kept by any machine. A line that was cut off by a kill is not there."""
    found: dict[str, dict[str, float]] = {}
    for path in sorted(folder.glob(f"{SCORES}-*.jsonl")):
        for line in path.read_text("utf-8").splitlines():
            try:
                row = json.loads(line)
                if row["key"] == key:
                    found[row["file"]] = row["scores"]
            except (ValueError, KeyError, TypeError):
                continue
    return found


def _rows(store: Store, photos: Sequence[Photo]) -> list[Candidate]:
    """A row for every attempt that left a picture or a reason, in the photos' order."""
    return [
        Candidate(
            photo=photo.id,
            split=photo.split,
            teacher=attempt.teacher,
            seed=attempt.seed,
            file=attempt.file.relative_to(store.folder.parent).as_posix() if attempt.file.suffix == ".png" else None,
            scores=attempt.measures,
            rejected=attempt.reason,
        )
        for photo in photos
        for attempt in store.attempts(photo.id)
    ]


def score_photos(
    store: Store, photos: Sequence[Photo], photo_set: PhotoSet, teach: TeachConfig, ask: Ask, device: str
) -> list[Candidate]:
    """The candidates of photos, those of use scored. Scores are kept as they are made, so that a rerun goes on.

    Raises InputError where a scoring model is not at hand, or one picture is more than memory holds.
    """
    folder, key, rows = store.folder.parent, _key(teach, ask), _rows(store, photos)
    kept = _kept_scores(folder, key)
    left = [row for row in rows if row.rejected is None and row.file is not None and row.file not in kept]
    if left:
        scorer = make_scorer(teach, ask, device)
        files = {photo.id: photo_set.folder / photo.file for photo in photos}
        name = f"{SCORES}-{socket.gethostname()}-{os.getpid()}.jsonl"
        chunks = [left[i : i + SCORED] for i in range(0, len(left), SCORED)]
        with (folder / name).open("a", encoding="utf-8") as log:
            for chunk in track(chunks, "scores"):
                before = [read_image(files[row.photo]) for row in chunk]
                after = [read_image(folder / str(row.file)) for row in chunk]
                for row, scores in zip(chunk, _scored(scorer, before, after), strict=True):
                    kept[str(row.file)] = scores
                    log.write(json.dumps({"key": key, "file": row.file, "scores": scores}) + "\n")
                log.flush()
    return [row if row.rejected is not None else replace(row, scores=row.scores | kept[str(row.file)]) for row in rows]


def _scored(scorer: Scorer, photos: list[Pixels], edits: list[Pixels]) -> list[dict[str, float]]:
    """The scores; where memory runs out, of halves."""
    try:
        return scorer.score(photos, edits)
    except Exception as error:
        if not is_no_memory(error):
            raise
    give_back_memory()
    if len(edits) == 1:
        raise InputError("the models that score need more memory than there is: name smaller ones, or --device cpu")
    half = len(edits) // 2
    return _scored(scorer, photos[:half], edits[:half]) + _scored(scorer, photos[half:], edits[half:])


# ----------------------------------------------------------------------------------------------------------- the set


def put_together(
    folder: Path,
    prompt: str,
    rows: Sequence[Candidate],
    choice: tuple[Sequence[Reject], Mapping[str, float]],
    photos: Sequence[Photo],
    photo_set: PhotoSet,
) -> list[Candidate]:
    """The pair set of the best candidates, in its folder; its rows. Raises InputError as `write_set` does."""
    rejects, weights = choice
    rows = best(marked(rows, rejects), weights)
    write_set(folder, prompt, rows, photos, photo_set)
    for path in folder.glob(f"{SCORES}-*.jsonl"):
        path.unlink()  # candidates.jsonl has them
    return rows


def marked(rows: Sequence[Candidate], rejects: Sequence[Reject]) -> list[Candidate]:
    """The rows, those that a threshold hits rejected by it."""
    marks = []
    for row in rows:
        hit = next((r for r in rejects if row.rejected is None and r.hits(row)), None)
        marks.append(row if hit is None else replace(row, rejected=str(hit)))
    return marks


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
        rejected_sheet(folder / SHEET, folder, rejected, photo_set)
    else:
        (folder / SHEET).unlink(missing_ok=True)
    if not usable:
        counts = told(reasons(rows))
        raise InputError(f"no training photo has an edit that can be used ({counts}): see {folder / SHEET}")


def _write_images(folder: Path, prompt: str, picked: Mapping[str, Candidate], photos: Sequence[Photo]) -> None:
    images = folder / "images"
    images.mkdir(exist_ok=True)
    lines = []
    for photo in photos:
        row, image = picked.get(photo.id), images / f"{photo.id}.png"
        if row is None or row.file is None:
            continue
        edit = (folder / row.file).read_bytes()
        if not image.exists() or image.read_bytes() != edit:
            write_bytes(image, edit)
        about = {"file_name": f"images/{image.name}", "photo": photo.id, "split": photo.split, "prompt": prompt}
        lines.append(about | {"teacher": row.teacher, "seed": row.seed, "score": row.total, "scores": row.scores})
    write_jsonl(folder / ROWS, lines)
    for image in images.glob("*.png"):
        if image.stem not in picked:
            image.unlink()


def reasons(rows: Sequence[Candidate]) -> dict[str, int]:
    """Why edits are not used, without the numbers → how many, the commonest first."""
    found = Counter(re.sub(r" by [\d.]+ pixels$", "", row.rejected) for row in rows if row.rejected is not None)
    return dict(found.most_common())


def without_edit(rows: Sequence[Candidate], photos: Sequence[Photo]) -> int:
    """Photos that none of the candidates is kept of."""
    picked = {row.photo for row in rows if row.picked}
    return sum(photo.id not in picked for photo in photos)


def told(found: Mapping[str, int]) -> str:
    """Reasons and their counts in one line, the commonest of them by name."""
    first = [f"{count} {reason}" for reason, count in list(found.items())[:TOLD]]
    others = sum(list(found.values())[TOLD:])
    return ", ".join(first + ([f"{others} for {len(found) - TOLD} other reasons"] if others else []))
