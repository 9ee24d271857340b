"""The stage `edit`: a photo into a file, a folder of photos into a folder."""

from __future__ import annotations

import hashlib
import io
import warnings
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from e2gan.config import EditConfig
from e2gan.core.errors import InputError
from e2gan.core.files import sha256, write_bytes
from e2gan.core.images import Pixels, list_images, read_image
from e2gan.core.outputs import writing
from e2gan.core.progress import track
from e2gan.core.summary import skipped_lines
from e2gan.editing.predictor import Predictor
from e2gan.networks.folders import ADAPTER, MODEL, adapter_folder, base_folder
from e2gan.networks.models import Model

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
OPTIONS: dict[str, dict[str, int]] = {
    "PNG": {"compress_level": 1},  # a quarter of the default's time for a sixth more bytes
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"quality": 95},
}


@dataclass(frozen=True)
class Edited:
    """What `edit` wrote. skipped: (file, reason)."""

    out: Path
    photos: int
    skipped: list[tuple[str, str]] = field(default_factory=list)
    already_done: bool = False

    def __str__(self) -> str:
        if self.already_done:
            return f"{self.out}: edited already, nothing to do"
        return "\n".join(
            [f"{self.photos} photo{'s' * (self.photos != 1)} edited: {self.out}", *skipped_lines(self.skipped)]
        )


def edit(config: EditConfig) -> Edited:
    """Edit one photo into a file, or a folder of photos into a folder; each at its own size.

    A photo's file of that name is replaced; a folder must be new. Raises InputError for bad settings, an unreadable
    photo, a folder without a readable photo, and where the output would be the input.
    """
    config.check()
    if not config.input.exists():
        raise InputError(f"{config.input} does not exist")
    if config.out.resolve() == config.input.resolve():
        raise InputError(f"--out {config.out} is the input itself: name another")
    model = Model.load(
        base=config.base, adapter=config.adapter, model=config.model, weights=config.weights, text=config.text
    )
    predictor = Predictor(model, config.device)
    predictor.check_tile(config.tile)
    if config.input.is_dir():
        return _edit_folder(config, predictor)
    if config.out.suffix.lower() not in FORMATS:
        raise InputError(f"--out {config.out}: its ending must be one of {', '.join(FORMATS)}")
    if config.out.is_dir():
        raise InputError(f"--out {config.out} is a folder: name a file for one photo")
    photo = read_image(config.input)
    try:
        config.out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write to {config.out}: {error.strerror}") from None
    edited = _edited(config, predictor, photo)
    write_bytes(config.out, encode(edited, config.out.suffix, profile(config.input)))
    return Edited(out=config.out, photos=1)


def _edited(config: EditConfig, predictor: Predictor, photo: Pixels) -> Pixels:
    return predictor.edit(
        photo, strength=config.strength, side=config.side, tile=config.tile, detail=config.detail
    )  # fmt: skip


def _edit_folder(config: EditConfig, predictor: Predictor) -> Edited:
    if config.out.resolve().is_relative_to(config.input.resolve()):
        raise InputError(f"--out {config.out} lies inside the input: name a folder elsewhere")
    files = list_images(config.input)
    if not files:
        raise InputError(f"{config.input} holds no photos")
    settings = {f: getattr(config, f) for f in ("base", "adapter", "weights", "model", "strength", "side", "tile")}
    settings |= {"weights_sha256": _weights(config), "photos_sha256": _state(files)}
    detail = predictor.detail if config.detail == "auto" else config.detail
    skipped: list[tuple[str, str]] = []
    with writing(config.out, "edit", settings | {"input": config.input, "detail": detail}) as partial:
        if partial is None:
            return Edited(out=config.out, photos=0, already_done=True)
        for file, name in track(named(files, config.input), "editing"):
            try:
                photo = read_image(file)
            except InputError as error:
                skipped.append((str(file.relative_to(config.input)), str(error)))
                continue
            target = partial / name
            target.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(target, encode(_edited(config, predictor, photo), target.suffix, profile(file)))
        if len(skipped) == len(files):
            raise InputError(f"no photo in {config.input} could be read ({skipped[0][0]}: {skipped[0][1]})")
    return Edited(out=config.out, photos=len(files) - len(skipped), skipped=skipped)


def named(files: list[Path], root: Path) -> list[tuple[Path, Path]]:
    """Each file with its name in the output: its own, with an ending that can be written, and no name twice."""
    taken: set[Path] = set()
    pairs = []
    for file in files:
        own = file.relative_to(root)
        name = own if own.suffix.lower() in FORMATS else own.with_suffix(".png")
        if name in taken:
            name = own.with_name(own.name.replace(".", "-") + ".png")
        taken.add(name)
        pairs.append((file, name))
    return pairs


def _weights(config: EditConfig) -> list[str]:
    """What a rerun must find unchanged: a retrained adapter under the same name is another one."""
    if config.model is not None:
        return [sha256(config.model / MODEL)]
    base = base_folder(config.base, *config.adapter[:1])
    return [sha256(base / MODEL), *(sha256(adapter_folder(a) / ADAPTER) for a in config.adapter)]


def _state(files: list[Path]) -> str:
    """Which photos a folder holds, by name, size and time: with another one in it, the work is not done."""
    facts = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def profile(file: Path) -> bytes | None:
    """The colour profile of an RGB photo: without it, the wide colours of a phone's photo would come back pale."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(file) as image:
                found = image.info.get("icc_profile")
    except Exception:  # the pixels have been read: a profile that cannot be is left out
        return None
    return found if found and found[16:20] == b"RGB " else None


def encode(image_HWC: Pixels, suffix: str, icc_profile: bytes | None = None) -> bytes:
    """The image as the bytes of a file with this ending; JPEG and WebP at quality 95.

    Raises InputError where it is larger than the format allows.
    """
    buffer = io.BytesIO()
    kind = FORMATS[suffix.lower()]
    try:
        Image.fromarray(image_HWC).save(buffer, kind, icc_profile=icc_profile, **OPTIONS[kind])
    except (OSError, ValueError) as error:
        height, width = image_HWC.shape[:2]
        raise InputError(f"{width}×{height} pixels do not go into {kind} ({error}): write a .png") from None
    return buffer.getvalue()
