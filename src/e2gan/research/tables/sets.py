"""Made from what is there: pair sets at another size, photos as their own edits, a base without cross-attention."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from e2gan.config.schemas import PAIR_SET
from e2gan.core.files import plain, sha256, write_jsonl
from e2gan.core.images import Pixels, read_image, resize, write_png
from e2gan.core.names import inside
from e2gan.core.outputs import read_settings, writing
from e2gan.data.pair_set import ROWS, PairSet, note_side
from e2gan.data.photos import INDEX
from e2gan.networks.folders import MODEL, base_content
from e2gan.networks.generator import Generator
from e2gan.networks.models import load_discriminator, load_generator, write_networks


def resized_set(pair_set: PairSet, size: int, out: Path) -> PairSet:
    """The pair set with its photos at another size, the same splits; made once for each set of photos."""
    photo_set = pair_set.photos
    photos = out / f"photos-{sha256(photo_set.folder / INDEX)[:12]}"
    facts = {"size": size, "photos_sha256": sha256(photo_set.folder / INDEX)}
    with writing(photos, "photos", facts, reads={"photos": photo_set.content()}) as folder:
        if folder is not None:
            for photo in photo_set.photos:
                _resize(inside(photo_set.folder, photo.file), inside(folder, photo.file), size)
            write_jsonl(folder / INDEX, map(plain, photo_set.photos))
    # Two concepts may be called the same in two folders.
    folder = out / sha256(pair_set.folder / ROWS)[:12] / pair_set.folder.name
    return _derive(pair_set, folder, photos, size, lambda row: pair_set.folder / row["file_name"])


def identity_set(pair_set: PairSet, out: Path) -> PairSet:
    """The photos of a pair set, each its own edit: what trains an autoencoder."""
    files = {photo.id: pair_set.photos.folder / photo.file for photo in pair_set.photos.photos}
    pair_set = replace(pair_set, rows=[row for row in pair_set.rows if row["photo"] in files])
    return _derive(
        pair_set, out, pair_set.photo_folder, pair_set.size, lambda row: files[row["photo"]], prompt="the photo itself"
    )


def _derive(
    pair_set: PairSet, out: Path, photos: Path, size: int, file_of: Callable[[dict], Path], prompt: str | None = None
) -> PairSet:
    settings = read_settings(pair_set.folder, PAIR_SET, "pair set")
    settings |= {"from_sha256": sha256(pair_set.folder / ROWS), "size": size, "concept": prompt or pair_set.prompt}
    settings |= {"photos": os.path.relpath(photos.resolve(), out.resolve())}
    with writing(out, "pairs", settings, reads={"pairs": pair_set.content()}) as folder:
        if folder is not None:
            note_side(folder, pair_set.sided and prompt is None)
            for row in pair_set.rows:
                _resize(file_of(row), inside(folder, row["file_name"]), size)
            write_jsonl(folder / ROWS, [row | {"prompt": settings["concept"]} for row in pair_set.rows])
    return PairSet.load(out)


def _resize(source: Path, target: Path, size: int) -> None:
    image: Pixels = read_image(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_png(target, image if image.shape[0] == size else resize(image, (size, size)))


def without_cross_attention(base: Path, out: Path) -> Path:
    """A trained base whose TBs have lost their cross-attention and its norm; all other weights are the same (Tab. 13).

    The base's discriminator and text encoder come along. Run again, it finds it done.
    """
    generator, settings = load_generator(base)
    config = replace(generator.config, cross_attention=False)
    bare = Generator(config)
    kept = generator.state_dict()
    bare.load_state_dict({name: kept[name] for name in bare.state_dict()})
    about = settings | {"generator": plain(config), "from_sha256": sha256(base / MODEL)}
    with writing(out, "base", about, reads={"base": base_content(base)}) as folder:
        if folder is not None:
            write_networks(folder, bare, load_discriminator(base))
    return out
