"""What `edit` wrote, of photos and of a video, and how it is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from e2gan.core.summary import skipped_lines
from e2gan.editing.flicker import flicker_lines


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
        if self.already_done:
            return "\n".join([f"{self.out}: edited already, nothing to do", *video_lines(self.videos)])
        return "\n".join(
            [
                f"{self.photos} photo{'s' * (self.photos != 1)} edited: {self.out} (by {self.runtime})",
                *self.notes,
                *([f"{self.resumed} of them were there from a run that was stopped"] if self.resumed else []),
                *skipped_lines(self.skipped),
                *skipped_lines(self.lost, verb=""),
                *blank_lines(self.blank, self.photos),
                *video_lines(self.videos),
            ]
        )


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
