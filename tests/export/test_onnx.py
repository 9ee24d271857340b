from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from e2gan.export.onnx import OnnxModel, to_onnx
from tests.conftest import refused
from tests.export.tiny_export import Around, photos, pixel_model


@pytest.mark.parametrize(
    ("preset", "norm", "size", "around"),
    [
        ("paper", None, None, "conv"),
        ("residual", None, None, "conv"),
        ("device", "batch", 48, "conv"),
        ("residual", "layer", 48, "conv"),
        ("paper", None, None, "max"),
        ("residual", None, 48, "max"),
    ],
)
@pytest.mark.slow
def test_every_variant_gives_pytorchs_pixels(
    tmp_path: Path, preset: str, norm: str | None, size: int | None, around: Around
) -> None:
    model = pixel_model(preset, norm, around=around)
    (tmp_path / "m.onnx").write_bytes(to_onnx(model, size, {}))
    exported = OnnxModel(tmp_path / "m.onnx")
    for height, width in [(48, 48)] if size else [(48, 48), (64, 40), (40, 104)]:
        for pixels in (photos(height, width), photos(height, width)[:1]):
            ours = model(torch.from_numpy(pixels)).numpy()
            theirs = exported(pixels)
            assert theirs.dtype == np.uint8
            difference = np.abs(theirs.astype(int) - ours)
            assert difference.max() <= 1
            assert difference.mean() < 0.02
            assert np.abs(ours.astype(int) - pixels).mean() > 1  # an edit, not the photo handed through


@pytest.mark.slow
@pytest.mark.parametrize("size", [None, 48])
def test_a_folded_generator_with_a_sense_of_place_gives_pytorchs_pixels(tmp_path: Path, size: int | None) -> None:
    model = pixel_model("device", fold=2, place=True, activation="leaky", output="clamp")
    (tmp_path / "m.onnx").write_bytes(to_onnx(model, size, {}))
    exported = OnnxModel(tmp_path / "m.onnx")
    assert exported.multiple == int(exported.metadata["multiple"]) == 16
    for height, width in [(48, 48)] if size else [(48, 48), (64, 32), (32, 112)]:
        pixels = photos(height, width)
        ours = model(torch.from_numpy(pixels)).numpy()
        difference = np.abs(exported(pixels).astype(int) - ours)
        assert difference.max() <= 1
        assert difference.mean() < 0.02
        assert np.abs(ours.astype(int) - pixels).mean() > 1
    if size is None:
        assert refused(lambda: exported(photos(40, 48))) == (
            "photos of 48×40: both must be multiples of 16, and at least 32"
        )


@pytest.mark.slow
def test_strength_is_in_the_file(tmp_path: Path) -> None:
    for strength in (0.0, 0.5):
        model = pixel_model("residual", strength=strength)
        (tmp_path / "m.onnx").write_bytes(to_onnx(model, 48, {}))
        pixels = photos(48, 48)
        found = OnnxModel(tmp_path / "m.onnx")(pixels)
        if strength == 0:
            assert np.array_equal(found, pixels)
        else:
            assert not np.array_equal(found, pixels)
            assert np.abs(found.astype(int) - model(torch.from_numpy(pixels)).numpy()).max() <= 1


@pytest.mark.slow
def test_batch_norm_and_the_prompts_keys_are_folded() -> None:
    proto = onnx.load_model_from_string(to_onnx(pixel_model("device", "batch"), None, {}))
    assert "BatchNormalization" not in {node.op_type for node in proto.graph.node}
    # the text's projections to keys and values, (16, 32), are gone; the keys and values themselves are there
    shapes = [numpy_helper.to_array(t).shape for t in proto.graph.initializer]
    assert not any(sorted(shape) == [16, 32] for shape in shapes)
    assert not any("lora" in node.name for node in proto.graph.node)


def test_the_runtime_reports_nothing(tmp_path: Path) -> None:
    """Its telemetry keeps a session's number in the temporary folder: by that it would show."""
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"} | {"TMPDIR": str(tmp_path)}
    code = "import e2gan, onnxruntime, os; assert os.environ['ORT_DISABLE_TELEMETRY'] == '1'"
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    assert list(tmp_path.iterdir()) == []
