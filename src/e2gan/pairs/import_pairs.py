"""Pairs that the user has: side by side in one image, or in two folders under the same names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from e2gan.config import PairsConfig
from e2gan.core.errors import InputError
from e2gan.core.files import write_jsonl
from e2gan.core.identity import Reads, hash_below
from e2gan.core.images import Pixels, read_image, resize, square
from e2gan.core.names import file_key
from e2gan.core.outputs import write_inner, writing
from e2gan.core.progress import in_threads, track
from e2gan.data.duplicates import likeness_notes
from e2gan.data.kept import KeptPhotos
from e2gan.data.pair_set import ROWS, note_side
from e2gan.data.photos import (
    Checked,
    Skipped,
    assign_splits,
    held_out,
    input_images,
    listing_hash,
    shown,
    shuffled,
    too_small,
    without_edits,
    write_checked,
)
from e2gan.pairs.outcome import Outcome

PHOTOS = "photos"
ASPECT = 0.02
FOLDERS: dict[str, str] = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val"}
FOLDERS |= {"test": "test", "testing": "test"}


@dataclass(frozen=True)
class _Source:
    """Where a pair comes from: two files, or one (`edit` None). split: by its folder."""

    name: str
    photo: Path
    edit: Path | None
    split: str | None


def import_pairs(config: PairsConfig, settings: dict[str, Any]) -> Outcome:
    """Write the pair set `config.out` and its photo set in `photos` there. `settings` becomes that of config.json.

    Raises InputError where the files do not match, or fewer than three pairs can be used.
    """
    outcome = Outcome()
    if config.aligned is not None:
        teacher, (sources, files_hash, reads) = "aligned", _aligned(config)
    else:
        teacher, (sources, files_hash, reads) = "before/after", _matched(config, outcome)
    settings |= {"teacher": teacher, "photos": PHOTOS, "files_sha256": files_hash}
    settings |= {k: str(Path(settings[k]).resolve()) for k in ("aligned", "before", "after") if settings[k]}
    with writing(config.out, "pairs", settings, reads=reads, resumes=True) as folder:
        if folder is None:
            return Outcome(already_done=True)
        note_side(folder, config.sided)
        (folder / "images").mkdir(exist_ok=True)
        kept = KeptPhotos(folder / PHOTOS, config.size, edits=folder / "images")
        read = in_threads(lambda source: _read(source, config, kept), sources)
        photos = write_checked(
            kept,
            track(read, "pairs", len(sources)),
            outcome.skipped,
            splits=lambda like: splits_of(
                like, {source.name: source.split for source in sources}, config.seed, outcome
            ),
            few=lambda count: f"{count} usable pair{'s' * (count != 1)}",
        )
        outcome.notes.extend(kept.done())
        photo_settings = {k: settings[k] for k in ("aligned", "before", "direction", "size", "seed", "files_sha256")}
        write_inner(folder / PHOTOS, "photos", photo_settings)
        about = {"prompt": settings["concept"], "teacher": teacher, "seed": config.seed, "score": None}
        rows = [{"file_name": photo.file, "photo": photo.id, "split": photo.split} | about for photo in photos]
        write_jsonl(folder / ROWS, rows)
    return outcome


def folder_split(path: Path, root: Path) -> str | None:
    """The split that the folder of a file is named after, in `root`; None for another folder."""
    parts = path.relative_to(root).parts
    return FOLDERS.get(parts[0].lower()) if len(parts) > 1 else None


def _aligned(config: PairsConfig) -> tuple[list[_Source], str, Reads]:
    root = cast(Path, config.aligned)
    files = input_images(root, config.out, "images")
    sources = [_Source(shown(path, root), path, None, folder_split(path, root)) for path in files]
    return sources, listing_hash(root, files), {"aligned": hash_below(root, files)}


def _matched(config: PairsConfig, outcome: Outcome) -> tuple[list[_Source], str, Reads]:
    before, after = cast(Path, config.before), cast(Path, config.after)
    photos = without_edits(input_images(before, config.out, "images"), before)
    edits = input_images(after, config.out, "images")
    # By path where the two folders have the same subfolders, else by name; the same suffix in both first.
    path, name = (lambda p, root: p.relative_to(root)), (lambda p, _: Path(p.name))
    ways = [_partners(photos, edits, way, before, after) for way in (path, name)]
    partners = max(ways, key=len)
    if 2 * len(partners) < min(len(photos), len(edits)) or not partners:
        lonely = shown(next(path for path in photos if path not in partners), before)
        raise InputError(
            f"only {len(partners)} of the {len(photos)} images of {before} have a partner in {after}: "
            f"e.g. {lonely} has no {Path(lonely).stem}.* there (edits need their photos' names)"
        )
    taken = set(partners.values())
    for count, folder in ((len(photos) - len(partners), before), (len(edits) - len(taken), after)):
        if count:
            outcome.notes.append(f"{count} image{'s' * (count > 1)} of {folder} without a partner left out")
    sources = [_Source(shown(p, before), p, e, folder_split(p, before)) for p, e in partners.items()]
    reads = {"before": hash_below(before, photos), "after": hash_below(after, edits)}
    return sources, listing_hash(before, photos) + listing_hash(after, edits), reads


def _partners(
    photos: Sequence[Path], edits: Sequence[Path], name: Callable[[Path, Path], Path], before: Path, after: Path
) -> dict[Path, Path]:
    """Photo → edit where exactly one of each has the name: as it is, as some disks see it, and without its suffix."""
    partners: dict[Path, Path] = {}
    for seen in (Path.as_posix, file_key, lambda p: file_key(p.with_suffix(""))):
        both: dict[str, tuple[list[Path], list[Path]]] = defaultdict(lambda: ([], []))
        taken = set(partners.values())
        for path in photos:
            if path not in partners:
                both[seen(name(path, before))][0].append(path)
        for path in edits:
            if path not in taken:
                both[seen(name(path, after))][1].append(path)
        partners |= {ours[0]: theirs[0] for ours, theirs in both.values() if len(ours) == len(theirs) == 1}
    return {photo: partners[photo] for photo in photos if photo in partners}


def _read(source: _Source, config: PairsConfig, kept: KeptPhotos) -> Checked | Skipped:
    """The pair at the working size, or (file, reason)."""
    if (found := Checked.kept(source.photo, source.name, kept)) is not None:
        return found
    try:
        photo, edit = _halves(source, config) if source.edit is None else _two(source.photo, source.edit)
        for image, name in ((photo, "photo"), (edit, "edit")):
            if reason := too_small(image, config.size):
                raise InputError(f"the {name}'s {reason}")
        if edit.shape != photo.shape:
            edit = resize(edit, (photo.shape[0], photo.shape[1]))
        return Checked.of(source.photo, source.name, photo, config.size, square(edit, config.size))
    except InputError as error:
        reason = str(error).removeprefix(f"{source.photo}: ")
        if source.edit is not None and reason.startswith(f"{source.edit}: "):
            reason = f"its edit ({shown(source.edit, source.edit.parent)}) {reason.removeprefix(f'{source.edit}: ')}"
        return source.name, reason


def _halves(source: _Source, config: PairsConfig) -> tuple[Pixels, Pixels]:
    image = read_image(source.photo)
    width = image.shape[1]
    if width % 2:
        raise InputError(f"its width, {width} pixels, is odd: it cannot be two images side by side")
    left, right = image[:, : width // 2], image[:, width // 2 :]
    return (left, right) if config.direction == "AtoB" else (right, left)


def _two(before: Path, after: Path) -> tuple[Pixels, Pixels]:
    photo, edit = read_image(before), read_image(after)
    aspect = (photo.shape[1] / photo.shape[0]) / (edit.shape[1] / edit.shape[0])
    if not 1 - ASPECT <= aspect <= 1 + ASPECT:
        frames = [f"{image.shape[1]}×{image.shape[0]}" for image in (photo, edit)]
        raise InputError(f"photo and edit differ in shape ({frames[0]} and {frames[1]} pixels)")
    return photo, edit


def splits_of(like: Mapping[str, str], folders: Mapping[str, str | None], seed: int, outcome: Outcome) -> list[str]:
    """The splits of the folders train, val and test where the user has them; else by seed.

    like: of `alike`, the names and which of them show the same: what is split here keeps those together.
    """
    names = list(like)
    given = [folders[name] for name in names]
    present = set(given)
    if None in present or "train" not in present or present == {"train"}:
        if present != {None}:
            outcome.notes.append("split 80/10/10 by seed: not all images lie in folders train, and val or test")
        outcome.notes.extend(likeness_notes(like))
        return assign_splits(names, seed, like)
    splits: list[str] = [split or "train" for split in given]
    if "test" not in present:
        outcome.notes.append("no folder test: its images are those of val, and a tenth of train became val")
        splits = ["test" if split == "val" else split for split in splits]
    elif "val" not in present:
        outcome.notes.append("no folder val: a tenth of train became val")
    if "val" not in splits:
        splits = _with_val(like, splits, seed)
    outcome.notes.extend(leak_notes(like, splits))
    return splits


def _with_val(like: Mapping[str, str], splits: Sequence[str], seed: int) -> list[str]:
    """The splits, a tenth of train become val."""
    groups: dict[str, list[str]] = defaultdict(list)
    for (name, first), split in zip(like.items(), splits, strict=True):
        if split == "train":
            groups[first].append(name)
    if len(groups) < 2:
        raise InputError("the folder train holds one usable pair, and at least 2 are needed: one becomes val")
    tenth = max(1, round(sum(map(len, groups.values())) / 10))
    val = held_out(shuffled(groups, seed), groups, tenth, leave=1)
    return [
        "val" if split == "train" and first in val else split
        for first, split in zip(like.values(), splits, strict=True)
    ]


def leak_notes(like: Mapping[str, str], splits: Sequence[str]) -> list[str]:
    """What a user should know whose own folders hold nearly the same picture in train and in val or test."""
    of: dict[str, dict[str, str]] = defaultdict(dict)
    for (name, first), split in zip(like.items(), splits, strict=True):
        of[first].setdefault("train" if split == "train" else "other", name)
    leaks = [found for found in of.values() if len(found) > 1]
    if not leaks:
        return []
    example = f"e.g. {leaks[0]['train']} and {leaks[0]['other']}"
    return [
        f"{len(leaks)} pictures of val or test are nearly the same as ones in train ({example}): your folders are kept"
    ]
