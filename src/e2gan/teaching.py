"""Teachers at work: every photo edited by every teacher, each edit judged, the best of them kept (Sec. 5.1).

An edit is a file of its own, written whole, which holds what is known about it: so a run that is killed goes on with
what is there, and several machines can fill one folder. The pair set is put together when no edit is left to be made.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import re
import shutil
import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from e2gan.alignment import Alignment, align, estimate
from e2gan.attempts import Store
from e2gan.candidates import Candidate
from e2gan.choosing import PAGE, read_picks, rejected_sheet, write_page
from e2gan.config import ChooseConfig, PairsConfig, TeachConfig
from e2gan.errors import InputError
from e2gan.files import (
    CONFIG,
    State,
    claim,
    finish,
    make_folder,
    partial_of,
    plain,
    read_json,
    read_jsonl,
    write_bytes,
    write_json,
    write_jsonl,
)
from e2gan.flaws import flaw
from e2gan.images import Pixels, read_image, resize
from e2gan.imports import ROWS
from e2gan.photos import Photo, PhotoSet
from e2gan.progress import track
from e2gan.scores import Reject, Scorer, best, parse_rejects, parse_weights, scores_given
from e2gan.teachers.teacher import Ask, Failed, Teacher

__all__ = ["Taught", "choose_again", "teach"]

FOLDER = "candidates"
INDEX = "candidates.jsonl"
SHEET = "rejected.png"
LOCK = "assembling.json"
PATIENCE = 8  # photos that failed with an exception before any was edited; then the teacher itself is to blame
SCORED = 32  # candidates read and scored at a time
NO_MATTER = ("shard", "batch", "compile", "offload", "attention", "timeout")  # they leave the edits what they are


@dataclass(frozen=True)
class Taught:
    """What became of a run.

    rejected: reason without its numbers → edits. without: photos that no edit is left for. waiting: photos that other
    machines have still to edit, until when there is no pair set. resumed: photos that had edits from a run before.
    """

    rejected: dict[str, int] = field(default_factory=dict)
    without: int = 0
    waiting: int = 0
    resumed: int = 0
    already_done: bool = False

    def notes(self, folder: Path) -> list[str]:
        """What the user should know, a sentence each. folder: the pair set."""
        lines = []
        if self.resumed:
            lines.append(f"{self.resumed} photos had edits from a run before")
        if self.rejected:
            reasons = ", ".join(f"{count} {reason}" for reason, count in self.rejected.items())
            lines.append(f"not used: {reasons}; to look at: {folder / SHEET}")
        if self.without:
            lines.append(f"{self.without} photos have no edit that can be used, and are left out")
        if not self.already_done:
            lines.append(f"to choose by hand: open {folder / PAGE}, then: e2gan choose {folder}")
        return lines


# ----------------------------------------------------------------------------------------------------------- the run


@dataclass(frozen=True)
class Job:
    photo: Photo
    seed: int


def seed_of(seed: int, photo: str, slot: int, attempt: int) -> int:
    """Another for each photo, each of its edits and each retry; the same in every run, on every machine."""
    return int.from_bytes(hashlib.sha256(f"{seed} {photo} {slot} {attempt}".encode()).digest()[:4], "big") >> 1


def jobs_left(teacher: Teacher, photos: Sequence[Photo], config: PairsConfig, store: Store) -> list[Job]:
    """The next attempt of each edit that there should be and is not yet; at most one for each."""
    slots, retries = (1, 0) if teacher.deterministic else (config.teach.seeds, config.teach.retries)
    jobs = []
    for photo in photos:
        seen = store.seen(photo.id, teacher.name)
        for slot in range(slots):
            for attempt in range(retries + 1):
                seed = seed_of(config.seed, photo.id, slot, attempt)
                if seed not in seen:
                    jobs.append(Job(photo, seed))
                elif seen[seed].reason is not None and seen[seed].again:
                    continue
                break
    return jobs


class Run:
    """One teacher on one photo set."""

    def __init__(self, teacher: Teacher, ask: Ask, config: PairsConfig, photo_set: PhotoSet, store: Store) -> None:
        self.teacher, self.ask, self.config, self.photo_set, self.store = teacher, ask, config, photo_set, store
        self.batch = teacher.batch
        self.crashed, self.worked = 0, False

    def all(self, photos: Sequence[Photo]) -> None:
        """Edit all photos, those that failed anew with other seeds, until nothing is left to try."""
        rounds = 0
        while jobs := jobs_left(self.teacher, photos, self.config, self.store):
            self.teacher.load()
            what = f"edits ({self.teacher.name})" if rounds == 0 else f"edits ({self.teacher.name}), other seeds"
            for job, edit in track(self.edits(jobs), what, len(jobs)):
                self.keep(job, edit)
            rounds += 1

    def edits(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Pixels | Failed]]:
        left = list(jobs)
        while left:
            some, left = left[: self.batch], left[self.batch :]
            yield from self.edited(some)

    def edited(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Pixels | Failed]]:
        """The edits of a batch; where it fails, of its halves, so that one photo's failure is its own."""
        photos = [read_image(self.photo_set.folder / job.photo.file) for job in jobs]
        try:
            edits = self.teacher.edit(photos, self.ask, [job.seed for job in jobs])
            self.worked = True
            yield from zip(jobs, edits, strict=True)
            return
        except InputError:
            raise
        except Exception as error:
            reason, no_memory = _reason(error), _is_no_memory(error)
        # Only here, without the exception's frames, is what the batch held given back.
        _give_back_memory()
        if len(jobs) == 1:
            self.crashed += 1
            if not self.worked and self.crashed >= PATIENCE:
                raise InputError(f"{self.teacher.name} failed on each of the first {PATIENCE} photos: {reason}")
            yield jobs[0], Failed(reason, again=not no_memory)
            return
        half = (len(jobs) + 1) // 2
        if no_memory:
            self.batch = half
        left = list(jobs)
        while left:
            size = min(half, self.batch)  # the first half may have found out that even less fits
            yield from self.edited(left[:size])
            left = left[size:]

    def keep(self, job: Job, edit: Pixels | Failed) -> None:
        """Judge an edit and write it down (black, blank, unchanged or misplaced ones too: the sheet shows them)."""
        name, photo = self.teacher.name, job.photo.id
        if isinstance(edit, Failed):
            record = {"reason": edit.reason, "again": edit.again, "measures": {}}
            self.store.keep(photo, name, job.seed, None, record)
            return
        edit, reason, measures = judged(read_image(self.photo_set.folder / job.photo.file), edit, self.config.teach)
        self.store.keep(photo, name, job.seed, edit, {"reason": reason, "again": True, "measures": measures})


