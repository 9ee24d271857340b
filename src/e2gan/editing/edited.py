"""What `edit` wrote, of photos and of a video, how it is told, and how a rerun comes to tell it again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from e2gan.config.schemas import EditedPhoto
from e2gan.core.files import append_jsonl, plain, read_begun, read_jsonl, write_jsonl
from e2gan.core.summary import skipped_lines
from e2gan.editing.flicker import flicker_lines

EDITS = "edits.jsonl"


@dataclass(frozen=True)
class Edited:
    """What `edit` wrote. skipped: (file, reason). lost: (file, what of it the edit does not have). blank: photos whose
    edit is one flat colour, where they are not. resumed: edits that were there from a run that was stopped. videos: of
    a folder, which are edited each by itself. runtime: what ran the model. notes: what else there is to say."""

    out: Path
    photos: int
    skipped: list[tuple[str, str]] = field(default_factory=list)
    already_done: bool = False
    lost: list[tuple[str, str]] = field(default_factory=list)
    blank: list[str] = field(default_factory=list)
    resumed: int = 0
    videos: Sequence[str] = ()
    runtime: str = "pytorch"
    notes: Sequence[str] = ()

    def __str__(self) -> str:
        lines = [f"{self.photos} photo{'s' * (self.photos != 1)} edited: {self.out} (by {self.runtime})", *self.notes]
        if self.already_done:
            lines = [f"{self.out}: edited already, nothing to do"]
        return "\n".join(
            [
                *lines,
                *([f"{self.resumed} of them were there from a run that was stopped"] if self.resumed else []),
                *skipped_lines(self.skipped),
                *skipped_lines(self.lost, verb=""),
                *blank_lines(self.blank, self.photos),
                *video_lines(self.videos),
            ]
        )


class Told:
    """What there is to tell of each photo of a folder, in EDITS of the folder that it is edited into: a row for each.

    A row is written before its edit, so that each edit that is there has one.
    """

    def __init__(self, rows: Iterable[Mapping[str, Any]] = (), folder: Path | None = None) -> None:
        """folder: where rows are added, as long as the work lasts."""
        self.rows: dict[str, Mapping[str, Any]] = {row["edit"]: row for row in rows}
        self.folder = folder

    @classmethod
    def of_work(cls, partial: Path, edits: Collection[str]) -> Told:
        """What a run that was stopped has told so far of these edits."""
        return cls((row for row in read_begun(partial / EDITS, EditedPhoto) if row["edit"] in edits), partial)

    @classmethod
    def of_result(cls, out: Path) -> Told:
        """What a folder says that is done; earlier versions wrote none. Raises InputError where it is damaged."""
        return cls(read_jsonl(out / EDITS, EditedPhoto) if (out / EDITS).exists() else ())

    def has(self, edit: str) -> bool:
        """Whether an edit that is there is told of: else it is made again, since what there is to tell is not known."""
        return edit in self.rows and "skipped" not in self.rows[edit]

    def add(self, edit: str, photo: str, **facts: Any) -> None:
        """facts: as `EditedPhoto` has them; those that say nothing are left out."""
        row = plain({"edit": edit, "photo": photo, **{name: fact for name, fact in facts.items() if fact}})
        if self.folder is not None and self.rows.get(edit) != row:
            append_jsonl(self.folder / EDITS, row)
        self.rows[edit] = row

    def finish(self, edits: Sequence[str]) -> None:
        """All edits are there: their rows in their order, each once."""
        if self.folder is not None:
            write_jsonl(self.folder / EDITS, [self.rows[edit] for edit in edits])

    def summary(self) -> dict[str, Any]:
        """The fields of `Edited` that it tells."""
        skipped = [(row["photo"], row["skipped"]) for row in self.rows.values() if "skipped" in row]
        return {
            "photos": len(self.rows) - len(skipped),
            "skipped": skipped,
            "lost": [(row["photo"], what) for row in self.rows.values() for what in row.get("lost", ())],
            "blank": [row["photo"] for row in self.rows.values() if row.get("blank")],
        }


def blank_lines(blank: Sequence[str], edits: int) -> list[str]:
    """A warning where edits are one flat colour: the model is broken, or not for such photos."""
    if not blank:
        return []
    return [f"warning: {len(blank)} of {edits} edits have no variation: one flat colour, unlike the photo ({blank[0]})"]


def video_lines(videos: Sequence[str]) -> list[str]:
    """A line on the videos that a folder has beside its photos."""
    if not videos:
        return []
    what = f"{len(videos)} videos are" if len(videos) > 1 else "1 video is"
    return [f"{what} left out ({', '.join(videos[:3])}{', …' * (len(videos) > 3)}): edit each by itself"]


@dataclass(frozen=True)
class EditedVideo(Edited):
    """What `edit` wrote of a video. frames: that it has. resumed: those of them that were there from a run that was
    stopped. flicker: mean changes of still places from frame to frame, as `Flicker.means` has them."""

    frames: int = 0
    flicker: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        if self.already_done:
            return f"{self.out}: edited already, nothing to do"
        lines = [f"{self.frames} frame{'s' * (self.frames != 1)} edited: {self.out} (by {self.runtime})", *self.notes]
        if self.resumed:
            lines.append(f"{self.resumed} of them were there from a run that was stopped")
        if self.blank:
            lines.append("warning: each edit is one flat colour, unlike its frame")
        return "\n".join([*lines, *skipped_lines(self.lost, most=20, verb=""), *flicker_lines(self.flicker)])
