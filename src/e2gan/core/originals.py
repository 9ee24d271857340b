"""The images of a folder that are a user's own: not what this program, a NAS or a photo tool derived from them.

A thumbnail, an edit or a crop of a photo under the same folder is the same picture once more, and would lie in another
split than its photo.
"""

from __future__ import annotations

import mmap
import os
import zlib
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from e2gan.core.errors import InputError
from e2gan.core.files import CONFIG, open_file, read_json
from e2gan.core.images import MADE_HERE, MOST_BYTES
from e2gan.core.names import printable
from e2gan.core.picture_kinds import IMAGE_SUFFIXES, NOT_READ, VIDEO_SUFFIXES
from e2gan.core.progress import note

THUMBNAILS = "thumbnails or a cache"
BIN = "deleted or older files"
# Folders of other programs, lower case. What begins with a dot is hidden, and left out by that: .thumbnails, .cache,
# .ipynb_checkpoints, QNAP's .@__thumb.
DERIVED = {
    "@eadir": THUMBNAILS,  # Synology
    "@tmp": THUMBNAILS,
    "@__thumb": THUMBNAILS,  # QNAP
    "thumbs": THUMBNAILS,
    "thumb": THUMBNAILS,
    "thumbnail": THUMBNAILS,
    "thumbnails": THUMBNAILS,
    "_thumbs": THUMBNAILS,
    "_thumbnails": THUMBNAILS,
    "cache": THUMBNAILS,
    "caches": THUMBNAILS,
    "__pycache__": THUMBNAILS,
    "captureone": THUMBNAILS,
    "ipod photo cache": THUMBNAILS,  # iTunes
    "#recycle": BIN,  # Synology
    "#snapshot": BIN,
    "@recycle": BIN,  # QNAP
    "@recently-snapshot": BIN,
    "$recycle.bin": BIN,  # Windows
    "recycler": BIN,
    "system volume information": BIN,
    "lost+found": BIN,
    "__macosx": "what macOS adds to archives",
    "node_modules": "a program's files",
}
# Endings of folders' names: Lightroom's previews, and libraries that hold previews beside the originals.
DERIVED_ENDINGS = {
    ".lrdata": "previews of Lightroom",
    ".lrcat-data": "previews of Lightroom",
    ".cocatalog": "previews of Capture One",
}
BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"II*\0", b"MM\0*")
BRANDS = (b"ftypavif", b"ftypheic", b"ftypheix", b"ftypmif1")
PNG_XMP, LARGEST_XMP = b"iTXtXML:com.adobe.xmp\0", 2**20
LARGEST_CONFIG = 16 * 2**20  # bytes: one of ours is far smaller


