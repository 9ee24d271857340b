from __future__ import annotations

import torch

from e2gan.networks.discriminator import Discriminator


def test_discriminator_gives_a_logit_a_patch_that_sees_the_photo() -> None:
    discriminator = Discriminator(8)
    photo, edited = torch.rand(2, 3, 64, 64), torch.rand(2, 3, 64, 64)
    logits = discriminator(photo, edited)
    assert logits.shape == (2, 1, 6, 6)
    assert not torch.allclose(discriminator(1 - photo, edited), logits)
    assert discriminator(torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32)).shape == (1, 1, 2, 2)
