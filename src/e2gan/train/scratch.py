"""The baselines: a generator trained from scratch on one concept (Tab. 1, 8, 9)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from e2gan.config import PIX2PIX, ScratchConfig
from e2gan.core.errors import InputError
from e2gan.core.record import add_facts
from e2gan.data.pair_set import PairSet
from e2gan.networks.discriminator import UnpairedDiscriminator
from e2gan.networks.generator import Generator
from e2gan.networks.models import build_discriminator, build_generator, fingerprint, write_networks
from e2gan.train.base import with_encoder
from e2gan.train.batches import TrainingData
from e2gan.train.cyclegan import CycleGANTrainer
from e2gan.train.loop import Trained, TrainingResult, check_size, identity_of, reads_of, room, run
from e2gan.train.lut import train_lut
from e2gan.train.step import Trainer, parameters
from e2gan.train.unpaired import UnpairedTrainer


def train_scratch(config: ScratchConfig) -> Trained:
    """Train a generator on one concept's pairs, all of its weights. Run again, it goes on, or finds it done.

    `config.generator` is that of `e2gan` alone: `pix2pix` and `cyclegan` have the ResNet generator with 9 RBs and no
    TB, the U-Net and Co-Mod-GAN the shapes that belong to the pairs' size. `lut` is fitted, not trained. Of
    CycleGAN's networks, the generator from photos to edits and the discriminator of edits are written. Raises
    InputError for bad settings or pairs, a size that a network cannot work at, and where a loss is no longer finite.
    """
    ScratchConfig.checked(config)
    if config.model == "lut":
        return train_lut(config)
    if config.model in ("pix2pix", "cyclegan"):
        config = replace(config, generator=PIX2PIX)
    if config.model != "e2gan":
        config = replace(config, text="hashed")  # the baselines take no prompt, and so need no CLIP
    config, encoder = with_encoder(config)
    pair_set = PairSet.load(config.pairs)
    if config.training.crop is not None and config.model in ("pix2pix-unet", "comodgan"):
        raise InputError(f"--crop: {config.model} is made for one size, that of the pairs")
    if config.model not in ("pix2pix-unet", "comodgan"):  # which say themselves what they cannot work at
        check_size(config.generator, pair_set.size, config.training.crop)
    data = TrainingData.load([pair_set], encoder, config.selection, unpaired=config.unpaired, **room(config))
    count = parameters(build_generator(config.model, config.generator, data.size))

    def networks(device: torch.device) -> tuple[nn.Module, nn.Module]:
        generator = build_generator(config.model, config.generator, data.size)
        discriminator = build_discriminator(config.model, data.size, unpaired=config.unpaired)
        return generator.to(device).train(), discriminator.to(device).train()

    def make(device: torch.device) -> Trainer:
        generator, discriminator = networks(device)
        if config.model == "cyclegan":
            return CycleGANTrainer(generator, discriminator, *networks(device), config.training)
        if isinstance(discriminator, UnpairedDiscriminator) and isinstance(generator, Generator):
            return UnpairedTrainer(generator, discriminator, config.training)
        return Trainer(generator, discriminator, config.training)

    def write(folder: Path, trainer: Trainer, _: TrainingResult) -> None:
        cycle = isinstance(trainer, CycleGANTrainer)
        write_networks(folder, trainer.generator, trainer.judge if cycle else trainer.discriminator)
        add_facts(folder, {"detail": data.detail()})

    extra = identity_of(pair_set, config.selection) | {
        "text_fingerprint": fingerprint(encoder),
    }
    reads = reads_of(pair_set, config.selection)
    result = run("scratch", config, config.out, make, data, write, extra, reads)
    return Trained(folder=config.out, what=config.model, parameters=count, result=result)
