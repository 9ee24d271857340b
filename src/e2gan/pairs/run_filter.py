"""The edits of one built-in filter: quick, always whole, and nothing to choose from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from itertools import starmap
from pathlib import Path

from joblib import delayed

from e2gan.core.files import write_jsonl
from e2gan.core.images import read_image, write_png
from e2gan.core.names import inside, one_name
from e2gan.core.outputs import discard, finish, partial_of
from e2gan.core.processes import in_processes
from e2gan.core.progress import cores, track
from e2gan.data.pair_set import ROWS, PhotosToEdit
from e2gan.pairs.outcome import Outcome
from e2gan.teachers.filters.filters import FILTERS, apply

TOO_FEW_FOR_PROCESSES = 48  # below, starting them takes longer than the filters


def run_filter(out: Path, name: str, prompt: str, seed: int, chosen: PhotosToEdit, *, resumes: bool) -> Outcome:
    """Write the pair set `out` of photos and their edits by the filter of this name, in its partial folder.

    prompt, seed: what its rows say. resumes: whether a run before was stopped: its images stay as they are.
    """
    folder, photos = partial_of(out), chosen.photos
    files = {photo.id: f"images/{one_name(photo.id)}.png" for photo in photos}
    try:
        (folder / "images").mkdir(exist_ok=True)
        inside(folder, "images")
        left = [photo for photo in photos if not (folder / files[photo.id]).exists()]
        edits = _edit_all([(name, chosen.photo_set.folder / p.file, folder / files[p.id]) for p in left])
        for _ in track(edits, f"edits ({name})", len(left)):
            pass
        about = {"prompt": prompt, "teacher": f"filters:{name}", "seed": seed, "score": None}
        rows = [{"file_name": files[photo.id], "photo": photo.id, "split": photo.split} | about for photo in photos]
        write_jsonl(folder / ROWS, rows)
        finish(out)
    except Exception:  # not Ctrl-C: a run that was stopped goes on, one that failed leaves nothing half-written
        discard(folder)
        raise
    return Outcome(
        notes=[f"{len(photos) - len(left)} of them were there from a run that was stopped"] if resumes else []
    )


def _edit_all(edits: Sequence[tuple[str, Path, Path]]) -> Iterator[None]:
    """Make the edits: in several processes where that pays, since a filter holds Python's lock much of its time."""
    count = 1 if len(edits) < TOO_FEW_FOR_PROCESSES else min(cores(), 16)
    if count == 1:
        yield from starmap(_edit, edits)
        return
    done = 0
    try:
        for _ in in_processes(starmap(delayed(_edit), edits), count):
            done += 1
            yield
    except BrokenProcessPool:  # a process was killed, perhaps for want of memory
        yield from starmap(_edit, edits[done:])


def _edit(name: str, photo: Path, edit: Path) -> None:
    write_png(edit, apply(FILTERS[name], read_image(photo)))
