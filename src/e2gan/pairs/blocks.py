"""A part of a concept's photos edited by itself, on any machine, and the parts put together to one pair set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from e2gan.config import PairsConfig
from e2gan.core.errors import InputError
from e2gan.core.files import read_bytes, write_bytes
from e2gan.core.images import MOST_BYTES, read_image, write_png
from e2gan.core.names import inside, one_name
from e2gan.core.outputs import State, claim, finish, partial_of
from e2gan.core.progress import track
from e2gan.data.pair_set import PhotosToEdit
from e2gan.data.photos import Photo
from e2gan.pairs.candidates import CandidateFolder
from e2gan.pairs.run_teachers import FOLDER, TeacherRun
from e2gan.teachers.filters.filters import FILTERS, FilterTeacher, apply
from e2gan.teachers.teacher import Ask, Teacher

IMAGES = "images"


def only_filter(teachers: Sequence[Teacher]) -> FilterTeacher | None:
    """The filter, where a filter is all that there is: then nothing is to be chosen from."""
    return teachers[0] if len(teachers) == 1 and isinstance(teachers[0], FilterTeacher) else None


def edit_block(config: PairsConfig, teachers: Sequence[Teacher], first: int, count: int) -> None:
    """Edit `count` photos of a set, from the `first` on, in the order in which `make_pairs` takes them.

    `config.out` becomes a folder of edits that `make_pairs` can be given among its `blocks`: what it then makes of all
    of them is the pair set that it would have made alone. Raises InputError as `make_pairs`, and for a block without a
    photo.
    """
    if config.photos is None or config.concept is None:
        raise InputError("a block of edits needs --photos and --concept")
    chosen = PhotosToEdit.load(config.photos, config.selection)
    photos = chosen.photos[first : first + count]
    if first < 0 or not photos:
        raise InputError(f"{config.photos} has {len(chosen.photos)} photos to edit, none from the {first + 1}th on")
    ask = Ask(" ".join(config.concept.split()), config.teach.source)
    settings: dict[str, Any] = {"concept": ask.prompt, "first": first, "count": count, "seed": config.seed}
    settings["teachers"] = [teacher.settings(ask) for teacher in teachers]
    only = only_filter(teachers)
    with claim(config.out, "block", settings, reads=chosen.reads) as state:
        if state is State.DONE:
            return
        partial = partial_of(config.out)  # what is in it stays for the next try, also where a teacher fails
        if only is None:
            candidates = CandidateFolder(partial / FOLDER)
            for teacher in teachers:
                run = TeacherRun(teacher, ask, chosen.photo_set.folder, candidates, config.teach, config.seed)
                run.edit_all(photos)
                if len(teachers) > 1:  # the next one needs the memory
                    teacher.close()
        else:
            _filter_all(partial, only.filter.name, chosen, photos)
        finish(config.out)


def _filter_all(partial: Path, name: str, chosen: PhotosToEdit, photos: Sequence[Photo]) -> None:
    (partial / IMAGES).mkdir(exist_ok=True)
    for photo in track(photos, f"edits ({name})"):
        edit = inside(partial, f"{IMAGES}/{one_name(photo.id)}.png")
        if not edit.exists():
            write_png(edit, apply(FILTERS[name], read_image(chosen.photo_set.folder / photo.file)))


def take_blocks(blocks: Sequence[Path], partial: Path) -> None:
    """Lay the edits of blocks into the partial folder of a pair set, as if they had been made there."""
    for block in blocks:
        for what in (IMAGES, FOLDER):
            for source in sorted((block / what).rglob("*")):
                target = inside(partial, source.relative_to(block).as_posix())
                if source.is_file() and not target.exists():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    write_bytes(target, read_bytes(source, MOST_BYTES))
