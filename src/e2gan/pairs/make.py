"""Pair sets: the photos of a set and their edits by one concept, from a teacher or from pairs at hand."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType
from typing import Any

from e2gan.config import PairsConfig
from e2gan.core.errors import InputError
from e2gan.core.files import plain, sha256, write_jsonl
from e2gan.core.images import read_image, write_png
from e2gan.core.outputs import State, claim, finish, partial_of
from e2gan.core.progress import cores, note, track
from e2gan.core.summary import told
from e2gan.data.pair_set import ROWS, SELECTION, PairSet, selected_ids
from e2gan.data.photos import Photo, PhotoSet
from e2gan.pairs import run_teachers as teaching
from e2gan.pairs.attempts import file_name
from e2gan.pairs.import_pairs import import_pairs
from e2gan.teachers import make_teachers
from e2gan.teachers.command import CommandTeacher
from e2gan.teachers.filters import filters
from e2gan.teachers.filters.filters import FilterTeacher
from e2gan.teachers.teacher import Ask, Teacher

__all__ = ["make_pair_sets", "make_pairs", "PairSets", "PairsResult"]

TOO_FEW_FOR_PROCESSES = 48  # below, starting them takes longer than the filters


@dataclass(frozen=True)
class PairsResult:
    """A pair set that was made. skipped: (file, reason); notes: what else to know, a sentence each."""

    folder: Path
    photos: Path
    prompt: str
    teacher: str
    train: int
    val: int
    test: int
    skipped: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    rejected: dict[str, int] = field(default_factory=dict)
    """Why edits were not used → how many."""
    waiting: int = 0
    """Photos that other machines have still to edit; until then there is no pair set."""
    busy: str = ""
    """Who else is putting the pair set together; until then there is none."""
    already_done: bool = False

    def __str__(self) -> str:
        if self.waiting:
            return "\n".join(
                [
                    f'"{self.prompt}" ({self.teacher}): this part is done; {self.waiting} photos are left to the '
                    f"other parts, the last of which makes {self.folder}",
                    *self.notes,
                ]
            )
        if self.busy:
            return f'"{self.prompt}" ({self.teacher}): this part is done; {self.busy}'
        total = self.train + self.val + self.test
        line = f'{total} pairs "{self.prompt}" ({self.teacher}) in {self.folder}: '
        line += f"{self.train} train, {self.val} val, {self.test} test"
        if self.already_done:
            return f"{line}\nmade already from the same photos: nothing to do"
        return "\n".join([line, *self.notes, *told(self.skipped, most=2)])


@dataclass(frozen=True)
class PairSets:
    """The pair sets of a list of concepts."""

    sets: list[PairsResult]

    def __str__(self) -> str:
        return "\n".join(map(str, self.sets))


def pairs_command(config: PairsConfig) -> PairsResult | PairSets:
    """`make_pairs`, or `make_pair_sets` where a list of concepts is named."""
    return make_pairs(config) if config.concepts is None else make_pair_sets(config)


def make_pair_sets(config: PairsConfig) -> PairSets:
    """Make a pair set of each concept in a list, `out`/NAME, by the concept's own teachers, else those of `config`.

    Run again, it goes on. Raises InputError for a list that is none, and for settings that cannot be, before anything
    is made; and as `make_pairs` does, but only after the other concepts were made.
    """
    from e2gan.pairs.concept_lists import read_concepts, shipped_lists

    config.check()
    if config.concepts is None:
        raise InputError("--concepts: name a list of concepts")
    path = shipped_lists().get(config.concepts, Path(config.concepts))
    rows = read_concepts(path)
    own = [
        replace(
            config,
            concept=row.prompt,
            concepts=None,
            out=config.out / row.name,
            teacher=row.teachers or config.teacher,
            teach=replace(config.teach, source=row.source or config.teach.source),
        )
        for row in rows
    ]
    for each, row in zip(own, rows, strict=True):  # all of them looked at before the first is made
        try:
            each.check()
            for teacher in make_teachers(each, row.settings_of(each.teacher)):
                if isinstance(teacher, CommandTeacher):
                    teacher.load()  # only looks for the program
        except InputError as error:
            raise InputError(f"{path}, concept '{row.name}': {error}") from None
    there = config.out.exists()
    made, failed, teachers, key = [], [], [], None
    for each, row in zip(own, rows, strict=True):
        settings = row.settings_of(each.teacher)
        wanted = (each.teacher, settings, each.concept if "filters" in each.teacher else None)
        if wanted != key:  # a model that the next concept needs too stays loaded
            for teacher in teachers:
                teacher.close()
            teachers, key = make_teachers(each, settings), wanted
        try:
            made.append(make_pairs(each, teachers))
        except InputError as error:  # the night is long: the others are made all the same
            note(f"{row.name}: {error}")
            failed.append(f"{row.name} ({error})")
    if failed:
        if not there and not any(config.out.iterdir() if config.out.exists() else ()):
            shutil.rmtree(config.out, ignore_errors=True)
        raise InputError(f"{len(failed)} of {len(rows)} concepts have no pair set: {'; '.join(failed)}")
    return PairSets(made)


def make_pairs(config: PairsConfig, teachers: Sequence[Teacher] | None = None) -> PairsResult:
    """Make a pair set: edit the photos of a set by teachers, or take pairs that the user has.

    teachers: in place of those that `config` names, e.g. a FunctionTeacher of your own. Run again, it goes on from the
    images that are written, or finds all done. Raises InputError for bad settings, an unknown teacher or filter, and
    pairs that do not match.
    """
    config.check()
    if config.concept is None:
        raise InputError("name the edit with --concept (a list of many is for make_pair_sets)")
    if config.photos is not None:
        return _edit_photos(config, config.photos, make_teachers(config) if teachers is None else teachers)
    found = import_pairs(config)
    result = _result(PairSet.load(config.out), already_done=found is None)
    return result if found is None else replace(result, skipped=found.skipped, notes=found.notes)


def _result(pair_set: PairSet, *, already_done: bool = False, notes: Sequence[str] = ()) -> PairsResult:
    splits = [row["split"] for row in pair_set.rows]
    return PairsResult(
        folder=pair_set.folder,
        photos=pair_set.photo_folder,
        prompt=pair_set.prompt,
        teacher=pair_set.teacher,
        train=splits.count("train"),
        val=splits.count("val"),
        test=splits.count("test"),
        notes=list(notes),
        already_done=already_done,
    )


# --------------------------------------------------------------------------------------------------------- the teacher


def _edit_photos(config: PairsConfig, photo_folder: Path, teachers: Sequence[Teacher]) -> PairsResult:
    photo_set = PhotoSet.load(photo_folder)
    photos, selection = _selected(photo_set, config.selection)
    names = [teacher.name for teacher in teachers]
    called = [file_name(name) for name in names]
    if len(set(called)) < len(called):
        raise InputError(f"two teachers are called {max(called, key=called.count)}: give them different names")
    only = teachers[0] if len(teachers) == 1 and isinstance(teachers[0], FilterTeacher) else None
    prompt = _prompt(config, only)
    settings = {k: v for k, v in plain(config).items() if k not in ("teach", "device", "concepts")} | {
        "concept": prompt,
        "teacher": ", ".join(names),
        "photos": os.path.relpath(photo_folder.resolve(), config.out.resolve()),
        "size": photo_set.size,
        "photos_sha256": sha256(photo_folder / "photos.jsonl"),
        "selection_sha256": selection,
    }
    notes = (
        [f"of the training photos, only those in {config.selection or photo_folder / SELECTION}"] if selection else []
    )
    if only is not None:
        if config.teach.part()[0] > 0 and not config.out.exists():  # it is quick: the first machine does it all
            return _unfinished(config.out, photo_folder, settings, waiting=len(photos))
        return _filter(config.out, only, photo_set, photos, settings, notes)
    taught = teaching.teach(config, Ask(prompt, config.teach.source), teachers, photos, photo_set, settings)
    if taught.waiting or taught.busy:
        return _unfinished(config.out, photo_folder, settings, waiting=taught.waiting, busy=taught.busy)
    result = _result(PairSet.load(config.out), already_done=taught.already_done)
    return replace(result, notes=notes + taught.notes(config.out), rejected=taught.rejected)


def _unfinished(out: Path, photos: Path, settings: dict[str, Any], waiting: int = 0, busy: str = "") -> PairsResult:
    """What one of several machines has to tell, while the pair set is not there yet."""
    return PairsResult(out, photos, settings["concept"], settings["teacher"], 0, 0, 0, waiting=waiting, busy=busy)


def _prompt(config: PairsConfig, only: FilterTeacher | None) -> str:
    """The user's words; those of the filter where it was named by its own."""
    if only is not None and config.teacher == ("filters",):
        return only.filter.prompt
    return " ".join((config.concept or "").split())


