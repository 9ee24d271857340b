"""ONNX: one file of ordinary pixels in and out, for ONNX Runtime."""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from e2gan import __version__
from e2gan.core.errors import InputError
from e2gan.core.files import write_bytes
from e2gan.core.images import Pixels
from e2gan.export.format import Check, Format, Order, as_facts, require_packages
from e2gan.export.lens_studio import lens_studio
from e2gan.export.onnx_graph import read_graph
from e2gan.export.pixel_model import PixelModel, check_sides, traced

if TYPE_CHECKING:
    from onnx import ModelProto
    from onnxruntime import InferenceSession


OPSET = 18  # the one that PyTorch's exporter writes without a conversion
PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def require() -> None:
    """Raises InputError where a package of the extra `export` is missing."""
    require_packages("ONNX", "export", *PACKAGES)


def write(order: Order, path: Path) -> None:
    """The file in the order's precision: fp16 computes in half between the pixels; int8 is calibrated on its photos."""
    about = as_facts(order)
    model = order.model.halved() if order.precision == "fp16" else order.model
    data = to_onnx(model, order.size, about)
    if order.precision == "int8":
        from e2gan.export.onnx_int8 import quantized

        data = quantized(data, order.photos)
    write_bytes(path, data)


def to_onnx(model: PixelModel, size: int | None, facts: Mapping[str, str]) -> bytes:
    """The model as the bytes of one ONNX file, weights inside, `facts` in its metadata.

    Input `photo`, output `edit`: uint8 (N, H, W, 3) RGB, any N. size: fixed H and W; None leaves both free, multiples
    of the generator's own (8; 16 where it is folded) from 32 on. Raises InputError where a package is missing.
    """
    require()
    # Given the module itself, the ONNX exporter would silently fix a size that it cannot keep free.
    proto = exported(traced(model, size), ["photo"])
    about = {"e2gan": __version__, "size": str(size or "any"), "multiple": str(model.multiple)}
    label(proto, about | dict(facts))
    return checked_bytes(proto)


def exported(program: torch.export.ExportedProgram, inputs: list[str]) -> ModelProto:
    """A graph as ONNX, weights inside, with these names of its inputs and the output `edit`."""
    with quiet():
        found = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            input_names=inputs,
            output_names=["edit"],
            external_data=False,
            optimize=True,
            verbose=False,
        )
    assert found is not None
    return found.model_proto


def checked_bytes(proto: ModelProto) -> bytes:
    """The same for the same graph. Raises what ONNX's checker does for one that is none."""
    import onnx

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


def open_session(path: Path, threads: int = 0) -> InferenceSession:
    """An exported file in ONNX Runtime on the CPU. threads: 0 takes ONNX Runtime's choice.

    Raises InputError where the file is missing, is none of ours, or has what no export has (`read_graph`).
    """
    require()
    import onnxruntime

    data = read_graph(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no common class of their own
        raise InputError(f"{path}: {' '.join(str(error).split())}") from None
    if "e2gan" not in session.get_modelmeta().custom_metadata_map:
        raise InputError(f"{path}: was not exported by e2gan")
    return session


class OnnxModel:
    """An exported file in ONNX Runtime on the CPU: uint8 (N, H, W, 3) → uint8 (N, H, W, 3)."""

    def __init__(self, path: Path, threads: int = 0) -> None:
        """threads: 0 takes ONNX Runtime's choice. Raises InputError where the file is missing, or is none of ours."""
        self.session = open_session(path, threads)
        self.metadata: dict[str, str] = dict(self.session.get_modelmeta().custom_metadata_map)
        self.providers = list(self.session.get_providers())
        self.size: int | None = int(self.metadata["size"]) if self.metadata["size"].isdigit() else None
        self.multiple = int(self.metadata.get("multiple", 8))  # which earlier files do not tell

    def __call__(self, photos_NHWC: Pixels) -> Pixels:
        """Raises InputError for a height or width that the file does not take."""
        check_sides(photos_NHWC, self.size, self.multiple)
        (edits,) = self.session.run(["edit"], {"photo": photos_NHWC})
        return edits  # pyright: ignore[reportReturnType]


def operators(path: Path) -> dict[str, int]:
    """Name of each operator of a file, and how often it is there."""
    import onnx

    return dict(Counter(node.op_type for node in onnx.load(str(path)).graph.node).most_common())


def checks(path: Path) -> list[Check]:
    return [lens_studio(path)]


FORMAT = Format(
    file="model.onnx",
    purpose="ONNX Runtime: web pages, Windows, Linux, Android, iOS; C++, C#, Java, Python",
    packages=PACKAGES,
    require=require,
    write=write,
    load=OnnxModel,
    precisions=("fp32", "fp16", "int8"),
    checks=checks,
    operators=operators,
)
