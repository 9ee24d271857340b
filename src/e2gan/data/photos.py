"""Photo sets: photos checked, cropped, resized, deduplicated, and split by photo."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from e2gan.config import PhotosConfig
from e2gan.config.schemas import PHOTO_SET, PhotoRow
from e2gan.core.errors import InputError
from e2gan.core.files import plain, read_jsonl, sha256, write_jsonl
from e2gan.core.identity import hash_below, hash_files
from e2gan.core.images import Pixels, read_image, read_square, square, write_png
from e2gan.core.names import printable
from e2gan.core.originals import list_images, made_here
from e2gan.core.outputs import partial_of, read_settings, writing
from e2gan.core.progress import in_threads, note, track
from e2gan.core.schemas import known
from e2gan.core.summary import skipped_lines
from e2gan.data.duplicates import LEAST_GROUPS, alike, likeness_notes, thumbnail
from e2gan.data.kept import KeptPhotos

INDEX = "photos.jsonl"
Item = tuple[str, Pixels, str, str, int, int, str]  # id, image, split, source, width, height, sha256


@dataclass(frozen=True)
class Photo:
    """One photo of a set, a line of photos.jsonl."""

    id: str
    file: str
    """Path inside the photo set."""
    split: str
    """train, val or test."""
    source: str
    """The file that it was made from, relative to the folder; the picture's name for crops of one."""
    width: int
    """Of the source, in pixels."""
    height: int
    sha256: str
    """Of the source file's bytes; of the pixels where there was no file."""


@dataclass(frozen=True)
class PhotoSet:
    """A folder that `e2gan photos` wrote. size: the working size, pixels of each side."""

    folder: Path
    size: int
    photos: list[Photo]

    @classmethod
    def load(cls, folder: Path) -> PhotoSet:
        """Raises InputError where the folder is none, or is not whole."""
        folder = Path(folder)
        size = read_settings(folder, PHOTO_SET, "photo set")["size"]
        photos = [Photo(**known(Photo, row)) for row in read_jsonl(folder / INDEX, PhotoRow)]
        if twice := [name for name, count in Counter(photo.id for photo in photos).items() if count > 1]:
            raise InputError(f"{folder / INDEX}: two photos have the id '{twice[0]}'")
        return cls(folder, size, photos)

    def content(self, ids: Sequence[str] | None = None) -> str:
        """Hash of the photos' ids and of the bytes of their images: all, or these. Raises InputError where one is
        missing."""
        ids = [photo.id for photo in self.photos] if ids is None else ids
        return hash_files(zip(ids, self.files(ids), strict=True))

    def split(self, name: str) -> list[Photo]:
        return [photo for photo in self.photos if photo.split == name]

    def by_id(self, name: str) -> Photo:
        for photo in self.photos:
            if photo.id == name:
                return photo
        raise InputError(f"{self.folder} has no photo '{name}'")

    def array(self, ids: Sequence[str] | None = None) -> Pixels:
        """The photos of these ids, in their order (all: in the set's), as uint8 (N, size, size, 3)."""
        return read_stack(self.files(ids), self.size)

    def files(self, ids: Sequence[str] | None = None) -> list[Path]:
        """The image files of these ids, in their order (all: in the set's)."""
        files = {photo.id: photo.file for photo in self.photos}
        if missing := [name for name in ids or () if name not in files]:
            raise InputError(f"{self.folder} has no photo '{missing[0]}'")
        return [self.folder / files[name] for name in (files if ids is None else ids)]


@dataclass(frozen=True)
class PhotosResult:
    """What became of a folder of photos. skipped: (file, reason)."""

    folder: Path
    size: int
    train: int
    val: int
    test: int
    skipped: list[tuple[str, str]] = field(default_factory=list)
    already_done: bool = False
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        total = self.train + self.val + self.test
        line = f"{total} photos of {self.size}×{self.size} in {self.folder}: "
        line += f"{self.train} train, {self.val} val, {self.test} test"
        if self.already_done:
            return f"{line}\nmade already from the same photos: nothing to do"
        return "\n".join([line, *self.notes, *skipped_lines(self.skipped)])


