"""The page on Python: its lines run from top to bottom, and its table is what comes back."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from e2gan import Predictor
from e2gan.data.builtin_photos import builtin_pictures
from tests.conftest import ROOT
from tests.editing.tiny_model import model, noise
from tests.sharing.hub_server import Hub

PAGE = (ROOT / "docs" / "python.md").read_text("utf-8")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # huggingface_hub's own, as it uploads
def test_its_lines_run(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(noise(90, 120)).save("photo.jpg")
    (tmp_path / "camera").mkdir()
    for name, picture in builtin_pictures().items():
        for i in range(4):
            Image.fromarray(picture[40 * i : 40 * i + 150, 60 * i : 60 * i + 150]).save(f"camera/{name}{i}.png")
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 4
    names: dict[str, Any] = {}
    for block in blocks:  # in two steps, and small, since this is no training
        exec(block.replace("minutes=3.0", "minutes=None, steps=2").replace("size=256", "size=32"), names)
    assert {*hub.repositories} == {"owner/negative"}
    assert isinstance(names["edit"], np.ndarray)
    assert isinstance(names["picture"], Image.Image)
    assert names["batch"].shape == (4, 3, 240, 320)
    assert [one.shape[2] for one in names["several"]] == [3] * 3
    assert {names[name].dtype for name in ("array", "arrays", "half")} == {np.dtype(np.uint8)}


def test_its_table_is_what_comes_back(tmp_path: Path) -> None:
    predictor, photo = Predictor(model(), "cpu"), noise(40, 50)
    Image.fromarray(photo).save(tmp_path / "a.png")
    for given in (
        tmp_path / "a.png",
        str(tmp_path / "a.png"),
        *(Image.new(mode, (50, 40)) for mode in ("L", "P", "CMYK")),
    ):
        edit = predictor.edit(given, like_given=True)
        assert isinstance(edit, Image.Image)
        assert (edit.mode, edit.size) == ("RGB", (50, 40))
    for kind in (np.uint8, np.uint16, np.float16, np.float32, np.float64):
        for shape in ((40, 50), (40, 50, 1), (40, 50, 4), (2, 40, 50, 3)):
            edit = predictor.edit(np.zeros(shape, kind), like_given=True)
            assert edit.dtype == kind
            assert edit.shape == (*shape[: 3 if len(shape) == 4 else 2], 3)
    for kind in (torch.uint8, torch.float16, torch.bfloat16, torch.float32, torch.float64):
        for shape in ((40, 50), (1, 40, 50), (4, 40, 50), (2, 3, 40, 50)):
            edit = predictor.edit(torch.zeros(shape, dtype=kind), like_given=True)
            assert edit.dtype == kind
            assert edit.shape == (*shape[: 1 if len(shape) == 4 else 0], 3, 40, 50)
