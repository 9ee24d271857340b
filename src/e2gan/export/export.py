"""The stage `export`: a file in one of the `FORMATS`, compared with PyTorch on photographs before it exists."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from e2gan.config import ExportConfig
from e2gan.config.export_schemas import ComparedFile, ParityFile
from e2gan.config.schemas import AdapterFacts
from e2gan.core.errors import InputError
from e2gan.core.files import plain, read_json, sha256, write_bytes, write_json
from e2gan.core.identity import Reads
from e2gan.core.images import Pixels, contrast, resize, square
from e2gan.core.outputs import versions, writing
from e2gan.core.schemas import check_form, known
from e2gan.editing.predictor import Predictor, mix
from e2gan.export.branches import InPytorch, functions_of
from e2gan.export.constancy import refuse_blank, refuse_constant
from e2gan.export.format import Check, Format, Function, Order, Trial
from e2gan.export.formats import FORMATS, find_format
from e2gan.export.licence import LICENCE, licence_text
from e2gan.export.photographs import Photographs, photographs_read
from e2gan.export.pixel_model import PixelModel
from e2gan.networks.baselines.lut import LookUpTable
from e2gan.networks.folders import (
    ABOUT,
    MODEL,
    adapter_content,
    adapter_folder,
    adapter_sha256,
    base_edit_content,
    base_folder,
    model_content,
)
from e2gan.networks.generator import Generator
from e2gan.networks.models import Model
from e2gan.sharing.licence import licence_of, read_card

PARITY = "parity.json"
# Mean difference in 8-bit levels that is let through; rounding alone gives about 0.001.
TOLERANCE = {"fp32": 1.0, "fp16": 1.0, "int8": 3.0}


@dataclass(frozen=True)
class Parity:
    """How far the file's edits are from PyTorch's (fp32, eager), in 8-bit levels.

    sizes: (height, width) compared at. runs: one row a comparison: photo, batch, size, max, mean, and PyTorch's finite
    outputs' contrast, at full strength: the standard deviation of the liveliest channel of the flattest edit.
    contrast: the least of the runs; None in earlier files. Two pictures of one colour are alike and show nothing.
    calibrated: photos that an int8 file was calibrated on.
    """

    max: int
    mean: float
    photos: int
    sizes: list[tuple[int, int]]
    runs: list[dict[str, Any]]
    providers: list[str]
    versions: dict[str, str]
    contrast: float | None = None
    calibrated: int = 0


@dataclass(frozen=True)
class Exported:
    """What `export_model` wrote: the file in its folder, its bytes, and how far it is from PyTorch.

    parity: None where this machine has no runtime for the format, so that `checks` are all that is known of the file.
    licence: what the base's or the model's card states; None in earlier folders. functions: of a file that has several
    effects, name, effect, prompt, the bytes of weights that it has by itself, and how far its graph in PyTorch is from
    the merged model, mean and max in 8-bit levels.
    """

    folder: Path
    file: Path
    bytes: int
    format: str
    precision: str
    parity: Parity | None
    checks: list[Check]
    already_done: bool = False
    licence: str | None = None
    functions: list[dict[str, Any]] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"{self.file}: {self.bytes / 1e6:.2f} MB, {self.precision}", *self.findings()]
        return "\n".join(["exported already, nothing to do", *lines] if self.already_done else lines)

    def findings(self) -> list[str]:
        """What was found of the file, a line each."""
        p = self.parity
        compared = "not compared with PyTorch: this machine cannot run it, only its specification was checked"
        if p is not None:
            compared = f"against PyTorch on {p.photos} photos: {p.mean:.4f} levels of 255 on average, {p.max} at most"
            compared += f" (calibrated on {p.calibrated} others)" if p.calibrated else ""
        functions = [
            f"function {f['name']}: {f['bytes'] / 1e6:.2f} MB of its own; its graph, run by PyTorch, against the "
            f"merged model: {f['mean']:.4f} levels of 255 on average, {f['max']} at most"
            for f in self.functions
        ]
        licence = [] if self.licence is None else [f"licence: {self.licence}, see {LICENCE}"]
        return [compared, *functions, *map(str, self.checks), *licence]


@dataclass(frozen=True)
class Subject:
    """What is exported: the model, as PyTorch runs it and as a device needs it, and what files say of it."""

    config: ExportConfig
    model: Model
    pixel_model: PixelModel
    facts: dict[str, str]

    @classmethod
    def load(cls, config: ExportConfig) -> Subject:
        """Raises InputError for models that are no effect, and sizes that do not fit."""
        model = Model.load(base=config.base, adapter=config.adapter or (), model=config.model, text=config.text)
        generator = model.plain()
        if not isinstance(generator, (Generator, LookUpTable)):
            raise InputError(
                f"{config.model} holds a baseline for comparisons; export an adapter, an e2gan, a pix2pix or a lut"
            )
        if config.precision == "int8" and isinstance(generator, LookUpTable):
            raise InputError(
                f"--precision int8: {config.model} is a colour table, which looks up and multiplies no weights: "
                "export it with --precision fp32"
            )
        if config.size is not None and config.size % generator.multiple:
            raise InputError(f"--size {config.size}: this model takes multiples of {generator.multiple}")
        return cls(config, model, PixelModel(generator, model.tokens, config.strength), hashes(config))

    def write(self, name: str, folder: Path, photographs: Photographs) -> Exported:
        """A file of the format into the folder, compared, and parity.json. Raises InputError where it differs."""
        kind, precision = find_format(name), precision_of(name, self.config.precision)
        size = self.config.size or (self.model.size if kind.fixed_size else None)
        side = size or self.model.size
        base, adapters = folders_of(self.config)
        source = base or self.config.model
        assert source is not None
        licence = licence_of(read_card(source))
        facts = {"prompt": self.model.prompt, "strength": str(self.config.strength), "licence": licence}
        photos = photographs.checked
        squares = [square(photo, side) for photo in photographs.calibrated.values()]
        effects: list[Function] = []
        if kind.functions is not None and base is not None and len(adapters) > 1:
            effects = functions_of(base, adapters, self.config.strength)
        order = Order(self.pixel_model, size, precision, self.facts | facts, squares, base, adapters, effects)
        differences = [compare_function(effect, photos, side, self.config.strength) for effect in effects]
        if kind.load is None and not effects:  # no comparison would show it
            made = pytorch_edits(self.model, photos, size)
            refuse_constant("the edits", (pair for _, *both in made for pair in zip(*both, strict=True)))
        file = folder / kind.file
        kind.write(order, file)
        text = licence_text("model" if base is None else "base", source, adapters, kind.notices())
        write_bytes(folder / LICENCE, text.encode())
        parity, checks = None, kind.checks(file)
        if kind.load is not None:
            parity = compare(kind, file, self.model, photos, replace(self.config, size=size))
            parity = replace(parity, calibrated=len(squares) if precision == "int8" else 0)
            if not parity.mean <= TOLERANCE[precision]:
                raise InputError(
                    f"the exported file differs from PyTorch by {parity.mean:.2f} levels of 255 on average: "
                    f"nothing was written ({json.dumps(parity.versions)})"
                )
        elif broken := [check for check in checks if not check.passed]:
            raise InputError(f"the exported file is not what it should be: {broken[0]}")
        own = kind.functions(file) if kind.functions is not None and effects else {}
        functions = [told | {"bytes": own[told["name"]]} for told in differences]
        exported = Exported(
            folder, file, kind.bytes_of(file), name, precision, parity, checks, licence=licence, functions=functions
        )
        told = {"format": name, "precision": precision, "bytes": exported.bytes, "compared": parity is not None}
        told |= {"checks": checks, "operators": kind.operators(file), "licence": licence}
        told |= {"functions": functions} if functions else {}
        seen = {"versions": versions() | {package: version(package) for package in kind.packages}}
        write_json(folder / PARITY, told | (seen if parity is None else plain(parity)))
        return exported


def export_model(config: ExportConfig) -> Exported:
    """Write a deployable file with the adapter merged, once it has been seen to edit photographs as PyTorch does.

    Writes the file, LICENCE.txt, parity.json and config.json. Raises InputError for bad settings, a missing package, no
    photo to check on, and where the two differ by more than one level on average, three with --precision int8, or
    PyTorch's edits are one flat colour, or nearly, or not finite; then nothing stays. A format that this machine cannot
    run is checked by its specification, and says so.
    """
    ExportConfig.checked(config)
    kind = find_format(config.format)
    precision_of(config.format, config.precision)
    check_goes_with(config.format, config)
    kind.require()
    subject = Subject.load(config)
    with writing(config.out, "export", settings_of(config) | subject.facts, reads=reads_of(config)) as partial:
        if partial is not None:
            subject.write(config.format, partial, Photographs.of(config))
    return read_exported(config.out, kind.file, already_done=partial is None)


def read_exported(folder: Path, file: str, *, already_done: bool) -> Exported:
    """What a folder's parity.json says of its file. Earlier ones say less."""
    told = read_json(folder / PARITY, ParityFile)
    if told.get("compared", True):
        check_form(told, ComparedFile, str(folder / PARITY), folder)
    name = told.get("format", "onnx")
    return Exported(
        folder,
        folder / file,
        find_format(name).bytes_of(folder / file),
        name,
        told.get("precision", "fp32"),
        Parity(**known(Parity, told)) if told.get("compared", True) else None,
        [Check(**known(Check, check)) for check in told.get("checks", [])],
        already_done,
        told.get("licence"),
        [dict(each) for each in told.get("functions", [])],
    )


