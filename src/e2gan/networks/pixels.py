"""Pixels as a network takes and gives them: the one place of this conversion, and the sides that it takes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from e2gan.core.errors import NotFiniteError

LEAST = 32  # pixels of a side, which a network takes


def from_pixels(pixels: Tensor) -> Tensor:
    """uint8 in 0..255 → float32 in [-1, 1]."""
    return pixels.float() / 127.5 - 1


def checked_finite(image: Tensor) -> Tensor:
    """The image itself, a network's output before it becomes pixels, where a NaN would be black and nothing to see.

    Raises NotFiniteError for a value that is infinite or not a number.
    """
    if not image.isfinite().all():
        bad = int((~image.isfinite()).sum())
        raise NotFiniteError(
            f"the network's output is not finite ({bad} of {image.numel()} values are infinite or not a number): its "
            "weights, or the weights of a mixture, are too large, or it is damaged"
        )
    return image


def to_pixels(image: Tensor) -> Tensor:
    """float in [-1, 1] → uint8 in 0..255, rounded."""
    return ((image.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def free_sides(multiple: int) -> tuple[tuple[int, int], tuple[Any, Any]]:
    """Height and width as an exporter is shown them, and as it is told that they may be any multiples from LEAST on.

    Those of the example differ, and neither is 1: equal ones would be taken for one, and 1 for a constant.
    """
    least = -(-LEAST // multiple)
    h, w = (torch.export.Dim(name, min=least) for name in "hw")
    return (least * multiple, (least + 1) * multiple), ((multiple * h, multiple * w) if multiple > 1 else (h, w))
