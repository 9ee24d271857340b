"""The base's own weights fine-tuned on one concept, with parts of it frozen (Sec. 4.2.2, Fig. 4)."""

from __future__ import annotations

from pathlib import Path

import torch

from e2gan.config import FinetuneConfig, Part
from e2gan.core.files import sha256
from e2gan.core.record import add_facts
from e2gan.data.pair_set import PairSet
from e2gan.networks.folders import MODEL, base_content, base_folder
from e2gan.networks.generator import Generator, sampling_layers
from e2gan.networks.models import encoder_of, load_discriminator, load_generator, write_networks
from e2gan.train.batches import TrainingData
from e2gan.train.loop import Trained, TrainingResult, check_size, identity_of, reads_of, room, run
from e2gan.train.step import Trainer


def part_parameters(generator: Generator) -> dict[Part, list[torch.nn.Parameter]]:
    """The generator's parameters by part; together they are all of it."""
    sampling = [p for name in sampling_layers(generator) for p in generator.get_submodule(name).parameters()]
    transformer = [p for place in generator.transformers for p in _block(generator, place).parameters()]
    return {"sl": sampling, "tb": transformer, "rb": list(generator.blocks.parameters())}


def _block(generator: Generator, place: str) -> torch.nn.Module:
    return generator.get_submodule(f"transformers.{place}.block")


def finetune_base(config: FinetuneConfig) -> Trained:
    """Fine-tune the base on one concept's pairs, all of its weights but the frozen parts'. A rerun goes on.

    Writes a whole model, which `Model.load(model=…)` reads. Raises InputError for bad settings or folders, and where a
    loss is no longer finite.
    """
    FinetuneConfig.checked(config)
    folder = base_folder(config.base)
    generator, settings = load_generator(folder)
    pair_set = PairSet.load(config.pairs)
    check_size(generator.config, pair_set.size, config.training.crop)
    data = TrainingData.load([pair_set], encoder_of(settings, config.text), **room(config))
    generator.requires_grad_(True)
    for part in config.frozen:
        for parameter in part_parameters(generator)[part]:
            parameter.requires_grad_(False)
    count = sum(p.numel() for p in generator.parameters() if p.requires_grad)

    def make(device: torch.device) -> Trainer:
        return Trainer(generator.to(device).train(), load_discriminator(folder).to(device).train(), config.training)

    def write(partial: Path, trainer: Trainer, _: TrainingResult) -> None:
        write_networks(partial, trainer.generator, trainer.discriminator)
        add_facts(partial, {"detail": data.detail()})

    extra = identity_of(pair_set) | {
        "base_sha256": sha256(folder / MODEL),
        "generator": settings["generator"],
        "text": settings["text"],
        "text_fingerprint": settings.get("text_fingerprint"),
    }
    reads = reads_of(pair_set) | {"base": base_content(folder)}
    result = run("finetune", config, config.out, make, data, write, extra, reads)
    return Trained(folder=config.out, what="fine-tuned base", parameters=count, result=result)
