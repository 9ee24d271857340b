"""The baselines: a generator trained from scratch on one concept (Tab. 1)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from e2gan.config import PIX2PIX, ScratchConfig
from e2gan.data import TrainingData
from e2gan.discriminator import Discriminator
from e2gan.files import sha256
from e2gan.generator import Generator
from e2gan.models import write_networks
from e2gan.pairs import PairSet
from e2gan.results import Trained
from e2gan.training import TrainingResult, parameters, run

__all__ = ["train_scratch"]


def train_scratch(config: ScratchConfig) -> Trained:
    """Train a generator on one concept's pairs, all of its weights. Run again, it goes on, or finds it done.

    `pix2pix` is the paper's ResNet generator with 9 RBs and no TB, whatever `config.generator` says.
    Raises InputError for bad settings or pairs, and where a loss is no longer finite.
    """
    config.check()
    if config.model == "pix2pix":
        config = replace(config, generator=PIX2PIX)
    pair_set = PairSet.load(config.pairs)
    data = TrainingData.load([pair_set], config.generator.text_width)

    def networks(device: torch.device) -> tuple[Generator, Discriminator]:
        return Generator(config.generator).to(device).train(), Discriminator().to(device).train()

    def write(folder: Path, generator: Generator, discriminator: Discriminator, _: TrainingResult) -> None:
        write_networks(folder, generator, discriminator)

    extra = {"prompt": pair_set.prompt, "pairs_sha256": sha256(pair_set.folder / "metadata.jsonl")}
    result = run("scratch", config, config.out, networks, data, write, extra)
    count = parameters(Generator(config.generator))
    return Trained(folder=config.out, what=config.model, parameters=count, result=result)
