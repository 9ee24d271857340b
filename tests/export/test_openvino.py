"""OpenVINO's files: any size, any batch, PyTorch's pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from e2gan.core.errors import InputError
from e2gan.export import openvino
from e2gan.export.format import Order
from tests.conftest import refused
from tests.export.tiny_export import photos, pixel_model


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_sizes_are_free_unless_one_is_fixed(tmp_path: Path) -> None:
    try:
        openvino.require()
    except InputError as error:
        pytest.skip(str(error))
    model = pixel_model("residual", place=True)
    openvino.write(Order(model, None, "fp32", {"prompt": "fog"}), tmp_path / "model.xml")
    run = openvino.OpenvinoModel(tmp_path / "model.xml", threads=1)
    assert (run.size, run.multiple) == (None, 8)
    for height, width in [(48, 48), (64, 40)]:
        for given in (photos(height, width), photos(height, width)[:1]):
            difference = np.abs(run(given).astype(int) - model(torch.from_numpy(given)).numpy())
            assert difference.max() <= 1
    assert "both must be multiples of 8" in refused(lambda: run(photos(48, 44)))
