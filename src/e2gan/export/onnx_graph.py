"""What an ONNX file is made of, looked at before it runs: it may come from anybody."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from e2gan.core.errors import InputError
from e2gan.core.files import read_bytes

if TYPE_CHECKING:
    from onnx import GraphProto, TensorProto

MOST_BYTES = 2**30  # of a file; Co-Mod-GAN, the largest that is exported, has 0.3
MOST_GROWN = 2**24  # numbers of a tensor whose size a constant says
# The inputs that say how large an operator's output is: sizes in whole numbers, or how many times as large.
GROWING = {"Expand": (1,), "Tile": (1,), "ConstantOfShape": (0,), "Reshape": (1,), "Resize": (2, 3), "Range": (1,)}


def read_graph(path: Path) -> bytes:
    """The bytes of an ONNX file. Raises InputError where it cannot be read, is no ONNX graph, or one of a kind that no
    export makes: with loops and branches, functions and operators of others, data that lie in other files, or constants
    that ask for much memory.

    What is left computes on what the file itself has. How much memory it takes for a photo is still the graph's own
    affair (SECURITY.md).
    """
    import onnx

    data = read_bytes(path, MOST_BYTES)
    try:
        model = onnx.load_model_from_string(data)  # leaves data in other files where they are
    except Exception as error:  # protobuf's own, and ValueError
        raise InputError(f"{path}: no ONNX file, or a damaged one ({' '.join(str(error).split())})") from None
    graph = model.graph
    if model.functions:
        raise InputError(f"{path}: it has functions of its own, which no export has")
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for tensor in _tensors(graph):
        if tensor.data_location == tensor.EXTERNAL:
            raise InputError(f"{path}: its data lie in other files, which no export's do")
    for node in graph.node:
        if node.domain not in ("", "ai.onnx"):
            raise InputError(f"{path}: operator {node.domain}.{node.op_type} is of no export")
        if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            raise InputError(f"{path}: operator {node.op_type} has a graph of its own, which no export has")
        for name in [node.input[at] for at in GROWING.get(node.op_type, ()) if at < len(node.input)]:
            if name in tensors and _grown(tensors[name]) > MOST_GROWN:
                raise InputError(f"{path}: operator {node.op_type} asks for a tensor that no export has")
    return data


def _tensors(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors) if attribute.HasField("t") else attribute.tensors


def _grown(tensor: TensorProto) -> float:
    """Numbers of a tensor of this size; 1 where what says the size is no short list of numbers."""
    from onnx import numpy_helper

    if tensor.data_type not in (tensor.INT64, tensor.FLOAT) or prod(tensor.dims) > 16:
        return 1
    sides = numpy_helper.to_array(tensor).ravel().tolist()
    return prod(max(1, n) for n in sides)
