"""What runs a generator on this machine: PyTorch in fp32 or bf16, or another runtime that is installed."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from e2gan.core.errors import InputError
from e2gan.core.images import square
from e2gan.core.unreported import import_openvino
from e2gan.data.builtin_photos import builtin_pictures
from e2gan.networks.fixed_attention import fix_prompt
from e2gan.networks.generator import WHOLE, Generator
from e2gan.networks.pixels import free_sides, from_pixels
from e2gan.networks.resized_conv import fix_kernels

Run = Callable[[Tensor, Tensor], Tensor]
"""Photos (N, 3, H, W) float32 in [-1, 1] and their place (1, 4) → their edits, the same."""

MOST_LEVELS = 1.0  # of 255, that a runtime's edit may lie from PyTorch's in fp32, in the mean
OPENVINO_PAYS = 5e8  # of `work`, from which on its preparation is less than what it saves (docs/speed.md)
COMPARED_AT = 128


class FixedGenerator(nn.Module):
    """A generator with its prompt's keys and values in it; where its photo lies is an input."""

    def __init__(self, generator: nn.Module, tokens: Tensor | None) -> None:
        super().__init__()
        self.generator = deepcopy(generator).eval()
        fix_prompt(self.generator, tokens)
        self.requires_grad_(False)

    def forward(self, photos: Tensor, place: Tensor) -> Tensor:
        return self.generator(photos, None, None, place)

    def traced(self) -> torch.export.ExportedProgram:
        """The graph for any batch, height and width that the generator takes."""
        example, (height, width) = free_sides(int(self.generator.multiple))  # pyright: ignore[reportArgumentType]
        photos = torch.zeros(2, 3, *example)
        shape = {0: torch.export.Dim("batch"), 2: height, 3: width}
        return torch.export.export(self, (photos, torch.tensor([WHOLE])), dynamic_shapes=(shape, None))


@dataclass(frozen=True)
class Runtime:
    """How a generator is run. missing: why it cannot be on this device; None where it can.

    load: a generator in evaluation mode on the device, and its prompt's tokens → what edits.
    """

    missing: Callable[[torch.device], str | None]
    load: Callable[[nn.Module, Tensor | None, torch.device], Run]


def _in_torch(bf16: bool) -> Runtime:
    def missing(device: torch.device) -> str | None:
        if bf16 and device.type == "mps":
            return "PyTorch has no bf16 autocast there that was tried"
        return None

    def load(generator: nn.Module, tokens: Tensor | None, device: torch.device) -> Run:
        ours = isinstance(generator, Generator)  # the others have layers that stay in fp32 where their weights must be
        fixed = _in_bf16(FixedGenerator(generator, tokens)) if bf16 and ours else None

        def run(photos: Tensor, place: Tensor) -> Tensor:
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                return generator(photos, tokens, None, place) if fixed is None else fixed(photos, place)

        return run

    return Runtime(missing, load)


def _in_bf16(fixed: FixedGenerator) -> FixedGenerator:
    """With the weights that autocast would cast anew for each frame: a seventh of the small generator's time."""
    fix_kernels(fixed.generator)
    for layer in fixed.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            layer.to(torch.bfloat16)
    return fixed


def _openvino_missing(device: torch.device) -> str | None:
    if device.type != "cpu":
        return f"it runs on the CPU here, not on {device}"
    try:
        import_openvino()
    except ImportError as error:
        return f"it needs openvino ({error}): pip install 'e2gan[openvino]'"
    return None


def _in_openvino(hint: str) -> Runtime:
    def load(generator: nn.Module, tokens: Tensor | None, _: torch.device) -> Run:
        openvino = import_openvino()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of PyTorch's, on what OpenVINO calls
            model = openvino.convert_model(FixedGenerator(generator, tokens).traced())
        settings = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": torch.get_num_threads()}
        compiled = openvino.Core().compile_model(model, "CPU", settings)

        def run(photos: Tensor, place: Tensor) -> Tensor:
            inputs = [photos.numpy(), place.numpy()][: len(compiled.inputs)]  # no place where there is no sense of it
            return torch.from_numpy(compiled(inputs)[0].copy())

        return run

    return Runtime(_openvino_missing, load)


RUNTIMES: dict[str, Runtime] = {
    "pytorch": _in_torch(bf16=False),
    "pytorch-bf16": _in_torch(bf16=True),
    "openvino": _in_openvino("f32"),
    "openvino-bf16": _in_openvino("bf16"),
}
"""By name. A new one is an entry here, and a name in config's RuntimeName."""


def has_bf16(device: torch.device) -> bool:
    """Whether the CPU computes in bf16 itself: AVX-512 BF16, or AMX."""
    if device.type != "cpu":
        return False
    asked = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(ask is not None and ask() for ask in asked)


def work(generator: nn.Module, photos: int) -> float:
    """What so many photos of 256 pixels a side cost, in parameters that each pixel meets: a folded generator sees a
    quarter."""
    fold = max(1.0, int(generator.multiple) / 8)  # pyright: ignore[reportArgumentType]
    return photos * sum(p.numel() for p in generator.parameters()) / fold**2


def fastest(device: torch.device, work: float) -> str:
    """The runtime that so much work is done soonest by, its preparation included (docs/speed.md).

    By rule, not by a clock, so that the same command makes the same choice again.
    """
    precise = "-bf16" if has_bf16(device) else ""
    if device.type == "cpu" and work >= OPENVINO_PAYS and RUNTIMES["openvino"].missing(device) is None:
        return f"openvino{precise}"
    return f"pytorch{precise}"


def load_runtime(name: str, generator: nn.Module, tokens: Tensor | None, device: torch.device) -> Run:
    """What runs the generator, its edit of a photograph compared with PyTorch's in fp32.

    Raises InputError where the runtime is not there, does not take the generator, or its edit lies more than
    MOST_LEVELS from PyTorch's.
    """
    plain = RUNTIMES["pytorch"].load(generator, tokens, device)
    if name == "pytorch":
        return plain
    if why := RUNTIMES[name].missing(device):
        raise InputError(f"--runtime {name}: {why}")
    try:
        run = RUNTIMES[name].load(generator, tokens, device)
        far = difference(run, plain, device)
    except (RuntimeError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"--runtime {name}: does not run this model ({type(error).__name__}: {reason})") from error
    if not far <= MOST_LEVELS:
        raise InputError(
            f"--runtime {name}: its edits are {far:.2f} of 255 levels from PyTorch's in fp32, more than {MOST_LEVELS}"
        )
    return run


@torch.inference_mode()
def difference(run: Run, plain: Run, device: torch.device) -> float:
    """Mean difference of two runtimes' edits of a photograph, in 8-bit levels."""
    photo = torch.from_numpy(square(next(iter(builtin_pictures().values())), COMPARED_AT))
    photos, place = from_pixels(photo.permute(2, 0, 1)[None].contiguous()).to(device), torch.tensor([WHOLE]).to(device)
    edits = [way(photos, place).float().clamp(-1, 1) for way in (run, plain)]
    return float(127.5 * (edits[0] - edits[1]).abs().mean())
