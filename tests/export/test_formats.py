"""Formats by name, and what each gives: PyTorch's pixels."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from e2gan import ExportConfig, export_model
from e2gan.core.errors import InputError
from e2gan.core.images import Pixels
from e2gan.export.format import Check, Format, Order
from e2gan.export.formats import FORMATS, find_format
from e2gan.export.pixel_model import PixelModel
from tests.conftest import Project, refused
from tests.export.tiny_export import Around, photos, pixel_model


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

    @torch.inference_mode()
    def __call__(self, photos_NHWC: Pixels) -> Pixels:
        return self.model(torch.from_numpy(photos_NHWC)).numpy()


def keep(order: Order, path: Path) -> None:
    Eager.model = order.model
    path.write_text(f"{order.size} {order.precision} {len(order.photos)} {order.facts['prompt']}")


ADDED = Format("effect.txt", "tests", ("numpy",), require=lambda: None, write=keep, load=Doubled)


def test_a_new_format_is_one_entry_and_is_checked_as_the_others_are(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FORMATS, "doubled", lambda: ADDED)
    config = ExportConfig(model=project.model, format="doubled", out=tmp_path / "o", size=32)
    assert "differs from PyTorch" in refused(lambda: export_model(config))
    assert not config.out.exists()
    monkeypatch.setitem(FORMATS, "eager", lambda: replace(ADDED, load=Eager, fixed_size=True))
    exported = export_model(replace(config, format="eager", size=None))
    assert exported.file == tmp_path / "o" / "effect.txt"
    assert exported.parity is not None
    assert exported.parity.max <= 1
    # one size where the format has one: that which the model was trained at
    assert exported.file.read_text().startswith("32 fp32 ")
    assert [tuple(size) for size in exported.parity.sizes] == [(32, 32)]
    assert "--format flash: unknown; there are onnx, " in refused(lambda: export_model(replace(config, format="flash")))
    wrong = replace(config, format="eager", precision="int8")
    assert refused(lambda: export_model(wrong)) == (
        "--precision int8: eager has fp32; int8 is of --format onnx or litert"
    )


def test_several_adapters_go_where_they_can(project: Project, tmp_path: Path) -> None:
    two = (project.adapter, tmp_path / "other")
    config = ExportConfig(base=project.base, adapter=two, format="litert", out=tmp_path / "o")
    assert refused(lambda: export_model(config)) == (
        "--adapter: litert takes one, and 2 are given; --format coreml or effects or web takes several"
    )


def test_a_file_that_cannot_run_here_is_never_said_to_be_compared(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fine = replace(ADDED, load=None, checks=lambda _: [Check("its specification", True)])
    monkeypatch.setitem(FORMATS, "foreign", lambda: fine)
    config = ExportConfig(model=project.model, format="foreign", out=tmp_path / "o", size=32)
    exported = export_model(config)
    told = json.loads((tmp_path / "o" / "parity.json").read_text())
    assert exported.parity is None
    assert told["compared"] is False
    assert "mean" not in told
    assert "not compared with PyTorch" in str(exported)
    assert str(export_model(config)).startswith("exported already")
    broken = replace(fine, checks=lambda _: [Check("its specification", False, ["it has no input"])])
    monkeypatch.setitem(FORMATS, "broken", lambda: broken)
    again = replace(config, format="broken", out=tmp_path / "p")
    assert "it has no input" in refused(lambda: export_model(again))
    assert not again.out.exists()


def ready(name: str) -> Format:
    kind = find_format(name)
    try:
        kind.require()
    except InputError as error:
        pytest.skip(str(error))
    return kind


@pytest.mark.slow
@pytest.mark.parametrize("name", ["onnx", "openvino", "litert", "executorch"])
@pytest.mark.filterwarnings("ignore")  # of the converters and what they load
def test_every_precision_of_a_format_gives_pytorchs_pixels(project: Project, tmp_path: Path, name: str) -> None:
    kind = ready(name)
    assert kind.load is not None
    for precision in kind.precisions:
        out = tmp_path / precision
        config = ExportConfig(
            base=project.base,
            adapter=(project.adapter,),
            out=out,
            format=name,
            precision=precision,  # pyright: ignore[reportArgumentType]
            size=64,
        )
        exported = export_model(config)
        assert exported.parity is not None
        assert exported.parity.mean < {"fp32": 0.01, "fp16": 0.2, "int8": 3.0}[precision]
        assert exported.bytes == sum(p.stat().st_size for p in out.iterdir() if p.stem == "model")
        with pytest.raises(InputError, match="this file takes 64×64 only"):
            kind.load(out / kind.file)(np.zeros((1, 40, 64, 3), np.uint8))
    missing = tmp_path / "none" / kind.file
    assert str(missing) in refused(lambda: kind.load(missing))  # pyright: ignore
    missing.parent.mkdir()
    missing.write_bytes(b"something else")
    assert str(missing) in refused(lambda: kind.load(missing))  # pyright: ignore


@pytest.mark.slow
@pytest.mark.parametrize("around", ["conv", "max", "pool"])
@pytest.mark.parametrize("preset", ["paper", "device"])
@pytest.mark.parametrize("name", ["onnx", "openvino", "litert", "coreml", "executorch"])
@pytest.mark.filterwarnings("ignore")  # of the converters and what they load
def test_what_the_paper_varies_around_the_transformer_is_exported(
    tmp_path: Path, name: str, preset: str, around: Around
) -> None:
    """Its transposed convolutions and its max pooling, whose places of maxima no phone's converter knows. Where values
    are rounded, the maxima of close ones lie elsewhere: eight bits are too few, which the stage's own comparison tells.
    """
    kind, model, given = ready(name), pixel_model(preset, around=around), photos(64, 64)
    expected = model(torch.from_numpy(given)).numpy().astype(int)
    limits = {"fp32": 0.01, "fp16": 0.5} | ({} if around == "max" else {"int8": 3.0})
    for precision in limits.keys() & set(kind.precisions):
        path = tmp_path / precision / kind.file
        path.parent.mkdir()
        kind.write(Order(model, 64, precision, {"prompt": "fog"}, list(given)), path)
        assert all(check.passed for check in kind.checks(path) if check.name != "Lens Studio")
        if kind.load is not None:
            difference = np.abs(kind.load(path)(given).astype(int) - expected)
            assert difference.mean() < limits[precision]