def judged(photo: Pixels, edit: Pixels, config: TeachConfig) -> tuple[Pixels, str | None, dict[str, float]]:
    """An edit at its photo's size and place; why it is of no use, or None; what its alignment measured."""
    reason = flaw(photo, edit)
    if edit.shape != photo.shape:
        edit = resize(edit, (photo.shape[0], photo.shape[1]))
    if reason is not None:
        return edit, reason, {}
    edit, found = align(photo, edit) if config.align else (edit, estimate(photo, edit))
    most = max(3.0, min(photo.shape[:2]) / 50) if config.max_residual is None else config.max_residual
    if found.residual > most:
        reason = f"misplaced by {found.residual:.1f} pixels"
    return edit, reason, measures_of(found)


def measures_of(found: Alignment) -> dict[str, float]:
    shift = float((found.dx**2 + found.dy**2) ** 0.5)
    measures = {"shift": shift, "zoom": found.zoom, "residual": found.residual, "agreement": found.agreement}
    return {name: round(float(value), 4) for name, value in measures.items()}


def _reason(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:200]}" if text else type(error).__name__


def _is_no_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or "out of memory" in str(error).lower()


def _give_back_memory() -> None:
    gc.collect()
    try:
        import torch
    except ImportError:
        return
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


# --------------------------------------------------------------------------------------------------------- the stage


