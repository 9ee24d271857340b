"""LiteRT, once TensorFlow Lite: one file for Android's and the web's GPUs, and for processors everywhere."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch

from e2gan.core.errors import InputError
from e2gan.core.files import write_bytes
from e2gan.core.images import Pixels
from e2gan.core.temporary import temporary_folder
from e2gan.export.fixed_model import FixedModel
from e2gan.export.format import Format, Order, as_facts, quiet, require_packages
from e2gan.export.gpu_delegate import gpu_delegate, operators
from e2gan.export.pixel_model import as_pixels, check_sides

SIGNATURE = METADATA = "e2gan"
# Products of attention are left out: in eight bits they cost four levels on average, all others 0.7.
MULTIPLIES = ("CONV_2D", "CONV_2D_TRANSPOSE", "FULLY_CONNECTED")
# litert-converter asks for xdsl, which pip cannot install beside the command line's tyro; a conversion never loads it.
HOW = "pip install 'e2gan[litert]' && pip install --no-deps litert-torch==0.10.0 litert-converter==0.5.0"


def require() -> None:
    """Raises InputError where a package is missing."""
    with quiet():
        require_packages("LiteRT", "litert", "ai_edge_litert", "ai_edge_quantizer", "litert_torch", how=HOW)


def write(order: Order, path: Path) -> None:
    """`photo` → `edit`: float32 (1, size, size, 3) in 0..255. int8: weights and activations inside, calibrated."""
    assert order.size is not None
    with quiet():
        import litert_torch  # pyright: ignore[reportMissingImports]

        example = torch.zeros(1, order.size, order.size, 3)
        model = FixedModel(order.model, order.size).eval()
        edge = litert_torch.signature(SIGNATURE, model, sample_kwargs={"photo": example}).convert()
        with temporary_folder() as folder:
            source = folder / "float.tflite"
            edge.export(str(source))
            # Before it is quantised: that lays large buffers where no later writer finds them.
            source.write_bytes(labelled(source.read_bytes(), order))
            data = source.read_bytes() if order.precision == "fp32" else quantized(source, order)
    write_bytes(path, data)


def quantized(source: Path, order: Order) -> bytes:
    """The file with int8 weights per channel, and with int8 activations where it multiplies; photo and edit are floats.

    The outermost convolutions keep their precision: what they round lies on the picture itself.
    """
    from ai_edge_quantizer import qtyping, quantizer  # pyright: ignore[reportMissingImports]
    from ai_edge_quantizer.algorithm_manager import AlgorithmName  # pyright: ignore[reportMissingImports]

    work = quantizer.Quantizer(str(source))
    for name in MULTIPLIES:
        work.add_static_config(".*", qtyping.TFLOperationName(name), activation_num_bits=8, weight_num_bits=8)
    for scope in outermost(source, 1 if order.model.multiple < 16 else 2):
        work.update_quantization_recipe(
            scope, qtyping.TFLOperationName.ALL_SUPPORTED, algorithm_key=AlgorithmName.NO_QUANTIZE
        )
    photos = [{"photo": photo[None].astype(np.float32)} for photo in order.photos]
    found = work.calibrate({SIGNATURE: photos}, num_threads=1)
    result: Any = work.quantize(found)
    return bytes(result.quantized_model)


def outermost(path: Path, count: int) -> list[str]:
    """Patterns of the names of the first and of the last `count` convolutions, by what they give."""
    from ai_edge_litert import schema_py_generated as schema  # pyright: ignore[reportMissingImports]
    from ai_edge_litert.tools import flatbuffer_utils  # pyright: ignore[reportMissingImports]

    model: Any = flatbuffer_utils.read_model(str(path))
    graph, codes = (
        model.subgraphs[0],
        [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes],
    )
    kinds = (schema.BuiltinOperator.CONV_2D, schema.BuiltinOperator.TRANSPOSE_CONV)
    names = [graph.tensors[op.outputs[0]].name.decode() for op in graph.operators if codes[op.opcodeIndex] in kinds]
    return [re.escape(name) for name in dict.fromkeys([*names[:count], *names[-count:]])]


def labelled(data: bytes, order: Order) -> bytes:
    """The file with what it says of itself as one more metadata buffer: JSON under the name e2gan."""
    from ai_edge_litert import schema_py_generated as schema  # pyright: ignore[reportMissingImports]
    from ai_edge_litert.tools import flatbuffer_utils  # pyright: ignore[reportMissingImports]

    model: Any = flatbuffer_utils.convert_bytearray_to_object(bytearray(data))
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = list(json.dumps(as_facts(order)).encode())
    entry.name, entry.buffer = METADATA, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def metadata(path: Path) -> dict[str, str]:
    """What a file of ours says of itself. Raises InputError for another one."""
    from ai_edge_litert.tools import flatbuffer_utils  # pyright: ignore[reportMissingImports]

    try:
        data = path.read_bytes()
        model: Any = flatbuffer_utils.convert_bytearray_to_object(bytearray(data))
        buffers = {bytes(entry.name): model.buffers[entry.buffer] for entry in model.metadata or []}
        buffer = buffers[METADATA.encode()]
        return json.loads(data[buffer.offset : buffer.offset + buffer.size] if buffer.offset else bytes(buffer.data))
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except KeyError:
        raise InputError(f"{path}: was not exported by e2gan") from None
    except Exception as error:  # a flat buffer of something else fails at any of its offsets
        raise InputError(f"{path}: is no LiteRT file ({type(error).__name__})") from None


class LitertModel:
    """A file in LiteRT's interpreter on the CPU: uint8 (N, H, W, 3) → uint8 (N, H, W, 3), one photo after another."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        """Raises InputError where the file is missing, or is none of ours."""
        require()
        self.path = path
        from ai_edge_litert.interpreter import Interpreter  # pyright: ignore[reportMissingImports]

        self.metadata = metadata(path)
        self.size, self.multiple = int(self.metadata["size"]), int(self.metadata["multiple"])
        self.run = Interpreter(str(path), num_threads=threads).get_signature_runner(SIGNATURE)
        self.providers = ["XNNPACK"]

    def __call__(self, photos_NHWC: Pixels) -> Pixels:
        """Raises InputError for a height or width that the file does not take."""
        check_sides(photos_NHWC, self.size, self.multiple)
        edits = [next(iter(self.run(photo=photo[None].astype(np.float32)).values())) for photo in photos_NHWC]
        return as_pixels(np.concatenate(edits), self.path)


FORMAT = Format(
    file="model.tflite",
    purpose="LiteRT: Android's and the web's GPUs, MediaPipe; Kotlin, Java, C++, JavaScript, Python",
    packages=("litert-torch", "ai-edge-litert"),
    require=require,
    write=write,
    load=LitertModel,
    precisions=("fp32", "int8"),
    fixed_size=True,
    checks=lambda path: [gpu_delegate(path)],
    operators=operators,
)
