"""Co-Mod-GAN (Zhao et al., ICLR 2021), the paper's large baseline (Tab. 1: 79.2 M parameters at 256×256).

    photo ─ encoder, halving down to 4×4 ─┬─ features at each size ──────────────┐ (added)
                                          └─ global code ─┐ (co-modulate)        │
    z ─ mapping network ─ w ──────────────────────────────┴─ StyleGAN2 synthesis ┴─ edit

The paper takes it in the form in which pix2pix-zero distilled it: paired translation of a whole photo. The layers and
their sizes are those of StyleGAN2 (Karras et al. 2020), with equalised learning rates, and the global code beside w.

How the parameters come to 79.2 M: StyleGAN2's channels (512 up to 64×64, then 256 and 128), an encoder like its
discriminator without the residual ways, a global code of 1024 = 2·512 with dropout, w of 512 from 8 layers, and every
modulation read from the 1536 numbers of both: 79,177,250. With the fourth input channel that image completion needs
for its mask it is 79,177,378, which rounds to the same, so that the count cannot tell the two; a photo to be
translated whole has no mask. A code of 512 numbers comes to 66.3 M, and is ruled out.

Its losses are those of `e2gan.losses`, with R1. StyleGAN2's path length regularisation is left out: it makes equal
steps in w equally visible, while here L1 ties the edit to the teacher's and w has little left to say.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from e2gan.config.checks import need
from e2gan.core.errors import InputError


@dataclass(frozen=True, kw_only=True)
class ComodganConfig:
    """Co-Mod-GAN for paired translation (Zhao et al. 2021; Tab. 1), 79.2 M parameters at its defaults."""

    size: int = 256
    """Side of the photos in pixels, a power of two from 32 to 1024; the network works at this size only."""
    channel_base: int = 32768
    """Channels at a side of R pixels are this over R (StyleGAN2: 32768) …"""
    channel_max: int = 512
    """… and at most so many (StyleGAN2: 512)."""
    code: int = 1024
    """Width of the encoder's global code (1024 meets the 79.2 M of Tab. 1)."""
    z_dim: int = 512
    """Width of the random z (512)."""
    w_dim: int = 512
    """Width of the style w that the mapping network makes of z (512)."""
    mapping_layers: int = 8
    """Layers of the mapping network (8)."""
    dropout: float = 0.5
    """Dropout on the global code while training (0.5)."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sides of the feature maps: size, …, 8, 4."""
        return tuple(2**i for i in range(self.size.bit_length() - 1, 1, -1))

    def channels(self, side: int) -> int:
        return min(self.channel_base // side, self.channel_max)

    def check(self) -> None:
        need(
            32 <= self.size <= 1024 and self.size & (self.size - 1) == 0,
            f"--size {self.size}: must be a power of two from 32 to 1024",
        )


def _fp32(x: Tensor) -> torch.autocast:
    """Autocast off on x's device, for what bf16 is too coarse for."""
    return torch.autocast(x.device.type, enabled=False)


def _activate(x: Tensor) -> Tensor:
    """Leaky ReLU that keeps the variance."""
    return F.leaky_relu(x, 0.2) * math.sqrt(2)


def _fir_kernel(x: Tensor, gain: float) -> Tensor:
    """The low-pass filter [1, 3, 3, 1] in both directions, summing to gain, one for each channel: (C, 1, 4, 4)."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], device=x.device, dtype=x.dtype)
    return (torch.outer(taps, taps) * (gain / 64)).expand(x.shape[1], 1, 4, 4)


def fir_blur(x: Tensor, padding: int, gain: float = 1.0) -> Tensor:
    """Low-pass filter of (B, C, H, W) between zeros; the sides change by 2·padding - 3."""
    return F.conv2d(x, _fir_kernel(x, gain), padding=padding, groups=x.shape[1])


def fir_up(x: Tensor) -> Tensor:
    """Twice the size, low-passed: (B, C, H, W) → (B, C, 2H, 2W). Beyond the border lie zeros, as in StyleGAN2."""
    return F.conv_transpose2d(x, _fir_kernel(x, 4.0), stride=2, padding=1, groups=x.shape[1])


def fir_down(x: Tensor) -> Tensor:
    """Low-passed, then half the size: (B, C, H, W) → (B, C, H/2, W/2). Beyond the border lie zeros."""
    return F.conv2d(x, _fir_kernel(x, 1.0), stride=2, padding=1, groups=x.shape[1])


class Dense(nn.Module):
    """Linear layer at an equalised learning rate: (B, in) → (B, out); `rate` multiplies that rate."""

    def __init__(
        self, in_width: int, out_width: int, *, rate: float = 1.0, bias: float = 0.0, active: bool = True
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_width, in_width) / rate)
        self.bias = nn.Parameter(torch.full((out_width,), bias))
        self.scale, self.rate, self.active = rate / math.sqrt(in_width), rate, active

    def forward(self, x: Tensor) -> Tensor:
        x = F.linear(x, self.weight * self.scale, self.bias * self.rate)
        return _activate(x) if self.active else x


class Conv(nn.Module):
    """Convolution at an equalised learning rate: (B, in, H, W) → (B, out, H, W), or half the size with `down`."""

    def __init__(
        self, into: int, out: int, kernel: int, *, down: bool = False, bias: bool = True, active: bool = True
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out, into, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out)) if bias else None
        self.scale, self.down, self.active = 1 / math.sqrt(into * kernel**2), down, active

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.weight.shape[-1]
        weight = self.weight * self.scale
        if not self.down:
            x = F.conv2d(x, weight, self.bias, padding=kernel // 2)
        elif kernel == 1:
            x = F.conv2d(fir_down(x), weight, self.bias)
        else:
            x = F.conv2d(fir_blur(x, padding=2), weight, self.bias, stride=2)
        return _activate(x) if self.active else x


class ModulatedConv(nn.Module):
    """Convolution whose input channels a style scales (StyleGAN2, Sec. 2.2): (B, in, H, W), (B, S) → (B, out, …).

    With `demodulate` each output channel's weights are scaled back to norm 1. Both scalings are done on the feature
    maps, which is the same as on each sample's weights and needs neither a copy of them nor a grouped convolution.
    The scales are computed in fp32, whatever the convolution runs in.
    """

    def __init__(
        self, into: int, out: int, kernel: int, style: int, *, up: bool = False, demodulate: bool = True
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out, into, kernel, kernel))
        self.to_scale = Dense(style, into, bias=1.0, active=False)
        self.scale, self.up, self.demodulate = 1 / math.sqrt(into * kernel**2), up, demodulate

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        weight = self.weight * self.scale
        with _fp32(x):
            into = self.to_scale(style.float())  # (B, in)
        x = x * into.to(x.dtype)[:, :, None, None]
        if self.up:
            x = fir_blur(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), padding=1, gain=4.0)
        else:
            x = F.conv2d(x, weight, padding=weight.shape[-1] // 2)
        if not self.demodulate:
            return x
        with _fp32(x):
            norms = into.square() @ weight.float().square().sum(dim=(2, 3)).T  # (B, out)
            out = torch.rsqrt(norms + 1e-8)
        return x * out.to(x.dtype)[:, :, None, None]


class SynthesisLayer(nn.Module):
    """Modulated 3×3 convolution, noise while training, bias and activation."""

    def __init__(self, into: int, out: int, style: int, *, up: bool = False) -> None:
        super().__init__()
        self.conv = ModulatedConv(into, out, 3, style, up=up)
        self.noise = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(out))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        x = self.conv(x, style)
        if self.training:
            x = x + torch.randn_like(x[:, :1]) * self.noise.to(x.dtype)
        return _activate(x + self.bias.to(x.dtype)[:, None, None])


class ToRGB(nn.Module):
    """Modulated 1×1 convolution to the image, which grows from size to size (StyleGAN2's skip form), in fp32."""

    def __init__(self, into: int, style: int) -> None:
        super().__init__()
        self.conv = ModulatedConv(into, 3, 1, style, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor, style: Tensor, smaller: Tensor | None) -> Tensor:
        image = self.conv(x, style).float() + self.bias[:, None, None]
        if smaller is None:
            return image
        with _fp32(x):
            return image + fir_up(smaller)


class Encoder(nn.Module):
    """(B, 3, R, R) → the features at each side R, …, 4, and the global code (B, code)."""

    def __init__(self, config: ComodganConfig) -> None:
        super().__init__()
        channels = config.channels
        self.from_rgb = Conv(3, channels(config.size), 1)
        self.keep = nn.ModuleDict({str(s): Conv(channels(s), channels(s), 3) for s in config.sizes})
        self.halve = nn.ModuleDict(
            {str(s): Conv(channels(s), channels(s // 2), 3, down=True) for s in config.sizes if s > 4}
        )
        self.to_code = Dense(16 * channels(4), config.code)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, photo: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        features = {}
        x = self.from_rgb(photo)
        for side, keep in self.keep.items():
            features[side] = x = keep(x)
            if side in self.halve:
                x = self.halve[side](x)
        return features, self.dropout(self.to_code(x.flatten(1)))


class ComodganGenerator(nn.Module):
    """Edits a photo as Co-Mod-GAN does: an encoder whose features and global code steer a StyleGAN2 synthesis.

    photo: (B, 3, size, size) float in [-1, 1]. tokens and mask are not used: the network learns one concept; they are
    there so that it is called as every generator is.
    Returns (B, 3, size, size) float. In training mode z, the noise and the dropout are drawn anew, and the edit is
    unbounded, as StyleGAN2's, so that no gradient is lost; in evaluation mode z is one fixed draw that is saved with
    the weights, noise and dropout are off, and the edit is clamped to [-1, 1]: the same photo gives the same edit.
    Raises InputError for a photo of another size.
    """

    fixed_z: Tensor
    multiple = 8  # what a photo's sides are a multiple of; its one size is

    def __init__(self, config: ComodganConfig) -> None:
        super().__init__()
        config.check()
        self.config = config
        style, channels = config.code + config.w_dim, config.channels
        self.encoder = Encoder(config)
        widths = [config.z_dim] + [config.w_dim] * config.mapping_layers
        self.mapping = nn.Sequential(*(Dense(i, o, rate=0.01) for i, o in itertools.pairwise(widths)))
        self.start = Dense(config.code, 16 * channels(4))
        growing = config.sizes[-2::-1]  # 8, …, size
        self.grow = nn.ModuleDict(
            {str(s): SynthesisLayer(channels(s // 2), channels(s), style, up=True) for s in growing}
        )
        self.refine = nn.ModuleDict({str(s): SynthesisLayer(channels(s), channels(s), style) for s in (4, *growing)})
        self.to_rgb = nn.ModuleDict({str(s): ToRGB(channels(s), style) for s in (4, *growing)})
        # Not zero, which lies inside the sphere that the mapping network was trained on.
        self.register_buffer("fixed_z", torch.randn(1, config.z_dim, generator=torch.Generator().manual_seed(0)))

    def style(self, z: Tensor) -> Tensor:
        """z (B, z_dim) → w (B, w_dim), in fp32."""
        with _fp32(z):
            z = z.float()
            return self.mapping(z * torch.rsqrt(z.square().mean(dim=1, keepdim=True) + 1e-8))

    def synthesise(self, photo: Tensor, w: Tensor) -> Tensor:
        """Photo (B, 3, size, size) and w (B, w_dim) → the unbounded edit (B, 3, size, size) in fp32."""
        size, (height, width) = self.config.size, photo.shape[-2:]
        # An exported graph cannot raise.
        if not torch.compiler.is_compiling() and (height, width) != (size, size):
            raise InputError(
                f"a photo of {width}×{height} does not fit this Co-Mod-GAN, which is made for {size}×{size}: "
                "resize the photo, or train at that size"
            )
        features, code = self.encoder(photo)
        style = torch.cat([code.float(), w], dim=1)
        x = self.start(code).unflatten(1, (-1, 4, 4))
        image = None
        for side, refine in self.refine.items():
            if side in self.grow:
                x = self.grow[side](x, style)
            x = refine(x + features[side], style)
            image = self.to_rgb[side](x, style, image)
        assert image is not None
        return image

    def forward(self, photo: Tensor, *_: object) -> Tensor:
        count = photo.shape[0]
        if self.training:
            return self.synthesise(photo, self.style(torch.randn(count, self.config.z_dim, device=photo.device)))
        return self.synthesise(photo, self.style(self.fixed_z).expand(count, -1)).clamp(-1, 1)


class ResidualDown(nn.Module):
    """StyleGAN2's block of the discriminator: (B, in, H, W) → (B, out, H/2, W/2)."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(Conv(into, into, 3), Conv(into, out, 3, down=True))
        self.skip = Conv(into, out, 1, down=True, bias=False, active=False)

    def forward(self, x: Tensor) -> Tensor:
        return (self.layers(x) + self.skip(x)) / math.sqrt(2)


def minibatch_deviation(x: Tensor, group: int = 4) -> Tensor:
    """(B, C, H, W) → (B, 1, H, W): how much the images of a group of neighbours differ; zero where it is one image.

    Groups are the largest of at most `group` images that divide the batch.
    """
    count = next(n for n in range(min(group, x.shape[0]), 0, -1) if x.shape[0] % n == 0)
    with _fp32(x):
        grouped = x.float().unflatten(0, (-1, count))
        deviation = (grouped.var(dim=1, correction=0) + 1e-8).sqrt().mean(dim=(1, 2, 3))  # (B / count,)
    return deviation.to(x.dtype).repeat_interleave(count)[:, None, None, None].expand(-1, 1, *x.shape[2:])


class ComodganDiscriminator(nn.Module):
    """StyleGAN2's residual discriminator on photo and edit together: 28,864,513 parameters at 256×256.

    photo, edit: (B, 3, size, size) float. Returns logits (B, 1). It compares the images of a batch with one another,
    so real and generated ones go in separate calls.
    """

    compares_batch = True

    def __init__(self, config: ComodganConfig) -> None:
        super().__init__()
        config.check()
        channels = config.channels
        self.from_rgb = Conv(6, channels(config.size), 1)
        self.blocks = nn.Sequential(*(ResidualDown(channels(s), channels(s // 2)) for s in config.sizes if s > 4))
        self.last = Conv(channels(4) + 1, channels(4), 3)
        self.to_logit = nn.Sequential(Dense(16 * channels(4), channels(4)), Dense(channels(4), 1, active=False))

    def forward(self, photo: Tensor, edit: Tensor) -> Tensor:
        x = self.blocks(self.from_rgb(torch.cat([photo, edit], dim=1)))
        x = self.last(torch.cat([x, minibatch_deviation(x)], dim=1))
        return self.to_logit(x.flatten(1))
