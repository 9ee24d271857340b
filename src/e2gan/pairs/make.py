"""The stage `pairs`: the photos of a set and their edits by one concept, from teachers or from pairs at hand."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from e2gan.config import PairsConfig, TeachConfig
from e2gan.config.schemas import PairRow
from e2gan.core.errors import InputError
from e2gan.core.files import plain, read_jsonl
from e2gan.core.identity import hash_of_named
from e2gan.core.locks import only_writer
from e2gan.core.names import file_key
from e2gan.core.outputs import State, claim, partial_of
from e2gan.core.progress import note
from e2gan.core.record import add_facts
from e2gan.core.summary import skipped_lines
from e2gan.data.pair_set import ROWS, SIDED, PairSet, PhotosToEdit, note_side
from e2gan.pairs.blocks import only_filter, take_blocks
from e2gan.pairs.candidates import file_name
from e2gan.pairs.choice import FORMER, parse_choice
from e2gan.pairs.concept_lists import ConceptList, read_list
from e2gan.pairs.import_pairs import import_pairs
from e2gan.pairs.import_unpaired import import_unpaired
from e2gan.pairs.outcome import Outcome
from e2gan.pairs.run_filter import run_filter
from e2gan.pairs.run_teachers import recall_written, run_teachers
from e2gan.pairs.scores import ScoreModels
from e2gan.teachers import make_teachers
from e2gan.teachers.command import PREFIX, CommandTeacher
from e2gan.teachers.filters.filters import FilterTeacher
from e2gan.teachers.teacher import Ask, Teacher

CHOICE = ("clip", "preference", "prefer", "reject")  # settings that leave the edits what they are
NOT_DECISIVE = ("batch", "compile", "offload", "attention", "timeout")  # they do not change the edits


@dataclass(frozen=True, kw_only=True)
class PairsResult(Outcome):
    """A pair set that was made."""

    folder: Path
    photos: Path
    prompt: str
    teacher: str
    train: int
    val: int
    test: int

    def __str__(self) -> str:
        total = self.train + self.val + self.test
        what = "pictures of the other kind" if self.teacher == "unpaired" else "pairs"
        line = f'{total} {what} "{self.prompt}" ({self.teacher}) in {self.folder}: '
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
    return make_pair_sets(config) if config.concepts is not None else make_pairs(config)


def make_pairs(
    config: PairsConfig, teachers: Sequence[Teacher] | None = None, blocks: Sequence[Path] = ()
) -> PairsResult:
    """Make a pair set: edit the photos of a set by teachers, or take pairs that the user has.

    teachers: in place of those that `config` names, e.g. a FunctionTeacher of your own. blocks: folders of
    `pairs.blocks.edit_block`, whose edits are taken instead of being made again. Run again, it goes on from the
    images that are written, or finds all done. Raises InputError for bad settings, an unknown teacher or filter, and
    pairs that do not match.
    """
    PairsConfig.checked(config)
    prompt = " ".join((config.concept or "").split())
    if not prompt:
        raise InputError("name the edit with --concept (a list of many is for make_pair_sets)")
    settings = plain(config) | {"concept": prompt}
    del settings["run_commands"], settings["sided"]  # they decide nothing of the edits
    if config.teach.prefer == TeachConfig().prefer:
        # The default had a weight of a score that is gone: without it, older sets would count as made otherwise.
        settings["teach"]["prefer"] += [f"{FORMER}=1"]
    if config.photos is not None:
        outcome = _edit_photos(config, config.photos, teachers, blocks, settings)
    elif config.unpaired or config.unaligned is not None:
        outcome = import_unpaired(config, settings)
    else:
        outcome = import_pairs(config, settings)
    # A filter that says so in this version leaves what an earlier one made as it was: trainings on it are the same.
    own = [teacher for teacher in teachers or () if not isinstance(teacher, FilterTeacher)]
    if outcome.already_done and (config.sided or has_side(own)):
        _note_side(config.out)
    rows = read_jsonl(config.out / ROWS, PairRow, finite=False)
    splits = [row["split"] for row in rows]
    return PairsResult(
        folder=config.out,
        photos=Path(os.path.normpath(config.out / settings["photos"])),
        prompt=settings["concept"],
        teacher=settings["teacher"],
        train=splits.count("train"),
        val=splits.count("val"),
        test=splits.count("test"),
        **vars(outcome),
    )


def _note_side(folder: Path) -> None:
    """In a set that was made already. Raises BusyError where another process writes it."""
    if PairSet.load(folder).sided:
        return
    try:
        with only_writer(folder):
            add_facts(folder, {SIDED: True})
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        why = error.strerror or error
        raise InputError(f"--sided: cannot be noted in {folder} ({why}): train with --no-flip") from None


def _scorers(given: Mapping[str, Any]) -> dict[str, str]:
    """Hashes of the models that score, where they are folders: other weights choose anew."""
    hashes = {f"{name}_sha256": hash_of_named(given[name]) for name in ("clip", "preference")}
    return {name: found for name, found in hashes.items() if found is not None}


def _named_by(teachers: Sequence[Teacher]) -> list[str] | None:
    """Hashes of the folders that teachers load: models on disk."""
    names = [name for teacher in teachers for name in getattr(teacher, "sources", tuple)()]
    return [found for name in names if (found := hash_of_named(name)) is not None] or None


def edits_identity(config: PairsConfig, teachers: Sequence[Teacher]) -> dict[str, Any]:
    """What decides a pair set beside its photos: the prompt, the teachers, what they read, and how edits are chosen.

    Raises InputError where a teacher cannot say so: a filter that there is not, a folder of weights that is none.
    """
    ask, given = Ask(" ".join((config.concept or "").split()), config.teach.source), plain(config.teach)
    parse_choice(config.teach.reject, config.teach.prefer, given)
    return {
        "concept": ask.prompt,
        "seed": config.seed,
        "teach": {name: value for name, value in given.items() if name not in NOT_DECISIVE},
        "teachers": [teacher.settings(ask) for teacher in teachers],
        "named": [teacher.name for teacher in teachers],
        "sources": _named_by(teachers),
        "scorers": _scorers(given),
    }


def has_side(teachers: Sequence[Teacher]) -> bool:
    """Whether an edit of any of them has a side, such as a sun, so that mirrored pairs contradict it."""
    return any(getattr(teacher, "sided", False) for teacher in teachers)


def _edit_photos(
    config: PairsConfig,
    photo_folder: Path,
    teachers: Sequence[Teacher] | None,
    blocks: Sequence[Path],
    settings: dict[str, Any],
) -> Outcome:
    """By a filter alone, or by teachers. `settings` becomes that of config.json."""
    teach, out = config.teach, config.out
    teachers = make_teachers(config) if teachers is None else teachers
    chosen = PhotosToEdit.load(photo_folder, config.selection)
    only = only_filter(teachers)
    if only is not None and config.teachers == ("filters",):
        settings["concept"] = only.filter.prompt  # the filter was named by its own name or prompt
    names, files = [t.name for t in teachers], [file_key(file_name(t.name)) for t in teachers]
    if len(set(files)) < len(files):
        raise InputError(f"two teachers are called {max(files, key=files.count)}: give them different names")
    del settings["device"], settings["concepts"]
    given = settings.pop("teach")
    settings |= {
        "teacher": ", ".join(names),
        "photos": os.path.relpath(chosen.photo_set.folder.resolve(), out.resolve()),
        "size": chosen.photo_set.size,
        **chosen.hashes,
    }
    ask, choice = Ask(settings["concept"], teach.source), parse_choice(teach.reject, teach.prefer, given)
    scorers = _scorers(given) if only is None else {}
    if only is None:
        recall_written(out, teachers)
        settings |= {
            "teach": {name: value for name, value in given.items() if name not in (*NOT_DECISIVE, *CHOICE)},
            "choice": {name: given[name] for name in CHOICE} | scorers,
            "teachers": [teacher.settings(ask) for teacher in teachers],
        }
    reads = chosen.reads | {"teachers": _named_by(teachers)}
    with claim(out, "pairs", settings, reads=reads, may_change=("choice",)) as state:
        if state is not State.DONE:
            take_blocks(blocks, partial_of(out))
            note_side(partial_of(out), config.sided or has_side(teachers))
        if state is State.DONE:
            outcome = Outcome(already_done=True)
        elif only is None:
            models = ScoreModels(
                prompt=ask.prompt,
                source=ask.source,
                clip=teach.clip,
                preference=teach.preference,
                content=tuple(scorers.values()),
            )
            outcome = run_teachers(out, teachers, ask, chosen, choice, teach, models, config.seed, config.device)
        else:
            resumes = state is State.RESUME
            outcome = run_filter(out, only.filter.name, ask.prompt, config.seed, chosen, resumes=resumes)
    if chosen.selection is None:
        return outcome
    return replace(outcome, notes=[f"of the training photos, only those in {chosen.selection}", *outcome.notes])


def plan_pair_sets(config: PairsConfig) -> tuple[ConceptList, list[PairsConfig]]:
    """The list that `config` names, and the settings of each concept's pair set, `out`/NAME. Nothing is made.

    Raises InputError for a list that is none, and for settings that cannot be.
    """
    PairsConfig.checked(config)
    if config.concepts is None:
        raise InputError("--concepts: name a list of concepts")
    concepts = read_list(config.concepts)
    configs = [
        replace(
            config,
            concept=row.prompt,
            concepts=None,
            out=config.out / row.name,
            teacher=row.teachers if row.own_teachers else config.teacher or row.teachers or None,
            sided=config.sided or row.sided,
            teach=replace(config.teach, source=row.source or config.teach.source),
        )
        for row in concepts.concepts
    ]
    for one, row in zip(configs, concepts.concepts, strict=True):
        try:
            one.check()
            programs = [name for name in one.teachers if name.startswith(PREFIX) and name not in (config.teacher or ())]
            if programs and not config.run_commands:
                raise InputError(
                    f"it would run a program ({programs[0]}), which is not done because a file says so: if you trust "
                    "it, --run-commands"
                )
            for teacher in make_teachers(one, row.settings_of(one.teachers)):
                if isinstance(teacher, CommandTeacher):
                    teacher.load()  # only looks for the program
        except InputError as error:
            raise InputError(f"{concepts.path}, concept '{row.name}': {error}") from None
    return concepts, configs


def make_pair_sets(config: PairsConfig) -> PairSets:
    """Make a pair set of each concept in a list, `out`/NAME.

    The teachers are the concept's own; else those of `config`, where it names any; else the list's defaults. Run again,
    it goes on. Raises InputError for a list that is none, and for settings that cannot be, before anything is made; and
    as `make_pairs` does, but only after the other concepts were made.
    """
    concepts, configs = plan_pair_sets(config)
    rows = concepts.concepts
    for line in concepts.about:
        note(line)
    there = config.out.exists()
    made, failed, teachers, loaded = [], [], [], None
    for one, row in zip(configs, rows, strict=True):
        settings = row.settings_of(one.teachers)
        wanted = (one.teachers, settings, one.concept if "filters" in one.teachers else None)
        if wanted != loaded:  # a model that the next concept needs too stays loaded
            for teacher in teachers:
                teacher.close()
            teachers, loaded = make_teachers(one, settings), wanted
        try:
            made.append(make_pairs(one, teachers))
        except InputError as error:  # one concept that fails does not stop the others
            note(f"{row.name}: {error}")
            failed.append(f"{row.name} ({error})")
    if failed:
        if not there and not any(config.out.iterdir() if config.out.exists() else ()):
            shutil.rmtree(config.out, ignore_errors=True)
        raise InputError(f"{len(failed)} of {len(rows)} concepts have no pair set: {'; '.join(failed)}")
    return PairSets(made)
