"""Pixels as a network takes and gives them: the one place of this conversion."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    pass


def from_pixels(pixels: Tensor) -> Tensor:
    """uint8 in 0..255 → float32 in [-1, 1]."""
    return pixels.float() / 127.5 - 1


def to_pixels(image: Tensor) -> Tensor:
    """float in [-1, 1] → uint8 in 0..255, rounded."""
    return ((image.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
