"""The base that ships, from photographs to the files in src/e2gan/assets/base, by one command:

    python recipes/base.py --photos ../shared/photos --out work

Photographs: all of `train`, all of `landscapes`, and the first half of `faces`, in random crops; the other faces and
`test` are never seen. Of a folder with none of these, such as one's own, all photographs in and below it. Concepts: of
the built-in teacher's, those that `e2gan concepts` keeps; the rest stay held out. Neural styles join them by --styles
and --learn. Training: small pictures first, then larger ones from that base's weights, or from --start. Run again, it
goes on where it was stopped.

A training of days is cut in --pieces: each goes on from the one before, its rate risen anew and falling to zero (warm
restarts, Loshchilov & Hutter 2017), so that there is a base to ship at the end of each.
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
import torch
import tyro

from e2gan.choose.concepts import choose_concepts
from e2gan.config import PRESETS, RECIPES, BaseConfig, ConceptsConfig, Norm, PairsConfig
from e2gan.config.schemas import BASE
from e2gan.core.errors import InputError
from e2gan.core.files import CONFIG, read_json, sha256, write_bytes, write_json
from e2gan.core.identity import hash_below
from e2gan.core.images import read_image, square
from e2gan.core.originals import list_images
from e2gan.core.outputs import read_settings, writing
from e2gan.core.progress import track
from e2gan.core.schemas import StageConfig
from e2gan.core.tensors import read_tensors, write_tensors
from e2gan.data.pair_set import PairSet
from e2gan.data.photos import Item, PhotoSet, make_id, shuffled, write_photo_set
from e2gan.measure.colour_table import table_edits
from e2gan.networks.folders import DISCRIMINATOR, MODEL, base_edit_content, base_folder
from e2gan.networks.models import load_generator
from e2gan.pairs.make import make_pairs
from e2gan.sharing.contents import public_config
from e2gan.teachers.filters.filters import FILTERS, find
from e2gan.train.base import train_base
from e2gan.train.lut import pair_files
from e2gan.train.perceptual import maps_of_pictures, perceptual_loss
from styles import style_pairs, style_prompts


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Train the base that ships."""

    photos: Path
    """Folder that holds `train`, `landscapes` and `faces`, or photographs of one's own."""
    out: Path
    """Folder to work in; the bases' folders in it are printed as they are done, the last one's at the end."""
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
    """A base to go on from, with its generator, and its concepts where none are named, instead of from nothing."""
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
    pieces: int = 1
    """Train the last phase so many times, each from the weights of the time before and by another chance."""
    batch: int = 8
    """Pairs a step. Twos of twenty concepts are lost at 4e-4 (docs/log.md)."""
    gan: float = 1.0
    """Weight of the adversarial loss; 0 leaves the discriminator as it was at the start."""
    perceptual: float = 0.0
    """Weight of the perceptual loss; 20 serves for strokes."""
    crop: tuple[int, ...] = ()
    """Side of the random crops that are trained on, where the pictures are larger; of several, one a phase and piece in
    turn."""
    warmup: int = 100
    """Steps in which each phase's learning rate rises; twenty do for a short phase that goes on from a base."""
    share: tuple[float, ...] = (0.5,)
    """Part of the photos that each concept's edits are made of, another part for each: one for all phases, or one a
    phase."""
    balance: bool = False
    """Fewer photos for what is easy: each concept's part of --share follows what the best colour table leaves of its
    edits, by the perceptual distance; the hardest has all of it, none less than a quarter."""
    compile: bool = False
    """Compile the networks: on a GPU (docs/gpu.md)."""
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
        if self.pieces < 1:
            raise InputError(f"--pieces {self.pieces}: must be at least 1")
        for name in self.concepts:
            if name != PHOTO:
                find(name)
        if self.start is not None:
            read_settings(base_folder(self.start), BASE, "base")
            if self.preset != "device" or self.norm is not None:
                raise InputError("--start: the base brings its generator: leave the others out")
        known = {} if self.styles is None else style_prompts(self.styles)
        for name in self.learn:
            if name not in known:
                raise InputError(f"--learn {name}: the styles of --styles are {', '.join(known) or 'none: name it'}")
        if self.style_size < max(self.sizes):
            raise InputError(f"--style-size {self.style_size}: must be at least the largest of --sizes")
        sources(self.photos)


