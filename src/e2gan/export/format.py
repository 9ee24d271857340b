"""What a format of `export` gives: how its file is written, how it runs, and what else it is checked for."""

from __future__ import annotations

import importlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from e2gan import __version__
from e2gan.core.errors import InputError
from e2gan.core.images import Pixels
from e2gan.sharing.licence import NOT_STATED

if TYPE_CHECKING:
    from e2gan.export.pixel_model import PixelModel
    from e2gan.networks.models import Model


class Runner(Protocol):
    """An exported file at work: uint8 (N, H, W, 3) → uint8 (N, H, W, 3). providers: what of its runtime it uses."""

    providers: list[str]

    def __call__(self, photos_NHWC: Pixels) -> Pixels: ...


@dataclass(frozen=True)
class Function:
    """An effect as a function of a file. name: an identifier. effect: the adapter's name. merged: the same effect as
    PyTorch runs it, which the function is compared with. model: with the adapter unmerged."""

    name: str
    effect: str
    merged: Model
    model: PixelModel


@dataclass(frozen=True)
class Order:
    """What is to be written.

    size: height and width, None where any will do. precision: one of the format's. facts: what the file says of itself.
    photos: uint8 (H, W, 3) each, at the size, what an int8 file is calibrated on. base, adapters: the folders that the
    model was made of, for a format that keeps adapters apart; None and empty where it was made of one whole model.
    functions: of several adapters, for a format that has them; then `model`, a mixture, is not written.
    """

    model: PixelModel
    size: int | None
    precision: str
    facts: Mapping[str, str]
    photos: Sequence[Pixels] = ()
    base: Path | None = None
    adapters: Sequence[Path] = ()
    functions: Sequence[Function] = ()


@dataclass(frozen=True)
class Trial:
    """A way in which a file edits, and what gives the same edits by PyTorch. name: empty where it is the only way."""

    name: str
    run: Runner
    model: Model
    strength: float


@dataclass(frozen=True)
class Check:
    """What a file was checked for beside its edits: the limits of something that loads it, and why it misses them."""

    name: str
    passed: bool
    reasons: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.name}: " + ("passed" if self.passed else "; ".join(self.reasons))


@dataclass(frozen=True)
class Format:
    """One kind of deployable file.

    file: its name in the folder; what it consists of lies there or, of a second file, beside it under the same stem.
    purpose: which apps take it, in a few words. packages: those whose versions parity.json tells. require: raises
    InputError where one is missing. write: puts the file, or the folder, at a path. load: it as it runs on a device;
    None where this machine cannot run it: then `checks` are all that is known. precisions: the first is the default.
    fixed_size: whether a file has one size. checks: what else is looked at. operators: the name of each in a file, and
    how often it is there. several: whether it keeps adapters apart, of which there may be several, and takes their
    strength as it runs. functions: where several adapters become functions of one file that share the base's weights:
    the functions of a file, and the bytes of weights that each has by itself. trials: what of a file of several is
    compared: of the file as `load` gives it, the base and the adapters. beside: files and folders in the same folder
    that belong to the file. notices: the licences of what is in the folder and not of the model.
    """

    file: str
    purpose: str
    packages: tuple[str, ...]
    require: Callable[[], None]
    write: Callable[[Order, Path], None]
    load: Callable[[Path], Runner] | None
    precisions: tuple[str, ...] = ("fp32",)
    fixed_size: bool = False
    checks: Callable[[Path], list[Check]] = lambda _: []
    operators: Callable[[Path], dict[str, int]] = lambda _: {}
    several: bool = False
    functions: Callable[[Path], dict[str, int]] | None = None
    trials: Callable[[Any, Path, Sequence[Path]], Iterator[Trial]] | None = None
    beside: tuple[str, ...] = ()
    notices: Callable[[], str] = lambda: ""

    def bytes_of(self, path: Path) -> int:
        """Of a file and all that belongs to it."""
        return bytes_of(path) + sum(bytes_of(path.parent / name) for name in self.beside)


def require_packages(what: str, extra: str, *modules: str, how: str | None = None) -> None:
    """Raises InputError where one of the modules cannot be imported. how: what to type, if not the extra alone."""
    for name in modules:
        try:
            importlib.import_module(name)
        except ImportError as error:
            mend = how or f"pip install 'e2gan[{extra}]'"
            raise InputError(f"the {what} export needs {name} ({error}): {mend}") from None


@contextmanager
def quiet() -> Iterator[None]:
    """A converter without its progress, its notes and its dependencies' deprecations."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def bytes_of(path: Path) -> int:
    """Of a file and its companions of the same stem beside it, or of all files in a folder."""
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return sum(file.stat().st_size for file in path.parent.glob(f"{path.stem}.*") if file.is_file())


def as_facts(order: Order) -> dict[str, Any]:
    """What every file says of itself, as texts."""
    return {
        "e2gan": __version__,
        "size": str(order.size or "any"),
        "multiple": str(order.model.multiple),
        "precision": order.precision,
        "licence": NOT_STATED,
    } | dict(order.facts)
