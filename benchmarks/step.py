"""What a training step costs: pix2pix, the whole generator, an adapter; fp32 and bf16.

    python benchmarks/step.py [--size 256] [--batch 1] [--repeat 5]

Prints the median milliseconds a photo and the ratio to pix2pix in fp32, all in turns.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch

from e2gan.config import PIX2PIX, PRESETS, GeneratorConfig, Ranks, TrainingConfig
from e2gan.core.device import resolve_device
from e2gan.measure.cost import example, latencies
from e2gan.networks.discriminator import Discriminator
from e2gan.networks.generator import Generator
from e2gan.networks.lora import attach, rank_of_layers
from e2gan.networks.lora_training import train_mode
from e2gan.train.batches import Batch
from e2gan.train.step import Trainer


def steady_clock() -> Callable[[], float]:
    """One thread's own time, which is the same whatever else the machine does; the wall's for several."""
    return time.process_time if torch.get_num_threads() == 1 else time.perf_counter


def training_step(
    config: GeneratorConfig, training: TrainingConfig, *, ranks: Ranks | None, size: int
) -> Callable[[], object]:
    """One more training step on random pairs. ranks: an adapter's; None trains all weights."""
    device, batch = resolve_device(training.device), training.batch
    generator = Generator(config)
    if ranks is not None:
        attach(generator, rank_of_layers(generator, ranks))
    trainer = Trainer(train_mode(generator).to(device), Discriminator().to(device), training)
    photo, _ = example(generator, size, device)
    photo = photo.repeat(batch, 1, 1, 1)
    tokens = torch.randn(batch, 8, config.text_width, device=device)
    pairs = Batch(photo, -photo, tokens, torch.ones(batch, 8, dtype=torch.bool, device=device))
    return lambda: trainer.step(pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    rows = (
        ("pix2pix, 9 RBs", PIX2PIX, None),
        ("E²GAN, all weights", PRESETS["residual"], None),
        ("E²GAN, paper preset", PRESETS["paper"], None),
        ("E²GAN, adapter", PRESETS["residual"], Ranks()),
        ("E²GAN device preset, adapter", PRESETS["device"], Ranks()),
    )
    steps = {}
    for name, config, ranks in rows:
        for precision in ("fp32", "bf16"):
            training = TrainingConfig(batch=arguments.batch, precision=precision)
            steps[name, precision] = training_step(config, training, ranks=ranks, size=arguments.size)
    found = latencies(steps, arguments.repeat, resolve_device("auto"))
    print(f"| {arguments.size} px, batch {arguments.batch} | ms a photo, fp32 | bf16 | against pix2pix fp32 |")
    print("|---|---|---|---|")
    first = found[rows[0][0], "fp32"]
    for name, _, _ in rows:
        fp32, bf16 = found[name, "fp32"], found[name, "bf16"]
        cells = (f"{fp32 / arguments.batch:.0f}", f"{bf16 / arguments.batch:.0f}")
        print(f"| {name} | {' | '.join(cells)} | {first / fp32:.1f}×, {first / bf16:.1f}× |")


if __name__ == "__main__":
    main()
