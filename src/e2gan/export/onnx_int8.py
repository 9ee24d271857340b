"""ONNX in eight bits: weights per channel, activations calibrated on photographs."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

from e2gan.core.images import Pixels
from e2gan.core.temporary import temporary_folder

QUANTIZED = ["Conv", "ConvTranspose", "MatMul", "Gemm"]


def quantized(data: bytes, photos: Sequence[Pixels]) -> bytes:
    """An ONNX file of `to_onnx` with int8 weights and activations where it multiplies; pixels stay uint8.

    photos: uint8 (H, W, 3) each, of a size that the file takes. The outermost convolutions keep their precision: what
    they round lies on the picture itself.
    """
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.calibrate import CalibrationDataReader

    class Photos(CalibrationDataReader):
        def __init__(self) -> None:
            self.left: Iterator[Pixels] = iter(photos)

        def get_next(self) -> Any:
            photo = next(self.left, None)
            return None if photo is None else {"photo": photo[None]}

    before = onnx.load_model_from_string(data)
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # it recommends a pass that the exporter has done
    try:
        with temporary_folder() as folder:
            source, result = folder / "source.onnx", folder / "int8.onnx"
            source.write_bytes(data)
            quantize_static(
                source,
                result,
                Photos(),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=QUANTIZED,
                nodes_to_exclude=outermost(before),
                per_channel=True,
                activation_type=QuantType.QInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
                extra_options={"ActivationSymmetric": False, "WeightSymmetric": True},
            )
            after = onnx.load(str(result))
    finally:
        root.setLevel(level)
    del after.metadata_props[:]
    after.metadata_props.extend(before.metadata_props)
    after.producer_name, after.producer_version, after.graph.name = (
        before.producer_name,
        before.producer_version,
        before.graph.name,
    )
    onnx.checker.check_model(after)
    return after.SerializeToString(deterministic=True)


def outermost(proto: Any) -> list[str]:
    """The names of the first and the last convolution."""
    convolutions = [node.name for node in proto.graph.node if node.op_type in ("Conv", "ConvTranspose")]
    return [convolutions[0], convolutions[-1]] if convolutions else []
