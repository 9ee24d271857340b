"""The SqueezeNet 1.1 that ships: its original weights in half precision.

python recipes/squeezenet.py ../shared/features/squeezenet11.safetensors
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from e2gan.core.errors import InputError
from e2gan.core.tensors import write_tensors
from e2gan.features.squeezenet import SHIPPED, squeezenet_weights


@dataclass(frozen=True, kw_only=True)
class SqueezeNet:
    """Write SqueezeNet's weights in half precision."""

    original: tyro.conf.Positional[Path]
    """The converted squeezenet_weights_notop.h5 of DeepCognition/keras-squeezenet: safetensors in float32, kernels
    (out, in, h, w), `conv1.weight`, `fire2.squeeze1x1.weight`, …"""
    out: Path = SHIPPED
    """File to write (default: the one that ships)."""


def convert(recipe: SqueezeNet) -> None:
    """Raises InputError where the original is none, or another network."""
    halves = {name: tensor.half() for name, tensor in squeezenet_weights(recipe.original).items()}
    write_tensors(recipe.out, halves, {"architecture": "SqueezeNet 1.1 without classifier", "license": "MIT"})


if __name__ == "__main__":
    try:
        convert(tyro.cli(SqueezeNet, description=__doc__))
    except InputError as error:
        sys.exit(str(error))
