"""The base that ships, from photographs to the files in src/e2gan/assets/base, by one command:

    python recipes/base.py --photos ../shared/photos --out work

Photographs: all of `train`, all of `landscapes`, and the first half of `faces`, in random crops; the other faces and
`test` are never seen. Concepts: of the built-in teacher's, those that `e2gan concepts` keeps; the rest stay held out.
Neural styles join them by --styles and --learn. Training: small pictures first, then larger ones from that base's
weights, or from --start. Run again, it goes on where it was stopped.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import tyro

from e2gan.choose.concepts import choose_concepts
from e2gan.config import PRESETS, RECIPES, BaseConfig, ConceptsConfig, Norm, PairsConfig
from e2gan.config.schemas import BASE
from e2gan.core.errors import InputError
from e2gan.core.files import CONFIG, read_json, read_tensors, sha256, write_bytes, write_json, write_tensors
from e2gan.core.identity import hash_below
from e2gan.core.images import read_image, square
from e2gan.core.originals import list_images
from e2gan.core.outputs import read_settings, writing
from e2gan.core.progress import track
from e2gan.data.photos import Item, PhotoSet, make_id, shuffled, write_photo_set
from e2gan.networks.folders import DISCRIMINATOR, MODEL, base_edit_content, base_folder
from e2gan.networks.models import load_generator
from e2gan.pairs.make import make_pairs
from e2gan.teachers.filters.filters import FILTERS, find
from e2gan.train.base import train_base
from styles import style_pairs, style_prompts


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Train the base that ships."""

    photos: Path
    """Folder that holds `train`, `landscapes` and `faces`."""
    out: Path
    """Folder to work in; the base lies in `base` at the end."""
    features: Path | None = None
    """SqueezeNet 1.1 weights, by whose features concepts are compared (default: those that ship)."""
    keep: int = 20
    """Concepts of the base, chosen among those of the built-in teacher."""
    method: Literal["similarity", "random"] = "similarity"
    """How they are chosen: by clustering (Sec. 4.2.1), or by chance (Tab. 4)."""
    concepts: tuple[str, ...] = ()
    """These and no others, by their names; "photo" is the photo itself, an auto-encoder's task (Tab. 4, 12)."""
    styles: Path | None = None
    """Folder of stylize.py and its networks in fast-style: neural styles that may be learned too."""
    learn: tuple[str, ...] = ()
    """Styles of that folder that are learned beside the concepts."""
    style_size: int = 256
    """Side at which styles are applied, before they are reduced."""
    start: Path | None = None
    """A base to go on from, with its concepts and its generator, instead of from nothing."""
    preset: str = "device"
    """The generator, by its name among the presets."""
    norm: Norm | None = None
    """Normalisation, instead of the preset's: the twin was tried with batch norm (docs/log.md)."""
    sizes: tuple[int, ...] = (64, 128)
    """Sides of the pictures, phase by phase."""
    minutes: tuple[float, ...] | None = None
    """Training minutes of each phase, instead of --steps."""
    steps: tuple[int, ...] = (7500, 2500)
    """Training steps of each phase."""
    lr: tuple[float, ...] = (4e-4, 3e-4)
    """Learning rate of each phase, each falling to zero on a cosine."""
    batch: int = 8
    """Pairs a step. Twos of twenty concepts are lost at 4e-4 (docs/log.md)."""
    gan: float = 1.0
    """Weight of the adversarial loss; 0 leaves the discriminator as it was at the start."""
    perceptual: float = 0.0
    """Weight of the perceptual loss; 20 serves for strokes."""
    crop: int | None = None
    """Side of the random crops that are trained on, in each phase whose pictures are larger."""
    warmup: int = 100
    """Steps in which each phase's learning rate rises; twenty do for a short phase that goes on from a base."""
    share: tuple[float, ...] = (0.5,)
    """Part of the photos that each concept's edits are made of, another part for each: one for all phases, or one a
    phase."""
    seed: int = 0
    ship: Path | None = None
    """Put the base there too, in half precision, e.g. src/e2gan/assets/base."""

    def check(self) -> None:
        for name in ("minutes", "steps", "lr"):
            values = getattr(self, name)
            if values is not None and len(values) != len(self.sizes):
                raise InputError(f"--{name}: {len(values)} given for {len(self.sizes)} sizes")
        if len(self.share) not in (1, len(self.sizes)):
            raise InputError(f"--share: {len(self.share)} given for {len(self.sizes)} sizes")
        if len(set(self.sizes)) < len(self.sizes):
            raise InputError("--sizes names one twice: go on from a base with --start, in another --out")
        if not 1 <= self.keep < len(FILTERS):
            raise InputError(f"--keep {self.keep}: must lie in 1..{len(FILTERS) - 1}")
        for name in self.concepts:
            if name != PHOTO:
                find(name)
        if self.start is not None:
            read_settings(base_folder(self.start), BASE, "base")
            if self.preset != "device" or self.norm is not None or self.concepts:
                raise InputError("--start: the base brings its generator and its concepts: leave the others out")
        known = {} if self.styles is None else style_prompts(self.styles)
        for name in self.learn:
            if name not in known:
                raise InputError(f"--learn {name}: the styles of --styles are {', '.join(known) or 'none: name it'}")
        if self.style_size < max(self.sizes):
            raise InputError(f"--style-size {self.style_size}: must be at least the largest of --sizes")
        for folder in SOURCES:
            if not (self.photos / folder).is_dir():
                raise InputError(f"{self.photos} has no folder {folder}")


