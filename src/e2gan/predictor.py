"""Base and adapter → edited photos, of any size; and the stage `edit`."""

from __future__ import annotations

import hashlib
import io
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from e2gan.baselines import UNet
from e2gan.config import EditConfig
from e2gan.data import from_pixels, to_pixels
from e2gan.device import resolve_device
from e2gan.errors import InputError
from e2gan.files import sha256, write_bytes, writing
from e2gan.images import Pixels, list_images, read_image, resize
from e2gan.models import ADAPTER, MODEL, Model, adapter_folder, base_folder
from e2gan.photos import told
from e2gan.progress import track
from e2gan.upscale import guided

__all__ = ["Edited", "Predictor", "edit"]

MULTIPLE = 8  # the generator halves three times; a U-Net, more often
LEAST = 32
CHUNK = 16 * 256 * 256  # pixels that run together
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
OPTIONS: dict[str, dict[str, int]] = {
    "PNG": {"compress_level": 1},  # a quarter of the default's time for a sixth more bytes
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"quality": 95},
}


class Predictor:
    """A model that edits ordinary pixels: adapters merged, in evaluation mode, in fp32."""

    def __init__(self, model: Model, device: str = "auto") -> None:
        """Raises InputError where the device is not there."""
        self.device = resolve_device(device)
        self.size = model.size
        self.generator = model.plain().eval().to(self.device)
        self.multiple = 2**self.generator.config.depth if isinstance(self.generator, UNet) else MULTIPLE
        self.tokens = None if model.tokens is None else model.tokens.to(self.device)

    @torch.inference_mode()
    def batch(self, photos_NHWC: Pixels) -> Pixels:
        """uint8 (N, H, W, 3) → the edits, the same. Any height and width: padded inside to multiples of 8."""
        height, width = photos_NHWC.shape[1:3]
        together = max(1, CHUNK // (height * width))
        photos = torch.from_numpy(np.ascontiguousarray(photos_NHWC)).permute(0, 3, 1, 2)
        edits = [self._run(part.to(self.device)) for part in photos.split(together)]
        return torch.cat(edits).permute(0, 2, 3, 1).contiguous().numpy()

    def _run(self, photos: Tensor) -> Tensor:
        height, width = photos.shape[2:]
        pads = [max(-side % self.multiple, LEAST - side) for side in (height, width)]
        # Reflection where there is enough to reflect; the border pixel again where there is not.
        mode = "reflect" if pads[0] < height and pads[1] < width else "replicate"
        padded = F.pad(from_pixels(photos), (0, pads[1], 0, pads[0]), mode=mode)
        return to_pixels(self.generator(padded, self.tokens)[:, :, :height, :width]).cpu()

    def edit(
        self,
        photo_HWC: Pixels,
        *,
        strength: float = 1.0,
        side: int | None = None,
        tile: int | None = None,
        detail: Literal["guided", "none"] = "guided",
    ) -> Pixels:
        """The photo's edit at the photo's own size: uint8 (H, W, 3) → uint8 (H, W, 3).

        strength: 0 is the photo bit for bit, 1 the edit, up to 1.5; between, and beyond, they are mixed linearly.
        side: shorter side at which the generator runs; None is the size that it was trained at, which looks most like
        the training, 0 the photo's own. A photo is never enlarged for it.
        tile: run in overlapping tiles of so many pixels, a multiple of 8, to bound memory at a large side.
        detail: how a smaller edit comes back: "guided" puts the photo's own detail through the edit, right for colour,
        light and weather; "none" enlarges the edit as it is, softer, right where no trace of the photo should remain.
        """
        if strength == 0:
            return photo_HWC.copy()
        height, width = photo_HWC.shape[:2]
        scale = min(1.0, (self.size if side is None else side or min(height, width)) / min(height, width))
        small_size = max(1, round(height * scale)), max(1, round(width * scale))
        small = photo_HWC if small_size == (height, width) else resize(photo_HWC, small_size)
        edited = self._tiled(small, tile) if tile is not None and max(small_size) > tile else self.batch(small[None])[0]
        if small_size != (height, width):
            edited = guided(photo_HWC, small, edited) if detail == "guided" else resize(edited, (height, width))
        return mix(photo_HWC, edited, strength)

    def _tiled(self, photo_HWC: Pixels, tile: int) -> Pixels:
        """Tiles that overlap by a quarter, faded into each other."""
        height, width = photo_HWC.shape[:2]
        total = np.zeros((height, width, 3), np.float32)
        weights = np.zeros((height, width, 1), np.float32)
        for top in starts(height, tile):
            for left in starts(width, tile):
                part = photo_HWC[top : top + tile, left : left + tile]
                weight = fade(part.shape[0])[:, None, None] * fade(part.shape[1])[None, :, None]
                total[top : top + tile, left : left + tile] += self.batch(part[None])[0] * weight
                weights[top : top + tile, left : left + tile] += weight
        return np.rint(total / weights).astype(np.uint8)


def mix(photo: Pixels, edited: Pixels, strength: float) -> Pixels:
    """photo + strength · (edited - photo), in uint8."""
    if strength == 1:
        return edited
    mixed = photo + np.float32(strength) * (edited.astype(np.float32) - photo)
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


def starts(length: int, tile: int) -> list[int]:
    """Where tiles begin so that they cover a length, each overlapping the next by about a quarter.

    At multiples of 8, where the strided convolutions of all tiles look at the same pixels; the last may be shorter.
    """
    if length <= tile:
        return [0]
    count = -(-(length - tile) // (tile * 3 // 4)) + 1
    return [-(-i * (length - tile) // (count - 1) // MULTIPLE) * MULTIPLE for i in range(count)]


def fade(length: int) -> np.ndarray:
    """Weight of each pixel of a tile: rises over a quarter, and is next to nothing in the outermost sixteenth, where
    the tile's own padding shows. Nowhere zero: at the picture's border that is all there is."""
    distance = np.minimum(np.arange(length), np.arange(length)[::-1]) + 1
    return np.clip((distance - length / 16) / (length * 3 / 16), 1e-3, 1).astype(np.float32)


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
        return "\n".join([f"{self.photos} photo{'s' * (self.photos != 1)} edited: {self.out}", *told(self.skipped)])


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
    model = Model.load(base=config.base, adapter=config.adapter, model=config.model, weights=config.weights)
    if config.input.is_dir():
        return _edit_folder(config, Predictor(model, config.device))
    if config.out.suffix.lower() not in FORMATS:
        raise InputError(f"--out {config.out}: its ending must be one of {', '.join(FORMATS)}")
    if config.out.is_dir():
        raise InputError(f"--out {config.out} is a folder: name a file for one photo")
    photo = read_image(config.input)
    try:
        config.out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write to {config.out}: {error.strerror}") from None
    edited = _edited(config, Predictor(model, config.device), photo)
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
    skipped: list[tuple[str, str]] = []
    with writing(config.out, "edit", settings | {"input": config.input, "detail": config.detail}) as partial:
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
    return [sha256(base_folder(config.base) / MODEL), *(sha256(adapter_folder(a) / ADAPTER) for a in config.adapter)]


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
