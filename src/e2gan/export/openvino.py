"""OpenVINO: two files of ordinary pixels in and out, for Intel's processors, graphics and neural units."""

from __future__ import annotations

from pathlib import Path

from e2gan.core.errors import InputError
from e2gan.core.images import Pixels
from e2gan.core.unreported import import_openvino
from e2gan.export.format import Format, Order, as_facts, require_packages
from e2gan.export.onnx import quiet
from e2gan.export.pixel_model import check_sides, traced

PACKAGES = ("openvino",)


def require() -> None:
    """Raises InputError where the package of the extra `openvino` is missing."""
    try:
        import_openvino()
    except ImportError:
        require_packages("OpenVINO", "openvino", *PACKAGES)


def write(order: Order, path: Path) -> None:
    """model.xml and model.bin. fp16 stores the weights in half; what is computed in is the device's choice."""
    openvino = import_openvino()
    with quiet():
        model = openvino.convert_model(traced(order.model, order.size))
    model.inputs[0].get_tensor().set_names({"photo"})
    model.outputs[0].get_tensor().set_names({"edit"})
    for key, value in as_facts(order).items():
        model.set_rt_info(value, ["e2gan", key])
    openvino.save_model(model, path, compress_to_fp16=order.precision == "fp16")


class OpenvinoModel:
    """The files in OpenVINO on the CPU, in fp32 for a comparison: uint8 (N, H, W, 3) → uint8 (N, H, W, 3)."""

    def __init__(self, path: Path, threads: int = 0) -> None:
        """threads: 0 takes OpenVINO's choice. Raises InputError where the file is missing, or is none of ours."""
        require()
        openvino = import_openvino()
        core = openvino.Core()
        try:
            model = core.read_model(path)
        except RuntimeError as error:
            raise InputError(f"{path}: {' '.join(str(error).split())[:200]}") from None
        if not model.has_rt_info(["e2gan", "size"]):
            raise InputError(f"{path}: was not exported by e2gan")
        size, multiple = (str(model.get_rt_info(["e2gan", key]).value) for key in ("size", "multiple"))
        self.size = int(size) if size.isdigit() else None
        self.multiple = int(multiple)
        settings = {"INFERENCE_PRECISION_HINT": "f32"} | ({"INFERENCE_NUM_THREADS": threads} if threads else {})
        self.compiled = core.compile_model(model, "CPU", settings)
        self.providers = [f"CPU: {core.get_property('CPU', 'FULL_DEVICE_NAME')}"]

    def __call__(self, photos_NHWC: Pixels) -> Pixels:
        """Raises InputError for a height or width that the file does not take."""
        check_sides(photos_NHWC, self.size, self.multiple)
        return self.compiled({"photo": photos_NHWC})["edit"].copy()


FORMAT = Format(
    file="model.xml",
    purpose="OpenVINO: Intel processors, graphics and neural units under Windows and Linux; C++, Python, Node",
    packages=PACKAGES,
    require=require,
    write=write,
    load=OpenvinoModel,
    precisions=("fp32", "fp16"),
)