def compare_again(config: ExportConfig) -> tuple[Parity | None, Parity | None]:
    """What parity.json of an export says, and what comes out now; None where the file cannot be run.

    Raises InputError as `export_model`.
    """
    ExportConfig.checked(config)
    kind = find_format(config.format)
    kind.require()
    told = read_exported(config.out, kind.file, already_done=True)
    if kind.load is None or told.parity is None:
        return told.parity, None
    model = Subject.load(config).model
    size = config.size or (model.size if kind.fixed_size else None)
    photos = Photographs.of(config).checked
    found = compare(kind, told.file, model, photos, replace(config, size=size))
    return told.parity, replace(found, calibrated=told.parity.calibrated)


def precision_of(name: str, asked: str | None) -> str:
    """The precision of a format's file. Raises InputError where it has no such one, with the formats that have it."""
    precisions = find_format(name).precisions
    if asked is not None and asked not in precisions:
        others = [each for each in FORMATS if asked in find_format(each).precisions]
        more = f"; {asked} is of --format {' or '.join(others)}" if others else ""
        raise InputError(f"--precision {asked}: {name} has {', '.join(precisions)}{more}")
    return asked or precisions[0]


def check_goes_with(name: str, config: ExportConfig) -> None:
    """Raises InputError for settings that a format cannot have in its file."""
    adapters = len(config.adapter or ())
    kind = find_format(name)
    if not kind.several:
        if adapters > 1 and kind.functions is None:
            able = [each for each in FORMATS if (other := find_format(each)).several or other.functions]
            raise InputError(
                f"--adapter: {name} takes one, and {adapters} are given; --format {' or '.join(able)} takes several"
            )
        return
    if not adapters:
        raise InputError(f"{name} keeps adapters beside their base: name an --adapter, not a --model")
    if given := [
        kind for kind, there in (("size", config.size is not None), ("strength", config.strength != 1)) if there
    ]:
        flags, any_, them = (
            " and ".join(f"--{kind}" for kind in given),
            " and ".join(given),
            "them" if given[1:] else "it",
        )
        raise InputError(f"{flags}: {name} takes any {any_} as it runs: leave {them} out")


