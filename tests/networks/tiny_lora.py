"""A tiny generator of which no layer is zero, and adapters of random weights on it."""

from __future__ import annotations

import torch

from e2gan.config import GeneratorConfig, Ranks
from e2gan.networks.generator import Generator
from e2gan.networks.lora import adapter_tensors, attach, rank_of_layers

SMALL = GeneratorConfig(width=8, blocks=2, heads=2, text_width=16)
RANKS = Ranks(level1=1, level2=2, level3=3, level4=3)


def inputs(size: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(1)
    return torch.rand(2, 3, size, size, generator=g) * 2 - 1, torch.randn(2, 5, 16, generator=g)


def generator(config: GeneratorConfig = SMALL, *, seed: int = 0) -> Generator:
    """A generator of which no layer is zero, so that every layer's adapter shows in the output."""
    torch.manual_seed(seed)
    g = Generator(config)
    with torch.no_grad():
        for p in g.parameters():
            if not p.any():
                p.normal_(0, 0.02)
    return g.eval()


def touched(g: Generator, name: str = "default", *, ranks: Ranks = RANKS, seed: int = 2) -> Generator:
    attach(g, rank_of_layers(g, ranks), name)
    torch.manual_seed(seed)
    with torch.no_grad():
        for p in adapter_tensors(g, name).values():
            p.normal_(0, 0.05)
    return g.eval()