def _filter(
    out: Path,
    teacher: FilterTeacher,
    photo_set: PhotoSet,
    photos: Sequence[Photo],
    settings: dict[str, Any],
    notes: list[str],
) -> PairsResult:
    """The edits of a filter alone: quick, always whole, and nothing to choose from."""
    state = claim(out, "pairs", settings)
    if state is State.DONE:
        return _result(PairSet.load(out), already_done=True)
    folder = partial_of(out)
    try:
        (folder / "images").mkdir(exist_ok=True)
        left = [photo for photo in photos if not (folder / _image(photo)).exists()]
        jobs = [(teacher.filter.name, photo_set.folder / photo.file, folder / _image(photo)) for photo in left]
        for _ in track(_run(jobs), f"edits ({teacher.filter.name})", len(jobs)):
            pass
        about = {"prompt": settings["concept"], "teacher": teacher.name, "seed": settings["seed"], "score": None}
        rows = [{"file_name": _image(photo), "photo": photo.id, "split": photo.split} | about for photo in photos]
        write_jsonl(folder / ROWS, rows)
        finish(out)
    except Exception:  # not Ctrl-C: a run that was stopped goes on, one that failed leaves nothing half-written
        shutil.rmtree(folder, ignore_errors=True)
        raise
    if state is State.RESUME:
        notes = [f"{len(photos) - len(left)} of them were there from a run that was stopped", *notes]
    return _result(PairSet.load(out), notes=notes)


