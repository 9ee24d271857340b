"""Formats by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from e2gan import ExportConfig, InputError, export_model
from e2gan.core.images import Pixels
from e2gan.export.format import Format
from e2gan.export.formats import FORMATS
from e2gan.export.pixel_model import PixelModel
from tests.conftest import Project


class Doubled:
    """The file of the format that a test adds: it holds nothing, and doubles."""

    def __init__(self, path: Path) -> None:
        self.providers, self.text = ["test"], path.read_text()

    def __call__(self, photos_NHWC: Pixels) -> Pixels:
        return np.clip(photos_NHWC.astype(int) * 2, 0, 255).astype(np.uint8)


class Eager:
    """The file of a format that keeps the model in this process: it edits as the model does."""

    model: PixelModel

    def __init__(self, _: Path) -> None:
        self.providers = ["eager"]

    @classmethod
    def write(cls, model: PixelModel, size: int | None, facts: Mapping[str, str]) -> bytes:
        cls.model = model
        return f"{size} {facts['prompt']}".encode()

    @torch.inference_mode()
    def __call__(self, photos_NHWC: Pixels) -> Pixels:
        return self.model(torch.from_numpy(photos_NHWC)).numpy()


def test_a_new_format_is_one_entry_and_is_checked_as_the_others_are(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    added = Format("effect.txt", ("numpy",), require=lambda: None, write=lambda *_: b"twice", load=Doubled)
    monkeypatch.setitem(FORMATS, "doubled", lambda: added)
    config = ExportConfig(model=project.model, format="doubled", out=tmp_path / "o", size=32)
    with pytest.raises(InputError, match="differs from PyTorch"):
        export_model(config)
    monkeypatch.setitem(FORMATS, "eager", lambda: replace(added, write=Eager.write, load=Eager))
    exported = export_model(replace(config, format="eager"))
    assert exported.file == tmp_path / "o" / "effect.txt"
    assert exported.parity.max <= 1
    with pytest.raises(InputError, match="--format flash: unknown; there are onnx, doubled, eager"):
        export_model(replace(config, format="flash"))
