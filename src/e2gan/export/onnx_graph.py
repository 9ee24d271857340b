"""What an ONNX file is made of, looked at before it runs: it may come from anybody."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from e2gan.core.errors import InputError
from e2gan.core.files import read_bytes

if TYPE_CHECKING:
    from onnx import ModelProto

MOST_BYTES = 2**30  # of a file; Co-Mod-GAN, the largest that is exported, has 0.3
MOST_NUMBERS = 2**26  # of a tensor, for a picture of PROBE pixels of a side; more for a larger one
PROBE, MOST_SIDE = 64, 8192  # pixels
DOMAINS = ("", "ai.onnx")


def read_graph(path: Path) -> bytes:
    """The bytes of an ONNX file. Raises InputError where it cannot be read, is no ONNX graph, or one of a kind that no
    export makes: with loops and branches, functions and operators of others, sparse tensors, data that lie in other
    files, or tensors that are larger by its constants than any export's.

    What is left computes on what the file itself has. How much memory it takes for a photo is still the graph's own
    affair (SECURITY.md).
    """
    import onnx

    data = read_bytes(path, MOST_BYTES)
    try:
        model = onnx.load_model_from_string(data)  # leaves data in other files where they are
        _check(model)
        most = MOST_NUMBERS * max(1, prod(_sides(model)) // PROBE**2)
        large = next((f"{name[:60]!r} has {size:.1e}" for name, size in _sizes(model) if size > most), None)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except Exception as error:  # protobuf's own, ValueError, those of shape inference
        raise InputError(f"{path}: no ONNX file, or a damaged one ({' '.join(str(error).split())[:200]})") from None
    if large is not None:
        raise InputError(f"{path}: the tensor {large} numbers, which no export asks for")
    return data


def _check(model: ModelProto) -> None:
    if model.functions:
        raise InputError("it has functions of its own, which no export has")
    sparse, tensors = bool(model.graph.sparse_initializer), [*model.graph.initializer]
    for node in model.graph.node:
        if node.domain not in DOMAINS:
            raise InputError(f"operator {node.domain[:60]}.{node.op_type[:60]} is of no export")
        for attribute in node.attribute:
            if attribute.HasField("g") or attribute.graphs:
                raise InputError(f"operator {node.op_type[:60]} has a graph of its own, which no export has")
            sparse |= attribute.HasField("sparse_tensor") or bool(attribute.sparse_tensors)
            tensors += [*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors]
    if sparse:
        raise InputError("it has sparse tensors, which no export has")
    if any(tensor.data_location == tensor.EXTERNAL or tensor.external_data for tensor in tensors):
        raise InputError("its data lie in other files, which no export's do")


def _sides(model: ModelProto) -> list[int]:
    """Height and width of the photo that it takes, where it takes one size; else those of the probe."""
    photo = next((each for each in model.graph.input if each.name == "photo"), None)
    sides = [] if photo is None else [dim.dim_value for dim in photo.type.tensor_type.shape.dim][1:3]
    return [min(side, MOST_SIDE) if side > 0 else PROBE for side in sides]


def _sizes(model: ModelProto) -> Iterator[tuple[str, int]]:
    """Numbers of each tensor, as far as its sides follow from constants, and from a small picture where any will do."""
    from onnx import shape_inference

    probed = type(model)()
    probed.CopyFrom(model)
    for each in probed.graph.input:
        for at, dim in enumerate(each.type.tensor_type.shape.dim):
            if not dim.HasField("dim_value"):
                dim.dim_value = PROBE if each.name == "photo" and at in (1, 2) else 1
    del probed.graph.value_info[:]  # what the file says of itself
    for each in probed.graph.output:
        each.type.tensor_type.ClearField("shape")
    found = shape_inference.infer_shapes(probed, data_prop=True).graph
    for each in [*found.value_info, *found.output]:
        yield each.name, prod(max(1, dim.dim_value) for dim in each.type.tensor_type.shape.dim)
    for tensor in found.initializer:
        yield tensor.name, prod(max(1, side) for side in tensor.dims)
