"""Pictures that Python code hands over: a PIL image, an array or a tensor, as a file of it would be read."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from e2gan.core.errors import InputError, InputTypeError
from e2gan.core.images import MAX_PIXELS, Pixels, pixels_of, profile_in_file
from e2gan.core.values import eight_bits

Picture = Any  # PIL.Image.Image, a NumPy array or a torch tensor: see as_pixels
TAKEN = "a PIL image, an array (H, W, 3), or a tensor (3, H, W)"


def as_pixels(picture: Picture, what: str = "the photo") -> Pixels:
    """A picture as uint8 (H, W, 3) RGB, by the rules for files (images.py).

    PIL image: any mode, upright by its EXIF orientation, transparency over white. NumPy array: (H, W), or (H, W, C)
    with 1 channel for grey, 2 for grey and alpha, 3 for RGB, 4 for RGB and alpha. Tensor: the same channels first,
    (C, H, W), as torchvision has them. The range is a rule by type: uint8 0..255, uint16 0..65535, floats 0..1.

    Raises InputTypeError for what is no picture and for numbers of another type, InputError for another shape, numbers
    that are outside of the range or not finite, an empty picture, and one of more than MAX_PIXELS.
    """
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
