"""ONNX: one file of ordinary pixels in and out, for ONNX Runtime."""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from e2gan.core.errors import InputError
from e2gan.core.images import Pixels
from e2gan.core.outputs import versions
from e2gan.export.format import Format
from e2gan.export.pixel_model import PixelModel

if TYPE_CHECKING:
    from onnx import ModelProto


OPSET = 18  # the one that PyTorch's exporter writes without a conversion
LEAST = 32
PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def require() -> None:
    """Raises InputError where a package of the extra `export` is missing."""
    for name in PACKAGES:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise InputError(f"the ONNX export needs {name} ({error}): pip install 'e2gan[export]'") from None


def to_onnx(model: PixelModel, size: int | None, facts: Mapping[str, str]) -> bytes:
    """The model as the bytes of one ONNX file, weights inside, `facts` in its metadata.

    Input `photo`, output `edit`: uint8 (N, H, W, 3) RGB, any N. size: fixed H and W; None leaves both free, multiples
    of the generator's own (8; 16 where it is folded) from 32 on. Raises InputError where a package is missing.
    """
    require()
    import onnx

    # An example with equal sides or one photo would make the exporter take these for constants.
    multiple = model.multiple
    least = -(-LEAST // multiple)
    example = torch.zeros(2, size or least * multiple, size or (least + 1) * multiple, 3, dtype=torch.uint8)
    shape: dict[int, Any] = {0: torch.export.Dim("batch")}
    if size is None:
        h, w = (torch.export.Dim(name, min=least) for name in "hw")
        shape |= {1: multiple * h, 2: multiple * w} if multiple > 1 else {1: h, 2: w}
    with quiet():
        # Given the module itself, the ONNX exporter would silently fix a size that it cannot keep free.
        program = torch.export.export(model, (example,), dynamic_shapes=(shape,))
        exported = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            input_names=["photo"],
            output_names=["edit"],
            external_data=False,
            optimize=True,
            verbose=False,
        )
    assert exported is not None
    proto: ModelProto = exported.model_proto
    about = {"e2gan": versions().get("e2gan", ""), "size": str(size or "any"), "multiple": str(multiple)}
    label(proto, about | dict(facts))
    onnx.checker.check_model(proto, full_check=True)
    return proto.SerializeToString(deterministic=True)


def label(proto: ModelProto, metadata: Mapping[str, str]) -> None:
    """Replace what the exporter notes, stack traces with this machine's paths, by what a user asks of a file."""
    graph = proto.graph
    del graph.value_info[:]  # shapes inside, in symbols like s39; every runtime infers them itself
    for value in (*graph.input, *graph.output):
        for dim, name in zip(value.type.tensor_type.shape.dim, ("batch", "height", "width"), strict=False):
            if dim.dim_param:
                dim.dim_param = name
    for part in (proto, graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        del part.metadata_props[:]
        part.doc_string = ""
    for key, value in metadata.items():
        proto.metadata_props.add(key=key, value=value)
    proto.producer_name, proto.producer_version = "e2gan", metadata["e2gan"]
    graph.name = "e2gan"


@contextmanager
def quiet() -> Iterator[None]:
    """The exporter without its notes on torchvision, on empty attributes, and on its deprecated parts."""
    logs = [logging.getLogger(name) for name in ("torch.onnx._internal.exporter._registration", "onnx_ir._convenience")]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*LeafSpec", FutureWarning)
            yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)


class OnnxModel:
    """An exported file in ONNX Runtime on the CPU: uint8 (N, H, W, 3) → uint8 (N, H, W, 3)."""

    def __init__(self, path: Path, threads: int = 0) -> None:
        """threads: 0 takes ONNX Runtime's choice. Raises InputError where the file is missing, or is none of ours."""
        require()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions have no common class of their own
            reason = " ".join(str(error).split()) if Path(path).is_file() else "there is no such file"
            raise InputError(f"{path}: {reason}") from None
        self.metadata: dict[str, str] = dict(self.session.get_modelmeta().custom_metadata_map)
        if "e2gan" not in self.metadata:
            raise InputError(f"{path}: was not exported by e2gan")
        self.providers = list(self.session.get_providers())
        self.size: int | None = int(self.metadata["size"]) if self.metadata["size"].isdigit() else None
        self.multiple = int(self.metadata.get("multiple", 8))  # which earlier files do not tell

    def __call__(self, photos_NHWC: Pixels) -> Pixels:
        """Raises InputError for a height or width that the file does not take."""
        height, width = photos_NHWC.shape[1:3]
        if self.size is not None and (height, width) != (self.size, self.size):
            raise InputError(f"photos of {width}×{height}: this file takes {self.size}×{self.size} only")
        if height % self.multiple or width % self.multiple or min(height, width) < LEAST:
            needed = f"multiples of {self.multiple}, and at least {LEAST}"
            raise InputError(f"photos of {width}×{height}: both must be {needed}")
        (edits,) = self.session.run(["edit"], {"photo": photos_NHWC})
        return edits  # pyright: ignore[reportReturnType]


FORMAT = Format(file="model.onnx", packages=PACKAGES, require=require, write=to_onnx, load=OnnxModel)
