"""What range the numbers of a picture have: a rule by their type, never by the picture, so that scans stay alike.

Integers of 8 bits are 0..255, of 16 bits 0..65535 (fewer where the file declares fewer), floats 0..1. What lies outside
of its type's range, and what has no such rule, is refused with the range that was seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from e2gan.core.errors import InputError

BITS_PER_SAMPLE, PHOTOMETRIC, SAMPLE_FORMAT = 258, 262, 339  # tags of TIFF 6.0
WHITE_IS_ZERO, SIGNED = 0, 2
TOGETHER = 2**22  # numbers that are converted at a time
NEAR = 0.5 / 255  # half a level: what resampling and rounding may leave beyond 0..1


def bands(height: int, width: int) -> Iterator[slice]:
    """The rows of a picture, some millions of pixels at a time, so that what is made of them needs little memory."""
    rows = max(1, TOGETHER // max(1, width))
    for top in range(0, height, rows):
        yield slice(top, min(top + rows, height))


def eight_bits(values: NDArray[np.generic], bits: int | None = None, *, inverted: bool = False) -> NDArray[np.uint8]:
    """Numbers of any shape to uint8 of the same shape, by the rule of their type.

    bits: of integers, where fewer than their type has; 32-bit integers need them. inverted: whether 0 is white.
    Raises InputError for a number outside of the range, one that is not finite, and a type without a rule.
    """
    kind, size = values.dtype.kind, values.dtype.itemsize * 8
    if kind == "f":
        _check_floats(values)
        scale = 255.0
    elif kind == "u" and size == 8 and bits is None:
        return 255 - values.astype(np.uint8) if inverted else values.astype(np.uint8)
    elif kind in "iu" and (bits is not None or (kind == "u" and size == 16)):
        _check_integers(values, bits or size)
        scale = 255 / (2 ** (bits or size) - 1)
    else:
        raise InputError(f"numbers of the type {values.dtype} have no agreed range: save 8 or 16 bits, or floats")
    pixels, flat = np.empty(values.shape, np.uint8), values.reshape(-1)
    for start in range(0, flat.size, TOGETHER):
        some = slice(start, start + TOGETHER)
        pixels.reshape(-1)[some] = np.clip(np.rint(flat[some].astype(np.float64) * scale), 0, 255)
    return 255 - pixels if inverted else pixels


def _check_floats(values: NDArray[Any]) -> None:
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if not (np.isfinite(low) and np.isfinite(high)):
        raise InputError(f"{int((~np.isfinite(values)).sum())} of its numbers are not finite (NaN or infinite)")
    if low < -NEAR or high > 1 + NEAR:
        raise InputError(f"floats are 0..1, and here they lie in {low:.6g}..{high:.6g}: scale them to 0..1")


def _check_integers(values: NDArray[Any], bits: int) -> None:
    most = 2**bits - 1
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    if low < 0 or high > most:
        raise InputError(f"integers of {bits} bits are 0..{most}, and here they lie in {low}..{high}")


def declared(image: Image.Image) -> tuple[int | None, bool]:
    """How many bits an opened image of 16-bit or 32-bit integers says that it has; and whether its 0 is white.

    None where its type says all. Raises InputError where neither type nor file tells the range.
    """
    tags: Any = getattr(image, "tag_v2", None)
    inverted = tags is not None and tags.get(PHOTOMETRIC) == WHITE_IS_ZERO
    if image.mode == "F":
        return None, inverted
    if tags is not None:
        bits, signed = tags.get(BITS_PER_SAMPLE, (1,))[0], tags.get(SAMPLE_FORMAT, (1,))[0] == SIGNED
        if bits > 16 or signed:
            raise InputError(f"{'signed ' * signed}integers of {bits} bits have no agreed range: save 8 or 16 bits")
        return bits, inverted
    if image.mode == "I":
        if image.format not in ("PNG", "PPM"):  # whose decoders scale to 16 bits
            raise InputError("integers of 32 bits have no agreed range: save 8 or 16 bits")
        return 16, False
    return None, False
