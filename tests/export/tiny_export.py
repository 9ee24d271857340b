"""A tiny generator as a device needs it, and photos."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import torch

from e2gan import Generator
from e2gan.config import PRESETS
from e2gan.core.images import square
from e2gan.data.builtin_photos import builtin_pictures
from e2gan.export.pixel_model import PixelModel

Around = Literal["conv", "pool", "max", "none"]


def photos(height: int, width: int) -> np.ndarray:
    return np.stack([square(p, max(height, width))[:height, :width] for p in list(builtin_pictures().values())[:3]])


def tiny_generator(preset: str, norm: str | None = None, around: Around = "conv", **changes: object) -> Generator:
    """None of its layers is zero, and its batch norms have statistics."""
    torch.manual_seed(0)
    config = replace(PRESETS[preset], width=8, heads=2, text_width=16, around=around, **changes)  # pyright: ignore
    generator = Generator(config if norm is None else replace(config, norm=norm)).eval().requires_grad_(False)
    with torch.no_grad():
        for p in generator.parameters():
            if not p.any():
                p.normal_(0, 0.05)
        for name, buffer in generator.named_buffers():
            if "running" in name:
                buffer.uniform_(0.5, 1.5)
    return generator


def pixel_model(
    preset: str, norm: str | None = None, strength: float = 1.0, around: Around = "conv", **changes: object
) -> PixelModel:
    generator = tiny_generator(preset, norm, around, **changes)
    return PixelModel(generator, torch.randn(1, 5, 16), strength).eval()
