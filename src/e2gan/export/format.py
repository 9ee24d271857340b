"""What a format of `export` gives: how its file is written, and how it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from e2gan.core.images import Pixels

if TYPE_CHECKING:
    from e2gan.export.pixel_model import PixelModel


class Runner(Protocol):
    """An exported file at work: uint8 (N, H, W, 3) → uint8 (N, H, W, 3). providers: what of its runtime it uses."""

    providers: list[str]

    def __call__(self, photos_NHWC: Pixels) -> Pixels: ...


@dataclass(frozen=True)
class Format:
    """One kind of deployable file.

    file: its name in the folder. packages: those whose versions parity.json tells. require: raises InputError where one
    is missing. write: the file's bytes; the size is that of both sides, None where any will do; the texts are what the
    file says of itself. load: the file as it runs on a device.
    """

    file: str
    packages: tuple[str, ...]
    require: Callable[[], None]
    write: Callable[[PixelModel, int | None, Mapping[str, str]], bytes]
    load: Callable[[Path], Runner]