# Folder → part of its photos that is used, crops of each, smallest side of a crop relative to the shorter side.
SOURCES = {"train": (1.0, 3, 0.55), "landscapes": (1.0, 1, 0.6), "faces": (0.5, 1, 0.7)}
VAL = 0.03
PHOTO = "photo"  # the concept that changes nothing
SAMPLED = 100  # photos that concepts are compared on
COMPARED_AT = 64


def photo_set(recipe: Recipe, size: int) -> Path:
    """Random square crops of the photographs, split by photograph."""
    folder = recipe.out / f"photos-{size}"
    files = [path for source in SOURCES for path in used(recipe.photos / source)]
    settings = {"size": size, "seed": recipe.seed, "sources": {k: list(v) for k, v in SOURCES.items()}}
    with writing(folder, "photos", settings, reads={"photos": hash_below(recipe.photos, files)}) as partial:
        if partial is not None:
            names = [str(path.relative_to(recipe.photos)) for path in files]
            val = set(shuffled(names, recipe.seed)[: max(1, round(VAL * len(names)))])
            write_photo_set(partial, track(crops(recipe, files, size, val), f"photos at {size}"))
    return folder


def used(folder: Path) -> list[Path]:
    files = list_images(folder)
    return files[: round(SOURCES[folder.name][0] * len(files))]


def crops(recipe: Recipe, files: list[Path], size: int, val: set[str]) -> Iterator[Item]:
    """The same places for every size, since all chance comes from the seed and the file's place in the list."""
    taken: set[str] = set()
    for i, path in enumerate(files):
        photo, name, file = read_image(path), str(path.relative_to(recipe.photos)), sha256(path)
        rng = np.random.default_rng((recipe.seed, i))
        _, count, least = SOURCES[path.parent.name]
        height, width = photo.shape[:2]
        for _ in range(count):
            side = round(min(height, width) * rng.uniform(least, 1))
            top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
            image = square(photo[top : top + side, left : left + side], size)
            # Named by the file and the crop, not by its pixels, so that the sets of all sizes call a crop the same.
            crop = hashlib.sha256(f"{name} {top} {left} {side} {file}".encode()).hexdigest()
            split = "val" if name in val else "train"
            yield make_id(path.stem, crop, taken), image, split, name, width, height, crop


def choose(recipe: Recipe, photos: Path) -> list[str]:
    """The names of the concepts that are kept."""
    if recipe.start is not None:
        learned = load_generator(recipe.start)[1]["concepts"]
        return [f.name for f in FILTERS.values() if f.prompt in learned]
    if recipe.concepts:
        return [name if name == PHOTO else find(name).name for name in recipe.concepts]
    some = selection(photos, recipe.out / "compared.json", SAMPLED, seed=recipe.seed)
    folders = []
    for name, concept in FILTERS.items():
        folders.append(recipe.out / "compared" / name)
        make_pairs(PairsConfig(photos=photos, selection=some, concept=concept.prompt, out=folders[-1]))
    config = ConceptsConfig(
        pairs=tuple(folders),
        keep=recipe.keep,
        method=recipe.method,
        out=recipe.out / "concepts.json",
        samples=SAMPLED,
        embedding="squeezenet",
        features=recipe.features,
        seed=recipe.seed,
    )
    return [find(concept.prompt).name for concept in choose_concepts(config).keep]


