"""Six photos of noise with two edits each, and a trainer of small networks on them."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from e2gan.config import GeneratorConfig, TrainingConfig
from e2gan.networks.discriminator import Discriminator
from e2gan.networks.generator import Generator
from e2gan.networks.text import encode, pad
from e2gan.train.batches import TrainingData
from e2gan.train.loop import METRICS
from e2gan.train.step import Trainer

SMALL = GeneratorConfig(width=8, blocks=1, transformers=(1,), heads=2, text_width=16)
QUICK = TrainingConfig(steps=20, batch=2, precision="fp32", save_every=0)


def data(count: int = 6) -> TrainingData:
    g = torch.Generator().manual_seed(0)
    photos = torch.randint(0, 256, (count, 3, 32, 32), generator=g, dtype=torch.uint8)
    tokens, mask = pad([encode("darker", 16), encode("red and darker", 16)])
    red = photos * torch.tensor([1, 0, 0], dtype=torch.uint8)[:, None, None]
    return TrainingData(
        photos=photos,
        edits=torch.cat([photos // 2, red // 2]),
        photo_of=torch.arange(count).repeat(2),
        concept_of=torch.arange(2).repeat_interleave(count),
        tokens=tokens,
        mask=mask,
    )


def trainer(config: TrainingConfig = QUICK, generator: GeneratorConfig = SMALL) -> Trainer:
    torch.manual_seed(config.seed)
    return Trainer(Generator(generator).train(), Discriminator(8).train(), config)


def rows(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / METRICS).read_text().splitlines()]