@dataclass(frozen=True)
class Checked:
    """A picture that can be used, at the working size, and for pairs its edit. name: the source, as messages show it.

    width, height: of the source, in pixels. sha256: of its file; pixels: of the image.
    """

    path: Path
    name: str
    image: Pixels
    width: int
    height: int
    sha256: str
    pixels: str
    edit: Pixels | None = None

    @classmethod
    def of(cls, path: Path, name: str, photo: Pixels, size: int, edit: Pixels | None = None) -> Checked:
        image = square(photo, size)
        return cls(path, name, image, photo.shape[1], photo.shape[0], sha256(path), pixel_hash(image), edit)

    @classmethod
    def kept(cls, path: Path, name: str, kept: KeptPhotos) -> Checked | None:
        """As `of`, from what a run that was stopped has written; None where it has not."""
        if (found := kept.read(path, name)) is None:
            return None
        row, image, edit = found
        return cls(path, name, image, row["width"], row["height"], row["sha256"], pixel_hash(image), edit)


Skipped = tuple[str, str]  # file, reason


def prepare_photos(config: PhotosConfig) -> PhotosResult:
    """Make a photo set of a folder of photos: centre squares at the working size, each picture once.

    The split is 80/10/10 by photo (Sec. 5.1) and depends on the seed and the files' names alone, but that
    near-duplicates are kept in one (data/duplicates.py). Photos that cannot be used are skipped with a reason. Run
    again on the same photos, it finds them done.

    Raises InputError where fewer than three photos can be used.
    """
    PhotosConfig.checked(config)
    root = config.folder
    files = evenly(without_edits(input_images(root, config.out, "photos"), root), config.limit)
    settings = plain(config) | {"folder": str(root.resolve()), "files_sha256": listing_hash(root, files)}
    reads = {"folder": hash_below(root, files)}
    skipped: list[Skipped] = []
    notes: list[str] = []

    def splits(like: Mapping[str, str]) -> list[str]:
        notes.extend(likeness_notes(like))
        return assign_splits(list(like), config.seed, like)

    with writing(config.out, "photos", settings, reads=reads, resumes=True) as folder:
        if folder is None:
            return result_of(PhotoSet.load(config.out), already_done=True)
        kept = KeptPhotos(folder, config.size)
        checked = in_threads(lambda path: check_photo(path, root, config.size, kept), files)
        photos = write_checked(
            kept,
            track(checked, "photos", len(files)),
            skipped,
            splits=splits,
            few=lambda count: f"{root} holds {count} usable photos",
        )
        notes.extend(kept.done())
    return replace(result_of(PhotoSet(config.out, config.size, photos), skipped), notes=notes)


def input_images(root: Path, out: Path, what: str) -> list[Path]:
    """The original images of a folder; the stage's own output, should that lie in it, is none. Raises InputError for
    none."""
    files = list_images(root, own=(out, partial_of(out)))
    if not files:
        raise InputError(f"{root} holds no {what} (looked for JPEG, PNG, WebP, TIFF and the like, in subfolders too)")
    return files


def without_edits(files: Sequence[Path], root: Path) -> list[Path]:
    """The photos of a folder without this program's own edits, which are told; where there is nothing else, all."""
    edits = [file for file, made in zip(files, in_threads(made_here, files), strict=True) if made]
    if not edits or len(edits) == len(files):
        return list(files)
    note(f"{root}: left out {len(edits)} that e2gan edit made, such as {shown(edits[0], root)}")
    left_out = set(edits)
    return [file for file in files if file not in left_out]


