"""Pair sets of concepts that no base has learned, to measure bases on: the six that are held out for ever, or others.

    python benchmarks/held_out.py --photos ../shared/photos --styles ../shared/teachers --out held

Training photos are of those that recipes/base.py trains on, as many of each source; `test` is the test split. Run
again, it goes on where it was stopped. Prints the pair sets' folders, for benchmarks/quality.py --pairs. OUT/shown has
a set of each concept's edits of the built-in pictures that no training sees, for its --shown.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from e2gan import PairsConfig, make_pairs
from e2gan.config.checks import at_least, need
from e2gan.core.files import sha256
from e2gan.core.identity import hash_below
from e2gan.core.images import read_image, square
from e2gan.core.originals import list_images
from e2gan.core.outputs import writing
from e2gan.core.progress import in_threads, track
from e2gan.data.builtin_photos import builtin_pictures, pictures_hash, test_pictures
from e2gan.data.photos import Item, evenly, listing_hash, make_id, pixel_hash, shuffled, write_photo_set
from e2gan.teachers.filters.filters import FILTERS, find

RECIPE = Path(__file__).resolve().parents[1] / "recipes" / "base.py"
sys.path[:0] = [str(RECIPE.parent), str(Path(__file__).resolve().parent)]
from runs import exit_status  # noqa: E402 (scripts beside this one, found by the line above)
from styles import style_pairs, style_prompts  # noqa: E402

SOURCES = ("train", "landscapes")  # of the training photos
HELD_OUT = ("la_muse", "rain_princess", "lowpoly", "crayon", "dusk", "sepia")  # from every base that ships


@dataclass(frozen=True, kw_only=True)
class PairSets:
    """Make the pair sets that bases are measured on."""

    photos: Path
    """Folder that holds `train`, `landscapes` and `test`."""
    out: Path
    """Folder to work in."""
    styles: Path | None = None
    """Folder of stylize.py and its networks in fast-style: neural styles join the concepts."""
    concepts: tuple[str, ...] = HELD_OUT
    """Filters, and styles of that folder."""
    size: int = 128
    """Side of the photos in pixels."""
    style_size: int = 256
    """Side at which the styles are applied, before they are reduced: they are as coarse as their network makes them."""
    train: int = 400
    """Training photos (Sec. 5.1: 400)."""
    test: int = 100
    """Test photos."""

    def check(self) -> None:
        for name, least in (("train", 2), ("test", 2), ("size", 32)):
            at_least(name, getattr(self, name), least)
        for name in ("size", "style_size"):
            need(getattr(self, name) % 8 == 0, f"--{name.replace('_', '-')} {getattr(self, name)}: no multiple of 8")
        need(self.style_size >= self.size, f"--style-size {self.style_size}: must be at least --size, {self.size}")
        for folder in (*SOURCES, "test"):
            need((self.photos / folder).is_dir(), f"{self.photos} has no folder {folder}")
        if self.styles is not None:
            style_prompts(self.styles)

    def pairs(self, concept: Concept, kind: str = "pairs") -> Path:
        return self.out / kind / concept.name


@dataclass(frozen=True)
class Concept:
    """kind: a filter's, or "style"."""

    name: str
    prompt: str
    kind: str


