"""Eq. 1: λ·L1 plus the conditional adversarial loss, in its non-saturating form."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["discriminator_loss", "generator_adversarial_loss", "l1_loss"]


def l1_loss(edit: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of (B, 3, H, W) in [-1, 1], in fp32; 1/127.5 is one 8-bit level."""
    return F.l1_loss(edit.float(), target.float())


def generator_adversarial_loss(logits_fake: Tensor) -> Tensor:
    """-log D(photo, G(photo)), mean over patches."""
    return F.binary_cross_entropy_with_logits(logits_fake.float(), torch.ones_like(logits_fake, dtype=torch.float32))


def discriminator_loss(logits_real: Tensor, logits_fake: Tensor) -> Tensor:
    """Half of -log D(photo, teacher) - log(1 - D(photo, G(photo))), mean over patches; halved as in pix2pix."""
    real = F.binary_cross_entropy_with_logits(logits_real.float(), torch.ones_like(logits_real, dtype=torch.float32))
    fake = F.binary_cross_entropy_with_logits(logits_fake.float(), torch.zeros_like(logits_fake, dtype=torch.float32))
    return (real + fake) / 2
