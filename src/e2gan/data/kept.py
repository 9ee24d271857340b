"""What a run that was stopped has read of a folder's photos, so that the same command goes on from there."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from e2gan.config.schemas import KeptPhoto
from e2gan.core.errors import InputError
from e2gan.core.files import append_jsonl, read_begun, sha256
from e2gan.core.images import Pixels, read_square

KEPT = "kept.jsonl"  # in the partial folder, until all photos are read


@dataclass
class KeptPhotos:
    """The photos whose images lie in a partial folder already. edits: where their edits lie, for pairs.

    A row is written as a photo gets its id; it counts once the image is there, which is whole or not there.
    """

    folder: Path
    size: int
    edits: Path | None = None
    rows: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    found: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        for row in read_begun(self.folder / KEPT, KeptPhoto):
            self.rows[row["source"], row["sha256"]] = row

    def image(self, id: str) -> Path:
        return self.folder / "images" / f"{id}.png"

    def read(self, path: Path, name: str) -> tuple[dict[str, Any], Pixels, Pixels | None] | None:
        """The row of a photo, its image and, for pairs, its edit; None where it has to be made.

        name: the photo's, as messages show it.
        """
        if not self.rows:
            return None
        with suppress(InputError):  # then it is told by who reads the photo
            if (row := self.rows.get((name, sha256(path)))) is not None:
                edit = None if self.edits is None else read_square(self.edits / f"{row['id']}.png", self.size)
                image = read_square(self.image(row["id"]), self.size)
                self.found.add(name)
                return row, image, edit
        return None

    def write(self, row: dict[str, Any]) -> None:
        if (row["source"], row["sha256"]) in self.rows:
            return
        append_jsonl(self.folder / KEPT, row)

    def done(self) -> list[str]:
        """All photos are read: what lies in the folder tells the rest. Returns a note where some were there."""
        (self.folder / KEPT).unlink(missing_ok=True)
        return [f"{len(self.found)} of them were there from a run that was stopped"] if self.found else []
