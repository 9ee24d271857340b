"""Candidates: edits of photos by teachers, of which one a photo is kept; as rows, and as they lie on disk."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image, PngImagePlugin

from e2gan.config.schemas import CandidateRecord, CandidateRow
from e2gan.core.errors import InputError
from e2gan.core.files import parse_json, read_json, write_bytes, write_json
from e2gan.core.images import Pixels, check_file, is_too_large
from e2gan.core.machine import raise_machine_fault
from e2gan.core.names import inside, one_name
from e2gan.core.schemas import check_form, known
from e2gan.data.photos import Photo

BY_HAND, DELETED = "rejected by hand", "deleted by hand"
THRESHOLD = re.compile(r"([a-z]+(?:-[a-z]+)*)\s*([<>])\s*(\S+)")  # score, side, value: "structure<0.35"


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One edit, a line of candidates.jsonl."""

    photo: str
    """The photo's id."""
    split: str
    """train, val or test."""
    teacher: str
    seed: int
    file: str | None
    """Path inside the pair set, with slashes; None where the teacher gave no picture."""
    scores: dict[str, float]
    """By name, see `e2gan.pairs.choice.KNOWN`; those that were measured."""
    rejected: str | None = None
    """Why it is of no use; None where it may be kept. What is wrong with the edit itself, a threshold that it fails
    ("structure<0.35"), or what a person said."""
    picked: bool = False
    """Whether it is the one of its photo that is kept."""
    total: float | None = None
    """The weighted sum of standardised scores that it was compared by."""
    overruled: str | None = None
    """What it was rejected for, where a person kept it all the same."""

    @property
    def name(self) -> str | None:
        """Its file's name, unique among the candidates of its photo."""
        return None if self.file is None else self.file.rpartition("/")[2]

    def unmarked(self) -> Candidate:
        """Without what thresholds, weights and persons decided; what is wrong with the edit itself stays."""
        reason = self.rejected or self.overruled
        if reason in (BY_HAND, DELETED) or (reason and THRESHOLD.fullmatch(reason)):
            reason = None
        return replace(self, rejected=reason, overruled=None, picked=False, total=None)

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> Candidate:
        """From a line of candidates.jsonl. Raises InputError where it is none."""
        check_form(row, CandidateRow, "candidates.jsonl", Path())
        candidate = cls(**known(cls, row))
        return replace(candidate, scores={k: float(v) for k, v in candidate.scores.items()})


RECORD = "e2gan"  # key of the record inside a candidate's PNG


@dataclass(frozen=True)
class Job:
    """An edit to be made. attempt: how many seeds have failed for it before."""

    photo: Photo
    seed: int
    attempt: int


class CandidateFolder:
    """The candidates of a run on disk: FOLDER/photo/teacher--seed.png, or .json where no picture came of it.

    The record (teacher, seed, reason, again, measures) is a text inside the PNG: picture and record are there together,
    or neither is. reason: why the edit is of no use, or None. again: whether another seed may do better.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(
        self,
        photo: str,
        teacher: str,
        seed: int,
        edit: Pixels | None,
        reason: str | None,
        *,
        again: bool = True,
        measures: Mapping[str, float] | None = None,
    ) -> None:
        """Keep an edit, uint8 (H, W, 3), or that there is none."""
        folder = inside(self.folder, one_name(photo))
        for made in (self.folder, folder):  # not its parents: a folder that was taken away is not to come back
            made.mkdir(exist_ok=True)
        record = {
            "teacher": teacher,
            "seed": seed,
            "reason": reason,
            "again": again,
            "measures": dict(measures or {}),
        }
        # Not by with_suffix: pathlib takes what follows a dot in a teacher's name for a suffix.
        if edit is None:
            write_json(folder / f"{file_name(teacher)}--{seed}.json", record)
            return
        text, png = PngImagePlugin.PngInfo(), io.BytesIO()
        text.add_itxt(RECORD, json.dumps(record))
        Image.fromarray(edit).save(png, "PNG", pnginfo=text, compress_level=1)
        write_bytes(folder / f"{file_name(teacher)}--{seed}.png", png.getvalue())

    def missing(
        self, photos: Iterable[Photo], teacher: str, seed: int, *, edits: int = 1, retries: int = 0
    ) -> list[Job]:
        """The next seed of each edit that there should be and is not yet, in the order of the seeds.

        edits: how many a photo. retries: further seeds for one that failed. The order is by chance, so that photos
        that a teacher fails on rarely come in a row.
        """
        jobs = []
        for photo in photos:
            records = self._records(photo.id, f"{file_name(teacher)}--[0-9]*")
            settled = {
                record["seed"]: record["reason"] is None or not record["again"]
                for _, record in records
                if record["teacher"] == teacher  # not another one whose name begins with this one's
            }
            for slot in range(edits):
                for attempt in range(retries + 1):
                    job = Job(photo, _seed_of(seed, photo.id, slot, attempt), attempt)
                    if job.seed not in settled:
                        jobs.append(job)
                    if settled.get(job.seed, True):
                        break
        return sorted(jobs, key=lambda job: job.seed)

    def has_edit(self, *, photo: str | None = None, teacher: str | None = None) -> bool:
        """Whether there is a picture: any, one of this photo, or one by this teacher."""
        name = "*" if teacher is None else file_name(teacher)
        return any(self.folder.glob(f"{photo or '*'}/{name}--[0-9]*.png"))

    def rows(self, photos: Iterable[Photo]) -> list[Candidate]:
        """All candidates of photos, in their order; of scores, they have what the alignment measured."""
        return [
            Candidate(
                photo=photo.id,
                split=photo.split,
                teacher=record["teacher"],
                seed=record["seed"],
                file=file.relative_to(self.folder.parent).as_posix() if file.suffix == ".png" else None,
                scores=record["measures"],
                rejected=record["reason"],
            )
            for photo in photos
            for file, record in self._records(photo.id)
        ]

    def _records(self, photo: str, pattern: str = "*--*") -> Iterator[tuple[Path, dict[str, Any]]]:
        """Files and their records; not what is no such file, or was deleted meanwhile."""
        for file in sorted(self.folder.joinpath(photo).glob(pattern)):
            if file.is_file() and is_too_large(file):
                raise InputError(f"{file} is far too large for a candidate: delete it")
            try:
                if file.suffix == ".json":
                    record = read_json(file, CandidateRecord, finite=False)
                elif file.suffix == ".png":
                    check_file(file)
                    with Image.open(file, formats=["PNG"]) as image:
                        record = parse_json(image.info[RECORD], CandidateRecord, str(file), finite=False)
                else:
                    continue
                # Earlier versions marked failures in a row as suspect: they are tried again.
                nothing = file.suffix == ".json" and record["reason"] is None  # neither a picture nor why there is none
                if not record.get("suspect") and not nothing:
                    yield file, record
            except (OSError, KeyError, ValueError, TypeError, SyntaxError, InputError) as error:
                raise_machine_fault(error)
                continue


def file_name(teacher: str) -> str:
    """A teacher's name as the names of its files begin."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", teacher).strip("-.")


def _seed_of(seed: int, photo: str, slot: int, attempt: int) -> int:
    """Another for each photo, each of its edits and each retry; the same in every run, on every machine."""
    return int.from_bytes(hashlib.sha256(f"{seed} {photo} {slot} {attempt}".encode()).digest()[:4], "big") >> 1
