"""A tiny generator with an adapter, and photos of noise, for the tests of editing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from e2gan import Generator, Model
from e2gan.cli import main
from e2gan.config import PRESETS, GeneratorConfig
from e2gan.core.images import Pixels
from e2gan.networks.lora import attach, rank_of_layers
from tests.conftest import Project


def model(size: int = 64, **changes: object) -> Model:
    """A tiny generator with an adapter, both of random weights."""
    torch.manual_seed(0)
    config: GeneratorConfig = replace(PRESETS["residual"], width=8, heads=2, text_width=16, **changes)  # pyright: ignore
    generator = Generator(config).eval()
    attends = config.cross_attention and config.transformers
    if attends:
        from e2gan.config import Ranks

        attach(generator, rank_of_layers(generator, Ranks()))
    with torch.no_grad():
        for p in generator.parameters():
            if not p.any():
                p.normal_(0, 0.03)
    return Model(generator, torch.randn(1, 5, 16) if attends else None, "make it so", size, Path())


def told_in_one_line(project: Project, source: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What the command says as it refuses an input or an output."""
    arguments = ["edit", str(source), "--out", str(out), "--model", str(project.model)]
    assert main(arguments) == 2, (source, out)
    message = capsys.readouterr().err
    assert message.count("\n") == 1, message
    return message


def noise(height: int, width: int) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def far(a: Pixels, b: Pixels) -> float:
    return float(np.abs(a.astype(int) - b).mean())
