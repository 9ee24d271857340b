"""LiteRT's GPU delegate: which operators and tensors of a file it takes; the rest would run on the processor."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from e2gan.export.format import Check

MOST_DIMENSIONS = 4
NAME = "GPU delegate"
# Operators that stand for a layer which was not given its exact form: the delegate has no kernel for them.
NEVER = ("GATHER_ND", "GATHER", "CAST", "BROADCAST_TO", "CUSTOM")


def gpu_delegate(path: Path) -> Check:
    """Whether the delegate takes all of a .tflite file: by LiteRT's own analyzer, and by the rules that it leaves out.

    No tensor of more than four dimensions, none between operators that is no float, and no gather, cast or broadcast.
    """
    from ai_edge_litert import _pywrap_analyzer_wrapper as analyzer  # pyright: ignore

    report = analyzer.ModelAnalyzer(str(path), True, True)
    reasons = [line.partition(": ")[2].strip() for line in report.splitlines() if "GPU COMPATIBILITY WARNING" in line]
    reasons += _of_tensors(path)
    return Check(NAME, not reasons, list(dict.fromkeys(reasons)))


def operators(path: Path) -> dict[str, int]:
    """Name of each operator of a .tflite file, and how often it is there."""
    model, names = _model(path)
    return dict(Counter(names[op.opcodeIndex] for graph in model.subgraphs for op in graph.operators).most_common())


def _of_tensors(path: Path) -> list[str]:
    from ai_edge_litert import schema_py_generated as schema  # pyright: ignore[reportMissingImports]

    model, names = _model(path)
    reasons = []
    floats = (schema.TensorType.FLOAT32, schema.TensorType.FLOAT16, schema.TensorType.BOOL, schema.TensorType.INT8)
    for graph in model.subgraphs:
        for op in graph.operators:
            name = names[op.opcodeIndex]
            if name in NEVER:
                reasons.append(f"{name} has no kernel there")
            for tensor in (graph.tensors[i] for i in op.outputs):
                rank = 0 if tensor.shape is None else len(tensor.shape)
                if rank > MOST_DIMENSIONS:
                    reasons.append(f"{name} gives a tensor of {rank} dimensions, and it takes {MOST_DIMENSIONS}")
                if tensor.type not in floats:
                    reasons.append(f"{name} gives a tensor that is no float")
    return reasons


def _model(path: Path) -> tuple[Any, list[str]]:
    """The file as an object, and the names of its operator codes."""
    from ai_edge_litert import schema_py_generated as schema  # pyright: ignore[reportMissingImports]
    from ai_edge_litert.tools import flatbuffer_utils  # pyright: ignore[reportMissingImports]

    model: Any = flatbuffer_utils.read_model(str(path))
    builtin: Any = schema.BuiltinOperator
    known = {code: name for name, code in vars(builtin).items() if not name.startswith("_")}
    # Small codes lie in an older field of their own.
    return model, [known[max(code.builtinCode, code.deprecatedBuiltinCode)] for code in model.operatorCodes]
