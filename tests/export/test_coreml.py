"""Core ML packages: what their specification says."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch

from e2gan.core.errors import InputError
from e2gan.export import coreml
from e2gan.export.format import Order, bytes_of
from tests.conftest import refused
from tests.export.tiny_export import pixel_model

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(autouse=True)
def installed() -> None:
    try:
        coreml.require()
    except InputError as error:
        pytest.skip(str(error))


def test_a_package_has_an_image_in_and_an_image_out(tmp_path: Path) -> None:
    model, sizes = pixel_model("device", fold=2, place=True), []
    for precision in ("fp16", "fp32"):
        path = tmp_path / f"{precision}.mlpackage"
        coreml.write(Order(model, 64, precision, {"prompt": "fog"}), path)
        assert [check.passed for check in coreml.checks(path)] == [True]
        used = coreml.operators(path)
        assert used["conv_transpose"] >= 3
        assert not used.keys() & {"gather_nd", "pixel_shuffle", "pad"}
        sizes.append(bytes_of(path))
    assert sizes[0] < 0.75 * sizes[1]


def test_the_same_model_has_the_same_bytes_again_and_nothing_stays_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from coremltools.proto import Model_pb2

    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    model, packages = pixel_model("device"), (tmp_path / "a.mlpackage", tmp_path / "b.mlpackage")
    for path in packages:
        coreml.write(Order(model, 32, "fp16", {"prompt": "fog"}), path)
    a, b = ({p.relative_to(path): p.read_bytes() for p in path.rglob("*") if p.is_file()} for path in packages)
    assert a == b
    spec: Any = Model_pb2.Model()  # pyright: ignore[reportAttributeAccessIssue]
    [written] = [content for name, content in a.items() if name.suffix == ".mlmodel"]
    spec.ParseFromString(written)
    assert written == spec.SerializeToString(deterministic=True)  # maps' order else differs from process to process
    assert not list(temporary.iterdir())


def test_weights_that_half_cannot_hold_are_refused(tmp_path: Path) -> None:
    model = pixel_model("device")
    with torch.no_grad():
        next(model.generator.parameters()).view(-1)[0] = 1e6
    order = Order(model, 32, "fp16", {})
    assert "too large for fp16" in refused(lambda: coreml.write(order, tmp_path / "m.mlpackage"))
