"""Pair sets as they lie on disk: the photos of a set and their edits by one concept."""

from __future__ import annotations

import functools
import hashlib
import os
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from e2gan.config.schemas import PAIR_SET, PairRow, SelectedIds, SidedRecord
from e2gan.core.errors import InputError
from e2gan.core.files import CONFIG, read_json, read_jsonl, sha256
from e2gan.core.identity import hash_files
from e2gan.core.images import Pixels
from e2gan.core.names import file_key
from e2gan.core.outputs import read_settings
from e2gan.core.progress import note
from e2gan.core.record import add_facts
from e2gan.data.photos import INDEX, Photo, PhotoSet, read_stack

ROWS = "metadata.jsonl"
SELECTION = "selection.json"
SIDED = "sided"  # in config.json, beside the settings: it decides no edit


@dataclass(frozen=True)
class PairSet:
    """A folder that `e2gan pairs` wrote: one concept.

    rows: the lines of metadata.jsonl, dicts of file_name, photo (the photo's id, None for a picture of the other kind
    beyond the photos' number), split, prompt, teacher, seed, score.
    size: pixels of each side. photo_folder: where its photo set lies. paired: whether each edit is of its own photo.
    sided: whether the edit has a side, so that mirrored pairs contradict it.
    """

    folder: Path
    prompt: str
    teacher: str
    size: int
    rows: list[dict[str, Any]]
    photo_folder: Path
    paired: bool = True
    sided: bool = False

    @classmethod
    def load(cls, folder: Path) -> PairSet:
        """Raises InputError where the folder is none, or is not whole."""
        folder = Path(folder)
        settings = read_settings(folder, PAIR_SET, "pair set")
        rows = read_jsonl(folder / ROWS, PairRow, finite=False)  # a score may be none
        for what in ("file_name", "photo"):
            count = Counter(file_key(row[what]) for row in rows if row[what] is not None)
            if twice := next((name for name, times in count.items() if times > 1), None):
                raise InputError(f"{folder / ROWS}: '{twice}' is there twice as {what}: each pair is in one split")
        photo_folder = Path(os.path.normpath(folder / settings["photos"]))
        facts = settings["concept"], settings["teacher"], settings["size"], rows, photo_folder
        sided = read_json(folder / CONFIG, SidedRecord).get(SIDED, False)
        return cls(folder, *facts, paired=not settings.get("unpaired", False), sided=sided)

    @cached_property
    def photos(self) -> PhotoSet:
        """The photo set of its photos. Raises InputError where that is missing."""
        if not self.photo_folder.exists():
            raise InputError(f"{self.folder} needs its photo set {self.photo_folder}, which is missing: put it back")
        _tell_photos(self.folder, self.photo_folder)
        return PhotoSet.load(self.photo_folder)

    def content(self) -> str:
        """Hash of the bytes of the rows and of every image that they name, photos and edits; of a set without pairs,
        of all photos. Raises InputError where one is missing."""
        edits = [(str(row["file_name"]), self.folder / row["file_name"]) for row in self.rows]
        ids = list(dict.fromkeys(row["photo"] for row in self.rows if row["photo"] is not None))
        photos = [photo.id for photo in self.photos.photos] if not self.paired else ids
        index = [(INDEX, self.photo_folder / INDEX)] if not self.paired else []  # which has their splits
        named = zip((f"photo {name}" for name in photos), self.photos.files(photos), strict=True)
        return hash_files([(ROWS, self.folder / ROWS), *edits, *index, *named])

    def arrays(self, split: str, selection: Path | None = None) -> tuple[Pixels, Pixels, list[str]]:
        """Photos and edits of a split, uint8 (N, size, size, 3) each, and the photos' ids.

        selection: a selection.json, whose photos alone are taken. Raises InputError where nothing is left, or a photo
        or an edit is missing.
        """
        photos, edits, ids = self.files(split, selection)
        return read_stack(photos, self.photos.size), read_stack(edits, self.size), ids

    def files(self, split: str, selection: Path | None = None) -> tuple[list[Path], list[Path], list[str]]:
        """The files of what `arrays` returns, (N,) each; none is read."""
        rows = [row for row in self.rows if row["split"] == split and row["photo"] is not None]
        if not rows:
            raise InputError(f"{self.folder} has no pairs in the split '{split}'")
        if selection is not None:
            keep = selected_ids(selection)
            rows = [row for row in rows if row["photo"] in keep]
            if not rows:
                raise InputError(f"{selection} names none of the {split} photos of {self.folder}")
        ids = [row["photo"] for row in rows]
        return self.photos.files(ids), [self.folder / row["file_name"] for row in rows], ids

    def both_kinds(self, split: str, selection: Path | None = None) -> tuple[Pixels, Pixels, list[str]]:
        """As `arrays`; but all photos of the split (or of the selection), and all pictures of the other kind, where
        the set holds no pairs: as many as there are of each."""
        photos, edits, ids = self.files_of_both_kinds(split, selection)
        return read_stack(photos, self.photos.size), read_stack(edits, self.size), ids

    def files_of_both_kinds(
        self, split: str, selection: Path | None = None
    ) -> tuple[list[Path], list[Path], list[str]]:
        """The files of what `both_kinds` returns, (N,), (M,) and (N,); none is read."""
        if self.paired:
            return self.files(split, selection)
        keep = None if selection is None else selected_ids(selection)
        ids = [photo.id for photo in self.photos.split(split) if keep is None or photo.id in keep]
        files = [self.folder / row["file_name"] for row in self.rows if row["split"] == split]
        if not ids and keep is not None:
            raise InputError(f"{selection} names none of the {split} photos of {self.folder}")
        if not ids or not files:
            raise InputError(f"{self.folder} lacks photos or pictures of the other kind in the split '{split}'")
        return self.photos.files(ids), files, ids


