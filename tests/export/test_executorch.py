"""ExecuTorch's files: what they say of themselves; their pixels are compared in test_formats.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2gan.core.errors import InputError
from e2gan.export import executorch
from e2gan.export.format import Order
from tests.export.tiny_export import photos, pixel_model


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_file_says_what_it_is_and_its_edits_are_the_callers_to_keep(tmp_path: Path) -> None:
    try:
        executorch.require()
    except InputError as error:
        pytest.skip(str(error))
    model = pixel_model("device", fold=2)
    executorch.write(Order(model, 48, "fp32", {"prompt": "fog"}), tmp_path / "model.pte")
    run = executorch.ExecutorchModel(tmp_path / "model.pte")
    assert run.metadata["prompt"] == "fog"
    assert (run.size, run.multiple) == (48, 16)
    given = photos(48, 48)
    together = run(given)
    for i, edit in enumerate(together):
        assert (run(given[i : i + 1])[0] == edit).all()