def write_checked(
    kept: KeptPhotos,
    checked: Iterable[Checked | Skipped],
    skipped: list[Skipped],
    *,
    splits: Callable[[Mapping[str, str]], list[str]],
    few: Callable[[int], str],
    index: bool = True,
) -> list[Photo]:
    """Write images/ and, with `index`, photos.jsonl, each picture once; what is left out goes to `skipped`.

    kept: the folder, and where the pictures' edits go, under the photos' names.
    splits: the sources' names, each with the first of its near-duplicates, itself where it has none → their splits.
    Raises InputError, which begins with few(count), for fewer than three.
    """

    thumbnails: list[Pixels] = []

    def items() -> Iterator[Item]:
        for name, picture in _once(checked, skipped):
            thumbnails.append(thumbnail(picture.image))
            if kept.edits is not None and picture.edit is not None and not (kept.edits / f"{name}.png").exists():
                write_png(kept.edits / f"{name}.png", picture.edit)
            facts = {"source": picture.name, "width": picture.width, "height": picture.height, "sha256": picture.sha256}
            kept.write({"id": name} | facts)
            yield name, picture.image, "", picture.name, picture.width, picture.height, picture.sha256

    photos = write_images(kept.folder, items())
    if len(photos) < 3:
        why = f"; {skipped[0][0]}: {skipped[0][1]}" if skipped else ""
        raise InputError(f"{few(len(photos))}, and at least 3 are needed{why}")
    of_photos = zip(photos, splits(alike([photo.source for photo in photos], thumbnails)), strict=True)
    photos = [replace(photo, split=split) for photo, split in of_photos]
    if index:
        write_jsonl(kept.folder / INDEX, map(plain, photos))
    return photos


def _once(checked: Iterable[Checked | Skipped], skipped: list[Skipped]) -> Iterator[tuple[str, Checked]]:
    """Each picture once, with its id."""
    first: dict[str, str] = {}
    ids: set[str] = set()
    for picture in checked:
        if not isinstance(picture, Checked):
            skipped.append(picture)
        elif twin := first.get(picture.sha256) or first.get(picture.pixels):
            skipped.append((picture.name, f"the same picture as ‘{twin}’"))
        else:
            first[picture.sha256] = first[picture.pixels] = picture.name
            yield make_id(picture.path.stem, picture.sha256, ids), picture


def result_of(photo_set: PhotoSet, skipped: Sequence[Skipped] = (), *, already_done: bool = False) -> PhotosResult:
    train, val, test = (len(photo_set.split(name)) for name in ("train", "val", "test"))
    return PhotosResult(photo_set.folder, photo_set.size, train, val, test, list(skipped), already_done)


def check_photo(path: Path, root: Path, size: int, kept: KeptPhotos) -> Checked | Skipped:
    """The photo at the working size; or its name below `root`, and why it cannot be used."""
    name = shown(path, root)
    if (found := Checked.kept(path, name, kept)) is not None:
        return found
    try:
        photo = read_image(path)
        reason = too_small(photo, size)
        return (name, reason) if reason else Checked.of(path, name, photo, size)
    except InputError as error:
        return name, str(error).removeprefix(f"{path}: ")


def too_small(photo_HWC: Pixels, size: int) -> str:
    """Why a photo would have to be enlarged more than twofold; nothing where it is large enough."""
    height, width = photo_HWC.shape[:2]
    if 2 * min(height, width) >= size:
        return ""
    return f"{width}×{height} pixels are too few for a working size of {size} (half of it at least)"


