"""The base: one generator trained on several concepts, told apart by their prompts (Sec. 4.2.1)."""

from __future__ import annotations

from pathlib import Path

import torch

from e2gan.config import BaseConfig
from e2gan.data import TrainingData
from e2gan.discriminator import Discriminator
from e2gan.files import sha256, write_bytes
from e2gan.generator import Generator
from e2gan.models import write_networks
from e2gan.pairs import PairSet
from e2gan.results import Trained
from e2gan.training import TrainingResult, parameters, run

__all__ = ["train_base"]


def train_base(config: BaseConfig) -> Trained:
    """Train the base on the training pairs of all concepts, mixed. Run again, it goes on, or finds it done.

    Raises InputError for bad settings or pair sets, and where a loss is no longer finite.
    """
    config.check()
    sets = [PairSet.load(folder) for folder in config.pairs]
    data = TrainingData.load(sets, config.generator.text_width)
    concepts = {s.prompt: sha256(s.folder / "metadata.jsonl") for s in sets}

    def networks(device: torch.device) -> tuple[Generator, Discriminator]:
        return Generator(config.generator).to(device).train(), Discriminator().to(device).train()

    def write(folder: Path, generator: Generator, discriminator: Discriminator, result: TrainingResult) -> None:
        write_networks(folder, generator, discriminator)
        write_bytes(folder / "README.md", card(config, list(concepts), data, result).encode())

    result = run("base", config, config.out, networks, data, write, {"concepts": concepts})
    return Trained(folder=config.out, what="base", parameters=parameters(Generator(config.generator)), result=result)


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
        "The licence is that of the photos and of the teacher's edits that it was trained on.",
        "",
        "    e2gan adapt --base <this folder> --pairs <pair set> --out <adapter>",
        "",
    ]
    return "\n".join(lines)
