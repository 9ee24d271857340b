from __future__ import annotations

import torch

from e2gan.networks.discriminator import Discriminator, UnpairedDiscriminator


def test_discriminator_gives_a_logit_a_patch_that_sees_the_photo() -> None:
    discriminator = Discriminator(8)
    photo, edited = torch.rand(2, 3, 64, 64), torch.rand(2, 3, 64, 64)
    logits = discriminator(photo, edited)
    assert logits.shape == (2, 1, 6, 6)
    assert not torch.allclose(discriminator(1 - photo, edited), logits)
    assert discriminator(torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32)).shape == (1, 1, 2, 2)


def test_the_unpaired_discriminator_sees_the_edit_alone() -> None:
    torch.manual_seed(0)
    discriminator = UnpairedDiscriminator(8)
    photo, edit = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    logits = discriminator(photo, edit)
    assert logits.shape == (2, 1, 2, 2)
    assert torch.equal(logits, discriminator(-photo, edit))
    assert not torch.allclose(logits, discriminator(photo, -edit), atol=1e-5)
    with torch.device("meta"):
        assert sum(p.numel() for p in UnpairedDiscriminator().parameters()) == 2_764_737  # as published: 2.765 M


def test_maps_are_those_after_each_activation_with_the_logits_last() -> None:
    for kind in (Discriminator, UnpairedDiscriminator):
        discriminator = kind(4)
        photo, edit = torch.rand(2, 2, 3, 32, 32).unbind()
        maps = discriminator.maps(photo, edit)
        assert [m.shape[1] for m in maps] == [4, 8, 16, 32, 1]
        assert torch.equal(maps[-1], discriminator(photo, edit))
