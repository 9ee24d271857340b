"""A model as a device needs it."""

from __future__ import annotations

import torch
from torch import nn

from e2gan.export.pixel_model import PixelModel
from e2gan.networks.pixels import from_pixels, to_pixels
from tests.export.tiny_export import photos, pixel_model, tiny_generator


def test_what_is_folded_changes_no_edit_and_the_generator_stays_as_it_was() -> None:
    generator, tokens = tiny_generator("device", "batch"), torch.randn(1, 5, 16)
    model, given = PixelModel(generator, tokens).eval(), torch.from_numpy(photos(32, 48))
    with torch.no_grad():
        expected = to_pixels(generator(from_pixels(given.permute(0, 3, 1, 2)), tokens)).permute(0, 2, 3, 1)
    edits = model(given)
    assert edits.dtype == torch.uint8
    assert (edits.int() - expected.int()).abs().max() <= 1
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    assert any(isinstance(module, nn.BatchNorm2d) for module in generator.modules())
    assert not any("cross_attention.to_k" in name or "cross_attention.to_v" in name for name in model.state_dict())


def test_strength_lies_between_the_photo_and_beyond_the_edit() -> None:
    given = torch.from_numpy(photos(32, 32))
    none, half, whole = (pixel_model("residual", strength=strength)(given).int() for strength in (0.0, 0.5, 1.0))
    assert torch.equal(none, given.int())
    assert (2 * half - none - whole).abs().max() <= 2
    assert not torch.equal(whole, none)
