from __future__ import annotations

import torch

from e2gan.networks.pixels import from_pixels, to_pixels


def test_pixels_survive_the_way_there_and_back() -> None:
    pixels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_pixels(from_pixels(pixels)), pixels)
