"""Runs the teachers: every teacher edits every photo, each edit is checked, and the best one is kept (Sec. 5.1)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from e2gan.config import TeachConfig
from e2gan.config.schemas import Written
from e2gan.core.errors import InputError
from e2gan.core.files import CONFIG, read_json, write_json
from e2gan.core.images import Pixels, read_image, resize
from e2gan.core.machine import raise_machine_fault
from e2gan.core.memory import give_back_memory, is_no_memory
from e2gan.core.outputs import discard, partial_of
from e2gan.core.progress import track
from e2gan.core.schemas import StageConfig
from e2gan.data.pair_set import PhotosToEdit
from e2gan.data.photos import Photo
from e2gan.pairs.align import align, default_limit, estimate
from e2gan.pairs.build_set import build_set
from e2gan.pairs.candidates import CandidateFolder, Job
from e2gan.pairs.choice import Choice
from e2gan.pairs.failed_edits import flaw
from e2gan.pairs.outcome import Outcome
from e2gan.pairs.scores import EditScores, ScoreModels
from e2gan.teachers.command import CommandTeacher
from e2gan.teachers.teacher import Ask, Failed, Teacher

FOLDER = "candidates"
WRITTEN = "written"  # in config.json, beside the settings
Answer = tuple[Job, Pixels, Pixels | Failed]  # the job, its photo, the edit
IN_A_ROW = 8  # exceptions, after which it is the teacher that fails, not the photos


def run_teachers(
    out: Path,
    teachers: Sequence[Teacher],
    ask: Ask,
    chosen: PhotosToEdit,
    choice: Choice,
    teach: TeachConfig,
    models: ScoreModels,
    seed: int,
    device: str,
) -> Outcome:
    """Edit photos by every teacher, and build the pair set `out` of the best edits, in its partial folder.

    models: what scores the edits.
    Raises InputError where a teacher cannot work at all, and where no training photo has an edit left. Edits that were
    made stay for the next run, which may choose among them by other scores, weights and thresholds.
    """
    candidates = CandidateFolder(partial_of(out) / FOLDER)
    runs = [TeacherRun(teacher, ask, chosen.photo_set.folder, candidates, teach, seed) for teacher in teachers]
    photos = chosen.photos
    heavy = models.clip is not None or models.preference is not None
    try:
        resumed = sum(candidates.has_edit(photo=photo.id) for photo in photos)
        if heavy and any(run.missing(photos) for run in runs):
            EditScores(models, device)  # a missing model is reported before the first edit, not after the last
            give_back_memory()
        for run in runs:
            run.edit_all(photos)
            if len(runs) > 1 or heavy:  # the next teacher, or the scores, need the memory
                run.teacher.close()
        outcome = build_set(out, ask.prompt, candidates, choice, models, device, photos, chosen.photo_set)
    except InputError:
        if not candidates.has_edit():
            discard(partial_of(out))  # nothing to go on from
        raise
    resumption = [f"{resumed} photos had edits from a run before"] if resumed else []
    return replace(outcome, notes=[*resumption, *outcome.notes])


@dataclass
class TeacherRun:
    """One teacher on the photos of a set. An edit is a file of its own, written whole: a run that is killed goes on
    with what is there, and edits that were made elsewhere can be laid beside them."""

    teacher: Teacher
    ask: Ask
    photo_folder: Path
    candidates: CandidateFolder
    teach: TeachConfig
    seed: int

    def __post_init__(self) -> None:
        self.batch, self.answered = self.teacher.batch, 0

    def missing(self, photos: Sequence[Photo]) -> list[Job]:
        """What is still to be edited: the next seed of each edit that is not there yet."""
        edits, retries = (1, 0) if self.teacher.deterministic else (self.teach.seeds, self.teach.retries)
        return self.candidates.missing(photos, self.teacher.name, self.seed, edits=edits, retries=retries)

    def edit_all(self, photos: Sequence[Photo]) -> None:
        """Edit all photos, those that failed anew with other seeds, until nothing is left to try.

        Raises InputError where the teacher raises exceptions on eight photos in a row, which are not recorded: a
        service that is down is not its photos' fault, and the same command tries them again. What a retry raises is
        always the photo's own: there, photos that failed before follow one another.
        """
        what, before = f"edits ({self.teacher.name})", None
        while jobs := self.missing(photos):
            if jobs == before:
                raise RuntimeError(f"{self.teacher.name}: its edits are not found again in {self.candidates.folder}")
            self.teacher.load()
            self.answered = 0
            answers = self._without_streaks(self._answers(jobs))
            for job, photo, edit in track(answers, what, len(jobs), lambda: self.answered):
                self._keep(job, photo, edit)
            before, what = jobs, f"edits ({self.teacher.name}), other seeds"

    def _without_streaks(self, answers: Iterable[Answer]) -> Iterator[Answer]:
        """The answers; exceptions in a row only when another answer, or the end, comes before there are too many."""
        crashes: list[Answer] = []
        for answer in answers:
            job, _, edit = answer
            if isinstance(edit, Failed) and edit.crashed and job.attempt == 0:
                crashes.append(answer)
                if len(crashes) == IN_A_ROW:
                    raise InputError(self._ended_by(edit.reason))
            else:
                yield from (*crashes, answer)
                crashes.clear()
        yield from crashes

    def _ended_by(self, reason: str) -> str:
        if not self.candidates.has_edit(teacher=self.teacher.name):
            return f"{self.teacher.name} failed on each of the first {IN_A_ROW} photos: {reason}"
        return (
            f"{self.teacher.name} has failed {IN_A_ROW} times in a row: {reason}; when that is mended, the same "
            "command goes on"
        )

    def _answers(self, jobs: Sequence[Job]) -> Iterator[Answer]:
        """Each job with its photo and edit, asked for in batches.

        A batch that fails is tried by halves, so that one photo's failure is its own; where memory ran out, all further
        batches are no larger than the halves.
        """
        batches = [list(jobs)]
        while batches:
            batch = batches.pop()
            if len(batch) > self.batch:
                batches += [batch[self.batch :], batch[: self.batch]]
                continue
            photos = [read_image(self.photo_folder / job.photo.file) for job in batch]
            try:
                edits = self.teacher.edit(photos, self.ask, [job.seed for job in batch])
                if len(edits) != len(batch):
                    raise InputError(f"{self.teacher.name} gave {len(edits)} edits of {len(batch)} photos")
            except InputError:
                raise
            except Exception as error:
                failed, no_memory = Failed(_reason(error), crashed=True), is_no_memory(error)
                if not no_memory:
                    raise_machine_fault(error)
            else:
                self._tell_written()
                self.answered += len(batch)
                yield from zip(batch, photos, edits, strict=True)
                continue
            # The exception's frames held the batch's memory until here.
            give_back_memory()
            if len(batch) == 1:
                self.answered += 1
                yield batch[0], photos[0], replace(failed, again=not no_memory)
                continue
            half = (len(batch) + 1) // 2
            batches += [batch[half:], batch[:half]]
            if no_memory:
                self.batch = half

    def _tell_written(self) -> None:
        """Before an edit is kept: a rerun compares the files that a program names, but not those that it writes."""
        if isinstance(self.teacher, CommandTeacher):
            leave_out_written(self.candidates.folder.parent, self.teacher)

    def _keep(self, job: Job, photo: Pixels, edit: Pixels | Failed) -> None:
        """Judge an edit and keep it, at its photo's size and aligned to it.

        Black, blank, unchanged or misplaced ones are kept too: the sheet of rejected edits shows them.
        """
        name, teach = self.teacher.name, self.teach
        if isinstance(edit, Failed):
            self.candidates.write(job.photo.id, name, job.seed, None, edit.reason, again=edit.again)
            return
        reason, measures = flaw(photo, edit), None
        edit = edit if edit.shape == photo.shape else resize(edit, (photo.shape[0], photo.shape[1]))
        if reason is None:
            limit = default_limit(photo.shape) if teach.max_residual is None else teach.max_residual
            edit, alignment = align(photo, edit) if teach.align else (edit, estimate(photo, edit))
            if alignment.residual > limit:
                reason = f"misplaced by {alignment.residual:.1f} pixels"
            measures = alignment.measures()
        self.candidates.write(job.photo.id, name, job.seed, edit, reason, measures=measures)


def leave_out_written(folder: Path, teacher: CommandTeacher) -> None:
    """Put down in a partial folder's config.json which of the files that a program names it writes itself."""
    config = read_json(folder / CONFIG, StageConfig)
    told = set(config.get(WRITTEN, []))
    if teacher.written <= told:
        return
    config[WRITTEN] = sorted(told | teacher.written)
    for stored in config.get("settings", {}).get("teachers", []):
        if stored.get("command") == teacher.command:
            stored["files"] = {name: found for name, found in stored["files"].items() if name not in teacher.written}
    write_json(folder / CONFIG, config)


def recall_written(out: Path, teachers: Sequence[Teacher]) -> None:
    """What `leave_out_written` put down, in the partial folder of `out` or in `out` itself."""
    for folder in (partial_of(out), out):
        if (folder / CONFIG).is_file():
            told = read_json(folder / CONFIG, Written).get(WRITTEN, [])
            for teacher in teachers:
                if isinstance(teacher, CommandTeacher):
                    teacher.written |= set(told)


def _reason(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:200]}" if text else type(error).__name__
