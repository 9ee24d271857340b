"""What teachers have tried, on disk: each edit a file of its own that holds its record."""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, PngImagePlugin

from e2gan.core.errors import InputError
from e2gan.core.files import read_json, write_bytes, write_json
from e2gan.core.images import Pixels

__all__ = ["Attempt", "file_name", "Store"]

RECORD = "e2gan"  # key of the record inside a candidate's PNG


@dataclass(frozen=True)
class Attempt:
    """One edit that was tried. file: the PNG, or the note that there is none. reason: why it is of no use.

    again: whether another seed may do better. suspect: it failed among others that failed with it, so that the teacher
    may be to blame: it is tried once more. measures: of its alignment, as numbers.
    """

    teacher: str
    seed: int
    file: Path
    reason: str | None
    again: bool
    measures: dict[str, float]
    suspect: bool = False


class Store:
    """The attempts of a run on disk: FOLDER/photo/teacher--seed.png, or .json where no picture came of it.

    The record is a text inside the PNG: picture and record are there together, or neither is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def attempts(self, photo: str, teacher: str | None = None) -> list[Attempt]:
        """All of a photo's, or one teacher's."""
        name = "*" if teacher is None else file_name(teacher)
        files = sorted(self.folder.joinpath(photo).glob(f"{name}--*"))
        return [found for file in files if (found := _attempt(file)) is not None]

    def seen(self, photo: str, teacher: str) -> dict[int, Attempt]:
        return {a.seed: a for a in self.attempts(photo, teacher)}

    def has_edit(self, teacher: str) -> bool:
        """Whether the teacher has ever given a picture here."""
        return any(self.folder.glob(f"*/{file_name(teacher)}--*.png"))

    def keep(self, photo: str, teacher: str, seed: int, edit: Pixels | None, record: dict[str, Any]) -> None:
        folder = self.folder / photo
        folder.mkdir(exist_ok=True)
        record = {"teacher": teacher, "seed": seed} | record
        # Put together by hand: pathlib takes what follows a dot in a teacher's name for a suffix.
        picture, no_picture = (folder / f"{file_name(teacher)}--{seed}.{kind}" for kind in ("png", "json"))
        if edit is None:
            write_json(no_picture, record)
            return
        text, png = PngImagePlugin.PngInfo(), io.BytesIO()
        text.add_itxt(RECORD, json.dumps(record))
        Image.fromarray(edit).save(png, "PNG", pnginfo=text, compress_level=1)
        write_bytes(picture, png.getvalue())
        no_picture.unlink(missing_ok=True)  # of a suspect that was tried once more


def file_name(teacher: str) -> str:
    """A teacher's name as the names of its files begin."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", teacher).strip("-.")


def _attempt(file: Path) -> Attempt | None:
    """The attempt in a file; None where it is no such file, or was deleted meanwhile."""
    try:
        if file.suffix == ".json":
            record = read_json(file)
        elif file.suffix == ".png":
            with Image.open(file) as image:
                record = json.loads(image.info[RECORD])
        else:
            return None
        about = record["teacher"], record["seed"], file, record["reason"], record["again"], record["measures"]
        return Attempt(*about, suspect=record.get("suspect", False))
    except (OSError, KeyError, ValueError, TypeError, InputError):
        return None
