"""Training without pairs (Park et al. 2020), for horse to zebra in Tab. 9: contrast of patches in place of L1."""

from __future__ import annotations

import torch
from torch import Tensor

from e2gan.config import TrainingConfig
from e2gan.core.device import autocast
from e2gan.networks.baselines.patchnce import LAYERS, PatchNCE, channels_of, contrastive_loss
from e2gan.networks.discriminator import UnpairedDiscriminator
from e2gan.networks.generator import Generator
from e2gan.train.batches import Batch
from e2gan.train.step import Trainer


class UnpairedTrainer(Trainer):
    """A trainer whose edit is held to its own photo, patch by patch; D sees whether it looks like the target's kind.

    A patch of the edit should be told by the photo's patch at its place, and an image of the target's kind should stay
    as it is (CUT's identity part). The target of a batch need not belong to its photo.
    """

    def __init__(self, generator: Generator, discriminator: UnpairedDiscriminator, config: TrainingConfig) -> None:
        device = next(generator.parameters()).device
        self.layers = tuple(name for name in LAYERS if name in dict(generator.named_modules()))
        nce = PatchNCE(channels_of(generator.config, self.layers)).to(device)
        super().__init__(generator, discriminator, config, heads=nce)
        self.encoder, self.nce = generator, nce

    def content(self, batch: Batch, edit: Tensor, losses: dict[str, Tensor]) -> Tensor:
        tokens, mask = batch.tokens, batch.mask
        # The step's own chance, which a resumed run repeats.
        rng = torch.Generator().manual_seed(int(torch.randint(2**62, (1,))))
        with autocast(self.device, self.config.precision):
            same = self.generator(batch.target, tokens, mask, batch.place)
            for name, image, result in (("nce", batch.photo, edit), ("identity", batch.target, same)):
                losses[name] = contrastive_loss(
                    self.encoder, self.nce, image, result, tokens, mask, batch.place, rng, self.layers
                )
        return (losses["nce"] + losses["identity"]) / 2