def evenly(files: list[Path], limit: int | None) -> list[Path]:
    """At most `limit` of the files, evenly over the list."""
    if limit is None or len(files) <= limit:
        return files
    return [files[i * len(files) // limit] for i in range(limit)]


def shown(path: Path, root: Path) -> str:
    """A path relative to `root`, in characters that every file and terminal can hold; no two paths' are the same."""
    name = os.fsencode(path.relative_to(root).as_posix())
    text = printable(name.decode("utf-8", "replace"))
    return text if text.encode() == name else f"{text} [{hashlib.sha256(name).hexdigest()[:8]}]"


def pixel_hash(image_HWC: Pixels) -> str:
    return hashlib.sha256(repr(image_HWC.shape).encode() + image_HWC.tobytes()).hexdigest()


def listing_hash(root: Path, files: Sequence[Path]) -> str:
    """Of the files' names and sizes: what earlier versions knew a folder by (`BEFORE_CONTENT` of core/reruns.py)."""
    rows = (f"{shown(path, root)}\0{path.stat().st_size if path.exists() else -1}\n" for path in files)
    return hashlib.sha256("".join(rows).encode()).hexdigest()


# `datasets` takes these words in a file's name for its split, and would then drop the files without one.
SPLIT_WORDS = re.compile(r"(?<![a-z])(training|train|validation|valid|val|dev|testing|test|evaluation|eval)(?![a-z])")


def make_id(stem: str, sha256: str, taken: set[str]) -> str:
    """A name for files, short and of a-z, 0-9 and "-": what the stem says and the start of the hash. Joins `taken`."""
    text = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", SPLIT_WORDS.sub("-", text))[:32].strip("-") or "photo"
    name = next(n for digits in (8, 16, 64) if (n := f"{slug}-{sha256[:digits]}") not in taken)
    taken.add(name)
    return name


def shuffled(names: Iterable[str], seed: int) -> list[str]:
    """In the order of the names' own hashes: a name more or less leaves the others where they are."""
    return sorted(names, key=lambda name: (hashlib.sha256(f"{seed} {name}".encode()).digest(), name))


def assign_splits(sources: Sequence[str], seed: int, like: Mapping[str, str] | None = None) -> list[str]:
    """80/10/10 by source picture, at least one of each: the split of each source, in their order.

    like: of `alike`: pictures that show the same get the same split, so that val and test may be a little smaller; but
    where nearly all do, as a film's frames, each picture is split by itself. It does not depend on the order. Raises
    InputError under three sources.
    """
    if like is None or len(set(like.values())) < LEAST_GROUPS:
        like = {source: source for source in sources}
    members: dict[str, list[str]] = defaultdict(list)
    for source in dict.fromkeys(sources):
        members[like[source]].append(source)
    if len(members) < LEAST_GROUPS:
        raise InputError(f"{len(members)} pictures cannot be split into train, val and test: at least 3 are needed")
    tenth = max(1, round(sum(map(len, members.values())) / 10))
    order = shuffled(members, seed)
    val = held_out(order, members, tenth, leave=2)
    test = held_out([name for name in order if name not in val], members, tenth, leave=1)
    split = {
        source: "val" if name in val else "test" if name in test else "train"
        for name, group in members.items()
        for source in group
    }
    return [split[source] for source in sources]


def held_out(order: Sequence[str], members: Mapping[str, Sequence[str]], count: int, leave: int) -> set[str]:
    """The first groups of the order that together have no more than `count` pictures; at least one, of the smallest.

    leave: how many groups are left at least.
    """
    chosen: set[str] = set()
    for name in order:
        if len(members[name]) <= count and len(chosen) < len(order) - leave:
            chosen.add(name)
            count -= len(members[name])
    return chosen or {min(order, key=lambda name: len(members[name]))}


def write_photo_set(folder: Path, items: Iterable[Item]) -> list[Photo]:
    """Write images/ and photos.jsonl of (id, image, split, source, width, height, sha256); config.json is the caller's.

    image: uint8 (size, size, 3). width, height: of the source in pixels.
    """
    photos = write_images(folder, items)
    write_jsonl(folder / INDEX, map(plain, photos))
    return photos


def write_images(folder: Path, items: Iterable[Item]) -> list[Photo]:
    """Write images/ alone: for those who know the splits only when all photos are seen."""
    (folder / "images").mkdir(parents=True, exist_ok=True)

    def write(item: Item) -> Photo:
        name, image, split, source, width, height, sha256 = item
        photo = Photo(name, f"images/{name}.png", split, source, width, height, sha256)
        if not (folder / photo.file).exists():  # of a run that was stopped; files are whole or not there
            write_png(folder / photo.file, image)
        return photo

    return list(in_threads(write, items))


def read_stack(files: Sequence[Path], size: int) -> Pixels:
    """Images of one size as uint8 (N, size, size, 3). Raises InputError where one is missing or of another size."""
    for file in files[:1]:  # before there is an array of a size that the set alone names
        read_square(file, size=size)
    stack = np.empty((len(files), size, size, 3), np.uint8)
    read_into(stack, files)
    return stack


def read_into(stack: Pixels, files: Sequence[Path]) -> None:
    """As `read_stack`, into an array (N, size, size, 3) that is there: no more than a few images are held beside it."""
    for i, image in enumerate(in_threads(partial(read_square, size=stack.shape[1]), files)):
        stack[i] = image
