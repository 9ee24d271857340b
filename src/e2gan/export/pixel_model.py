"""A model as a device needs it: pixels in and out, the adapter merged, the prompt's keys and values constants in it."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from e2gan.core.errors import InputError
from e2gan.core.images import Pixels
from e2gan.networks.fixed_attention import fix_prompt
from e2gan.networks.pixels import LEAST, free_sides, from_pixels, to_pixels
from e2gan.networks.resized_conv import fix_kernels


class PixelModel(nn.Module):
    """A model as a device needs it: uint8 (N, H, W, 3) → uint8 (N, H, W, 3), no adapter, no tokens, no batch norm,
    resize and convolution as transposed convolution.

    generator: with its adapters merged; copied. tokens: (1, T, D) float32, or None where it takes none or holds its
    prompts. strength: 0 is the photo itself, 1 the edit. multiple: what H and W are multiples of. dtype: what the
    generator computes in.
    """

    def __init__(self, generator: nn.Module, tokens: Tensor | None, strength: float = 1.0) -> None:
        super().__init__()
        self.dtype = torch.float32
        self.generator = deepcopy(generator).eval()
        self.multiple = int(generator.multiple)  # pyright: ignore[reportArgumentType]
        self.strength = strength
        with torch.no_grad():
            fix_prompt(self.generator, tokens)
            for module in list(self.generator.modules()):
                if isinstance(module, nn.Sequential):
                    fold_batch_norms(module)
        fix_kernels(self.generator)
        self.requires_grad_(False)

    def forward(self, photo: Tensor) -> Tensor:
        edit = to_pixels(self.generator(from_pixels(photo.permute(0, 3, 1, 2)).to(self.dtype))).permute(0, 2, 3, 1)
        if self.strength == 1:
            return edit
        before = photo.float()
        return (before + self.strength * (edit.float() - before)).round().clamp(0, 255).to(torch.uint8)

    def halved(self) -> PixelModel:
        """A copy that computes in fp16 between the pixels."""
        copy = deepcopy(self)
        copy.generator.half()
        copy.dtype = torch.float16
        return copy


def traced(model: PixelModel, size: int | None) -> torch.export.ExportedProgram:
    """The model as a graph of any batch; of any height and width that are multiples of its own where size is None."""
    shape: dict[int, Any] = {0: torch.export.Dim("batch")}
    if size is None:
        sides, (height, width) = free_sides(model.multiple)
        shape |= {1: height, 2: width}
    else:
        sides = size, size
    # Two photos: the exporter would take one for a constant.
    return torch.export.export(model, (torch.zeros(2, *sides, 3, dtype=torch.uint8),), dynamic_shapes=(shape,))


def check_sides(photos_NHWC: Pixels, size: int | None, multiple: int) -> None:
    """Raises InputError for photos that a file of this size, or of any size that is a multiple, does not take."""
    height, width = photos_NHWC.shape[1:3]
    if size is not None and (height, width) != (size, size):
        raise InputError(f"photos of {width}×{height}: this file takes {size}×{size} only")
    if height % multiple or width % multiple or min(height, width) < LEAST:
        needed = f"multiples of {multiple}, and at least {LEAST}"
        raise InputError(f"photos of {width}×{height}: both must be {needed}")


def as_pixels(edits: np.ndarray, path: Path) -> Pixels:
    """What a file of floats in 0..255 gave, rounded to uint8. Raises InputError where a value is not finite."""
    if not np.isfinite(edits).all():
        raise InputError(f"{path}: gives values that are not finite")
    return np.rint(edits).clip(0, 255).astype(np.uint8)


def fold_batch_norms(layers: nn.Sequential) -> None:
    """Put each batch norm into the convolution before it, but for one that takes its statistics from the image itself.
    Changes `layers` in place; the function stays the same."""
    for i in range(1, len(layers)):
        conv, norm = layers[i - 1], layers[i]
        if not isinstance(norm, nn.BatchNorm2d) or norm.running_mean is None:
            continue
        if isinstance(conv, (nn.Conv2d, nn.ConvTranspose2d)):
            layers[i - 1] = fuse_conv_bn_eval(conv, norm, transpose=isinstance(conv, nn.ConvTranspose2d))
            layers[i] = nn.Identity()
