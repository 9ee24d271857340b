"""Teachers at work: every photo edited by every teacher, each edit judged and kept as a candidate (Sec. 5.1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from e2gan.config import TeachConfig
from e2gan.core.errors import InputError
from e2gan.core.images import Pixels, read_image, resize
from e2gan.core.memory import give_back_memory, is_no_memory
from e2gan.core.progress import track
from e2gan.data.photos import Photo
from e2gan.pairs.align import align, default_limit, estimate
from e2gan.pairs.candidates import CandidateFolder, Job
from e2gan.pairs.failed_edits import flaw
from e2gan.teachers.teacher import Ask, Failed, Teacher

__all__ = ["TeacherRun"]

IN_A_ROW = 8  # exceptions, after which it is the teacher that fails, not the photos


class TeacherRun:
    """One teacher on the photos of a set. An edit is a file of its own, written whole: a run that is killed goes on
    with what is there, and several machines can fill one folder."""

    def __init__(
        self,
        teacher: Teacher,
        ask: Ask,
        photo_folder: Path,
        candidates: CandidateFolder,
        teach: TeachConfig,
        seed: int,
    ) -> None:
        self.teacher, self.ask, self.photo_folder = teacher, ask, photo_folder
        self.candidates, self.teach, self.seed = candidates, teach, seed
        self.batch = teacher.batch

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
            crashes: list[tuple[Job, Failed]] = []  # since the last answer
            with closing(self._edits(jobs)) as edits:
                for job, edit in track(edits, what, len(jobs)):
                    if isinstance(edit, Failed) and edit.crashed and job.attempt == 0:
                        crashes.append((job, edit))
                        if len(crashes) == IN_A_ROW:
                            raise InputError(self._ended_by(edit.reason))
                        continue
                    for answer in (*crashes, (job, edit)):
                        self._keep(*answer)
                    crashes.clear()
            for crash in crashes:
                self._keep(*crash)
            before, what = jobs, f"edits ({self.teacher.name}), other seeds"

    def _ended_by(self, reason: str) -> str:
        if not self.candidates.has_edit(teacher=self.teacher.name):
            return f"{self.teacher.name} failed on each of the first {IN_A_ROW} photos: {reason}"
        return (
            f"{self.teacher.name} has failed {IN_A_ROW} times in a row: {reason}; when that is mended, the same "
            "command goes on"
        )

    def _edits(self, jobs: Sequence[Job], size: int | None = None) -> Iterator[tuple[Job, Pixels | Failed]]:
        """Each job with its edit. A batch that fails is tried by halves, so that one photo's failure is its own."""
        left = list(jobs)
        while left:
            batch = left[: min(size or self.batch, self.batch)]
            left = left[len(batch) :]
            try:
                photos = [read_image(self.photo_folder / job.photo.file) for job in batch]
                edits = self.teacher.edit(photos, self.ask, [job.seed for job in batch])
                if len(edits) != len(batch):
                    raise InputError(f"{self.teacher.name} gave {len(edits)} edits of {len(batch)} photos")
            except InputError:
                raise
            except Exception as error:
                failed, no_memory = Failed(_reason(error), crashed=True), is_no_memory(error)
            else:
                yield from zip(batch, edits, strict=True)
                continue
            # Only here, without the exception's frames, is what the batch held given back.
            give_back_memory()
            if len(batch) == 1:
                yield batch[0], replace(failed, again=not no_memory)
                continue
            half = (len(batch) + 1) // 2
            if no_memory:
                self.batch = half
            yield from self._edits(batch, half)

    def _keep(self, job: Job, edit: Pixels | Failed) -> None:
        """Judge an edit and keep it, at its photo's size and aligned to it.

        Black, blank, unchanged or misplaced ones are kept too: the sheet of rejected edits shows them.
        """
        name, teach = self.teacher.name, self.teach
        if isinstance(edit, Failed):
            self.candidates.write(job.photo.id, name, job.seed, None, edit.reason, again=edit.again)
            return
        photo = read_image(self.photo_folder / job.photo.file)
        reason, measures = flaw(photo, edit), None
        if edit.shape != photo.shape:
            edit = resize(edit, (photo.shape[0], photo.shape[1]))
        if reason is None:
            edit, alignment = align(photo, edit) if teach.align else (edit, estimate(photo, edit))
            limit = default_limit(photo.shape) if teach.max_residual is None else teach.max_residual
            if alignment.residual > limit:
                reason = f"misplaced by {alignment.residual:.1f} pixels"
            measures = alignment.measures()
        self.candidates.write(job.photo.id, name, job.seed, edit, reason, measures=measures)


def _reason(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:200]}" if text else type(error).__name__
