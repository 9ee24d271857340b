"""Eq. 1: λ·L1 plus the conditional adversarial loss, in its non-saturating form; and the registry of content losses.

    G: λ·L1(G(x, prompt), y) + gan · -log D(x, G(x, prompt))          D: -log D(x, y) - log(1 - D(x, G(x, prompt)))

`LOSSES` has what holds an edit to its target: `train.step.Trainer` sums them, and adds the adversarial part. Beside
Eq. 1's L1, the perceptual ones weigh nothing unless the settings say so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from e2gan.config import TrainingConfig
from e2gan.train.perceptual import gram_loss, perceptual_loss, perceptual_maps


def l1_loss(edit: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of (B, 3, H, W) in [-1, 1], in fp32; 1/127.5 is one 8-bit level."""
    return F.l1_loss(edit.float(), target.float())


def _pixels(images: Tensor) -> Tensor:
    return images


@dataclass(frozen=True)
class Loss:
    """A loss of an edit against its target, both (B, 3, H, W) in [-1, 1], and the setting that weighs it; 0: none.

    view: what of both images `of` compares, by default their pixels; losses of the same view share it.
    """

    of: Callable[[Any, Any], Tensor]
    weight: Callable[[TrainingConfig], float]
    view: Callable[[Tensor], Any] = _pixels


LOSSES: dict[str, Loss] = {
    "l1": Loss(l1_loss, weight=lambda config: config.l1),
    "perceptual": Loss(perceptual_loss, weight=lambda config: config.perceptual, view=perceptual_maps),
    "gram": Loss(gram_loss, weight=lambda config: config.gram, view=perceptual_maps),
}
"""Name in metrics.jsonl → loss. A new one is a function in a file of its own, and an entry here."""


def content_loss(edit: Tensor, target: Tensor, config: TrainingConfig, losses: dict[str, Tensor]) -> Tensor:
    """The weighted sum of all losses of the edit against its target; each joins `losses` by its name."""
    total = torch.zeros((), device=edit.device)
    views: dict[Callable[[Tensor], Any], tuple[Any, Any]] = {}
    for name, loss in LOSSES.items():
        weight = loss.weight(config)
        if weight or name == "l1":  # L1 is always logged: it shows how a run goes
            if loss.view not in views:
                with torch.no_grad():
                    theirs = loss.view(target)
                views[loss.view] = loss.view(edit), theirs
            losses[name] = loss.of(*views[loss.view])
            total = total + weight * losses[name]
    return total


def generator_adversarial_loss(logits_fake: Tensor) -> Tensor:
    """-log D(photo, G(photo)), mean over patches."""
    return F.binary_cross_entropy_with_logits(logits_fake.float(), torch.ones_like(logits_fake, dtype=torch.float32))


def discriminator_loss(logits_real: Tensor, logits_fake: Tensor) -> Tensor:
    """Half of -log D(photo, teacher) - log(1 - D(photo, G(photo))), mean over patches; halved as in pix2pix."""
    real = F.binary_cross_entropy_with_logits(logits_real.float(), torch.ones_like(logits_real, dtype=torch.float32))
    fake = F.binary_cross_entropy_with_logits(logits_fake.float(), torch.zeros_like(logits_fake, dtype=torch.float32))
    return (real + fake) / 2


def feature_matching_loss(maps_edit: list[Tensor], maps_target: list[Tensor]) -> Tensor:
    """L1 distance of the discriminator's maps of edit and target, mean over each, mean over layers (Wang et al. 2018).

    In fp32; nothing is learned through the target's.
    """
    distances = [F.l1_loss(a.float(), b.detach().float()) for a, b in zip(maps_edit, maps_target, strict=True)]
    return torch.stack(distances).mean()


def r1_penalty(discriminator: nn.Module, photo: Tensor, target: Tensor, gamma: float) -> Tensor:
    """γ/2·|∇D|² at the teacher's edits (Mescheder et al. 2018), in fp32. StyleGAN2: every 16 steps, 16 times."""
    # Not a leaf: PyTorch's counter of operations, which the cost tables use, cannot follow a gradient to a leaf.
    target = target.detach().requires_grad_(True).clone()
    logits = discriminator(photo, target).float()
    # A patch discriminator's mean, so that γ means the same whatever the number of patches.
    (gradient,) = torch.autograd.grad(logits.flatten(1).mean(1).sum(), target, create_graph=True)
    return gamma / 2 * gradient.square().sum((1, 2, 3)).mean()
