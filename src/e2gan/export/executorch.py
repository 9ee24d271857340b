"""ExecuTorch: PyTorch's own runtime for phones, with XNNPACK on their processors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from e2gan.core.errors import InputError
from e2gan.core.files import write_bytes
from e2gan.core.images import Pixels
from e2gan.export.fixed_model import FixedModel
from e2gan.export.format import Format, Order, as_facts, quiet, require_packages
from e2gan.export.pixel_model import as_pixels, check_sides

PACKAGES = ("executorch",)
ABOUT = "e2gan_"  # each fact is a method of that name without input, which gives a number or a text
NUMBERS = ("size", "multiple")


def require() -> None:
    """Raises InputError where the package of the extra `executorch` is missing."""
    with quiet():
        require_packages("ExecuTorch", "executorch", "executorch.exir", "executorch.runtime")


def write(order: Order, path: Path) -> None:
    """The method `forward`: float32 (1, size, size, 3) in 0..255 → the same; and what the file says of itself."""
    assert order.size is not None
    with quiet():
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner  # pyright: ignore[reportMissingImports]
        from executorch.exir import to_edge_transform_and_lower  # pyright: ignore[reportMissingImports]

        example = torch.zeros(1, order.size, order.size, 3)
        program = torch.export.export(FixedModel(order.model, order.size).eval(), (example,))
        about = as_facts(order)
        facts = {ABOUT + key: int(value) if key in NUMBERS else value for key, value in about.items()}
        edge = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()], constant_methods=facts)
        data = edge.to_executorch().buffer
    write_bytes(path, bytes(data))


class ExecutorchModel:
    """A file in ExecuTorch's runtime on the CPU: uint8 (N, H, W, 3) → uint8 (N, H, W, 3), one photo after another."""

    def __init__(self, path: Path) -> None:
        """Raises InputError where the file is missing, or is none of ours."""
        require()
        self.path = path
        if not path.is_file():
            raise InputError(f"{path}: there is no such file")
        with quiet():
            from executorch.runtime import Runtime  # pyright: ignore[reportMissingImports]

            try:
                # By its bytes: the runtime's own reader would keep the file open.
                self.program: Any = Runtime.get().load_program(path.read_bytes())
                names = self.program.method_names
            except Exception as error:  # its errors have no common class of their own
                raise InputError(f"{path}: is no ExecuTorch file ({type(error).__name__})") from None
            if ABOUT + "size" not in names:
                raise InputError(f"{path}: was not exported by e2gan")
            self.metadata = {
                name.removeprefix(ABOUT): str(self.program.load_method(name).execute([])[0])
                for name in names
                if name.startswith(ABOUT)
            }
            self.size, self.multiple = (int(self.metadata[key]) for key in NUMBERS)
            self.forward = self.program.load_method("forward")
        self.providers = ["XNNPACK"]

    def __call__(self, photos_NHWC: Pixels) -> Pixels:
        """Raises InputError for a height or width that the file does not take."""
        check_sides(photos_NHWC, self.size, self.multiple)
        photos = torch.from_numpy(photos_NHWC.astype(np.float32))
        # What it gives lies in memory that the next call writes to.
        edits = [self.forward.execute([photo[None].contiguous()])[0].clone() for photo in photos]
        return as_pixels(torch.cat(edits).numpy(), self.path)


FORMAT = Format(
    file="model.pte",
    purpose="ExecuTorch: Android and iOS apps that already carry PyTorch's runtime; Kotlin, Swift, C++",
    packages=PACKAGES,
    require=require,
    write=write,
    load=ExecutorchModel,
    fixed_size=True,
)
