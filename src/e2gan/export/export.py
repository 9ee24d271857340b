"""The stage `export`: a file in one of the `FORMATS`, compared with PyTorch on photographs before it exists."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from e2gan.config import ExportConfig
from e2gan.config.schemas import AdapterFacts, ParityFile
from e2gan.core.errors import InputError
from e2gan.core.files import CONFIG, plain, read_json, sha256, write_bytes, write_json
from e2gan.core.identity import hash_below
from e2gan.core.images import FLAT, Pixels, contrast, is_blank, read_image, resize, square
from e2gan.core.originals import list_images
from e2gan.core.outputs import versions, writing
from e2gan.core.schemas import known
from e2gan.data.builtin_photos import builtin_pictures
from e2gan.editing.predictor import Predictor, mix
from e2gan.export.format import Runner
from e2gan.export.formats import find_format
from e2gan.export.pixel_model import PixelModel
from e2gan.networks.baselines.lut import LookUpTable
from e2gan.networks.folders import (
    ABOUT,
    ADAPTER,
    ADAPTER_CONFIG,
    CONCEPT,
    MODEL,
    adapter_folder,
    adapter_sha256,
    base_folder,
    weights_hash,
)
from e2gan.networks.generator import Generator
from e2gan.networks.models import Model

PARITY = "parity.json"
MOST_PHOTOS = 8
TOLERANCE = 1.0  # mean difference in 8-bit levels; rounding alone gives about 0.001


@dataclass(frozen=True)
class Parity:
    """How far the file's edits are from PyTorch's (fp32, eager), in 8-bit levels.

    sizes: (height, width) compared at. runs: one row a comparison: photo, batch, size, max, mean, and PyTorch's finite
    outputs' contrast, at full strength: the standard deviation of the liveliest channel of the flattest edit.
    contrast: the least of the runs; None in earlier files. Two pictures of one colour are alike and show nothing.
    """

    max: int
    mean: float
    photos: int
    sizes: list[tuple[int, int]]
    runs: list[dict[str, Any]]
    providers: list[str]
    versions: dict[str, str]
    contrast: float | None = None


@dataclass(frozen=True)
class Exported:
    """What `export_model` wrote: the file in its folder, its bytes, and how far it is from PyTorch."""

    folder: Path
    file: Path
    bytes: int
    parity: Parity
    already_done: bool = False

    def __str__(self) -> str:
        p = self.parity
        lines = [
            f"{self.file}: {self.bytes / 1e6:.2f} MB",
            f"against PyTorch on {p.photos} photos: {p.mean:.4f} levels of 255 on average, {p.max} at most",
        ]
        return "\n".join(["exported already, nothing to do", *lines] if self.already_done else lines)


def export_model(config: ExportConfig) -> Exported:
    """Write a deployable file with the adapter merged, once it has been seen to edit photographs as PyTorch does.

    Writes the file, parity.json and config.json. Raises InputError for bad settings, a missing package, no photo to
    check on, and where the two differ by more than one level on average, PyTorch's edits are one flat colour or not
    finite; then nothing stays.
    """
    ExportConfig.checked(config)
    kind = find_format(config.format)
    kind.require()
    adapter = () if config.adapter is None else (config.adapter,)
    model = Model.load(base=config.base, adapter=adapter, model=config.model, text=config.text)
    generator = model.plain()
    if not isinstance(generator, (Generator, LookUpTable)):
        raise InputError(
            f"{config.model} holds a baseline for comparisons; export an adapter, an e2gan, a pix2pix or a lut"
        )
    if config.size is not None and config.size % generator.multiple:
        raise InputError(f"--size {config.size}: this model takes multiples of {generator.multiple}")
    facts = hashes(config)
    with writing(config.out, "export", plain(config) | facts, reads=reads_of(config)) as partial:
        already_done = partial is None
        if partial is not None:
            photos = photographs(config.photos)
            facts |= {"prompt": model.prompt, "strength": str(config.strength)}
            pixel_model = PixelModel(generator, model.tokens, config.strength)
            write_bytes(partial / kind.file, kind.write(pixel_model, config.size, facts))
            parity = compare(kind.load(partial / kind.file), model, photos, config, kind.packages)
            write_json(partial / PARITY, parity)
            if not parity.mean <= TOLERANCE:
                raise InputError(
                    f"the exported file differs from PyTorch by {parity.mean:.2f} levels of 255 on average: "
                    f"nothing was written ({json.dumps(parity.versions)})"
                )
    file = config.out / kind.file
    parity = Parity(**known(Parity, read_json(config.out / PARITY, ParityFile)))
    return Exported(config.out, file, file.stat().st_size, parity, already_done)


def hashes(config: ExportConfig) -> dict[str, str]:
    """SHA-256 of the weights that go into the file."""
    if config.model is not None:
        return {"model_sha256": sha256(config.model / MODEL)}
    assert config.adapter is not None
    adapter = adapter_folder(config.adapter)
    base_hash = read_json(adapter / ABOUT, AdapterFacts).get("base_sha256") or ""
    return {"base_sha256": base_hash, "adapter_sha256": adapter_sha256(adapter)}


def reads_of(config: ExportConfig) -> dict[str, str]:
    """Hashes of the bytes of what the file is made of and checked on."""
    photos = {} if config.photos is None else {"photos": hash_below(config.photos, _chosen(config.photos))}
    if config.model is not None:
        return photos | {"model": weights_hash(config.model, MODEL, CONFIG)}
    assert config.adapter is not None
    adapter, base = adapter_folder(config.adapter), base_folder(config.base, config.adapter)
    files = ADAPTER, ADAPTER_CONFIG, CONCEPT, ABOUT
    return photos | {"base": weights_hash(base, MODEL), "adapter": weights_hash(adapter, *files)}


def photographs(folder: Path | None) -> dict[str, Pixels]:
    """Photos to check on: evenly from a folder, or the built-in ones; those that are one colour show nothing.

    Raises InputError where there is none.
    """
    if folder is None:
        if found := builtin_pictures():
            return found
        raise InputError("the pictures of scikit-image are missing: name a folder of photos with --photos")
    read = {str(file.relative_to(folder)): read_image(file) for file in _chosen(folder)}
    varied = {name: photo for name, photo in read.items() if contrast(photo) >= FLAT}
    if not varied:
        raise InputError(f"the photos of {folder} are flat colours, which show no difference: name a folder of others")
    return varied


def _chosen(folder: Path) -> list[Path]:
    """A few of the folder's photos, evenly. Raises InputError where it holds none."""
    files = list_images(folder)
    if not files:
        raise InputError(f"{folder} holds no photos: name a folder of some with --photos")
    return list(dict.fromkeys(files[i * len(files) // MOST_PHOTOS] for i in range(MOST_PHOTOS)))


def compare(
    run: Runner, model: Model, photos: dict[str, Pixels], config: ExportConfig, packages: Sequence[str]
) -> Parity:
    """Edit the same photos by the file and by PyTorch on the CPU. packages: whose versions are told."""
    predictor = Predictor(model, "cpu")
    runs, means = [], []
    for name, batch in batches(photos, config.size, model.size, predictor.multiple):
        edits = predictor.batch(batch)  # refuses what is not finite before it is pixels
        if any(is_blank(photo, edit) for photo, edit in zip(batch, edits, strict=True)):
            raise InputError(f"the edit of {name} is one flat colour, which shows no difference: nothing was written")
        expected = np.stack([mix(p, e, config.strength) for p, e in zip(batch, edits, strict=True)])
        found = run(batch)
        if found.shape != expected.shape or found.dtype != np.uint8:
            raise InputError(f"the exported file gives {found.dtype} {found.shape} for {batch.shape}")
        difference = np.abs(found.astype(np.int16) - expected)
        means.append(float(difference.mean()))
        row = {
            "photo": name,
            "batch": len(batch),
            "size": batch.shape[1:3],
            "max": int(difference.max()),
            "mean": round(means[-1], 6),
            "contrast": round(min(map(contrast, edits)), 3),
        }
        runs.append(row)
    used = {name: version(name) for name in packages}
    return Parity(
        max=max(row["max"] for row in runs),
        mean=round(float(np.mean(means)), 6),
        photos=len(photos),
        sizes=list(dict.fromkeys(row["size"] for row in runs)),
        runs=runs,
        providers=run.providers,
        versions=versions() | used,
        contrast=min(row["contrast"] for row in runs),
    )


def batches(
    photos: dict[str, Pixels], fixed: int | None, trained: int, multiple: int = 8
) -> Iterator[tuple[str, Pixels]]:
    """Each photo at the fixed size, or the one trained at; two in one batch; where sizes are free, other sizes too."""
    size = fixed or trained
    squares = {name: square(photo, size) for name, photo in photos.items()}
    for name, photo in squares.items():
        yield name, photo[None]
    first = next(iter(squares))
    last = list(squares)[-1]
    yield f"{first} + {last}", np.stack([squares[first], squares[last][:, ::-1]])
    if fixed is None:
        wide = (size, size + multiple * max(1, size // (2 * multiple)))
        yield first, resize(photos[first], wide)[None]
        yield f"{last} + {first}", np.stack([resize(photos[name], wide) for name in (last, first)])