# Folder → part of its photos that is used, crops of each, smallest side of a crop relative to the shorter side.
Source = tuple[float, int, float]
SHIPPED: dict[str, Source] = {"train": (1.0, 3, 0.55), "landscapes": (1.0, 1, 0.6), "faces": (0.5, 1, 0.7)}
OWN: dict[str, Source] = {".": (1.0, 3, 0.55)}
VAL = 0.03
PHOTO = "photo"  # the concept that changes nothing
SAMPLED = 100  # photos that concepts are compared on
COMPARED_AT = 64
JUDGED, LEAST_PART = 40, 0.25  # photos that tell how hard a concept is, and the easiest one's part of the hardest's


def photo_set(recipe: Recipe, size: int) -> Path:
    """Random square crops of the photographs, split by photograph."""
    folder = recipe.out / f"photos-{size}"
    found = sources(recipe.photos)
    files = [(path, of) for name, of in found.items() for path in used(recipe.photos / name, of[0])]
    settings = {"size": size, "seed": recipe.seed, "sources": {k: list(v) for k, v in found.items()}}
    reads = {"photos": hash_below(recipe.photos, [path for path, _ in files])}
    with writing(folder, "photos", settings, reads=reads) as partial:
        if partial is not None:
            names = [str(path.relative_to(recipe.photos)) for path, _ in files]
            val = set(shuffled(names, recipe.seed)[: max(1, round(VAL * len(names)))])
            write_photo_set(partial, track(crops(recipe, files, size, val), f"photos at {size}"))
    return folder


def sources(photos: Path) -> dict[str, Source]:
    """The folders that crops are made of. Raises InputError where some of those that ship are there and some not."""
    missing = [name for name in SHIPPED if not (photos / name).is_dir()]
    if missing and len(missing) < len(SHIPPED):
        raise InputError(f"{photos} has no folder {missing[0]}")
    return OWN if missing else SHIPPED


def used(folder: Path, part: float) -> list[Path]:
    files = list_images(folder)
    return files[: round(part * len(files))]


def crops(recipe: Recipe, files: list[tuple[Path, Source]], size: int, val: set[str]) -> Iterator[Item]:
    """The same places for every size, since all chance comes from the seed and the file's place in the list."""
    taken: set[str] = set()
    for i, (path, (_, count, least)) in enumerate(files):
        photo, name, file = read_image(path), str(path.relative_to(recipe.photos)), sha256(path)
        rng = np.random.default_rng((recipe.seed, i))
        height, width = photo.shape[:2]
        for _ in range(count):
            side = round(min(height, width) * rng.uniform(least, 1))
            top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
            image = square(photo[top : top + side, left : left + side], size)
            # Named by the file and the crop, not by its pixels, so that the sets of all sizes call a crop the same.
            crop = hashlib.sha256(f"{name} {top} {left} {side} {file}".encode()).hexdigest()
            split = "val" if name in val else "train"
            yield make_id(path.stem, crop, taken), image, split, name, width, height, crop


def choose(recipe: Recipe) -> list[str]:
    """The names of the concepts that are kept."""
    if recipe.start is not None and not recipe.concepts:
        learned = load_generator(recipe.start)[1]["concepts"]
        return [f.name for f in FILTERS.values() if f.prompt in learned]
    if recipe.concepts:
        return [name if name == PHOTO else find(name).name for name in recipe.concepts]
    photos = photo_set(recipe, COMPARED_AT)
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
    parts = hardness(recipe, concepts) if recipe.balance else {}
    for i, name in enumerate(concepts):
        count = round(share * max(LEAST_PART, parts.get(name, 1.0)) * len(loaded.split("train")))
        path = recipe.out / "selections" / f"{name}-{count}.json"
        chosen = selection(photos, path, count, seed=recipe.seed + 1 + i)
        folders.append(recipe.out / f"pairs-{loaded.size}" / name)
        make(recipe, name, photos, chosen, folders[-1])
    return folders


