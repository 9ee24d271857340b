"""The stage `pairs`: the photos of a set and their edits by one concept, from teachers or from pairs at hand."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from e2gan.config import PairsConfig
from e2gan.core.errors import InputError
from e2gan.core.files import plain
from e2gan.core.outputs import State, claim, partial_of
from e2gan.core.progress import note
from e2gan.core.summary import count_reasons, skipped_lines
from e2gan.data.pair_set import PairSet, PhotosToEdit
from e2gan.data.photos import Photo
from e2gan.pairs.build_set import SHEET, BusyError, build_set, reasons, score_candidates, without_edit
from e2gan.pairs.candidates import CandidateFolder, file_name
from e2gan.pairs.choice import parse_choice, stored_weights
from e2gan.pairs.concept_lists import read_concepts, shipped_lists
from e2gan.pairs.import_pairs import import_pairs
from e2gan.pairs.outcome import Outcome
from e2gan.pairs.pick_by_hand import PAGE
from e2gan.pairs.run_filter import run_filter
from e2gan.pairs.run_teachers import TeacherRun
from e2gan.pairs.scores import EditScores
from e2gan.teachers import make_teachers
from e2gan.teachers.command import CommandTeacher
from e2gan.teachers.filters.filters import FilterTeacher
from e2gan.teachers.teacher import Ask, Teacher

__all__ = ["make_pair_sets", "make_pairs", "PairSets", "PairsResult"]

CHOICE = ("clip", "preference", "prefer", "reject")  # settings that leave the edits what they are
NO_MATTER = ("shard", "batch", "compile", "offload", "attention", "timeout")  # and those that leave the set what it is


@dataclass(frozen=True, kw_only=True)
class PairsResult(Outcome):
    """A pair set that was made, or one that other machines have still to work on: then without pairs yet."""

    folder: Path
    photos: Path
    prompt: str
    teacher: str
    train: int = 0
    val: int = 0
    test: int = 0

    def __str__(self) -> str:
        if self.waiting:
            return (
                f'"{self.prompt}" ({self.teacher}): this part is done; {self.waiting} photos are left to the other '
                f"parts, the last of which makes {self.folder}"
            )
        if self.busy:
            return f'"{self.prompt}" ({self.teacher}): this part is done; {self.busy}'
        total = self.train + self.val + self.test
        line = f'{total} pairs "{self.prompt}" ({self.teacher}) in {self.folder}: '
        line += f"{self.train} train, {self.val} val, {self.test} test"
        if self.already_done:
            return f"{line}\nmade already from the same photos: nothing to do"
        return "\n".join([line, *self.notes, *skipped_lines(self.skipped, most=2)])


@dataclass(frozen=True)
class PairSets:
    """The pair sets of a list of concepts."""

    sets: list[PairsResult]

    def __str__(self) -> str:
        return "\n".join(map(str, self.sets))


def pairs_command(config: PairsConfig) -> PairsResult | PairSets:
    """`make_pairs`, or `make_pair_sets` where a list of concepts is named."""
    return make_pairs(config) if config.concepts is None else make_pair_sets(config)


def make_pairs(config: PairsConfig, teachers: Sequence[Teacher] | None = None) -> PairsResult:
    """Make a pair set: edit the photos of a set by teachers, or take pairs that the user has.

    teachers: in place of those that `config` names, e.g. a FunctionTeacher of your own. Run again, it goes on from the
    images that are written, or finds all done. Raises InputError for bad settings, an unknown teacher or filter, and
    pairs that do not match.
    """
    config.check()
    if config.concept is None:
        raise InputError("name the edit with --concept (a list of many is for make_pair_sets)")
    settings = plain(config) | {"concept": " ".join(config.concept.split())}
    settings["teach"]["prefer"] = stored_weights(config.teach.prefer)
    if config.photos is None:
        outcome = import_pairs(config, settings)
    else:
        teachers = make_teachers(config) if teachers is None else teachers
        only = teachers[0] if len(teachers) == 1 and isinstance(teachers[0], FilterTeacher) else None
        if only is not None and config.teacher == ("filters",):
            settings["concept"] = only.filter.prompt  # the filter was named by its own name or prompt
        chosen = PhotosToEdit.load(config.photos, config.selection)
        settings |= {
            "teacher": ", ".join(teacher.name for teacher in teachers),
            "photos": os.path.relpath(config.photos.resolve(), config.out.resolve()),
            "size": chosen.photo_set.size,
            **chosen.hashes,
        }
        del settings["device"], settings["concepts"]
        if only is None:
            outcome = _by_teachers(config, teachers, chosen, settings)
        else:
            outcome = _by_filter(config, only, chosen, settings)
        if outcome.waiting or outcome.busy:
            facts = {"folder": config.out, "photos": config.photos, "prompt": settings["concept"]}
            return PairsResult(**facts, teacher=settings["teacher"], waiting=outcome.waiting, busy=outcome.busy)
        if chosen.selection is not None:
            narrowed = f"of the training photos, only those in {chosen.selection}"
            outcome = replace(outcome, notes=[narrowed, *outcome.notes])
    pair_set = PairSet.load(config.out)
    splits = [row["split"] for row in pair_set.rows]
    return PairsResult(
        folder=pair_set.folder,
        photos=pair_set.photo_folder,
        prompt=pair_set.prompt,
        teacher=pair_set.teacher,
        train=splits.count("train"),
        val=splits.count("val"),
        test=splits.count("test"),
        **vars(outcome),
    )


def _by_filter(config: PairsConfig, teacher: FilterTeacher, chosen: PhotosToEdit, settings: dict[str, Any]) -> Outcome:
    if config.teach.part()[0] > 0 and not config.out.exists():  # it is quick: the first machine does it all
        return Outcome(waiting=len(chosen.photos))
    settings = {name: value for name, value in settings.items() if name != "teach"}
    return run_filter(config.out, teacher.filter.name, chosen.photos, chosen.photo_set.folder, settings)


def _by_teachers(
    config: PairsConfig, teachers: Sequence[Teacher], chosen: PhotosToEdit, settings: dict[str, Any]
) -> Outcome:
    """Edit the photos by every teacher, and build the pair set of the best edits.

    Raises InputError where a teacher cannot work at all, where no training photo has an edit left, and where `out`
    holds something else. Edits that were made stay for the next run, which may choose among them by other scores,
    weights and thresholds.
    """
    names = [file_name(teacher.name) for teacher in teachers]
    if len(set(names)) < len(names):
        raise InputError(f"two teachers are called {max(names, key=names.count)}: give them different names")
    teach, out, ask = config.teach, config.out, Ask(settings["concept"], config.teach.source)
    models = {"clip": teach.clip, "preference": teach.preference}
    choice = parse_choice(teach.reject, teach.prefer, models)
    stored = settings["teach"]
    settings |= {
        "teach": {name: value for name, value in stored.items() if name not in (*NO_MATTER, *CHOICE)},
        "choice": {name: stored[name] for name in CHOICE},
        "teachers": [plain(teacher.settings(ask)) for teacher in teachers],
    }
    if claim(out, "pairs", settings, may_change=("choice",)) is State.DONE:
        return Outcome(already_done=True)
    photos, photo_set = chosen.photos, chosen.photo_set
    part, parts = teach.part()
    candidates = CandidateFolder(partial_of(out) / "candidates")
    scores = EditScores(prompt=ask.prompt, source=ask.source, device=config.device, **models)
    runs = [TeacherRun(teacher, ask, photo_set.folder, candidates, teach, config.seed) for teacher in teachers]
    try:
        resumed = sum(candidates.has_edit(photo=photo.id) for photo in photos)
        _edit(runs, photos[part::parts], scores)
        if parts > 1:
            score_candidates(candidates, scores, photos[part::parts], photo_set)
            if waiting := {job.photo.id for run in runs for job in run.missing(photos)}:
                return Outcome(waiting=len(waiting))
        rows = build_set(out, ask.prompt, candidates, choice, scores, photos, photo_set)
    except BusyError as error:
        if parts == 1:
            raise
        return Outcome(already_done=True) if out.exists() else Outcome(busy=str(error))
    except InputError:
        if parts == 1 and not candidates.has_edit():
            shutil.rmtree(partial_of(out), ignore_errors=True)  # nothing to go on from
        raise
    rejected, without = reasons(rows), without_edit(rows, photos)
    notes = [
        resumed and f"{resumed} photos had edits from a run before",
        rejected and f"not used: {count_reasons(rejected)}; to look at: {out / SHEET}",
        without and f"{without} photos have no edit that can be used, and are left out",
        f"to choose by hand: open {out / PAGE}, then: e2gan choose {out}",
    ]
    return Outcome(rejected=rejected, notes=[line for line in notes if line])


def _edit(runs: Sequence[TeacherRun], photos: Sequence[Photo], scores: EditScores) -> None:
    """All edits of these photos. A model that scores is looked for before the first of them, not after the last."""
    heavy = any(scores.names.values())
    if heavy and any(run.missing(photos) for run in runs):
        scores.load()
        scores.close()
    for run in runs:
        run.edit_all(photos)
        if heavy or len(runs) > 1:  # what comes next wants the memory
            run.teacher.close()


# --------------------------------------------------------------------------------------------------- many concepts


def make_pair_sets(config: PairsConfig) -> PairSets:
    """Make a pair set of each concept in a list, `out`/NAME, by the concept's own teachers, else those of `config`.

    Run again, it goes on. Raises InputError for a list that is none, and for settings that cannot be, before anything
    is made; and as `make_pairs` does, but only after the other concepts were made.
    """
    config.check()
    if config.concepts is None:
        raise InputError("--concepts: name a list of concepts")
    path = shipped_lists().get(config.concepts, Path(config.concepts))
    rows = read_concepts(path)
    configs = [
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
    for one, row in zip(configs, rows, strict=True):  # all of them looked at before the first is made
        try:
            one.check()
            for teacher in make_teachers(one, row.settings_of(one.teacher)):
                if isinstance(teacher, CommandTeacher):
                    teacher.load()  # only looks for the program
        except InputError as error:
            raise InputError(f"{path}, concept '{row.name}': {error}") from None
    there = config.out.exists()
    made, failed, teachers, loaded = [], [], [], None
    for one, row in zip(configs, rows, strict=True):
        settings = row.settings_of(one.teacher)
        wanted = (one.teacher, settings, one.concept if "filters" in one.teacher else None)
        if wanted != loaded:  # a model that the next concept needs too stays loaded
            for teacher in teachers:
                teacher.close()
            teachers, loaded = make_teachers(one, settings), wanted
        try:
            made.append(make_pairs(one, teachers))
        except InputError as error:  # the night is long: the others are made all the same
            note(f"{row.name}: {error}")
            failed.append(f"{row.name} ({error})")
    if failed:
        if not there and not any(config.out.iterdir() if config.out.exists() else ()):
            shutil.rmtree(config.out, ignore_errors=True)
        raise InputError(f"{len(failed)} of {len(rows)} concepts have no pair set: {'; '.join(failed)}")
    return PairSets(made)
