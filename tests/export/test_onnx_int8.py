"""ONNX in eight bits."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from e2gan.export.onnx import OnnxModel, to_onnx
from e2gan.export.onnx_int8 import outermost, quantized
from tests.export.tiny_export import photos, pixel_model


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the quantiser
def test_eight_bits_keep_the_edit_and_free_sizes(tmp_path: Path) -> None:
    model = pixel_model("residual")
    whole = to_onnx(model, None, {"prompt": "fog"})
    data = quantized(whole, list(photos(64, 64)))
    proto = onnx.load_model_from_string(data)
    used = Counter(node.op_type for node in proto.graph.node)
    assert used["QuantizeLinear"] > 5
    assert {p.key: p.value for p in proto.metadata_props}["prompt"] == "fog"
    (tmp_path / "m.onnx").write_bytes(data)
    run = OnnxModel(tmp_path / "m.onnx")
    for given in (photos(64, 64), photos(48, 96)[:1]):
        assert np.abs(run(given).astype(int) - model(torch.from_numpy(given)).numpy()).mean() < 3
    first, last = outermost(onnx.load_model_from_string(whole))
    kept = {node.name: node for node in proto.graph.node}
    floats = {tensor.name for tensor in proto.graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT}
    assert kept[first].input[1] in floats
    assert kept[last].input[1] in floats
