"""A video through a model, frame by frame, in the memory of a few frames.

Its work lies in the folder `OUT.partial`: groups of frames that are coded, and what the next one goes on from. Stopped,
it puts what is there together as `NAME.partial.mp4`, which can be watched; the same command goes on from the folder.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from e2gan.config import EditConfig
from e2gan.core.errors import InputError
from e2gan.core.files import check_name, clear_beside, sha256
from e2gan.core.images import MADE_HERE, is_blank
from e2gan.core.locks import clear_lock
from e2gan.core.outputs import MARGIN, discard, growing, partial_of
from e2gan.core.progress import Meter, note
from e2gan.core.reruns import with_reads
from e2gan.core.tensors import read_tensors, write_tensors
from e2gan.editing.edited import EditedVideo
from e2gan.editing.flicker import Flicker, Smoother
from e2gan.editing.predictor import Predictor
from e2gan.editing.provenance import Provenance
from e2gan.editing.video_file import Clip, Frame, open_clip, open_container
from e2gan.editing.video_output import CONTAINERS, GROUP, Coder, join, write_group

TOGETHER, MOST_TOGETHER = 2**23, 6  # pixels and frames that are edited at once; the frames divide a group
STATE = "state.safetensors"
PLAYABLE = ".partial"
KEPT = ("title", "artist", "copyright", "date", "creation_time", "description", "comment", "genre", "album")
PLACE, PLACES = "location", ("location", "location-eng", "com.apple.quicktime.location.iso6709")


def edit_video(
    config: EditConfig, predictor: Predictor, reads: Mapping[str, Any], provenance: Provenance | None
) -> EditedVideo:
    """Edit `config.input`, one video, into the file `config.out`, whose ending says what container it is.

    reads: hashes of the weights. A run that was stopped goes on at the group of frames that it was at, and one that is
    done is found by what the file tells of itself. Raises InputError for what is no video (`open_clip`), an ending that
    none has, and where another run writes `out`; NotFiniteError where an edit is not finite.
    """
    (source,) = config.input
    out = config.out
    check_out(out)
    with open_clip(source) as clip:
        detail = predictor.detail if config.detail == "auto" else config.detail
        fields = ("base", "adapter", "weights", "model", "strength", "side", "tile", "metadata", "provenance", "crf")
        settings = {name: getattr(config, name) for name in fields} | {"input": source, "detail": detail}
        settings |= {"smooth": config.smooth if config.strength else 0.0, "runtime": predictor.runtime}
        reads = dict(reads) | {"input": sha256(source)}
        run = _run_of(with_reads(settings, reads))
        work = partial_of(out)
        there = _made_by(out) == run
        if not work.exists():
            clear_lock(work)
            if there:
                return EditedVideo(out, photos=0, already_done=True)
            if playable_of(out).exists():
                raise InputError(f"{playable_of(out)} is in the way, which a stopped run writes: move it away")
        coder = Coder.of(clip, out.suffix, config.crf)
        with growing(work, "edit", settings, reads=reads):
            if there:  # killed when all but the clearing up was done
                _clear_up(out)
                return EditedVideo(out, photos=0, already_done=True)
            job = _Job(config, predictor, clip, coder, work)
            texts = _texts(clip, config, provenance, run)
            return _made(job, texts)


def check_out(out: Path) -> None:
    """Raises InputError for what is no name of a video's file."""
    if out.suffix.lower() not in CONTAINERS:
        raise InputError(f"--out {out}: for a video it is a file, whose ending is one of {', '.join(CONTAINERS)}")
    check_name(out, MARGIN)
    if out.stem.endswith(PLAYABLE):
        raise InputError(f"--out {out}: names that end so are those of runs that are not whole: choose another")
    if out.is_dir():
        raise InputError(f"--out {out} is a folder: name a file for one video")


def playable_of(out: Path) -> Path:
    """Where what a stopped run has made can be watched: clip.partial.mp4."""
    return out.with_name(f"{out.stem}{PLAYABLE}{out.suffix}")


