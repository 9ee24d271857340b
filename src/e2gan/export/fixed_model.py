"""A model as phones' runtimes take it: one size, one photo, and operators that their GPUs know."""

from __future__ import annotations

from copy import deepcopy
from typing import cast

import torch
from torch import Tensor, nn

from e2gan.export.exact_forms import (
    convolve_shuffles,
    even_kernels,
    plain_attention,
    slice_pooling,
    slice_reflections,
)
from e2gan.export.pixel_model import PixelModel
from e2gan.networks.generator import WHOLE, Generator, TransformerBlock, place_signal


class PlacedBlock(nn.Module):
    """A transformer block whose sense of place is a constant, since the map always has one size."""

    def __init__(self, block: TransformerBlock, side: int) -> None:
        super().__init__()
        self.block = block
        width = block.width
        self.register_buffer("signal", place_signal(torch.tensor([WHOLE]), side, side, width))

    def forward(self, x: Tensor, *_: object) -> Tensor:
        return self.block.placed(x, None, None, cast(Tensor, self.signal))


def fix_place(generator: Generator, side: int) -> None:
    for name, module in list(generator.named_modules()):
        if isinstance(module, TransformerBlock):
            generator.set_submodule(name, PlacedBlock(module, side))


class FixedModel(nn.Module):
    """A `PixelModel` of one size: float32 (1, size, size, 3) in 0..255 → the same, not rounded.

    Borders are reflected and maxima pooled by slices, pixels are folded by convolutions, bit for bit as in the model
    itself. size: a multiple of the model's own. channels_first: (1, 3, size, size) in place of (1, size, size, 3).
    rounded: whole numbers come out.
    """

    def __init__(self, model: PixelModel, size: int, *, channels_first: bool = False, rounded: bool = False) -> None:
        super().__init__()
        self.strength, self.channels_first, self.rounded = model.strength, channels_first, rounded
        self.generator = deepcopy(model.generator)
        slice_reflections(self.generator)
        slice_pooling(self.generator)
        even_kernels(self.generator)
        plain_attention(self.generator)
        if isinstance(self.generator, Generator):
            convolve_shuffles(self.generator)
            if self.generator.config.place:
                # Nothing around the TB: its map is that of its surroundings.
                side = size // self.generator.multiple * (2 if self.generator.config.around == "none" else 1)
                fix_place(self.generator, side)

    def forward(self, photo: Tensor) -> Tensor:
        pixels = photo if self.channels_first else photo.permute(0, 3, 1, 2)
        edit = ((self.generator(pixels / 127.5 - 1).float() + 1) * 127.5).clamp(0, 255)
        edit = pixels + self.strength * (edit - pixels) if self.strength != 1 else edit
        edit = edit.clamp(0, 255) if self.strength > 1 else edit
        edit = edit.round() if self.rounded else edit
        return edit if self.channels_first else edit.permute(0, 2, 3, 1)
