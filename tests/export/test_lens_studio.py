"""What Lens Studio asks of an ONNX file."""

from __future__ import annotations

from pathlib import Path

import pytest
from onnx import TensorProto, helper, save

from e2gan.export import lens_studio as module
from e2gan.export.lens_studio import UNKNOWN_SIZE, lens_studio


def a_file(path: Path, *kinds: str, height: int | str = 8) -> Path:
    names = [str(i) for i in range(len(kinds) + 1)]
    nodes = [helper.make_node(kind, [names[i]], [names[i + 1]]) for i, kind in enumerate(kinds)]
    shape = ["n", height, 8, 3]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in (names[0], names[-1])]
    save(helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:])), str(path))
    return path


def test_limits_that_a_file_misses_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert lens_studio(a_file(tmp_path / "fine.onnx", "Relu", "Tanh")).passed
    free = lens_studio(a_file(tmp_path / "free.onnx", "Relu", height="h"))
    assert not free.passed
    assert free.reasons == [UNKNOWN_SIZE]
    assert lens_studio(a_file(tmp_path / "cos.onnx", "Cos", "Cos")).reasons == ["2 Cos: not on the iPhone's NPU"]
    monkeypatch.setattr(module, "MOST_BYTES", 50)
    assert "MB, and it takes" in str(lens_studio(tmp_path / "fine.onnx"))
