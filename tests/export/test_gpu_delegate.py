"""The rules of LiteRT's GPU delegate, on files that break them and on one that does not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from e2gan.core.errors import InputError
from e2gan.export import litert
from e2gan.export.fixed_model import FixedModel
from e2gan.export.gpu_delegate import gpu_delegate, operators
from tests.export.tiny_export import pixel_model

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


class Gathered(nn.Module):
    def forward(self, photo: Tensor) -> Tensor:
        return photo[:, torch.tensor([2, 1, 0]), torch.tensor([0, 5, 7])].relu()


class Deep(nn.Module):
    def forward(self, photo: Tensor) -> Tensor:
        return photo.reshape(1, 4, 8, 4, 8, 3).permute(0, 1, 3, 5, 2, 4).tanh()


def converted(module: nn.Module, path: Path) -> Path:
    try:
        litert.require()
    except InputError as error:
        pytest.skip(str(error))
    with litert.quiet():
        import litert_torch  # pyright: ignore[reportMissingImports]

        example = {"photo": torch.zeros(1, 32, 32, 3)}
        litert_torch.signature("e2gan", module.eval(), sample_kwargs=example).convert().export(str(path))
    return path


def test_what_the_delegate_lacks_is_named(tmp_path: Path) -> None:
    found = gpu_delegate(converted(Gathered(), tmp_path / "g.tflite"))
    assert not found.passed
    assert any("GATHER" in reason for reason in found.reasons)
    found = gpu_delegate(converted(Deep(), tmp_path / "d.tflite"))
    assert any("6 dimensions, and it takes 4" in reason for reason in found.reasons)


def test_a_folded_model_with_reflected_borders_passes(tmp_path: Path) -> None:
    model = FixedModel(pixel_model("residual", fold=2, place=True), 32)
    path = converted(model, tmp_path / "m.tflite")
    assert gpu_delegate(path).passed
    assert operators(path)["TRANSPOSE_CONV"] >= 3
