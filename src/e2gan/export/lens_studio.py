"""Snap's Lens Studio: what its ML component asks of an ONNX file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from e2gan.export.format import Check

MOST_BYTES = 10_000_000
# Layers that Snap's page on compatibility says only some of its targets have. Of the others, its own import tells.
LIMITED = {
    "MatMul": "not on the iPhone's NPU nor Android's GPU",
    "ArgMax": "not on the iPhone's NPU",
    "ArgMin": "not on the iPhone's NPU",
    "Cos": "not on the iPhone's NPU",
    "Div": "not on the iPhone's NPU",
}
UNKNOWN_SIZE = "height and width are free: export with --size"


def lens_studio(path: Path) -> Check:
    """Whether an ONNX file is within the 10 MB, of one size, and of layers that all its targets run."""
    import onnx

    graph = onnx.load(str(path)).graph
    reasons = []
    if (size := path.stat().st_size) > MOST_BYTES:
        reasons.append(f"{size / 1e6:.1f} MB, and it takes {MOST_BYTES // 10**6}")
    kind = graph.input[0].type.tensor_type
    if any(dim.dim_param for dim in list(kind.shape.dim)[1:]):
        reasons.append(UNKNOWN_SIZE)
    used = Counter(node.op_type for node in graph.node)
    reasons += [f"{used[name]} {name}: {where}" for name, where in LIMITED.items() if used[name]]
    return Check("Lens Studio", not reasons, reasons)
