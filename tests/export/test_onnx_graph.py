"""ONNX files of strangers, before they run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from e2gan.core.errors import InputError
from e2gan.export.onnx import OnnxModel, to_onnx
from e2gan.export.onnx_graph import read_graph
from tests.conftest import refused
from tests.export.tiny_export import photos, pixel_model

onnx = pytest.importorskip("onnx")
FACTS = {"e2gan": "0", "size": "any", "multiple": "8"}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graph") / "plain.onnx"
    torch.manual_seed(0)
    path.write_bytes(to_onnx(pixel_model("device"), None, FACTS))
    return path


def changed(plain: Path, path: Path, change: Any) -> Path:
    model = onnx.load(str(plain))
    change(model)
    path.write_bytes(model.SerializeToString())
    return path


def loop(model: Any) -> None:
    helper = onnx.helper
    condition = helper.make_tensor_value_info("go", onnx.TensorProto.BOOL, [])
    count = helper.make_tensor_value_info("count", onnx.TensorProto.INT64, [])
    after = helper.make_tensor_value_info("after", onnx.TensorProto.BOOL, [])
    body = helper.make_graph([helper.make_node("Identity", ["go"], ["after"])], "body", [count, condition], [after])
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(2**62), "times"))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(True), "yes"))
    model.graph.node.insert(0, helper.make_node("Loop", ["times", "yes"], [], body=body))


def elsewhere(model: Any) -> None:
    tensor = model.graph.initializer[0]
    onnx.external_data_helper.set_external_data(tensor, "../../etc/hostname", 0, 8)
    tensor.ClearField("raw_data")


def large(model: Any) -> None:
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([2**20, 2**20]), "large"))
    model.graph.node.insert(0, onnx.helper.make_node("ConstantOfShape", ["large"], ["zeros"]))


def magnified(model: Any) -> None:
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1, 1, 1e5, 1e5], np.float32), "scales"))
    model.graph.node.append(onnx.helper.make_node("Resize", ["edit", "", "scales"], ["wide"]))


def foreign(model: Any) -> None:
    model.graph.node[0].domain = "com.somebody"


def function(model: Any) -> None:
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    opset = onnx.helper.make_opsetid("", 18)
    model.functions.append(onnx.helper.make_function("com.somebody", "F", ["x"], ["y"], [node], [opset]))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (loop, "operator Loop has a graph of its own"),
        (elsewhere, "its data lie in other files"),
        (large, "which no export asks for"),
        (magnified, "which no export asks for"),
        (foreign, "operator com.somebody."),
        (function, "functions of its own"),
    ],
)
def test_a_graph_of_a_kind_that_no_export_makes_is_refused(plain: Path, tmp_path: Path, change: Any, line: str) -> None:
    path = changed(plain, tmp_path / "changed.onnx", change)
    assert line in refused(lambda: OnnxModel(path))


def test_what_is_exported_is_read_and_runs(plain: Path) -> None:
    assert read_graph(plain) == plain.read_bytes()
    assert OnnxModel(plain)(photos(32, 40)).shape == (3, 32, 40, 3)


def test_what_is_no_graph_is_refused_in_one_line(plain: Path, tmp_path: Path) -> None:
    (tmp_path / "half.onnx").write_bytes(plain.read_bytes()[:1000])
    (tmp_path / "text.onnx").write_text("no graph")
    for name in ("half.onnx", "text.onnx", "absent.onnx"):
        with pytest.raises(InputError) as error:
            OnnxModel(tmp_path / name)
        assert name in str(error.value)
        assert "\n" not in str(error.value)
