"""One concept's adapter: 92 thousand parameters on a frozen base (Sec. 4.2.2)."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import torch
from torch import Tensor

from e2gan.config import AdaptConfig, Ranks, TrainingConfig
from e2gan.config.schemas import AdapterFacts
from e2gan.core.errors import InputError
from e2gan.core.files import read_json, sha256, write_json
from e2gan.core.outputs import begun_without
from e2gan.core.progress import note
from e2gan.core.tensors import read_tensors, write_tensors
from e2gan.data.pair_set import PairSet
from e2gan.networks.folders import (
    ABOUT,
    ADAPTER,
    ADAPTER_CONFIG,
    CONCEPT,
    MODEL,
    adapter_folder,
    adapter_sha256,
    base_content,
    base_folder,
    weights_hash,
)
from e2gan.networks.generator import Generator
from e2gan.networks.lora import (
    CUT,
    adapter_tensors,
    attach,
    check_shapes,
    lora_config,
    rank_of_layers,
    start_along,
    start_from,
)
from e2gan.networks.lora_training import train_mode
from e2gan.networks.models import encoder_of, load_discriminator, load_generator
from e2gan.networks.peft_config import adapter_weights
from e2gan.train.batches import TrainingData
from e2gan.train.loop import Trained, TrainingResult, batches, check_size, identity_of, reads_of, room, run
from e2gan.train.losses import l1_loss
from e2gan.train.step import Trainer

ALL = 0.995  # of a start that counts as held: half precision loses some, and more would be told as 100 %
GRADIENT_PAIRS = 16  # that --init gradient looks at: as long as a dozen steps


def adapt(config: AdaptConfig) -> Trained:
    """Train an adapter of the base on one concept's pairs. Run again, it goes on, or finds it done.

    The discriminator starts from the base's (undisclosed in the paper). Raises InputError for bad settings, a missing
    base or pair set, and where a loss is no longer finite.
    """
    AdaptConfig.checked(config)
    folder = base_folder(config.base)
    generator, settings = load_generator(folder)
    layers: dict[str, int] = {}
    pair_set = PairSet.load(config.pairs)
    check_size(generator.config, pair_set.size, config.training.crop)
    encoder = encoder_of(settings, config.text)
    data = TrainingData.load([pair_set], encoder, selection=config.selection, **room(config))
    base_hash = sha256(folder / MODEL)
    starts = [adapter_folder(path) for path in config.start]
    others = [_tensors_of(path, base_hash, generator) for path in starts]

    def make(device: torch.device) -> Trainer:
        layers.update(rank_of_layers(generator, config.ranks, cut=not begun_without(config.out, CUT)))
        slopes = gradients(generator.to(device), layers, data.to(device), config) if config.init == "gradient" else {}
        attach(generator, layers)
        if others:
            try:
                held = start_from(generator, others)
            except ValueError as error:
                raise InputError(f"--start: {error}") from error
            if held < ALL:
                note(f"--start: this adapter's ranks hold {held:.0%} of what it starts from (by squares of weights)")
        if slopes:
            start_along(generator, slopes)
        discriminator = load_discriminator(folder).to(device).train()
        return Trainer(train_mode(generator).to(device), discriminator, config.training)

    def write(partial: Path, _: Trainer, result: TrainingResult) -> None:
        facts = about(config, pair_set.prompt, folder, base_hash, data, result)
        write_adapter(partial, generator, layers, encoder.encode(pair_set.prompt), facts)

    extra = identity_of(pair_set, config.selection) | {
        "base_sha256": base_hash,
        "generator": settings["generator"],
        "start_sha256": [adapter_sha256(path) for path in starts],
        CUT: True,
    }
    reads = reads_of(pair_set, config.selection) | {
        "base": base_content(folder),
        "start": [weights_hash(path, ADAPTER, ADAPTER_CONFIG, ABOUT) for path in starts],
    }
    result = run("adapt", config, config.out, make, data, write, extra, reads)
    tensors, _ = read_tensors(config.out / ADAPTER)
    count = sum(t.numel() for t in tensors.values())
    return Trained(folder=config.out, what="adapter", parameters=count, result=result)


def gradients(
    generator: Generator, layers: dict[str, int], data: TrainingData, config: AdaptConfig
) -> dict[str, Tensor]:
    """The gradient of the L1 loss by each named layer's weight, over the pairs of a training's first steps."""
    training = config.training
    steps = math.ceil(GRADIENT_PAIRS / training.batch)
    weights = {name: generator.get_submodule(name).get_parameter("weight").requires_grad_() for name in layers}
    total = [torch.zeros_like(weight) for weight in weights.values()]
    for batch in itertools.islice(batches(data, training, 0), steps):
        loss = l1_loss(generator(batch.photo, batch.tokens, batch.mask, batch.place), batch.target)
        for kept, gradient in zip(total, torch.autograd.grad(loss, list(weights.values())), strict=True):
            kept += gradient
    for weight in weights.values():
        weight.requires_grad_(False)
    return dict(zip(weights, total, strict=True))


def _tensors_of(adapter: Path, base_hash: str, generator: Generator) -> dict[str, Tensor]:
    """An adapter's tensors. Raises InputError where it belongs to another base, or does not fit it."""
    if read_json(adapter / ABOUT, AdapterFacts).get("base_sha256") != base_hash:
        raise InputError(
            f"--start {adapter}: belongs to another base than this one's: only its own know what it changes"
        )
    tensors = adapter_weights(adapter, generator)
    try:
        check_shapes(generator, tensors)
    except ValueError as error:
        raise InputError(f"--start {adapter}: {error}") from None
    return tensors