def selection(photos: Path, path: Path, count: int, seed: int) -> Path:
    """A selection.json of so many training photos by chance."""
    train = [photo.id for photo in PhotoSet.load(photos).split("train")]
    ids = sorted(shuffled(train, seed)[:count])
    if not path.exists() or read_json(path)["ids"] != ids:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"ids": ids})
    return path


def pair_sets(recipe: Recipe, photos: Path, concepts: list[str], share: float) -> list[Path]:
    """Each concept's pairs, of its own random part of the photos."""
    loaded, folders = PhotoSet.load(photos), []
    size, count = loaded.size, round(share * len(loaded.split("train")))
    for i, name in enumerate(concepts):
        path = recipe.out / "selections" / f"{name}-{count}.json"
        chosen = selection(photos, path, count, seed=recipe.seed + 1 + i)
        folders.append(recipe.out / f"pairs-{size}" / name)
        if name in recipe.learn:
            assert recipe.styles is not None
            large = photo_set(recipe, recipe.style_size)
            styled = recipe.out / f"styled-{recipe.style_size}" / f"{name}-{count}"
            style_pairs(recipe.styles, name, large, photos, styled, folders[-1], chosen)
        elif name == PHOTO:
            images = photos / "images"
            make_pairs(PairsConfig(before=images, after=images, concept="a photo", size=size, out=folders[-1]))
        else:
            make_pairs(PairsConfig(photos=photos, selection=chosen, concept=FILTERS[name].prompt, out=folders[-1]))
    return folders


def train(recipe: Recipe) -> Path:
    """All phases. Returns the last one's folder."""
    recipe.check()
    concepts = [*choose(recipe, photo_set(recipe, COMPARED_AT)), *recipe.learn]
    print(f"{len(concepts)} concepts: {', '.join(concepts)}", file=sys.stderr)
    generator = PRESETS[recipe.preset]
    if recipe.norm is not None:
        generator = replace(generator, norm=recipe.norm)
    start = recipe.start
    for i, size in enumerate(recipe.sizes):
        folders = pair_sets(recipe, photo_set(recipe, size), concepts, recipe.share[i % len(recipe.share)])
        training = replace(
            RECIPES["quick"].training["base"],
            steps=recipe.steps[i],
            minutes=recipe.minutes[i] if recipe.minutes else None,
            batch=recipe.batch,
            lr=recipe.lr[i],
            gan=recipe.gan,
            perceptual=recipe.perceptual,
            crop=recipe.crop,
            warmup=recipe.warmup,
            seed=recipe.seed,
        )
        out = recipe.out / f"{recipe.preset}-{size}"
        config = BaseConfig(pairs=tuple(folders), out=out, start=start, training=training)
        print(train_base(config if start else replace(config, generator=generator)), file=sys.stderr)
        start = out
    assert start is not None
    return start


def ship(base: Path, out: Path) -> None:
    """The base as the package carries it: networks in half precision, settings without paths, the model card."""
    shutil.rmtree(out, ignore_errors=True)
    found = read_json(base / CONFIG)
    kept = ("generator", "text", "text_fingerprint", "training", "concepts", "size", "pairs_total")
    config = found | {"settings": {name: found["settings"][name] for name in kept}}
    with writing(out, "base", {}, reads={"base": base_edit_content(base)}) as folder:
        assert folder is not None
        adversarial = found["settings"]["training"]["gan"]
        for file in (MODEL, DISCRIMINATOR) if adversarial else (MODEL,):
            tensors, _ = read_tensors(base / file)
            write_tensors(
                folder / file, {name: t.half() if t.is_floating_point() else t for name, t in tensors.items()}
            )
        write_json(folder / CONFIG, config)
        write_bytes(folder / "README.md", (base / "README.md").read_bytes())


def main() -> int:
    try:
        recipe = tyro.cli(Recipe)
        base = train(recipe)
        print(base)
        if recipe.ship is not None:
            ship(base, recipe.ship)
    except InputError as error:
        print(f"recipe: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
