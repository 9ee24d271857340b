"""The networks at work: the last few that were asked for stay loaded."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from torch import Tensor

from e2gan.app.library import Library, Shelf, about
from e2gan.config import EditConfig
from e2gan.core.errors import InputError
from e2gan.core.files import sha256
from e2gan.core.images import Pixels, read_picture
from e2gan.editing.edit import Made, edit_picture
from e2gan.editing.predictor import Predictor
from e2gan.networks.folders import MODEL
from e2gan.networks.generator import Generator
from e2gan.networks.models import Model, attach_adapter, load_generator

MOST_LOADED = 8  # networks with their adapters merged: up to 28 MB each
MOST_BARE = 2  # bases that adapters are tried on
MOST_MIXED = 4

Key = TypeVar("Key")
Value = TypeVar("Value")


class StoppedError(Exception):
    """The program is ending."""


class GoneError(InputError):
    """A base or an effect that is not there, or not any more."""


@dataclass(frozen=True)
class Choice:
    """Effects of a base, by their names and weights, which add to 1."""

    shelf: Shelf
    names: tuple[str, ...]
    weights: tuple[float, ...]

    @classmethod
    def of(cls, library: Library, base: str, names: Sequence[str], weights: Sequence[float]) -> Choice:
        """Raises GoneError for what is not in the library, InputError for weights that are none."""
        shelf = library.shelves.get(base)
        if shelf is None:
            raise GoneError("this base is not here any more")
        if gone := next((name for name in names if name not in shelf.effects), None):
            raise GoneError(f"{gone[:80]}: this effect is not here any more")
        if not 1 <= len(names) <= MOST_MIXED or len(set(names)) < len(names):
            raise InputError(f"one effect, or up to {MOST_MIXED} different ones, are expected")
        good = len(weights) == len(names) and all(math.isfinite(w) and 0 <= w <= 1 for w in weights)
        if not good or not math.isclose(sum(weights), 1, abs_tol=1e-3):
            raise InputError("a weight for each effect is expected; they lie in 0..1 and add to 1")
        return cls(shelf, tuple(names), tuple(weights))

    @property
    def adapters(self) -> tuple[Path, ...]:
        return tuple(self.shelf.effects[name].folder for name in self.names)

    @property
    def mixture(self) -> tuple[float, ...] | None:
        """The weights of several."""
        return self.weights if len(self.names) > 1 else None

    @property
    def key(self) -> tuple[object, ...]:
        """What its network is known by."""
        return self.shelf.id, tuple(self.shelf.effects[name].state for name in self.names), self.weights


class Models:
    """Networks by what was chosen. For one thread."""

    def __init__(self, device: str, is_stopped: Callable[[], bool] = lambda: False) -> None:
        """is_stopped: asked between two parts of a picture; where it says so, StoppedError is raised."""
        self.device, self.is_stopped = device, is_stopped
        self._loaded = _Kept[tuple[object, ...], tuple[Model, Predictor]](MOST_LOADED)

    def get(self, choice: Choice) -> tuple[Model, Predictor]:
        """Loaded the first time. Raises InputError where a file is damaged, or went away meanwhile."""
        return self._loaded.of(choice.key, lambda: self._load(choice))

    def _load(self, choice: Choice) -> tuple[Model, Predictor]:
        try:
            model = Model.load(base=choice.shelf.folder, adapter=choice.adapters, weights=choice.mixture)
        except InputError as error:  # of folders whose place is nobody's business
            raise InputError(about(choice.names[0], error, choice.shelf.folder, *choice.adapters)) from None
        predictor = Predictor(model, self.device, "auto")
        run = predictor.run

        def stoppable(photos: Tensor, seen: Tensor) -> Tensor:
            if self.is_stopped():
                raise StoppedError
            return run(photos, seen)

        predictor.run = stoppable
        return model, predictor

    def network(self, choice: Choice, photo_HWC: Pixels, place: tuple[float, float, float, float]) -> Pixels:
        """The network's own edit of a picture at the size that it sees it at, uint8 (H, W, 3). Raises as
        `Predictor.batch`."""
        return self.get(choice)[1].batch(photo_HWC[None], place)[0]

    def file(self, choice: Choice, strength: float, photo: Path, kind: str, most: int) -> Made:
        """A photo's edit as a file with the ending `kind`: what `edit` writes. most: pixels. Raises as `edit`."""
        config = EditConfig(
            input=(photo,),
            out=photo.with_name(f"edit{kind}"),
            base=choice.shelf.folder,
            adapter=choice.adapters,
            weights=choice.mixture,
            strength=strength,
        )
        config.check()
        picture = read_picture(photo, most)
        return edit_picture(config, *self.get(choice), picture)


class Trials:
    """Whether adapters work on their bases: each is put on it once. For one thread."""

    def __init__(self) -> None:
        self._bare = _Kept[str, Generator](MOST_BARE)

    def __call__(self, base: Path, adapter: Path) -> None:
        """Raises InputError where the adapter is damaged, or does not fit."""
        generator = self._bare.of(sha256(base / MODEL), lambda: load_generator(base)[0])
        attach_adapter(deepcopy(generator), base, adapter, "tried")


class _Kept(OrderedDict[Key, Value]):
    """The last few things that were asked for."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def of(self, key: Key, make: Callable[[], Value]) -> Value:
        if key not in self:
            while len(self) >= self.most:
                self.popitem(last=False)
            self[key] = make()
        self.move_to_end(key)
        return self[key]