@functools.cache
def _tell_photos(folder: Path, photo_folder: Path) -> None:
    """Tell once where a pair set's photos are read from, where that lies outside of it."""
    if not photo_folder.resolve().is_relative_to(folder.resolve()):
        note(f"{folder}: its photos are read from {photo_folder}")


@dataclass(frozen=True)
class PhotosToEdit:
    """The photos of a set that teachers edit: all, or of the training photos those of a selection.

    selection: its file, or None. hashes: of the files that decide which photos these are, as config.json holds them.
    reads: of the photos' own bytes too.
    """

    photo_set: PhotoSet
    photos: list[Photo]
    selection: Path | None
    hashes: dict[str, str | None]
    reads: dict[str, str | None]

    @classmethod
    def load(cls, folder: Path, selection: Path | None = None) -> PhotosToEdit:
        """selection: default, the one in the photo set, where there is one.

        Raises InputError where the folder is no photo set, and for a selection without any of its training photos.
        """
        if selection is None and (folder / SELECTION).exists():
            selection = folder / SELECTION
        keep = None if selection is None else selected_ids(selection)
        photo_set = PhotoSet.load(folder)
        photos = [p for p in photo_set.photos if keep is None or p.split != "train" or p.id in keep]
        if keep is not None and not any(photo.split == "train" for photo in photos):
            raise InputError(f"{selection} names none of the training photos of {folder}: write it anew, or delete it")
        hashes = {
            "photos_sha256": sha256(folder / INDEX),
            "selection_sha256": None if selection is None else sha256(selection),
        }
        index = f"{hashes['photos_sha256']} {photo_set.content([photo.id for photo in photos])}"
        reads = {"photos": hashlib.sha256(index.encode()).hexdigest(), "selection": hashes["selection_sha256"]}
        return cls(photo_set, photos, selection, hashes, reads)


def note_side(partial: Path, sided: bool) -> None:
    """In the config.json of a set that is being made: whether its edit has a side."""
    if sided:
        add_facts(partial, {SIDED: True})


def selected_ids(path: Path) -> set[str]:
    """The photos' ids of a selection.json. Raises InputError where the file is missing, or none."""
    try:
        return set(read_json(path, SelectedIds)["ids"])
    except InputError as error:
        raise InputError(f"{error}: write it anew with e2gan select, or delete it") from None