def teach(
    config: PairsConfig,
    ask: Ask,
    teachers: Sequence[Teacher],
    photos: Sequence[Photo],
    photo_set: PhotoSet,
    settings: dict[str, Any],
) -> Taught:
    """Edit the photos by the teachers, judge the edits, and make the pair set of the best.

    settings: what else decides the outcome. Raises InputError where a teacher cannot work at all, where no training
    photo has an edit left, and where `out` holds something else. Edits that were made stay for the next run.
    """
    teach = config.teach
    given = scores_given(clip=teach.clip, preference=teach.preference, aesthetic=teach.aesthetic)
    rejects, weights = parse_rejects(teach.reject, given), parse_weights(teach.prefer)
    settings = settings | {
        "teach": {k: v for k, v in plain(teach).items() if k not in NO_MATTER},
        "teachers": [plain(teacher.settings(ask)) for teacher in teachers],
    }
    if claim(config.out, "pairs", settings) is State.DONE:
        return Taught(already_done=True)
    folder = partial_of(config.out)
    store = Store(folder / FOLDER)
    try:
        make_folder(store.folder)
        resumed = sum(any(store.folder.joinpath(photo.id).glob("*--*.png")) for photo in photos)
        part, parts = teach.part()
        for teacher in teachers:
            Run(teacher, ask, config, photo_set, store).all(photos[part::parts])
            if len(teachers) > 1:
                teacher.close()
        left = {job.photo.id for teacher in teachers for job in jobs_left(teacher, photos, config, store)}
        if left:
            return Taught(waiting=len(left), resumed=resumed)
        with assembling(folder):
            rows = marked(_scored(store, photos, photo_set, _scorer(teach, ask, config.device)), rejects)
            rows = best(rows, weights)
            write_set(folder, ask.prompt, rows, photos, photo_set)
            finish(config.out)
    except InputError:
        if teach.part() == (0, 1) and not any(store.folder.rglob("*--*.png")):
            shutil.rmtree(folder, ignore_errors=True)  # nothing to go on from
        raise
    return replace(summary(rows, photos), resumed=resumed)


@contextmanager
def assembling(folder: Path) -> Iterator[None]:
    """Of several machines that finish at once, one alone puts the pair set together.

    Raises InputError where another one is at it. A lock that a killed process of this machine left is taken over.
    """
    lock = folder / LOCK
    own = {"host": socket.gethostname(), "pid": os.getpid()}
    try:
        with lock.open("x") as file:
            file.write(json.dumps(own))
    except FileExistsError:
        other = read_json(lock)
        if other.get("host") != own["host"] or _runs(other.get("pid")):
            raise InputError(
                f"process {other.get('pid')} on {other.get('host')} is putting {folder} together; if it was killed, "
                f"delete {lock} and run this again"
            ) from None
        write_json(lock, own)
    except FileNotFoundError:
        raise InputError(f"{folder} is gone: another machine has just put the pair set together") from None
    try:
        yield
    finally:
        for place in (lock, folder.with_name(folder.name.removesuffix(".partial")) / LOCK):
            place.unlink(missing_ok=True)


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


def _scorer(teach: TeachConfig, ask: Ask, device: str) -> Scorer:
    return Scorer(
        clip=teach.clip,
        preference=teach.preference,
        aesthetic=teach.aesthetic,
        source=ask.source,
        prompt=ask.prompt,
        device=device,
    )