def list_images(folder: Path, own: Sequence[Path] = ()) -> list[Path]:
    """The original images of a folder and its subfolders, linked ones too, by their suffix, sorted.

    Left out, with a line that says what and how many: pictures of kinds that are not read, or that are called
    otherwise, hidden ones, those in folders that may not be read, that lead to one once more, that this program wrote,
    or that hold other programs' thumbnails, caches and deleted files, and this program's single pictures. The folder
    itself may be any of these: it was named. own: folders left out without a word, the caller's output.

    Raises InputError where there is no such folder, or it may not be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} {'is a file: name its folder' if folder.exists() else 'is no folder'}")
    files: list[Path] = []
    left: Counter[tuple[str, str]] = Counter()
    unread: Counter[str] = Counter()
    own = [path.resolve() for path in own]

    unreadable: list[str] = []

    def cannot(error: OSError) -> None:
        if Path(error.filename) == folder or not isinstance(error, PermissionError):
            raise InputError(f"{error.filename} cannot be read: {error.strerror}")
        unreadable.append(Path(error.filename).relative_to(folder).as_posix())

    unnamed: list[str] = []
    seen: dict[tuple[int, int], str] = {}
    linked = [folder]  # followed last, so that a folder's pictures have its own name; one may lead back to above it
    while linked:
        for parent, subfolders, names in os.walk(linked.pop(0), onerror=cannot):
            at = Path(parent)
            place, shown = at.stat(), at.relative_to(folder).as_posix()
            if (first := seen.setdefault((place.st_dev, place.st_ino), shown)) != shown:
                if count := sum(map(_is_image, names)):
                    left[shown, f"the same folder as {'the whole' if first == '.' else first}"] += count
                subfolders[:] = []
                continue
            kept = []
            for name in sorted(subfolders):
                if own and (at / name).resolve() in own:
                    continue
                if (why := derived(at / name)) is None:
                    (linked if (at / name).is_symlink() else kept).append(at / name)
                elif count := _count(at / name):
                    left[(at / name).relative_to(folder).as_posix(), why] += count
            subfolders[:] = [path.name for path in kept]
            for name in names:
                if name.startswith("."):
                    left[shown, "hidden"] += _is_image(name) and not name.startswith("._")  # macOS puts such beside
                elif (suffix := _suffix(name)) in NOT_READ:
                    unread[suffix] += 1
                elif suffix not in IMAGE_SUFFIXES:
                    if suffix not in VIDEO_SUFFIXES and _begins_as_picture(at / name):
                        unnamed.append((at / name).relative_to(folder).as_posix())
                elif _is_ours(at, name, names):
                    left[(at / name).relative_to(folder).as_posix(), "written by e2gan"] += 1
                else:
                    files.append(at / name)
    left = +left
    if left:
        note(_told(folder, left))
    if unread:
        kinds = ", ".join(f"{count} {suffix} ({NOT_READ[suffix]})" for suffix, count in unread.most_common())
        note(f"{folder}: left out what is not read, {kinds}: convert it to JPEG, PNG or TIFF")
    if unnamed:
        note(f"{folder}: left out {_some(unnamed)}: a picture by its content, but not by its name: rename it")
    if unreadable:
        note(f"{folder}: left out {_some(unreadable)}, which may not be read (no permission)")
    return sorted(files, key=lambda path: path.relative_to(folder).as_posix())


def _some(names: Sequence[str], most: int = 4) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return printable(", ".join(sorted(names)[:most])) + more


def _begins_as_picture(path: Path) -> bool:
    """Whether a file begins as one that is read, or a relative of it, whatever it is called."""
    with suppress(OSError, InputError), open_file(path) as file:
        head = file.read(12)
        return head.startswith(BEGINNINGS) or (head[:4], head[8:]) == (b"RIFF", b"WEBP") or head[4:] in BRANDS
    return False


def made_here(path: Path) -> bool:
    """Whether an image file says of itself that it is an edit by this program (editing/provenance.py)."""
    with (
        suppress(OSError, ValueError),  # an empty file cannot be mapped; a pipe, and what is missing, is none
        open_file(path) as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        if len(data) > MOST_BYTES:
            return False
        return data.find(MADE_HERE.encode()) >= 0 or MADE_HERE.encode() in _packed_xmp(data)
    return False


def _packed_xmp(data: mmap.mmap) -> bytes:
    """A PNG's XMP where another program has saved it compressed."""
    at = data.find(PNG_XMP)
    if at < 4 or data[at + len(PNG_XMP) : at + len(PNG_XMP) + 1] != b"\1":
        return b""
    end = at + 4 + int.from_bytes(data[at - 4 : at], "big")
    start = at + len(PNG_XMP) + 2
    for _ in range(2):  # the language, and the name in it
        start = data.find(b"\0", start, end) + 1
        if start == 0:
            return b""
    try:
        return zlib.decompressobj().decompress(data[start:end], LARGEST_XMP)
    except zlib.error:
        return b""


def derived(folder: Path) -> str | None:
    """What a folder below the one that was named holds instead of originals; None for one that may hold them."""
    name = folder.name.lower()
    if name.startswith("."):
        return "hidden"
    ending = next((why for end, why in DERIVED_ENDINGS.items() if name.endswith(end)), None)
    if why := DERIVED.get(name) or ending:
        return why
    stage = stage_of(folder / CONFIG)
    return None if stage is None else f"written by e2gan {stage}"


def stage_of(path: Path) -> str | None:
    """The stage of this program that wrote a JSON file; None for any other file, or none."""
    try:
        if not path.is_file() or path.stat().st_size > LARGEST_CONFIG:
            return None
        found = read_json(path, Any, finite=False)
    except (OSError, InputError):
        return None
    stage = found.get("stage") if isinstance(found, dict) else None
    ours = isinstance(stage, str) and ("settings" in found or "versions" in found)
    return stage if ours else None


def _is_ours(folder: Path, name: str, names: Sequence[str]) -> bool:
    """Whether an image is a picture of a result beside it: selection.png, ranks.png, an evaluation's sheet.png."""
    stem = name.rpartition(".")[0]
    if name == "sheet.png" and "metrics.json" in names:
        return True
    beside = [f"{s}.json" for s in (stem, stem.removesuffix("-rest")) if f"{s}.json" in names]
    return any(stage_of(folder / json_name) is not None for json_name in beside)


def _is_image(name: str) -> bool:
    return _suffix(name) in IMAGE_SUFFIXES


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 (a name alone, and many of them)


def _count(folder: Path) -> int:
    return sum(sum(map(_is_image, names)) for _, _, names in os.walk(folder))


def _told(folder: Path, left: Counter[tuple[str, str]], most: int = 4) -> str:
    shown = [f"{count} in {name} ({why})" for (name, why), count in left.most_common(most)]
    if len(left) > most:
        shown.append(f"{sum(count for _, count in left.most_common()[most:])} in {len(left) - most} others")
    total = sum(left.values())
    names = printable(", ".join(shown))
    return (
        f"{folder}: left out {total} image{'s' * (total > 1)} that {'are' if total > 1 else 'is'} no original: {names}"
    )
