"""The stage: a file that is checked before it exists."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from e2gan import (
    ExportConfig,
    GeneratorConfig,
    InputError,
    Model,
    Predictor,
    ScratchConfig,
    TrainingConfig,
    export_model,
    train_scratch,
)
from e2gan.cli import main
from e2gan.export.all_formats import export
from e2gan.export.format import Order
from e2gan.export.formats import FORMATS
from e2gan.export.onnx import FORMAT, OnnxModel, write
from tests.conftest import TINY, Project, refused
from tests.export.tiny_export import photos


@pytest.mark.slow
def test_the_stage_writes_a_checked_file(project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "onnx"
    command = ["export", "--base", str(project.base), "--adapter", str(project.adapter), "--out", str(out)]
    assert main([*command, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    parity = json.loads((out / "parity.json").read_text())
    told = answer["parity"]
    assert {name: parity[name] for name in told} == told
    assert (parity["format"], parity["precision"], parity["compared"]) == ("onnx", "fp32", True)
    assert parity["bytes"] == answer["bytes"] == (out / "model.onnx").stat().st_size
    assert parity["checks"] == answer["checks"]
    assert parity["operators"]["Conv"] >= 4
    assert parity["mean"] < 0.1
    assert parity["photos"] >= 3
    assert len(parity["sizes"]) == 2
    proto = onnx.load(str(out / "model.onnx"))
    assert {p.key: p.value for p in proto.metadata_props}["prompt"] == "as a sepia photo"
    assert [(i.name, i.type.tensor_type.elem_type) for i in proto.graph.input] == [("photo", onnx.TensorProto.UINT8)]
    assert sorted(p.name for p in out.iterdir()) == ["LICENCE.txt", "config.json", "model.onnx", "parity.json"]

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

    def broken(order: Order, path: Path) -> None:
        bias = order.model.generator.level1_out[-1].bias  # pyright: ignore
        with torch.no_grad():
            bias += 0.5  # pyright: ignore
            write(order, path)
            bias -= 0.5  # pyright: ignore

    monkeypatch.setitem(FORMATS, "onnx", lambda: replace(FORMAT, write=broken))
    config = ExportConfig(base=project.base, adapter=(project.adapter,), out=tmp_path / "onnx", size=32)
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


@pytest.mark.slow
def test_a_folded_model_is_exported_at_its_own_multiples(project: Project, tmp_path: Path) -> None:
    generator = GeneratorConfig(**TINY, fold=2, place=True, activation="leaky", output="clamp")  # pyright: ignore
    train_scratch(
        ScratchConfig(
            pairs=project.sepia,
            out=tmp_path / "m",
            model="e2gan",
            generator=generator,
            training=TrainingConfig(steps=10, batch=4, precision="fp32"),
        )
    )
    config = ExportConfig(model=tmp_path / "m", out=tmp_path / "onnx")
    assert refused(lambda: export_model(replace(config, size=40))) == "--size 40: this model takes multiples of 16"
    assert not config.out.exists()
    found = export_model(config)
    assert found.parity is not None
    assert found.parity.mean < 0.1
    assert all(side % 16 == 0 for size in found.parity.sizes for side in size)
    proto = onnx.load(str(found.file))
    del proto.metadata_props[[p.key for p in proto.metadata_props].index("multiple")]
    onnx.save(proto, str(tmp_path / "earlier.onnx"))
    assert OnnxModel(tmp_path / "earlier.onnx").multiple == 8


@pytest.mark.slow
def test_a_colour_table_has_no_int8(project: Project, tmp_path: Path) -> None:
    """Nothing in it is multiplied by a weight, so that a file would be fp32 under another name."""
    train_scratch(ScratchConfig(pairs=project.sepia, out=tmp_path / "m", model="lut", lut_size=9))
    config = ExportConfig(model=tmp_path / "m", out=tmp_path / "o", precision="int8", photos=project.photos)
    for name in ("onnx", "litert", "all"):
        if name != "litert" or find_spec("ai_edge_litert"):
            told = refused(lambda name=name: export(replace(config, format=name)))
            assert told.startswith(f"--precision int8: {tmp_path / 'm'} is a colour table")
            assert "--precision fp32" in told
    assert not config.out.exists()
    found = export_model(replace(config, precision="fp32", size=64))
    assert found.parity is not None
    assert found.parity.max <= 1


@pytest.mark.slow
def test_a_folder_of_an_earlier_version_is_found_done(project: Project, tmp_path: Path) -> None:
    """Its parity.json is a comparison alone, and its settings know no precision."""
    config = ExportConfig(model=project.model, out=tmp_path / "onnx", size=32)
    exported = export_model(config)
    told = json.loads((config.out / "parity.json").read_text())
    for name in ("format", "precision", "bytes", "compared", "checks", "operators", "licence"):
        del told[name]
    (config.out / "parity.json").write_text(json.dumps(told))
    settings = json.loads((config.out / "config.json").read_text())
    del settings["settings"]["precision"]
    (config.out / "config.json").write_text(json.dumps(settings))
    found = export_model(config)
    assert found.already_done
    assert (found.format, found.precision, found.bytes) == ("onnx", "fp32", exported.bytes)
    assert found.parity == exported.parity
    assert found.licence is None
