"""LiteRT's files: what they say of themselves; their pixels are compared in test_formats.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from e2gan.core.errors import InputError
from e2gan.export import litert
from e2gan.export.format import Order
from tests.export.tiny_export import photos, pixel_model


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_file_says_what_it_is_and_values_that_are_not_finite_are_refused(tmp_path: Path, precision: str) -> None:
    try:
        litert.require()
    except InputError as error:
        pytest.skip(str(error))
    model = pixel_model("device", fold=2)
    litert.write(Order(model, 48, precision, {"prompt": "fog"}, list(photos(48, 48))), tmp_path / "model.tflite")
    about = litert.metadata(tmp_path / "model.tflite")
    assert (about["prompt"], about["size"], about["multiple"], about["precision"]) == ("fog", "48", "16", precision)
    run = litert.LitertModel(tmp_path / "model.tflite")
    assert run(photos(48, 48)).shape == (3, 48, 48, 3)
    inside = run.run
    run.run = lambda photo: {"edit": inside(photo=photo).popitem()[1] * np.float32("nan")}  # pyright: ignore
    with pytest.raises(InputError, match="not finite"):
        run(photos(48, 48))
