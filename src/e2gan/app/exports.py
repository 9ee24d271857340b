"""Bases and effects for browsers that compute themselves: written as `export --format effects` does, when asked for.

A base's graph takes half a minute, and is written once. An effect takes a moment, and is compared with PyTorch before
it counts.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from e2gan import __version__
from e2gan.app.library import Effect as Found
from e2gan.app.library import Shelf, about
from e2gan.app.work import BusyError, Worker
from e2gan.core.errors import InputError
from e2gan.core.files import write_bytes, write_json
from e2gan.core.images import square
from e2gan.data.builtin_photos import builtin_pictures
from e2gan.editing.predictor import Predictor
from e2gan.export import effects
from e2gan.export.effects_model import BASE, EffectsModel
from e2gan.export.unmerged import TEXT_LAYERS, UnmergedModel
from e2gan.networks.generator import Generator
from e2gan.networks.lora import lora_layers
from e2gan.networks.models import Model, load_generator

State = Literal["none", "possible", "preparing", "ready"]
UNTRIED = "untried.json"  # effects.json with those that were not compared yet
PRECISION = "fp16"
TRIAL = 128  # pixels of a side of the photograph that each effect is compared on
TOLERANCE = 1.0  # levels of 255, in the mean


@dataclass
class _Folder:
    """What was written for a base. effects: by what each was made of; words: that prompts have; state: of the shelf
    that effects.json is of."""

    place: Path
    size: int
    bare: Generator
    model: UnmergedModel
    read: dict[str, effects.Effect] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    passed: set[str] = field(default_factory=set)
    state: object = None


class Exports:
    """One folder for each base, below `root`, and what is done about it."""

    def __init__(self, root: Path, worker: Worker) -> None:
        self.root, self.worker = root, worker
        self._folders: dict[str, _Folder] = {}
        self._wanted: dict[str, object] = {}
        self._failed: dict[str, str] = {}
        try:
            effects.require()
            self.missing = None
        except InputError as error:
            self.missing = str(error)

    def state(self, shelf: Shelf) -> State:
        """Of a base: whether its files are there; `possible` until they are asked for, `none` where they cannot be."""
        if self.missing or shelf.id in self._failed:
            return "none"
        if self.manifest(shelf.id) is not None:
            return "ready"
        return "preparing" if shelf.id in self._wanted else "possible"

    def problems(self, shelves: Iterable[Shelf]) -> list[str]:
        """A line on each base, and each effect, of these that cannot be had in a browser."""
        found = []
        for shelf in shelves:
            refused = self._folders[shelf.id].refused if shelf.id in self._folders else {}
            here = [refused.get(effect.state) for effect in shelf.effects.values()]
            found += [line for line in (self._failed.get(shelf.id), *here) if line]
        return found

    def manifest(self, base: str) -> Path | None:
        """effects.json of a base, by its id, once it is there."""
        folder = self._folders.get(base)
        return folder.place / effects.MANIFEST if folder is not None and folder.state is not None else None

    def made(self, base: str) -> str | None:
        """A text that is another one where effects.json is another."""
        path = self.manifest(base)
        return None if path is None else f"{path.stat().st_mtime_ns:x}"

    def was_asked_for(self, base: str) -> bool:
        return base in self._wanted

    def want(self, shelf: Shelf) -> None:
        """Its files are written, if they are not those of the shelf as it is now."""
        state = tuple((effect.name, effect.state) for effect in shelf.effects.values())
        if self.missing or self._wanted.get(shelf.id) == state:
            return
        try:
            self.worker.submit(lambda: self._write(shelf, state))
        except BusyError:
            return  # it is asked for again
        self._wanted[shelf.id] = state

    def _write(self, shelf: Shelf, state: object) -> None:
        try:
            folder = self._folder(shelf)
            for effect in shelf.effects.values():
                if effect.state not in folder.read and effect.state not in folder.refused:
                    self._read(folder, shelf, effect)
            self._write_base(folder)
            found = [e for e in shelf.effects.values() if e.state in folder.read]
            if self._write_manifest(folder, shelf, found, UNTRIED):
                self._compare(folder, shelf, [e for e in found if e.state not in folder.refused])
            folder.state = state if self._write_manifest(folder, shelf, found, effects.MANIFEST) else None
            self._failed.pop(shelf.id, None)
            if folder.state is None:
                self._failed[shelf.id] = ""  # why is told of each effect
        except (InputError, OSError) as error:
            self._failed[shelf.id] = about(shelf.name, error, shelf.folder, self.root)
            if isinstance(error, OSError):  # a full disk is tried again
                self._wanted.pop(shelf.id, None)
        except Exception:
            logging.getLogger(__name__).exception("%s could not be written for browsers", shelf.name)
            self._failed[shelf.id] = f"{shelf.name}: could not be written for browsers; the terminal says why"

    def _folder(self, shelf: Shelf) -> _Folder:
        if shelf.id not in self._folders:
            place = self.root / shelf.id
            place.mkdir(exist_ok=True)
            bare, settings = load_generator(shelf.folder)
            effects.write_card(place, shelf.folder)
            self._folders[shelf.id] = _Folder(place, settings["size"], bare, UnmergedModel(bare))
        return self._folders[shelf.id]

    def _read(self, folder: _Folder, shelf: Shelf, effect: Found) -> None:
        generator = deepcopy(folder.bare)
        try:
            made = effects.put_effect(effect.name, generator, "effect", shelf.folder, effect.folder, folder.size)
        except InputError as error:
            folder.refused[effect.state] = about(effect.name, error, effect.folder, shelf.folder)
            return
        folder.read[effect.state] = made
        layers = [name for name in lora_layers(generator) if not name.endswith(TEXT_LAYERS)]
        if more := [name for name in layers if name not in folder.model.layers]:
            folder.model = UnmergedModel(folder.bare, [*folder.model.layers, *more])
            (folder.place / BASE).unlink(missing_ok=True)  # it has no inputs for them

    def _write_base(self, folder: _Folder) -> None:
        if not (folder.place / BASE).is_file():
            known = {"e2gan": __version__, "size": "any", "multiple": str(folder.model.multiple)}
            write_bytes(folder.place / BASE, effects.base_onnx(folder.model, known | {"precision": PRECISION}))

    def _write_manifest(self, folder: _Folder, shelf: Shelf, found: list[Found], name: str) -> bool:
        """Files keep their names as long as they are the same: a page that has the manifest before this one still finds
        its own. Returns whether there is an effect at all."""
        found = [effect for effect in found if effect.state not in folder.refused]
        words = max((folder.read[effect.state].words for effect in found), default=0)
        entries = []
        for effect in found:
            made, tag = folder.read[effect.state], f"-{effect.state}-{words}"
            try:
                entries.append(effects.write_effect(folder.place, made, folder.model, words, tag))
            except InputError as error:
                folder.refused[effect.state] = about(effect.name, error, folder.place)
        if entries:
            content = effects.manifest(folder.place, shelf.name, folder.size, folder.model, words, entries)
            write_json(folder.place / name, content)
        return bool(entries)

    def _compare(self, folder: _Folder, shelf: Shelf, found: list[Found]) -> None:
        """Effects that are new, with PyTorch's; of those that differ, `refused` says so."""
        new = [effect for effect in found if effect.state not in folder.passed]
        if not new:
            return
        run = EffectsModel(folder.place / UNTRIED)
        side = -(-TRIAL // folder.model.multiple) * folder.model.multiple
        photo = square(next(iter(builtin_pictures().values())), side)[None]
        for effect in new:
            try:
                run.set(effect.name)
                wanted = Predictor(Model.load(base=shelf.folder, adapter=effect.folder), "cpu").batch(photo)
                far = float(np.abs(run(photo).astype(np.int16) - wanted).mean())
                if far > TOLERANCE:
                    raise InputError(f"exported for browsers, its edits are {far:.1f} levels from PyTorch's")
                folder.passed.add(effect.state)
            except InputError as error:
                folder.refused[effect.state] = about(effect.name, error, effect.folder, shelf.folder, folder.place)