def training_files(config: PairSets) -> list[Path]:
    """As many photographs of each source, evenly over it, and only such as recipes/base.py trains on by default."""
    recipe = runpy.run_path(str(RECIPE))
    shipped = {config.photos / name: of for name, of in recipe["SHIPPED"].items() if (config.photos / name).is_dir()}
    names = [
        str(path.relative_to(config.photos)) for folder, of in shipped.items() for path in recipe["used"](folder, of[0])
    ]
    val = set(shuffled(names, 0)[: max(1, round(recipe["VAL"] * len(names)))])
    found = []
    for source, count in zip(SOURCES, (config.train - config.train // 2, config.train // 2), strict=True):
        own = [config.photos / name for name in names if Path(name).parts[0] == source and name not in val]
        need(len(own) >= count, f"--train {config.train}: {config.photos / source} has {len(own)} to give, not {count}")
        found += evenly(own, count)
    return found


def photo_set(config: PairSets, size: int) -> Path:
    """Centre squares of the photographs, the same at every size."""
    out = config.out / f"photos-{size}"
    files = {"train": training_files(config), "test": evenly(list_images(config.photos / "test"), config.test)}
    need(len(files["test"]) == config.test, f"--test {config.test}: {config.photos / 'test'} has {len(files['test'])}")
    listed = {split: listing_hash(config.photos, found) for split, found in files.items()}
    reads = {split: hash_below(config.photos, found) for split, found in files.items()}
    with writing(out, "photos", {"size": size, "files_sha256": listed}, reads=reads) as folder:
        if folder is not None:
            jobs = [(path, split) for split, found in files.items() for path in found]
            write_photo_set(folder, track(squares(config.photos, jobs, size), f"photos at {size}", len(jobs)))
    return out


def shown_photos(config: PairSets, size: int) -> Path:
    """Centre squares of the built-in pictures; of the test split those that no training sees."""
    out = config.out / f"shown-photos-{size}"
    with writing(out, "photos", {"size": size}, reads={"pictures": pictures_hash()}) as folder:
        if folder is not None:
            write_photo_set(folder, builtin_squares(size))
    return out


def builtin_squares(size: int) -> Iterator[Item]:
    taken: set[str] = set()
    tests = test_pictures().keys()
    for name, picture in builtin_pictures().items():
        digest, (height, width) = pixel_hash(picture), picture.shape[:2]
        split = "test" if name in tests else "train"
        yield make_id(name, digest, taken), square(picture, size), split, name, width, height, digest


def squares(root: Path, jobs: Sequence[tuple[Path, str]], size: int) -> Iterator[Item]:
    taken: set[str] = set()
    photos = in_threads(lambda job: read_image(job[0]), jobs)
    for (path, split), photo in zip(jobs, photos, strict=True):
        # Named by the file, not by its pixels, so that the sets of two sizes call a photo the same.
        digest, (height, width) = sha256(path), photo.shape[:2]
        name = path.relative_to(root).as_posix()
        yield make_id(path.stem, digest, taken), square(photo, size), split, name, width, height, digest


def all_styles(config: PairSets) -> dict[str, Concept]:
    if config.styles is None:
        return {}
    return {name: Concept(name, prompt, "style") for name, prompt in style_prompts(config.styles).items()}


def all_filters() -> dict[str, Concept]:
    return {f.name: Concept(f.name, f.prompt, f.kind) for f in FILTERS.values()}


def concepts_of(config: PairSets) -> list[Concept]:
    """Those that are named. Raises InputError for one that is unknown or named twice."""
    known, found = all_filters() | all_styles(config), []
    for text in config.concepts:
        need(config.styles is not None or text not in HELD_OUT or text in FILTERS, f"{text} is a style: name --styles")
        concept = known[text if text in known else find(text).name]
        need(concept not in found, f"--concepts names {text} twice")
        found.append(concept)
    return found


def pair_set(
    config: PairSets, concept: Concept, of: Callable[[PairSets, int], Path] = photo_set, kind: str = "pairs"
) -> Path:
    """The concept's pairs in OUT/kind: filters at --size, styles at --style-size and reduced from there.

    of: makes the photos of a side.
    """
    photos, out = of(config, config.size), config.pairs(concept, kind)
    if concept.kind != "style":
        make_pairs(PairsConfig(photos=photos, concept=concept.prompt, out=out))
        return out
    assert config.styles is not None
    large = config.pairs(concept, f"{kind}-{config.style_size}")
    style_pairs(config.styles, concept.name, of(config, config.style_size), photos, large, out)
    return out


def run(config: PairSets) -> list[Path]:
    """The pair sets' folders. Raises InputError for bad settings or folders."""
    config.check()
    need(bool(config.concepts), "--concepts is empty")
    concepts = concepts_of(config)
    found = [pair_set(config, concept) for concept in concepts]
    for concept in concepts:
        pair_set(config, concept, shown_photos, "shown")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    return exit_status(lambda: print(*run(tyro.cli(PairSets, args=arguments, description=__doc__)), sep="\n"))


if __name__ == "__main__":
    sys.exit(main())
