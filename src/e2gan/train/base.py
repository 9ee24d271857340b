"""The base: one generator trained on several concepts, told apart by their prompts (Sec. 4.2.1)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch

from e2gan.config import DEVICE, BaseConfig, ScratchConfig
from e2gan.config.schemas import BASE
from e2gan.core.errors import InputError
from e2gan.core.files import sha256, write_bytes
from e2gan.core.group import Group, joined
from e2gan.core.outputs import read_settings
from e2gan.data.pair_set import ROWS, PairSet
from e2gan.networks.discriminator import Discriminator
from e2gan.networks.folders import MODEL, base_content, base_folder, generator_config
from e2gan.networks.generator import Generator
from e2gan.networks.models import (
    build_generator,
    encoder_of,
    fingerprint,
    load_discriminator,
    load_generator,
    named_text,
    write_networks,
)
from e2gan.networks.text import TextEncoder, known_width, text_encoder
from e2gan.sharing.licence import CARD
from e2gan.train.batches import TrainingData
from e2gan.train.loop import Trained, TrainingResult, check_size, room, run
from e2gan.train.step import Trainer, parameters
from e2gan.train.together import check_group


def train_base(config: BaseConfig) -> Trained:
    """Train the base on the training pairs of all concepts, mixed. Run again, it goes on, or finds it done.

    In processes that torchrun began, each trains on its rows of the batch, and the result is that of one process, to
    rounding. Raises InputError for bad settings or pair sets, and where a loss is no longer finite; LostProcessError
    where another process is gone.
    """
    with joined() as group:
        return _train(config, group)


def _train(config: BaseConfig, group: Group) -> Trained:
    BaseConfig.checked(config)
    sets = [PairSet.load(folder) for folder in config.pairs]
    if config.start is not None:
        config = replace(config, start=base_folder(config.start))
    config, encoder = with_encoder(config) if config.start is None else _with_start(config, config.start)
    check_group(group, config.generator, config.training)
    for pair_set in sets:
        check_size(config.generator, pair_set.size, config.training.crop)
    data = TrainingData.load(sets, encoder, **room(config, group))
    concepts = {s.prompt: sha256(s.folder / ROWS) for s in sets}
    extra = {"concepts": concepts, "text_fingerprint": fingerprint(encoder)}
    if config.start is not None:
        extra["start_sha256"] = sha256(config.start / MODEL)
    reads = {
        "pairs": [s.content() for s in sets],
        "start": None if config.start is None else base_content(config.start),
    }

    def make(device: torch.device) -> Trainer:
        if config.start is None:
            generator, discriminator = build_generator("e2gan", config.generator, data.size), Discriminator()
        else:
            generator, discriminator = load_generator(config.start)[0], load_discriminator(config.start)
            generator.requires_grad_(True)
        return Trainer(generator.to(device).train(), discriminator.to(device).train(), config.training)

    def write(folder: Path, trainer: Trainer, result: TrainingResult) -> None:
        write_networks(folder, trainer.generator, trainer.discriminator)
        write_bytes(folder / CARD, card(config, list(concepts), data, result).encode())

    result = run("base", config, config.out, make, data, write, extra, reads, group)
    return Trained(folder=config.out, what="base", parameters=parameters(Generator(config.generator)), result=result)


Stage = TypeVar("Stage", BaseConfig, ScratchConfig)


def with_encoder(config: Stage) -> tuple[Stage, TextEncoder]:
    """The settings' text encoder, and the settings with a generator of its width; `hashed` follows the generator's."""
    width = known_width(config.text) or config.generator.text_width
    generator = replace(config.generator, text_width=width)
    return replace(config, generator=generator), text_encoder(config.text, width)


def _with_start(config: BaseConfig, start: Path) -> tuple[BaseConfig, TextEncoder]:
    """The settings with the generator and the text encoder of the base that the training starts from."""
    settings = read_settings(start, BASE, "base")
    generator = generator_config(settings)
    if config.generator not in (DEVICE, generator):
        raise InputError(f"--start {start}: its generator is another than the one asked for: leave those options out")
    if config.text not in ("hashed", settings["text"]):
        raise InputError(
            f"--start {start}: its text encoder is {settings['text']}, not {config.text}: leave --text out"
        )
    encoder = encoder_of(settings, named_text(settings, config.text))
    return replace(config, generator=generator, text=settings["text"]), encoder


def card(config: BaseConfig, prompts: list[str], data: TrainingData, result: TrainingResult) -> str:
    """The model card, in the form that model hubs read."""
    lines = [
        "---",
        "library_name: e2gan",
        "pipeline_tag: image-to-image",
        "---",
        "# E²GAN base",
        "",
        "A generator that edits a photo by a prompt, made to carry LoRA adapters of further edits.",
        "",
        f"- parameters: {parameters(Generator(config.generator)):,}",
        f"- trained on: {len(data)} pairs of {len(data.photos)} photos at {data.size}×{data.size} pixels",
        f"- concepts: {'; '.join(prompts)}",
        f"- text encoder: {config.text}",
        f"- training: {result.steps} steps of {config.training.batch}, {result.seconds:.0f} s, "
        f"seed {config.training.seed}",
        f"- last training L1: {result.l1:.1f} of 255",
        "",
        "The licence is that of the photos and of the teacher's edits that it was trained on. State it in this file's",
        "head, as `license: …`: exports and sites take it from there.",
        "",
        "    e2gan adapt --base <this folder> --pairs <pair set> --out <adapter>",
        "",
    ]
    return "\n".join(lines)