def make(recipe: Recipe, name: str, photos: Path, chosen: Path, out: Path) -> None:
    """The pairs of one concept or style, of the photos that are chosen."""
    if name in recipe.learn:
        assert recipe.styles is not None
        large = photo_set(recipe, recipe.style_size)
        styled = recipe.out / f"styled-{recipe.style_size}" / f"{name}-{chosen.stem.rpartition('-')[2]}"
        style_pairs(recipe.styles, name, large, photos, styled, out, chosen)
    elif name == PHOTO:
        images = photos / "images"
        size = PhotoSet.load(photos).size
        make_pairs(PairsConfig(before=images, after=images, concept="a photo", size=size, out=out))
    else:
        make_pairs(PairsConfig(photos=photos, selection=chosen, concept=FILTERS[name].prompt, out=out))


def hardness(recipe: Recipe, concepts: list[str]) -> dict[str, float]:
    """What the best colour table leaves of each concept, relative to the most: perceptual distance, 0..1.

    At the largest of the sizes, once: `hardness.json` in the folder to work in keeps it.
    """
    path = recipe.out / "hardness.json"
    if path.exists() and (known := read_json(path)).keys() == set(concepts):
        return known
    photos = photo_set(recipe, max(recipe.sizes))
    some = selection(photos, recipe.out / "selections" / f"judged-{JUDGED}.json", JUDGED, seed=recipe.seed)
    left = {}
    for name in concepts:
        folder = recipe.out / "judged" / f"{PhotoSet.load(photos).size}" / name
        make(recipe, name, photos, some, folder)
        pair_set = PairSet.load(folder)
        before, after, _ = pair_files(pair_set)
        images = np.stack([read_image(path) for path in before]), np.stack([read_image(path) for path in after])
        edits, why = table_edits(pair_set, images[0])
        if edits is None:
            raise InputError(f"{name}: {why}")
        with torch.inference_mode():
            left[name] = float(perceptual_loss(*map(maps_of_pictures, (edits, images[1]))))
    most = max(left.values())
    found = {name: round(value / most, 4) for name, value in left.items()}
    print("; ".join(f"{name} {value:.2f}" for name, value in found.items()), file=sys.stderr)
    write_json(path, found)
    return found


def train(recipe: Recipe) -> Path:
    """All phases. Returns the last one's folder."""
    recipe.check()
    concepts = [*choose(recipe), *recipe.learn]
    print(f"{len(concepts)} concepts: {', '.join(concepts)}", file=sys.stderr)
    generator = PRESETS[recipe.preset]
    if recipe.norm is not None:
        generator = replace(generator, norm=recipe.norm)
    start = recipe.start
    for k in range(len(recipe.sizes) + recipe.pieces - 1):
        i = min(k, len(recipe.sizes) - 1)
        piece, size = k - i, recipe.sizes[i]
        folders = pair_sets(recipe, photo_set(recipe, size), concepts, recipe.share[i % len(recipe.share)])
        training = replace(
            RECIPES["quick"].training["base"],
            steps=recipe.steps[i],
            minutes=recipe.minutes[i] if recipe.minutes else None,
            batch=recipe.batch,
            lr=recipe.lr[i],
            gan=recipe.gan,
            perceptual=recipe.perceptual,
            crop=recipe.crop[k % len(recipe.crop)] if recipe.crop else None,
            warmup=recipe.warmup,
            compile=recipe.compile,
            seed=recipe.seed + piece,
        )
        out = recipe.out / (f"{recipe.preset}-{size}" + (f"-{piece + 1}" if piece else ""))
        config = BaseConfig(pairs=tuple(folders), out=out, start=start, training=training)
        print(train_base(config if start else replace(config, generator=generator)), file=sys.stderr)
        start = out
    assert start is not None
    return start


def ship(base: Path, out: Path) -> None:
    """The base as the package carries it: networks in half precision, settings without paths, the model card."""
    shutil.rmtree(out, ignore_errors=True)
    found = read_json(base / CONFIG, StageConfig)
    with writing(out, "base", {}, reads={"base": base_edit_content(base)}) as folder:
        assert folder is not None
        adversarial = found["settings"]["training"]["gan"]
        for file in (MODEL, DISCRIMINATOR) if adversarial else (MODEL,):
            tensors, _ = read_tensors(base / file)
            write_tensors(
                folder / file, {name: t.half() if t.is_floating_point() else t for name, t in tensors.items()}
            )
        write_json(folder / CONFIG, public_config(found))
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
