"""Teachers at work: every photo edited by every teacher, each edit judged, the best of them kept (Sec. 5.1).

An edit is a file of its own, written whole, which holds what is known about it: so a run that is killed goes on with
what is there, and several machines can fill one folder. The pair set is put together when no edit is left to be made.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from e2gan.config import PairsConfig, TeachConfig
from e2gan.core.errors import InputError
from e2gan.core.files import plain
from e2gan.core.images import Pixels, read_image, resize
from e2gan.core.memory import give_back_memory, is_no_memory
from e2gan.core.outputs import State, claim, finish, make_folder, partial_of
from e2gan.core.progress import track
from e2gan.data.photos import Photo, PhotoSet
from e2gan.pairs.align import Alignment, align, default_limit, estimate
from e2gan.pairs.attempts import Store
from e2gan.pairs.build_set import (
    CHOICE,
    SHEET,
    BusyError,
    assembling,
    choice_of,
    make_scorer,
    put_together,
    reasons,
    score_photos,
    told,
    without_edit,
)
from e2gan.pairs.failed_edits import flaw
from e2gan.pairs.pick_by_hand import PAGE
from e2gan.teachers.teacher import Ask, Failed, Teacher

__all__ = ["Taught", "teach"]

FOLDER = "candidates"
PATIENCE = 8  # exceptions in a row, after which the teacher itself may be to blame
LONGER = 32  # photos without an edit, and without an exception, before there was any
NO_MATTER = ("shard", "batch", "compile", "offload", "attention", "timeout")  # they leave the edits what they are


@dataclass(frozen=True)
class Taught:
    """What became of a run.

    rejected: reason without its numbers → edits. without: photos that no edit is left for. waiting: photos that other
    machines have still to edit, until when there is no pair set. busy: who else is putting it together. resumed: photos
    that had edits from a run before.
    """

    rejected: dict[str, int] = field(default_factory=dict)
    without: int = 0
    waiting: int = 0
    busy: str = ""
    resumed: int = 0
    already_done: bool = False

    def notes(self, folder: Path) -> list[str]:
        """What the user should know, a sentence each. folder: the pair set."""
        lines = []
        if self.resumed:
            lines.append(f"{self.resumed} photos had edits from a run before")
        if self.rejected:
            lines.append(f"not used: {told(self.rejected)}; to look at: {folder / SHEET}")
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
    suspect: bool = False
    """It failed before, in a run in which everything did."""


def seed_of(seed: int, photo: str, slot: int, attempt: int) -> int:
    """Another for each photo, each of its edits and each retry; the same in every run, on every machine."""
    return int.from_bytes(hashlib.sha256(f"{seed} {photo} {slot} {attempt}".encode()).digest()[:4], "big") >> 1


def jobs_left(teacher: Teacher, photos: Sequence[Photo], config: PairsConfig, store: Store) -> list[Job]:
    """The next attempt of each edit that there should be and is not yet; at most one for each. Suspects come last."""
    slots, retries = (1, 0) if teacher.deterministic else (config.teach.seeds, config.teach.retries)
    jobs = []
    for photo in photos:
        seen = store.seen(photo.id, teacher.name)
        for slot in range(slots):
            for attempt in range(retries + 1):
                seed = seed_of(config.seed, photo.id, slot, attempt)
                if seed not in seen:
                    jobs.append(Job(photo, seed))
                elif seen[seed].suspect:
                    jobs.append(Job(photo, seed, suspect=True))
                elif seen[seed].reason is not None and seen[seed].again:
                    continue
                break
    return sorted(jobs, key=lambda job: job.suspect)


class Run:
    """One teacher on one photo set."""

    def __init__(self, teacher: Teacher, ask: Ask, config: PairsConfig, photo_set: PhotoSet, store: Store) -> None:
        self.teacher, self.ask, self.config, self.photo_set, self.store = teacher, ask, config, photo_set, store
        self.batch = teacher.batch
        self.worked = store.has_edit(teacher.name)
        self.failing: list[tuple[Job, Failed]] = []  # since the last edit; whose fault it is will be seen

    def all(self, photos: Sequence[Photo]) -> None:
        """Edit all photos, those that failed anew with other seeds, until nothing is left to try.

        Raises InputError where the teacher fails on all photos for a while: a service that is down should not be
        written down as its photos' fault. The same command goes on; what fails again then is the photo's own.
        """
        rounds, before = 0, None
        while jobs := jobs_left(self.teacher, photos, self.config, self.store):
            if jobs == before:
                raise RuntimeError(f"{self.teacher.name}: its edits are not found again in {self.store.folder}")
            before = jobs
            self.teacher.load()
            what = f"edits ({self.teacher.name})" if rounds == 0 else f"edits ({self.teacher.name}), other seeds"
            with closing(self.edits(jobs)) as edits:
                for job, edit in track(edits, what, len(jobs)):
                    self.take(job, edit)
            self.blame_photos()
            rounds += 1

    def edits(self, jobs: Sequence[Job]) -> Generator[tuple[Job, Pixels | Failed], None, None]:
        left = list(jobs)
        while left:
            some, left = left[: self.batch], left[self.batch :]
            with closing(self.edited(some)) as found:
                yield from found

    def edited(self, jobs: Sequence[Job]) -> Generator[tuple[Job, Pixels | Failed], None, None]:
        """The edits of a batch; where it fails, of halves of what is left, so that one photo's failure is its own."""
        left = dict(enumerate(jobs))
        try:
            with closing(self.asked(jobs)) as found:
                for i, edit in found:
                    yield left.pop(i), edit
        except InputError:
            raise
        except Exception as error:
            failed, no_memory = Failed(_reason(error), crashed=True), is_no_memory(error)
        else:
            for job in left.values():
                yield job, Failed("the teacher gave no edit")
            return
        # Only here, without the exception's frames, is what the batch held given back.
        give_back_memory()
        some = list(left.values())
        if len(jobs) == 1:
            yield from ((job, replace(failed, again=not no_memory)) for job in some)
            return
        half = (len(jobs) + 1) // 2
        if no_memory:
            self.batch = half
        while some:
            size = min(half, self.batch)  # the first half may have found out that even less fits
            with closing(self.edited(some[:size])) as found:
                yield from found
            some = some[size:]

    def asked(self, jobs: Sequence[Job]) -> Generator[tuple[int, Pixels | Failed], None, None]:
        """What the teacher gives for a batch, by its place in it: one by one where it can, else all at the end."""
        photos = [read_image(self.photo_set.folder / job.photo.file) for job in jobs]
        seeds = [job.seed for job in jobs]
        one_by_one = getattr(self.teacher, "edits", None)
        if one_by_one is not None:
            with closing(one_by_one(photos, self.ask, seeds)) as found:  # a program ends with whoever asked it
                yield from found
            return
        edits = self.teacher.edit(photos, self.ask, seeds)
        if len(edits) != len(jobs):
            raise InputError(f"{self.teacher.name} gave {len(edits)} edits of {len(jobs)} photos")
        yield from enumerate(edits)

    def take(self, job: Job, edit: Pixels | Failed) -> None:
        """Keep an edit. A failure waits where the teacher may be to blame: it never worked, or it crashed."""
        if not isinstance(edit, Failed):
            self.worked = True
            self.blame_photos()
            self.keep(job, edit)
        elif job.suspect or (self.worked and not edit.crashed):
            self.keep(job, edit)
        else:
            self.failing.append((job, edit))
            if len(self.failing) >= (PATIENCE if edit.crashed else LONGER):
                self.give_up()

    def blame_photos(self) -> None:
        """The teacher works, or there is nothing left to see whether it does: who failed meanwhile failed alone."""
        for job, failed in self.failing:
            self.keep(job, failed)
        self.failing.clear()

    def give_up(self) -> None:
        reason, count = self.failing[-1][1].reason, len(self.failing)
        if not self.worked:
            raise InputError(f"{self.teacher.name} failed on each of the first {count} photos: {reason}")
        for job, failed in self.failing:
            self.keep(job, failed, suspect=True)
        raise InputError(
            f"{self.teacher.name} has failed {count} times in a row: {reason}; when that is mended, the same "
            "command goes on"
        )

    def keep(self, job: Job, edit: Pixels | Failed, *, suspect: bool = False) -> None:
        """Judge an edit and write it down (black, blank, unchanged or misplaced ones too: the sheet shows them)."""
        name, photo = self.teacher.name, job.photo.id
        if isinstance(edit, Failed):
            record = {"reason": edit.reason, "again": edit.again, "suspect": suspect, "measures": {}}
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
    most = default_limit(photo.shape) if config.max_residual is None else config.max_residual
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
    photo has an edit left, and where `out` holds something else. Edits that were made stay for the next run, which may
    choose among them by other scores, weights and thresholds.
    """
    teach = config.teach
    choice = choice_of(teach)
    plainly = plain(teach)
    settings = settings | {
        "teach": {k: v for k, v in plainly.items() if k not in (*NO_MATTER, *CHOICE)},
        "choice": {k: plainly[k] for k in CHOICE},
        "teachers": [plain(teacher.settings(ask)) for teacher in teachers],
    }
    if claim(config.out, "pairs", settings, may_change=("choice",)) is State.DONE:
        return Taught(already_done=True)
    folder = partial_of(config.out)
    store = Store(folder / FOLDER)
    try:
        make_folder(store.folder)
        resumed = sum(any(store.folder.joinpath(photo.id).glob("*--*.png")) for photo in photos)
        part, parts = teach.part()
        own = photos[part::parts]
        _edit_all(config, ask, teachers, own, photo_set, store)
        score_photos(store, own, photo_set, teach, ask, config.device)
        left = {job.photo.id for teacher in teachers for job in jobs_left(teacher, photos, config, store)}
        if left:
            return Taught(waiting=len(left), resumed=resumed)
        with assembling(folder):
            rows = score_photos(store, photos, photo_set, teach, ask, config.device)
            rows = put_together(folder, ask.prompt, rows, choice, photos, photo_set)
            finish(config.out)
    except BusyError as error:
        if teach.part() == (0, 1):
            raise
        return Taught(already_done=True) if config.out.exists() else Taught(busy=str(error))
    except InputError:
        if teach.part() == (0, 1) and not any(store.folder.rglob("*--*.png")):
            shutil.rmtree(folder, ignore_errors=True)  # nothing to go on from
        raise
    return Taught(rejected=reasons(rows), without=without_edit(rows, photos), resumed=resumed)


def _edit_all(
    config: PairsConfig,
    ask: Ask,
    teachers: Sequence[Teacher],
    photos: Sequence[Photo],
    photo_set: PhotoSet,
    store: Store,
) -> None:
    """All edits of these photos. A model that scores is looked for before the first of them, not after the last."""
    teach = config.teach
    heavy = teach.clip is not None or teach.preference is not None
    runs = [Run(teacher, ask, config, photo_set, store) for teacher in teachers]
    if heavy and any(jobs_left(teacher, photos, config, store) for teacher in teachers):
        make_scorer(teach, ask, config.device)
        give_back_memory()
    for run in runs:
        run.all(photos)
        if heavy or len(teachers) > 1:  # what comes next wants the memory
            run.teacher.close()
