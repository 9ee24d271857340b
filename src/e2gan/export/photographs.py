"""The photographs that a file is checked on, and those that an int8 one is calibrated on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from e2gan.config import ExportConfig
from e2gan.core.errors import InputError
from e2gan.core.identity import Reads, hash_below
from e2gan.core.images import FLAT, Pixels, contrast, read_image
from e2gan.core.originals import list_images
from e2gan.data.builtin_photos import TEST, builtin_pictures
from e2gan.data.pair_set import PairSet
from e2gan.data.photos import evenly

CHECKED, CALIBRATED = 8, 32  # photos at most


@dataclass(frozen=True)
class Photographs:
    """uint8 (H, W, 3) each, by name. calibrated: of an int8 file, none of which it is checked on where there are two
    photos at least; empty for other files."""

    checked: dict[str, Pixels]
    calibrated: dict[str, Pixels]

    @classmethod
    def of(cls, config: ExportConfig) -> Photographs:
        """From the test and the training photos of a pair set, from a folder, or the built-in ones; those that are one
        colour show nothing.

        Raises InputError where there is none.
        """
        if config.pairs is None and config.photos is None:
            return cls._builtin(config.precision == "int8")
        root, checked, calibrated = _files(config)
        return cls(_read(root, checked), _read(root, calibrated))

    @classmethod
    def _builtin(cls, int8: bool) -> Photographs:
        found = builtin_pictures()
        if len(found) < 2:
            raise InputError("the pictures of scikit-image are missing: name a folder of photos with --photos")
        if not int8:
            return cls(found, {})
        checked = {name: photo for name, photo in found.items() if name in TEST}
        return cls(checked or found, {name: photo for name, photo in found.items() if name not in TEST})


def photographs_read(config: ExportConfig) -> Reads:
    """Hashes of the files, by what they are."""
    if config.pairs is None and config.photos is None:
        return {}
    root, checked, calibrated = _files(config)
    return {"photos" if config.pairs is None else "pairs": hash_below(root, list(dict.fromkeys(checked + calibrated)))}


def _files(config: ExportConfig) -> tuple[Path, list[Path], list[Path]]:
    """The folder that they lie below, those to check on and those to calibrate on, evenly over what is there."""
    int8 = config.precision == "int8"
    if config.pairs is not None:
        pair_set = PairSet.load(config.pairs)
        checked = evenly(pair_set.files("test")[0], CHECKED)
        return pair_set.photos.folder, checked, evenly(pair_set.files("train")[0], CALIBRATED) if int8 else []
    assert config.photos is not None
    files = list_images(config.photos)
    if not files:
        raise InputError(f"{config.photos} holds no photos: name a folder of some with --photos")
    checked = evenly(files, CHECKED)
    if not int8:
        return config.photos, checked, []
    others = evenly([file for file in files if file not in checked], CALIBRATED)
    if others or len(checked) < 2:
        return config.photos, checked, others or checked
    return config.photos, checked[1::2], checked[::2]


def _read(root: Path, files: Sequence[Path]) -> dict[str, Pixels]:
    read = {str(file.relative_to(root)): read_image(file) for file in files}
    varied = {name: photo for name, photo in read.items() if contrast(photo) >= FLAT}
    if files and not varied:
        raise InputError(f"the photos of {root} are flat colours, which show no difference: name a folder of others")
    return varied
