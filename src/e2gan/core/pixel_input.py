"""Pictures that Python code hands over: a file, a PIL image, an array or a tensor, all read as files are; and edits of
them as what was handed over."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from e2gan.core.errors import InputError, InputTypeError
from e2gan.core.images import MAX_PIXELS, Pixels, pixels_of, profile_in_file, read_image
from e2gan.core.values import eight_bits

Picture = Any  # a path, PIL.Image.Image, NumPy array or torch tensor: see as_pixels
Pictures = Any  # a picture, or several of them: see as_given
TAKEN = "a path, a PIL image, an array (H, W, 3), or a tensor (3, H, W)"


def as_pixels(picture: Picture, what: str = "the photo") -> Pixels:
    """A picture as uint8 (H, W, 3) RGB, by the rules for files (images.py).

    A text or a path: the file of that name. PIL image: any mode, upright by its EXIF orientation, transparency over
    white. NumPy array: (H, W), or (H, W, C) with 1 channel for grey, 2 for grey and alpha, 3 for RGB, 4 for RGB and
    alpha. Tensor: the same channels first, (C, H, W), as torchvision has them. The range is a rule by type: uint8
    0..255, uint16 0..65535, floats 0..1.

    Raises InputTypeError for what is no picture and for numbers of another type, InputError for another shape, numbers
    that are outside of the range or not finite, an empty picture, one of more than MAX_PIXELS, and a file that cannot
    be read.
    """
    if isinstance(picture, (str, os.PathLike)):
        return _of_file(picture, what)
    if isinstance(picture, Image.Image):
        _check_size(picture.height, picture.width, what)
        try:
            embedded = profile_in_file(picture, f"{what}: ")  # before its file is closed
            picture.load()
        except (OSError, SyntaxError, ValueError) as error:  # a file that Pillow has opened, and cannot read
            raise InputError(f"{what}: {error}") from error
        return pixels_of(picture, f"{what}: ", embedded)
    values = _array(picture, what)
    if _is_tensor(picture) and values.ndim == 3:
        values = values.transpose(1, 2, 0)
    channels = 1 if values.ndim == 2 else values.shape[-1]
    if values.ndim not in (2, 3) or channels not in (1, 2, 3, 4):
        raise InputError(f"{what} is of the shape {tuple(picture.shape)}: expected is {TAKEN}")
    return _rgb(values.reshape(*values.shape[:2], channels), what)


def as_batch(pictures: Any, what: str = "the photos") -> Pixels:
    """Pictures of one size as uint8 (N, H, W, 3) RGB: a sequence of what `as_pixels` takes, an array (N, H, W, C) or a
    tensor (N, C, H, W). Raises InputError as it, for pictures of several sizes, and for none."""
    if isinstance(pictures, (list, tuple)):
        images = [as_pixels(picture, f"{what}: number {i}") for i, picture in enumerate(pictures)]
        if len({image.shape for image in images}) > 1:
            raise InputError(f"{what} are of several sizes: edit them one by one")
        if not images:
            raise InputError(f"{what}: there are none")
        return np.stack(images)
    values = _array(pictures, what)
    if values.ndim != 4:
        expected = "an array (N, H, W, 3), a tensor (N, 3, H, W), or a list of pictures"
        raise InputError(f"{what} are of the shape {tuple(pictures.shape)}: expected is {expected}")
    if len(values) == 0:
        raise InputError(f"{what}: there are none")
    if _is_tensor(pictures):
        values = values.transpose(0, 2, 3, 1)
    if values.shape[-1] not in (1, 2, 3, 4):
        raise InputError(f"{what} have {values.shape[-1]} channels: expected are 1, 2, 3 (RGB) or 4")
    return _rgb(values, what)


@dataclass(frozen=True)
class Given:
    """Pictures that were handed over. pixels: uint8 (H, W, 3) of each. arrays: their edits, as many and of the same
    sizes → one array, a batch, or a list or tuple, as they were handed over. like: → the same of their own kinds."""

    pixels: Sequence[Pixels]
    arrays: Callable[[Sequence[Pixels]], Any]
    like: Callable[[Sequence[Pixels]], Any]


def as_given(pictures: Pictures, what: str = "the photo") -> Given:
    """One picture, as `as_pixels` takes it; or several: a list or tuple of such, of any sizes, an array (N, H, W, C),
    or a tensor (N, C, H, W).

    `like` gives edits the kind of the picture: a PIL image (mode RGB) for one and for a path, an array of its type
    (H, W, 3), a tensor (3, H, W) of its type on its device; floats are 0..1, uint16 0..65535. Raises as `as_pixels`.
    """
    if isinstance(pictures, (list, tuple)):
        if not pictures:
            raise InputError(f"{what}: the {type(pictures).__name__} is empty")
        pixels = [as_pixels(picture, f"{what}: number {i}") for i, picture in enumerate(pictures)]
        kind = list if isinstance(pictures, list) else tuple
        return Given(pixels, kind, lambda edits: kind(_like(p, edit) for p, edit in zip(pictures, edits, strict=True)))
    if (isinstance(pictures, np.ndarray) or _is_tensor(pictures)) and pictures.ndim == 4:
        return Given([*as_batch(pictures, what)], np.stack, lambda edits: _like(pictures, np.stack(edits)))
    return Given([as_pixels(pictures, what)], lambda edits: edits[0], lambda edits: _like(pictures, edits[0]))


def _like(picture: Picture, edit: Pixels) -> Any:
    """An edit (…, H, W, 3) as what the picture is."""
    if isinstance(picture, np.ndarray):
        return _in_range(edit, picture.dtype)
    if not _is_tensor(picture):
        return Image.fromarray(edit)
    torch: Any = sys.modules["torch"]
    name = str(picture.dtype).removeprefix("torch.")
    values = _in_range(edit, np.dtype("float32" if name == "bfloat16" else name))
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(values, -1, -3))).to(picture.device, picture.dtype)


def _in_range(pixels: Pixels, kind: np.dtype[Any]) -> NDArray[Any]:
    """Pixels as numbers of another type, in the range that it has."""
    if kind.kind == "f":
        return (pixels / np.float64(255)).astype(kind)
    return pixels.astype(kind) * kind.type(257) if kind.itemsize == 2 else pixels


def _of_file(path: str | os.PathLike[str], what: str) -> Pixels:
    name = os.fspath(path)
    if not isinstance(name, str):
        raise InputTypeError(f"{what} is a path of bytes: expected is {TAKEN}")
    try:
        return read_image(Path(name).expanduser())
    except (OSError, RuntimeError) as error:  # a name that no disk holds; no home folder
        raise InputError(f"{what}: {name[:80]!r} is no path here ({error.__class__.__name__})") from None


def _is_tensor(value: object) -> bool:
    torch: Any = sys.modules.get("torch")  # a tensor comes from a PyTorch that is there
    return torch is not None and isinstance(value, torch.Tensor)


def _array(picture: Any, what: str) -> NDArray[Any]:
    if _is_tensor(picture):
        try:
            found = picture.detach().cpu()
            if str(found.dtype) == "torch.bfloat16":  # which NumPy lacks
                found = found.float()
            picture = found.resolve_conj().resolve_neg().numpy()
        except (TypeError, RuntimeError, NotImplementedError):  # on meta, nested, sparse, quantized, of float8
            kind = f"{str(picture.layout).removeprefix('torch.')} tensor of {str(picture.dtype).removeprefix('torch.')}"
            raise InputTypeError(f"{what} is a {kind} on {picture.device}, without plain numbers to read") from None
    if not isinstance(picture, np.ndarray):
        raise InputTypeError(f"{what} is {_article(type(picture).__name__)}: expected is {TAKEN}")
    if np.ma.isMaskedArray(picture) and np.ma.is_masked(picture):
        raise InputError(f"{what} is a masked array, and some of it is masked: fill it first")
    values = np.asarray(picture)
    kind, bits = values.dtype.kind, values.dtype.itemsize * 8
    if not (kind == "f" or (kind == "u" and bits in (8, 16))):
        raise InputTypeError(f"{what} holds {values.dtype}: expected is uint8, uint16, or floats (0..1)")
    return values


def _rgb(values: NDArray[Any], what: str) -> Pixels:
    """Values (…, H, W, C) of 1 to 4 channels as uint8 (…, H, W, 3)."""
    _check_size(values.shape[-3], values.shape[-2], what)
    try:
        pixels = eight_bits(values)
    except InputError as error:
        raise InputError(f"{what}: {error}") from None
    colours, alpha = (pixels[..., :-1], pixels[..., -1]) if pixels.shape[-1] in (2, 4) else (pixels, None)
    rgb = np.repeat(colours, 3, -1) if colours.shape[-1] == 1 else np.ascontiguousarray(colours)
    if alpha is None:
        return rgb if rgb.flags.writeable else rgb.copy()  # PyTorch warns of memory that it could not write to
    flat = np.dstack([rgb.reshape(-1, rgb.shape[-2], 3), alpha.reshape(-1, alpha.shape[-1])])
    return pixels_of(Image.fromarray(flat)).reshape(rgb.shape)


def _check_size(height: int, width: int, what: str) -> None:
    if not height * width:
        raise InputError(f"{what} is empty: {height}×{width} pixels")
    if height * width > MAX_PIXELS:
        raise InputError(f"{what}: {height}×{width} pixels are more than {MAX_PIXELS // 10**6} million")


def _article(name: str) -> str:
    return name if name == "NoneType" else f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