def _image(photo: Photo) -> str:
    return f"images/{photo.id}.png"


def _selected(photo_set: PhotoSet, chosen: Path | None) -> tuple[list[Photo], str | None]:
    """The photos to edit, and the hash of the selection where there is one. It narrows the training photos only."""
    path = chosen or photo_set.folder / SELECTION
    if chosen is None and not path.exists():
        return photo_set.photos, None
    keep = selected_ids(path)
    if not any(photo.id in keep for photo in photo_set.split("train")):
        raise InputError(f"{path} names none of the training photos of {photo_set.folder}: write it anew, or delete it")
    return [photo for photo in photo_set.photos if photo.split != "train" or photo.id in keep], sha256(path)


Job = tuple[str, Path, Path]  # filter, photo, edit to write


def _edit(job: Job) -> None:
    name, photo, edit = job
    write_png(edit, filters.apply(filters.FILTERS[name], read_image(photo)))


def _run(jobs: Sequence[Job]) -> Iterator[None]:
    """Do the jobs: in several processes where that pays, since a filter holds Python's lock much of its time."""
    if min(cores(), len(jobs)) < 2 or len(jobs) < TOO_FEW_FOR_PROCESSES:
        yield from map(_edit, jobs)
        return
    done = 0
    pool = ProcessPoolExecutor(min(cores(), 16), get_context("spawn"), initializer=_start)
    try:
        with _no_main():
            results = pool.map(_edit, jobs, chunksize=4)
        for _ in results:
            done += 1
            yield
    except BrokenProcessPool:  # a process was killed, perhaps for want of memory
        yield from map(_edit, jobs[done:])
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _no_main() -> Iterator[None]:
    """While processes start: keeps them from running the caller's script again, which they need nothing of.

    And from Ctrl-C, which is the parent's to answer: they inherit its mask, and what came meanwhile waits for it.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    masked = hasattr(signal, "pthread_sigmask")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if masked else set()
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        if masked:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start() -> None:
    from threadpoolctl import threadpool_limits

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    threadpool_limits(1)  # one process a core already
