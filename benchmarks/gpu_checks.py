"""The part `checks` of gpu.py: whether a card's edits, losses and gradients are the CPU's."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from e2gan import RECIPES
from e2gan.core.device import autocast
from e2gan.export.pixel_model import PixelModel
from e2gan.networks.folders import base_folder, shipped_adapters
from e2gan.networks.models import Model, encoder_of, load_generator
from e2gan.networks.text import pad
from e2gan.train.loop import batches
from e2gan.train.losses import content_loss
from gpu_parts import CHANNELS_LAST, Row, Settings, adapter_of, attempt, pairs_for, pictures

LIMITS = {"fp32": 0.05, "TF32": 0.5, "bf16": 2.0}  # mean 8-bit levels from the CPU's edit in fp32
TURNED = {"fp32": 1e-3, "TF32": 2e-2, "bf16": 0.1, "bf16, channels last": 0.1}  # a gradient, in parts of its norm
PROMPTS = ("rain", "as an oil painting", "make it look like a photo that was taken at night in a large city")
FIRST, LAST = 1e-3, 2e-2  # by how much a loss may differ from the CPU's, in parts of it, at the first and last step


def checks(settings: Settings) -> Iterator[Row]:
    """Edits and losses against the CPU's. `passed` where they are within LIMITS, FIRST and LAST."""
    photos = pictures(4, settings.size)[0].permute(0, 2, 3, 1).contiguous()
    adapter = shipped_adapters()["golden"]
    models = {"full": Model.load(adapter=(adapter,)), "small": Model.load(base="small", prompt="as an oil painting")}

    def edits(name: str, precision: str) -> Row:
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "TF32"
        pixels = PixelModel(models[name].plain(), models[name].tokens)
        with torch.inference_mode():
            expected = pixels(photos)
            with autocast(settings.device, "bf16" if precision == "bf16" else "fp32"):
                found = pixels.to(settings.device)(photos.to(settings.device)).cpu()
        levels = (found.int() - expected.int()).abs().float()
        moved = (expected.int() - photos.int()).abs().float().mean()
        told = {"mean": float(levels.mean()), "max": int(levels.max()), "edit_moves": float(moved)}
        return told | {"passed": told["mean"] <= LIMITS[precision]}

    for name in models:
        for precision in LIMITS:
            yield attempt(f"edits, {name}, {precision}", lambda n=name, p=precision: edits(n, p), settings, 5)
    for part in ("full", "small"):
        yield attempt(f"losses, {part}", lambda part=part: losses_of(part, settings), settings, 10)
    for part in ("full", "small"):
        expected = gradient(part, torch.device("cpu"), "fp32")
        for how in TURNED:
            yield attempt(
                f"gradient, {part}, {how}", lambda p=part, h=how, e=expected: turned(p, h, e, settings), settings
            )


def gradient(base: str, device: torch.device, how: str) -> dict[str, Tensor]:
    """A base's gradient of all weights, on the CPU: six photos, three prompts of different lengths, crops, L1 and
    perceptual loss."""
    precision, _, layout = how.partition(", ")
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "TF32"
    generator, told = load_generator(base_folder(Path(base)))
    generator.requires_grad_(True).train().to(device)
    tokens, mask = pad([encoder_of(told).encode(prompt) for prompt in PROMPTS])
    config = replace(RECIPES["best"].training["base"], crop=64)
    data = replace(pairs_for(tokens, mask, 6, 80), concept_of=torch.arange(6) % len(PROMPTS)).to(device)
    batch = data.batch(torch.arange(6), config, torch.Generator().manual_seed(0))
    photo = batch.photo
    if layout == CHANNELS_LAST:
        network: Any = generator
        network.to(memory_format=torch.channels_last)
        photo = photo.contiguous(memory_format=torch.channels_last)
    with autocast(device, "bf16" if precision == "bf16" else "fp32"):
        edit = generator(photo, batch.tokens, batch.mask, batch.place)
    content_loss(edit, batch.target, config, {}).backward()
    return {name: p.grad.cpu().clone() for name, p in generator.named_parameters() if p.grad is not None}


def turned(base: str, how: str, expected: dict[str, Tensor], settings: Settings) -> Row:
    """By how much the gradient differs from the CPU's in fp32, in parts of its norm; and where it does most, among the
    weights with a ten thousandth of the norm at least, which may differ three times as much."""
    found = gradient(base, settings.device, how)
    norm = float(sum(g.square().sum() for g in expected.values())) ** 0.5
    apart = {name: float((found[name] - g).norm()) for name, g in expected.items()}
    shares = {n: apart[n] / float(g.norm()) for n, g in expected.items() if float(g.norm()) > 1e-4 * norm}
    most = max(shares, key=lambda name: shares[name])
    whole = math.hypot(*apart.values()) / norm
    about = {"differs": whole, "most": shares[most], "most_in": most, "weights": len(expected)}
    within = whole <= TURNED[how] and shares[most] <= 3 * TURNED[how]
    return about | {"judged": len(shares), "passed": within and found.keys() == expected.keys()}


def losses_of(base: str, settings: Settings) -> Row:
    """A training's losses of a few steps on both, fp32 without TF32, the same pairs in the same order.

    Without a discriminator: the bases have none, and one at random magnifies rounding a thousandfold within ten steps,
    on one device too (docs/log.md).
    """
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    config = replace(RECIPES["quick"].training["adapt"], precision="fp32", crop=None)
    size, found = (32 if settings.quick else 64), []
    for device in (torch.device("cpu"), settings.device):
        trainer, tokens, mask = adapter_of(base, config, device)
        data = pairs_for(tokens, mask, 8, size).to(device)
        rows = []
        for number, batch in zip(range(10), batches(data, config, 0), strict=False):
            trainer.set_learning_rate(0.0, number)
            rows.append({name: float(loss) for name, loss in trainer.step(batch, number).items()})
        found.append(rows)
    parts = [
        max(abs(ours[name] - theirs[name]) / abs(theirs[name]) for name in theirs)
        for theirs, ours in zip(*found, strict=True)
    ]
    told = {"first": parts[0], "last": parts[-1], "most": max(parts), "l1": [row["l1"] for row in found[1]]}
    return told | {"passed": parts[0] <= FIRST and parts[-1] <= LAST}