def about(
    config: AdaptConfig, prompt: str, base: Path, base_hash: str, data: TrainingData, result: TrainingResult
) -> dict[str, object]:
    """e2gan.json: what the adapter does, what it belongs to, and how it was trained."""
    return {
        "prompt": prompt,
        "base": base.name,
        "base_sha256": base_hash,
        "size": data.size,
        "detail": data.detail(),
        "pairs": len(data),
        "ranks": config.ranks,
        "init": config.init,
        "training": config.training,
        "steps": result.steps,
        "metrics": {"seconds": result.seconds, "train_l1": result.l1},
    }


def write_adapter(
    folder: Path, generator: Generator, layers: dict[str, int], tokens: Tensor, facts: dict[str, object]
) -> None:
    """The four files of an adapter: PEFT's two, the prompt's tokens, and e2gan.json. Weights in half precision."""
    tensors = {k: v.half() for k, v in adapter_tensors(generator).items()}
    write_tensors(folder / ADAPTER, tensors, header(facts, sum(t.numel() for t in tensors.values())))
    peft = lora_config(layers)
    peft.inference_mode = True
    write_json(folder / ADAPTER_CONFIG, {k: sorted(v) if isinstance(v, set) else v for k, v in peft.to_dict().items()})
    write_tensors(folder / CONCEPT, {"tokens": tokens.half()}, {"prompt": str(facts["prompt"])})
    write_json(folder / ABOUT, facts)


def header(facts: dict[str, object], parameters: int) -> dict[str, str]:
    """What other LoRA tools read in a safetensors header. No date: the same training gives the same file."""
    training, ranks = facts["training"], facts["ranks"]
    assert isinstance(training, TrainingConfig)
    assert isinstance(ranks, Ranks)
    return {
        "format": "pt",
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": "e2gan/lora",
        "modelspec.implementation": "e2gan",
        "modelspec.title": str(facts["prompt"]),
        "modelspec.description": f"E2GAN adapter, {parameters} parameters: {facts['prompt']}",
        "modelspec.resolution": f"{facts['size']}x{facts['size']}",
        "ss_base_model": str(facts["base"]),
        "ss_base_model_hash": str(facts["base_sha256"]),
        "ss_network_module": "peft.lora",
        "ss_network_dim": str(max(vars(ranks).values())),
        "ss_network_alpha": str(max(vars(ranks).values())),
        "ss_learning_rate": str(training.lr),
        "ss_lr_scheduler": training.schedule,
        "ss_optimizer": f"Adam(betas={training.betas})",
        "ss_batch_size": str(training.batch),
        "ss_steps": str(facts["steps"]),
        "ss_seed": str(training.seed),
        "ss_num_train_images": str(facts["pairs"]),
    }