def _scored(store: Store, photos: Sequence[Photo], photo_set: PhotoSet, scorer: Scorer) -> list[Candidate]:
    """A row for every attempt that left a picture or a reason, in the photos' order; scores where it is of use."""
    found = [(photo, attempt) for photo in photos for attempt in store.attempts(photo.id)]
    rows = [
        Candidate(
            photo=photo.id,
            split=photo.split,
            teacher=attempt.teacher,
            seed=attempt.seed,
            file=attempt.file.relative_to(store.folder.parent).as_posix() if attempt.file.suffix == ".png" else None,
            scores=attempt.measures,
            rejected=attempt.reason,
        )
        for photo, attempt in found
    ]
    useful = [i for i, row in enumerate(rows) if row.rejected is None]
    chunks = [useful[i : i + SCORED] for i in range(0, len(useful), SCORED)]
    for chunk in track(chunks, "scores"):
        before = [read_image(photo_set.folder / found[i][0].file) for i in chunk]
        after = [read_image(found[i][1].file) for i in chunk]
        for i, scores in zip(chunk, scorer.score(before, after), strict=True):
            rows[i] = replace(rows[i], scores=rows[i].scores | scores)
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

    Raises InputError where no training photo has a picked one.
    """
    picked = {row.photo: row for row in rows if row.picked}
    if not any(row.split == "train" for row in picked.values()):
        counts = ", ".join(f"{count} {reason}" for reason, count in summary(rows, photos).rejected.items())
        raise InputError(f"no training photo has an edit that can be used ({counts}): see {folder / FOLDER}")
    images = folder / "images"
    images.mkdir(exist_ok=True)
    lines = []
    for photo in photos:
        row, image = picked.get(photo.id), images / f"{photo.id}.png"
        if row is None or row.file is None:
            image.unlink(missing_ok=True)
            continue
        edit = (folder / row.file).read_bytes()
        if not image.exists() or image.read_bytes() != edit:
            write_bytes(image, edit)
        about = {"file_name": f"images/{image.name}", "photo": photo.id, "split": photo.split, "prompt": prompt}
        lines.append(about | {"teacher": row.teacher, "seed": row.seed, "score": row.total, "scores": row.scores})
    write_jsonl(folder / ROWS, lines)
    write_jsonl(folder / INDEX, map(plain, rows))
    write_page(folder, prompt, rows, photo_set)
    rejected = [row for row in rows if row.rejected is not None]
    if rejected:
        rejected_sheet(folder / SHEET, folder, rejected, photo_set)
    else:
        (folder / SHEET).unlink(missing_ok=True)


def summary(rows: Sequence[Candidate], photos: Sequence[Photo]) -> Taught:
    reasons = Counter(re.sub(r" by [\d.]+ pixels$", "", row.rejected) for row in rows if row.rejected is not None)
    picked = {row.photo for row in rows if row.picked}
    return Taught(rejected=dict(reasons.most_common()), without=sum(photo.id not in picked for photo in photos))


# ------------------------------------------------------------------------------------------------------ chosen anew


@dataclass(frozen=True)
class Chosen:
    """A pair set put together anew. picked: photos whose edit a person chose. changed: photos whose edit is another
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
            lines.append("not used: " + ", ".join(f"{count} {reason}" for reason, count in self.rejected.items()))
        if self.without:
            lines.append(f"{self.without} photos have no edit that can be used, and are left out")
        return "\n".join(lines)


def choose_again(config: ChooseConfig) -> Chosen:
    """Choose again among the candidates of a pair set that a teacher made; nothing is edited.

    By hand: picks of choose.html, and candidates whose files were deleted; by other thresholds or weights where they
    are given. Run again, it comes to the same. Raises InputError where the folder is no such pair set, the picks name
    what is not there, or no training photo is left.
    """
    folder = config.pairs
    settings = _taught_settings(folder)
    photo_set = PhotoSet.load(Path(os.path.normpath(folder / settings["photos"])))
    teach = settings["teach"]
    given = scores_given(**{name: teach[name] for name in ("clip", "preference", "aesthetic")})
    rejects = parse_rejects(teach["reject"] if config.reject is None else config.reject, given)
    weights = parse_weights(teach["prefer"] if config.prefer is None else config.prefer)
    old = [Candidate.read(row) for row in read_jsonl(folder / INDEX)]
    picks = read_picks(folder, old, config.picks)
    # What an edit is rejected for by itself stays; what a threshold or a person said is decided anew.
    rows = marked([row.unmarked() for row in old], rejects)
    rows = picks.apply(best(picks.without_deleted(rows), weights))
    photos = [photo for photo in photo_set.photos if photo.id in {row.photo for row in rows}]
    write_set(folder, settings["concept"], rows, photos, photo_set)
    before, after = ({row.photo: row.file for row in found if row.picked} for found in (old, rows))
    found = summary(rows, photos)
    return Chosen(
        folder=folder,
        pairs=len(after),
        picked=len(picks),
        changed=sum(before.get(photo.id) != after.get(photo.id) for photo in photos),
        without=found.without,
        rejected=found.rejected,
    )


def _taught_settings(folder: Path) -> dict[str, Any]:
    """The settings of a pair set that has candidates. Raises InputError for any other folder."""
    if not (folder / CONFIG).is_file():
        raise InputError(f"{folder} is no pair set: it has no {CONFIG} (make one with: e2gan pairs)")
    found = read_json(folder / CONFIG)
    settings = found.get("settings", {})
    if found.get("stage") != "pairs" or "teachers" not in settings or not (folder / INDEX).is_file():
        raise InputError(f"{folder} has no candidates to choose from: only pair sets of teachers beside filters have")
    return settings
