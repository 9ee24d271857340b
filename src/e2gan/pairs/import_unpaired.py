"""Pictures of two kinds that the user has, horses and zebras: in two folders, or in one with trainA, trainB, ..."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

from e2gan.config import PairsConfig
from e2gan.core.errors import InputError
from e2gan.core.files import write_jsonl
from e2gan.core.identity import Reads, hash_below
from e2gan.core.outputs import write_inner, writing
from e2gan.core.progress import in_threads, track
from e2gan.data.kept import KeptPhotos
from e2gan.data.pair_set import ROWS, note_side
from e2gan.data.photos import (
    Photo,
    check_photo,
    input_images,
    listing_hash,
    shown,
    shuffled,
    without_edits,
    write_checked,
)
from e2gan.pairs.import_pairs import FOLDERS, PHOTOS, folder_split, splits_of
from e2gan.pairs.outcome import Outcome


@dataclass(frozen=True)
class _Kind:
    """The pictures of one kind: below `root`; splits: by their names in it, None outside of train, val and test."""

    root: Path
    files: list[Path]
    splits: dict[str, str | None]


def import_unpaired(config: PairsConfig, settings: dict[str, Any]) -> Outcome:
    """Write the set `config.out` and its photo set in `photos` there. `settings` becomes that of config.json.

    All pictures of both kinds are taken, however many there are of each. The i-th of a split stand beside each other in
    metadata.jsonl, without belonging together; pictures of the second kind beyond that have no photo there.
    Raises InputError where the folders are none of this layout, or fewer than three pictures of a kind can be used.
    """
    outcome = Outcome()
    photos, targets = _domains(config, outcome) if config.unaligned is not None else _two_folders(config)
    settings |= {"teacher": "unpaired", "unpaired": True, "photos": PHOTOS}
    settings["files_sha256"] = listing_hash(photos.root, photos.files) + listing_hash(targets.root, targets.files)
    settings |= {k: str(Path(settings[k]).resolve()) for k in ("unaligned", "before", "after") if settings[k]}
    found = [hash_below(kind.root, kind.files) for kind in (photos, targets)]
    reads: Reads = {"unaligned": found} if config.unaligned is not None else {"before": found[0], "after": found[1]}
    with writing(config.out, "pairs", settings, reads=reads, resumes=True) as folder:
        if folder is None:
            return Outcome(already_done=True)
        note_side(folder, config.sided)
        of_photos = _write(folder / PHOTOS, photos, config, outcome, index=True)
        kept = ("unaligned", "before", "direction", "size", "seed", "files_sha256")
        write_inner(folder / PHOTOS, "photos", {k: settings[k] for k in kept})
        of_targets = _write(folder, targets, config, outcome, index=False)
        about = {"prompt": settings["concept"], "teacher": "unpaired", "seed": config.seed, "score": None}
        write_jsonl(folder / ROWS, [row | about for row in _rows(of_photos, of_targets, config.seed)])
    counts = ", ".join(f"{sum(p.split == split for p in of_photos)} {split}" for split in ("train", "val", "test"))
    outcome.notes.append(f"photos: {counts}")
    return outcome


def _two_folders(config: PairsConfig) -> tuple[_Kind, _Kind]:
    kinds = []
    for root in (cast(Path, config.before), cast(Path, config.after)):
        files = without_edits(input_images(root, config.out, "images"), root)
        kinds.append(_Kind(root, files, {shown(path, root): folder_split(path, root) for path in files}))
    if not set(kinds[0].splits.values()) & set(kinds[1].splits.values()):
        raise InputError(
            f"{kinds[0].root} and {kinds[1].root} have no folder in common: both need train and test, or neither"
        )
    return kinds[0], kinds[1]


def _domains(config: PairsConfig, outcome: Outcome) -> tuple[_Kind, _Kind]:
    """The folders trainA, testA, ... and trainB, testB, ... of one, which may have others too."""
    root = cast(Path, config.unaligned)
    kinds = {letter: _Kind(root, [], {}) for letter in "ab"}
    others = 0
    for path in without_edits(input_images(root, config.out, "images"), root):
        name = path.relative_to(root).parts[0].lower()
        split = FOLDERS.get(name[:-1]) if path.parent != root else None
        if split is None or name[-1] not in kinds:
            others += 1
            continue
        kinds[name[-1]].files.append(path)
        kinds[name[-1]].splits[shown(path, root)] = split
    for letter, kind in kinds.items():
        if "train" not in kind.splits.values():
            raise InputError(f"{root} has no images in train{letter.upper()}: it needs trainA, trainB, testA and testB")
    if others:
        outcome.notes.append(f"{others} image{'s' * (others > 1)} of {root} outside of trainA, trainB, ... left out")
    return (kinds["a"], kinds["b"]) if config.direction == "AtoB" else (kinds["b"], kinds["a"])


def _write(folder: Path, kind: _Kind, config: PairsConfig, outcome: Outcome, *, index: bool) -> list[Photo]:
    """The pictures of a kind into `folder`/images, with photos.jsonl or without."""
    found, which = Outcome(), "first" if index else "second"
    kept = KeptPhotos(folder, config.size)
    checked = in_threads(partial(check_photo, root=kind.root, size=config.size, kept=kept), kind.files)
    photos = write_checked(
        kept,
        track(checked, which, len(kind.files)),
        found.skipped,
        splits=lambda like: splits_of(like, kind.splits, config.seed, found),
        few=lambda count: f"{kind.root}: {count} usable image{'s' * (count != 1)} of the {which} kind",
        index=index,
    )
    found.notes.extend(f"{note}, {which} kind" for note in kept.done())
    several = kind.root if config.unaligned is None else None  # the two folders may have the same names in them
    outcome.skipped.extend((f"{several.name}/{name}" if several else name, reason) for name, reason in found.skipped)
    outcome.notes.extend(note for note in found.notes if note not in outcome.notes)
    return photos


def _rows(photos: Sequence[Photo], targets: Sequence[Photo], seed: int) -> list[dict[str, Any]]:
    """The targets by split, shuffled, so that edits in a second folder do not meet their own photos."""
    ids: dict[str, list[str]] = defaultdict(list)
    for photo in photos:
        ids[photo.split].append(photo.id)
    by_source: dict[str, list[Photo]] = defaultdict(list)
    for target in targets:  # names that differ in what is not printed are shown as one
        by_source[target.source].append(target)
    rows = []
    for target in (target for name in shuffled(by_source, seed) for target in by_source[name]):
        beside = ids[target.split].pop(0) if ids[target.split] else None
        rows.append({"file_name": target.file, "photo": beside, "split": target.split})
    order = {photo.id: i for i, photo in enumerate(photos)}
    return sorted(rows, key=lambda row: order.get(row["photo"], len(order)))
