from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from e2gan import ExportConfig, Generator, InputError, Model, Predictor, export_model
from e2gan.cli import main
from e2gan.config import PRESETS
from e2gan.core.images import Pixels, square
from e2gan.data.builtin_photos import builtin_pictures
from e2gan.export.format import Format
from e2gan.export.formats import FORMATS
from e2gan.export.onnx import FORMAT, OnnxModel, to_onnx
from e2gan.export.pixel_model import PixelModel
from tests.conftest import Project


def photos(height: int, width: int) -> np.ndarray:
    return np.stack([square(p, max(height, width))[:height, :width] for p in list(builtin_pictures().values())[:3]])


def pixel_model(preset: str, norm: str | None = None, strength: float = 1.0) -> PixelModel:
    torch.manual_seed(0)
    config = replace(PRESETS[preset], width=8, heads=2, text_width=16)
    generator = Generator(config if norm is None else replace(config, norm=norm)).eval().requires_grad_(False)
    with torch.no_grad():
        for p in generator.parameters():
            if not p.any():
                p.normal_(0, 0.05)
        for name, buffer in generator.named_buffers():
            if "running" in name:
                buffer.uniform_(0.5, 1.5)
    return PixelModel(generator, torch.randn(1, 5, 16), strength).eval()


@pytest.mark.parametrize(
    ("preset", "norm", "size"),
    [("paper", None, None), ("residual", None, None), ("device", "batch", 48), ("residual", "layer", 48)],
)
@pytest.mark.slow
def test_every_variant_gives_pytorchs_pixels(tmp_path: Path, preset: str, norm: str | None, size: int | None) -> None:
    model = pixel_model(preset, norm)
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


@pytest.mark.slow
def test_the_stage_writes_a_checked_file(project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "onnx"
    command = ["export", "--base", str(project.base), "--adapter", str(project.adapter), "--out", str(out)]
    assert main([*command, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    parity = json.loads((out / "parity.json").read_text())
    assert parity == answer["parity"]
    assert parity["mean"] < 0.1
    assert parity["photos"] >= 3
    assert len(parity["sizes"]) == 2
    proto = onnx.load(str(out / "model.onnx"))
    assert {p.key: p.value for p in proto.metadata_props}["prompt"] == "as a sepia photo"
    assert [(i.name, i.type.tensor_type.elem_type) for i in proto.graph.input] == [("photo", onnx.TensorProto.UINT8)]
    assert sorted(p.name for p in out.iterdir()) == ["config.json", "model.onnx", "parity.json"]

    predictor = Predictor(Model.load(base=project.base, adapter=(project.adapter,)))
    pixels = photos(48, 64)
    difference = np.abs(OnnxModel(out / "model.onnx")(pixels).astype(int) - predictor.batch(pixels))
    assert difference.max() <= 1
    assert main(command) == 0
    assert "nothing to do" in capsys.readouterr().out


@pytest.mark.slow
def test_a_file_that_differs_is_refused_and_not_kept(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exporter that loses a layer: a generator whose last bias is another one when it is exported."""

    def broken(model: PixelModel, size: int | None, facts: dict[str, str]) -> bytes:
        bias = model.generator.level1_out[-1].bias
        with torch.no_grad():
            bias += 0.5  # pyright: ignore
            data = to_onnx(model, size, facts)
            bias -= 0.5  # pyright: ignore
        return data

    monkeypatch.setitem(FORMATS, "onnx", lambda: replace(FORMAT, write=broken))
    config = ExportConfig(base=project.base, adapter=project.adapter, out=tmp_path / "onnx", size=32)
    with pytest.raises(InputError, match="differs from PyTorch"):
        export_model(config)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_photos_to_check_on_can_be_named(project: Project, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="holds no photos"):
        export_model(ExportConfig(model=project.model, out=tmp_path / "o", photos=empty, size=32))
    found = export_model(ExportConfig(model=project.model, out=tmp_path / "o", photos=project.photos, size=32))
    assert found.parity is not None
    assert found.parity.photos == 8


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