class _Job:
    """The work on one video. done: frames in whole groups; hashes: of the files of these groups; last, end: ticks that
    the last of them is shown for, and until. flat: whether all edits so far are flat. before: what the smoother goes on
    from."""

    def __init__(self, config: EditConfig, predictor: Predictor, clip: Clip, coder: Coder, work: Path) -> None:
        self.config, self.predictor, self.clip, self.coder, self.work = config, predictor, clip, coder, work
        self.smoother = Smoother(config.smooth if config.strength else 0.0)
        self.done, self.last, self.end, self.flat = 0, 1, 0, True
        self.before: tuple[dict[str, Tensor], Flicker] | None = None
        self.hashes: list[str] = []
        clear_beside(work, config.out, playable_of(config.out))
        self._load()
        self.resumed = self.done

    def groups(self) -> list[Path]:
        return [self._group(i) for i in range(len(self.hashes))]

    def _group(self, number: int) -> Path:
        return self.work / f"{number:06}.nut"

    def _load(self) -> None:
        if not (self.work / STATE).exists():
            return
        try:
            tensors, texts = read_tensors(self.work / STATE)
        except InputError:  # damaged: all of it is made anew
            return
        if texts.get("coder") != _version():  # another coder's groups do not go with these
            return
        done, last, end, flat, *sums = map(int, tensors.pop("told").tolist())
        hashes = texts.get("groups", "").split()
        groups = [self._group(i) for i in range(-(-done // GROUP))]
        if [sha256(path) for path in groups if path.is_file()] != hashes or len(groups) != len(hashes):
            note(f"{self.work}: what is done of it is damaged, and made anew")
            return
        self.done, self.last, self.end, self.flat = done, last, end, bool(flat)
        self.before, self.hashes = (tensors, Flicker(*sums)), hashes

    def _save(self) -> None:
        """After each group: how many frames are done, and what the smoother goes on from."""
        told = self.done, self.last, self.end, self.flat, *self.smoother.flicker.values()
        # Whole numbers of up to 53 bits.
        tensors = self.smoother.state() | {"told": torch.tensor(told, dtype=torch.float64)}
        write_tensors(self.work / STATE, tensors, {"coder": _version(), "groups": " ".join(self.hashes)})

    def run(self) -> None:
        """Edit what is not done yet, a group of frames at a time."""
        frames = self._shown(self.clip.frames(since=max(1, self.done)))
        while (first := next(frames, None)) is not None:
            group = chain([first], islice(frames, GROUP - 1))
            written = write_group(self._group(len(self.hashes)), self.coder, group)
            self.hashes.append(sha256(self._group(len(self.hashes))))
            self.done += written.count
            self.last, self.end = written.duration, written.end
            self._save()

    def _shown(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """The frames as they are written, with the progress."""
        if self.done and self.before and (last := next(frames, None)) is not None:
            self.smoother.load(*self.before, last.pixels)
        together = max(
            n for n in (1, 2, 3, MOST_TOGETHER) if n == 1 or n * self.clip.width * self.clip.height <= TOGETHER
        )
        begun, total, number = time.monotonic(), self.clip.count, self.done
        config = self.config
        start = (self.done, self.done / total if total else 0.0, 0.0)
        with Meter("editing", unit=" frames", start=start) as meter:
            while batch := list(islice(frames, together)):
                edits = self.predictor.edit_frames(
                    np.stack([frame.pixels for frame in batch]),
                    strength=config.strength,
                    side=config.side,
                    tile=config.tile,
                    detail=config.detail,
                )
                for frame, edited in zip(batch, edits, strict=True):
                    self.flat = self.flat and is_blank(frame.pixels, edited)
                    yield Frame(self.smoother(frame.pixels, edited), frame.pts, frame.duration)
                number += len(batch)
                done = min(1.0, number / total) if total else None
                meter.update(f"{number} of {total or '?'}", number, done, time.monotonic() - begun)


def _made(job: _Job, texts: Mapping[str, str]) -> EditedVideo:
    out, clip, coder = job.config.out, job.clip, job.coder
    try:
        job.run()
        sound = join(out, clip, coder, job.groups(), last=job.last, texts=texts)
    except KeyboardInterrupt:
        if job.done:
            until = job.end * clip.time_base
            join(playable_of(out), clip, coder, job.groups(), last=job.last, texts=texts, until=until)
            note(f"{playable_of(out)}: the first {job.done} frames, to be watched")
        raise
    except InputError:  # it would end the same next time
        discard(job.work)
        raise
    _clear_up(out)
    lost = [*clip.lost, *sound]
    if coder.even and (clip.width % 2 or clip.height % 2):
        lost.append(f"a row or column more makes its {clip.width}×{clip.height} pixels even, as H.264 needs it")
    blank = [str(clip.path)] if job.flat else []
    found = [(str(clip.path), what) for what in lost]
    return EditedVideo(
        out,
        photos=0,
        frames=job.done,
        lost=found,
        blank=blank,
        resumed=job.resumed,
        flicker=job.smoother.flicker.means(),
        runtime=job.predictor.runtime,
        notes=job.predictor.notes,
    )


def _clear_up(out: Path) -> None:
    playable_of(out).unlink(missing_ok=True)
    discard(partial_of(out))


def _version() -> str:
    import av

    return f"{av.__version__} {av.ffmpeg_version_info}"


def _texts(clip: Clip, config: EditConfig, provenance: Provenance | None, run: str) -> dict[str, str]:
    """The metadata of the edit: the video's own, as far as it is kept, and how it was made."""
    own = {name.lower(): text for name, text in clip.container.metadata.items()}  # Matroska has capitals
    texts = {} if config.metadata == "none" else {name: own[name] for name in KEPT if name in own}
    if config.metadata == "keep" and (place := next((own[name] for name in PLACES if name in own), None)):
        texts[PLACE] = place
    if provenance is not None:
        made = [
            f"{name}: {', '.join(value) if isinstance(value, list) else value}"
            for name, value in provenance.properties().items()
        ]
        lines = [*made, f"run: {run}", f"({MADE_HERE})"]
        if comment := texts.get("comment"):
            lines = [
                comment.partition("xmp:CreatorTool: e2gan")[0].rstrip(),
                *lines,
            ]  # without what an edit told before
        texts["comment"] = "\n".join(line for line in lines if line)
    return texts


def _run_of(settings: Mapping[str, Any]) -> str:
    """What a run's result is known by: its settings, and what it reads, without the places of files."""
    told = {n: value for n, value in settings.items() if n not in ("base", "adapter", "model", "input")}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _made_by(out: Path) -> str | None:
    """The run that a file says it is of; None where there is none, or it does not say."""
    if not out.is_file():
        return None
    with suppress(Exception), open_container(out) as container:  # another program's file, or a broken one
        comment = container.metadata.get("comment", container.metadata.get("COMMENT", ""))
        for line in reversed(comment.splitlines()):  # the video's own comes before ours
            if line.startswith("run: "):
                return line.removeprefix("run: ")
    return None