def folders_of(config: ExportConfig) -> tuple[Path | None, list[Path]]:
    """The base and the adapters that are exported. Raises InputError where a folder is none."""
    if not config.adapter:
        return None, []
    return base_folder(config.base, config.adapter[0]), [adapter_folder(path) for path in config.adapter]


def settings_of(config: ExportConfig) -> dict[str, Any]:
    """As config.json has them: one adapter by itself, as where there was no format for several."""
    settings = plain(config)
    if config.adapter is not None and len(config.adapter) == 1:
        settings["adapter"] = settings["adapter"][0]
    return settings


def hashes(config: ExportConfig) -> dict[str, str]:
    """SHA-256 of the weights that go into the file."""
    if config.model is not None:
        return {"model_sha256": sha256(config.model / MODEL)}
    _, adapters = folders_of(config)
    base_hash = read_json(adapters[0] / ABOUT, AdapterFacts).get("base_sha256") or ""
    return {"base_sha256": base_hash, "adapter_sha256": " ".join(map(adapter_sha256, adapters))}


def reads_of(config: ExportConfig) -> Reads:
    """Hashes of the bytes of what the file is made of and checked on."""
    photos = dict(photographs_read(config))
    if config.model is not None:
        return photos | {"model": model_content(config.model)}
    base, adapters = folders_of(config)
    assert base is not None
    contents = [adapter_content(adapter) for adapter in adapters]
    return photos | {"base": base_edit_content(base), "adapter": contents if len(contents) > 1 else contents[0]}


