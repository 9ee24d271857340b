"""A model of one size: the pixels that the model itself gives."""

from __future__ import annotations

import pytest
import torch

from e2gan.export.fixed_model import FixedModel
from tests.export.tiny_export import photos, pixel_model


@pytest.mark.parametrize("strength", [1.0, 0.5, 1.5])
@pytest.mark.parametrize(
    ("preset", "changes"),
    [
        ("residual", {}),
        ("paper", {}),
        ("device", {"fold": 2, "place": True, "activation": "leaky", "output": "clamp"}),
        ("residual", {"fold": 2, "place": True}),  # folded pixels with reflected borders
        ("residual", {"place": True, "around": "none"}),
        ("device", {"around": "max"}),
        ("paper", {"around": "max"}),
    ],
)
def test_one_size_changes_no_pixel(preset: str, changes: dict[str, object], strength: float) -> None:
    model, given = pixel_model(preset, strength=strength, **changes), torch.from_numpy(photos(64, 64)[:1])  # pyright: ignore
    expected = model(given)
    edit = FixedModel(model, 64)(given.float())
    assert edit.min() >= 0
    assert edit.max() <= 255
    assert (edit.round().int() - expected.int()).abs().max() <= 1
    first = FixedModel(model, 64, channels_first=True, rounded=True)(given.float().permute(0, 3, 1, 2))
    assert torch.equal(first.permute(0, 2, 3, 1), edit.round())
    assert torch.equal(model(given), expected)
