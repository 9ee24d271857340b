"""The conditional discriminator of Eq. 1: a 70×70 PatchGAN that sees (photo, edit); and one of the edit alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def initialise(network: nn.Module) -> None:
    """pix2pix's start: weights N(0, 0.02), an affine batch norm's scale N(1, 0.02), biases zero."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.BatchNorm2d)):
            nn.init.normal_(module.weight, float(isinstance(module, nn.BatchNorm2d)), 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class Discriminator(nn.Module):
    """Whether each 70×70 patch of an edit is the teacher's (undisclosed in the paper; pix2pix's, 2.77 M parameters).

    photo, edit: (B, 3, H, W) float in [-1, 1], H and W at least 32. Returns logits (B, 1, H/8 - 2, W/8 - 2).
    Instance norm, so that a pair's logits do not depend on the batch it is in.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(6, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for i, stride in enumerate((2, 2, 1)):
            into, out = width << i, width << (i + 1)
            layers += [nn.Conv2d(into, out, 4, stride=stride, padding=1), nn.InstanceNorm2d(out), nn.LeakyReLU(0.2)]
        layers.append(nn.Conv2d(width << 3, 1, 4, padding=1))
        self.layers = nn.Sequential(*layers)
        initialise(self)

    def seen(self, photo: Tensor, edit: Tensor) -> Tensor:
        """What the layers run on."""
        return torch.cat([photo, edit], dim=1)

    def forward(self, photo: Tensor, edit: Tensor) -> Tensor:
        return self.layers(self.seen(photo, edit))

    def maps(self, photo: Tensor, edit: Tensor) -> list[Tensor]:
        """The maps after each activation, and the logits last."""
        found, x = [], self.seen(photo, edit)
        for layer in self.layers:
            x = layer(x)
            if isinstance(layer, nn.LeakyReLU):
                found.append(x)
        return [*found, x]


class UnpairedDiscriminator(Discriminator):
    """The 70×70 PatchGAN on the edit alone (2,764,737 parameters): without pairs there is nothing to compare it with.

    photo: not used; there so that a training step calls it as it calls the paired one. edit: (B, 3, H, W).
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__(width)
        self.layers[0] = nn.Conv2d(3, width, 4, stride=2, padding=1)
        initialise(self.layers[0])

    def seen(self, photo: Tensor, edit: Tensor) -> Tensor:  # noqa: ARG002
        return edit
