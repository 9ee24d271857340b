"""Formats by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from e2gan import ExportConfig, InputError, export_model
from e2gan.core.images import Pixels
from e2gan.export.format import Format
from e2gan.export.formats import FORMATS
from tests.conftest import Project


class Doubled:
    """The file of the format that a test adds: it holds nothing, and doubles."""

    def __init__(self, path: Path) -> None:
        self.providers, self.text = ["test"], path.read_text()

    def __call__(self, photos_NHWC: Pixels) -> Pixels:
        return np.clip(photos_NHWC.astype(int) * 2, 0, 255).astype(np.uint8)


def test_a_new_format_is_one_entry_and_is_checked_as_the_others_are(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    added = Format("effect.txt", ("numpy",), require=lambda: None, write=lambda *_: b"twice", load=Doubled)
    monkeypatch.setitem(FORMATS, "doubled", lambda: added)
    config = ExportConfig(model=project.model, format="doubled", out=tmp_path / "o", size=32)
    with pytest.raises(InputError, match="differs from PyTorch"):
        export_model(config)
    with pytest.raises(InputError, match="--format flash: unknown; there are onnx, doubled"):
        export_model(replace(config, format="flash"))