def compare(kind: Format, file: Path, model: Model, photos: dict[str, Pixels], config: ExportConfig) -> Parity:
    """Edit the same photos by the file and by PyTorch on the CPU, in each way that the format has."""
    assert kind.load is not None
    run = kind.load(file)
    trials: Iterable[Trial] = [Trial("", run, model, config.strength)]
    if kind.trials is not None:
        base, adapters = folders_of(config)
        assert base is not None
        trials = kind.trials(run, base, adapters)
    rows = [row for trial in trials for row in _rows(trial, photos, config.size)]
    return Parity(
        max=max(row["max"] for row in rows),
        mean=max(round(float(np.mean([row["mean"] for row in each])), 6) for each in by_trial(rows)),
        photos=len(photos),
        sizes=list(dict.fromkeys(row["size"] for row in rows)),
        runs=rows,
        providers=run.providers,
        versions=versions() | {name: version(name) for name in kind.packages},
        contrast=min(row["contrast"] for row in rows),
    )


def compare_function(function: Function, photos: dict[str, Pixels], size: int, strength: float) -> dict[str, Any]:
    """How far what a converter is given of an effect lies from the merged model, in 8-bit levels. Raises InputError
    where that is more than a whole file's edits may."""
    trial = Trial(function.effect, InPytorch(function.model, size), function.merged, strength)
    rows = list(_rows(trial, photos, size))
    mean = round(float(np.mean([row["mean"] for row in rows])), 6)
    if not mean <= TOLERANCE["fp32"]:
        raise InputError(
            f"the function {function.name} differs from PyTorch's edits by {mean:.2f} levels of 255 on average: "
            "nothing was written"
        )
    told = {"name": function.name, "effect": function.effect, "prompt": function.merged.prompt}
    return told | {"mean": mean, "max": max(row["max"] for row in rows)}


def _rows(trial: Trial, photos: dict[str, Pixels], size: int | None) -> Iterator[dict[str, Any]]:
    """How far a file's edits are from PyTorch's in one way of editing, a row each batch of photos."""
    edited: list[tuple[Pixels, Pixels]] = []
    for name, batch, edits in pytorch_edits(trial.model, photos, size):
        edited += zip(batch, edits, strict=True)
        expected = np.stack([mix(p, e, trial.strength) for p, e in zip(batch, edits, strict=True)])
        found = trial.run(batch)
        if found.shape != expected.shape or found.dtype != np.uint8:
            raise InputError(f"the exported file gives {found.dtype} {found.shape} for {batch.shape}")
        difference = np.abs(found.astype(np.int16) - expected)
        yield ({"effect": trial.name} if trial.name else {}) | {
            "photo": name,
            "batch": len(batch),
            "size": batch.shape[1:3],
            "max": int(difference.max()),
            "mean": round(float(difference.mean()), 6),
            "contrast": round(min(map(contrast, edits)), 3),
        }
    refuse_constant(f"the edits by {trial.name}" if trial.name else "the edits", edited)


def pytorch_edits(model: Model, photos: dict[str, Pixels], size: int | None) -> Iterator[tuple[str, Pixels, Pixels]]:
    """Name, photos and edits of each batch: uint8 (N, H, W, 3). Raises InputError for one that is one flat colour or
    not finite."""
    predictor = Predictor(model, "cpu")
    for name, batch in batches(photos, size, model.size, predictor.multiple):
        edits = predictor.batch(batch)  # refuses what is not finite before it is pixels
        refuse_blank(name, batch, edits)
        yield name, batch, edits


def by_trial(rows: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The rows of each way of editing: one that is wrong is not to vanish in the mean of many."""
    names = dict.fromkeys(row.get("effect", "") for row in rows)
    return [[row for row in rows if row.get("effect", "") == name] for name in names]


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
