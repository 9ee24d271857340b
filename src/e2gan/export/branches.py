"""Several effects as functions of one file: each a generator whose adapter stands beside the base's own weights."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from e2gan.core.errors import InputError
from e2gan.core.images import Pixels
from e2gan.core.names import slug
from e2gan.export.effects import effect_names
from e2gan.export.fixed_model import FixedModel
from e2gan.export.format import Function
from e2gan.export.pixel_model import PixelModel, as_pixels, check_sides
from e2gan.networks.lora import lora_layers
from e2gan.networks.models import Model

# Words of Core ML's own language, which no function can be called.
RESERVED = {
    *("any", "bool", "program", "func", "tensor", "list", "dict", "tuple", "true", "false", "string", "state", "const"),
    *("bf16", "fp16", "fp32", "fp64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
}


class FixedBranch(nn.Module):
    """A layer, and beside it an adapter's branch: layer(x) + B(A(x)) (Sec. 4.2.2). Unlike `unmerged.Adapted`, whose
    weights are given with each call, all of it is constant.

    A, B: layers of PEFT's, B with the adapter's strength in its weights.
    """

    def __init__(self, layer: nn.Module, A: nn.Module, B: nn.Module) -> None:
        super().__init__()
        self.layer, self.A, self.B = layer, A, B

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + self.B(self.A(x))


def branched(generator: nn.Module) -> nn.Module:
    """A copy whose layers have the one active adapter beside their weights, which stay the base's to the bit."""
    generator = deepcopy(generator)
    for name, layer in lora_layers(generator).items():
        (key,) = layer.active_adapters
        A, B = layer.lora_A[key], layer.lora_B[key]
        with torch.no_grad():
            B.weight.mul_(layer.scaling[key])
        generator.set_submodule(name, FixedBranch(layer.get_base_layer(), A, B))
    return generator.requires_grad_(False)


def functions_of(base: Path, adapters: Sequence[Path], strength: float) -> list[Function]:
    """A function for each adapter. Raises InputError where two would have one name, or one is of another base."""
    found: dict[str, Function] = {}
    for effect, adapter in effect_names(adapters).items():
        name = identifier(effect)
        if name in found:
            raise InputError(f"--adapter {adapter}: two functions of the name {name}: rename a folder")
        model = Model.load(base=base, adapter=adapter)
        found[name] = Function(name, effect, model, PixelModel(branched(model.generator), model.tokens, strength))
    return list(found.values())


def identifier(effect: str) -> str:
    """An effect's name as one that a function can have: a-z, 0-9 and underscores, no digit first, no reserved word."""
    name = slug(effect).replace("-", "_")
    return f"effect_{name}" if name[0].isdigit() or name in RESERVED else name


class InPytorch:
    """A function in PyTorch, as its converter is given it: uint8 (N, size, size, 3) → the same."""

    def __init__(self, model: PixelModel, size: int) -> None:
        self.model: Any = FixedModel(model, size, rounded=True).eval()
        self.size, self.multiple, self.providers = size, model.multiple, ["pytorch"]

    @torch.inference_mode()
    def __call__(self, photos_NHWC: Pixels) -> Pixels:
        """Raises InputError for another size, and where a value is not finite."""
        check_sides(photos_NHWC, self.size, self.multiple)
        edits = [self.model(torch.from_numpy(photo[None]).float()) for photo in photos_NHWC]
        return as_pixels(torch.cat(edits).numpy(), Path("this effect"))
