"""pix2pix's U-Net 256 generator (Isola et al. 2017, Sec. 3.2.1 and its appendix), a baseline beside those of Tab. 1."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from e2gan.config.checks import need
from e2gan.core.errors import InputError
from e2gan.networks.discriminator import initialise


@dataclass(frozen=True, kw_only=True)
class UNetConfig:
    """pix2pix's U-Net generator (Isola et al. 2017), 54.4 M parameters at its defaults."""

    size: int = 256
    """Side of the photos in pixels."""
    width: int = 64
    """Channels of the first convolution; each level doubles them up to eight times as many."""
    dropout: float = 0.5
    """Dropout on the way up, in the inner blocks of eight times the width; it plays z while training (0.5)."""

    @property
    def depth(self) -> int:
        """Halvings on the way down: to a single pixel if the size allows it, 8 at the most."""
        return min(8, (self.size & -self.size).bit_length() - 1)  # how often 2 divides the size

    def check(self) -> None:
        need(self.depth >= 2, f"--size {self.size}: must be a multiple of 4, for the U-Net halves it 2 times")


class BatchNorm(nn.BatchNorm2d):
    """Batch norm with affine weights and no running averages: over the batch in training, over each image after it.

    The reference trains at batch 1 and leaves the network in training mode at test time, dropout included. The
    first keeps the statistics equal to those it was trained with, which running averages are not; the second makes
    every run different. Here evaluation mode keeps what is right of that: an edit depends on its own photo alone,
    not on its neighbours in the batch, is the same each time, and at batch 1 is normalised as in training.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, track_running_stats=False)

    def forward(self, input: Tensor) -> Tensor:
        if self.training:
            return super().forward(input)
        return F.instance_norm(input, weight=self.weight, bias=self.bias, eps=self.eps)


class UNet(nn.Module):
    """Edits a photo as pix2pix does with its U-Net: a way down, a way up, and a skip at every level.

    photo: (B, 3, H, W) float in [-1, 1], H and W multiples of 2^levels. tokens and mask are not used: the network
    learns one concept; they are there so that it is called as every generator is.
    Returns (B, 3, H, W) float in [-1, 1]. Raises InputError where the photo's sides are no such multiples.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        config.check()
        self.config = config
        levels = config.depth
        self.multiple = 2**levels
        widths = [config.width * min(8, 2**i) for i in range(levels)]  # channels after each halving
        self.down = nn.ModuleList()
        self.up = nn.ModuleList()
        for i, width in enumerate(widths):
            outer, inner = i == 0, i == levels - 1
            into = 3 if outer else widths[i - 1]
            # A convolution's bias under a norm does nothing.
            way_down: list[nn.Module] = [] if outer else [nn.LeakyReLU(0.2)]
            way_down.append(nn.Conv2d(into, width, 4, stride=2, padding=1, bias=False))
            if not outer and not inner:  # the innermost map may be a single pixel: nothing to normalise over
                way_down.append(BatchNorm(width))
            self.down.append(nn.Sequential(*way_down))

            below = width if inner else 2 * width  # with the skip
            way_up: list[nn.Module] = [nn.ReLU()]
            way_up.append(nn.ConvTranspose2d(below, into, 4, stride=2, padding=1, bias=outer))
            if not outer:
                way_up.append(BatchNorm(into))
            if 4 <= i < levels - 1 and config.dropout:
                way_up.append(nn.Dropout(config.dropout))
            self.up.append(nn.Sequential(*way_up))
        initialise(self)

    def forward(self, photo: Tensor, *_: object) -> Tensor:
        height, width = photo.shape[-2:]
        # An exported graph cannot raise.
        if not torch.compiler.is_compiling() and (height % self.multiple or width % self.multiple):
            raise InputError(
                f"a photo of {width}×{height} does not fit the U-Net: it halves the photo {self.config.depth} times, "
                f"so both sides must be multiples of {self.multiple}; resize the photo"
            )
        skips, h = [], photo
        for way_down in self.down:
            h = way_down(h)
            skips.append(h)
        skips.pop()
        for way_up in reversed(self.up):
            h = way_up(h)
            h = torch.cat([skips.pop(), h], dim=1) if skips else h
        return h.float().tanh()
