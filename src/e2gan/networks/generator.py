"""The generator of Sec. 4.2.1 and Fig. 3: sampling layers (SL), residual blocks (RB), transformer blocks (TB).

    photo ─ 7×7 ─ ↓128 ─ ↓256 ─ RB ─ RB ─[ ↓256 ─ TB ─ ↑256 ]─ RB ─ ↑128 ─ ↑64 ─ 7×7 ─ tanh ─ edit

Names say where a layer sits: level 1 is full resolution, level 4 an eighth. An adapter's ranks go by these levels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from e2gan.config import Activation, GeneratorConfig, Norm, Upsample
from e2gan.networks.resized_conv import ResizedConv2d

# The photo enters as atanh(photo), so it must stay inside (-1, 1); 0.6 of an 8-bit level is lost at the very ends.
PHOTO_LIMIT = 0.995
WHOLE = (0.0, 0.0, 1.0, 1.0)  # left, top, right, bottom of what is seen, in parts of the photo
LEAK = 0.1  # slope of the leaky ReLU below zero


def norm_of(kind: Norm, channels: int) -> nn.Module:
    """A normalisation of (B, C, H, W) without affine weights; the next layer has their role."""
    if kind == "instance":
        return nn.InstanceNorm2d(channels)
    if kind == "batch":
        return nn.BatchNorm2d(channels, affine=False)
    if kind == "layer":
        return nn.GroupNorm(1, channels, affine=False)
    return nn.Identity()


def activation_of(kind: Activation) -> nn.Module:
    return nn.LeakyReLU(LEAK) if kind == "leaky" else nn.ReLU()


def padded_conv(in_channels: int, out_channels: int, kernel: int, padding: str) -> list[nn.Module]:
    """Convolution at stride 1 that keeps the size. Reflection is a layer of its own, so that a LoRA branch sees it."""
    if padding == "reflect":
        return [nn.ReflectionPad2d(kernel // 2), nn.Conv2d(in_channels, out_channels, kernel)]
    return [nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2)]


def down(in_channels: int, out_channels: int, config: GeneratorConfig) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1)
    return nn.Sequential(conv, norm_of(config.norm, out_channels), activation_of(config.activation))


def up(in_channels: int, out_channels: int, norm: Norm, upsample: Upsample) -> nn.Sequential:
    """Twice the size, up to the norm; the ReLU comes after a skip is added."""
    tail = norm_of(norm, out_channels)
    if upsample == "resize":
        # The identity keeps the names of the weights what they are in files.
        return nn.Sequential(nn.Identity(), ResizedConv2d(in_channels, out_channels, 3, padding=1), tail)
    conv = nn.ConvTranspose2d(in_channels, out_channels, 3, stride=2, padding=1, output_padding=1)
    return nn.Sequential(conv, tail)


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions around the identity: (B, C, H, W) → the same shape."""

    def __init__(self, channels: int, config: GeneratorConfig) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *padded_conv(channels, channels, 3, config.padding),
            norm_of(config.norm, channels),
            activation_of(config.activation),
            *([nn.Dropout(config.z)] if config.z else []),
            *padded_conv(channels, channels, 3, config.padding),
            norm_of(config.norm, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class Attention(nn.Module):
    """Multi-head attention of queries (B, N, C) to a context (B, T, D); to themselves without one."""

    def __init__(self, width: int, context_width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(context_width, width, bias=False)
        self.to_v = nn.Linear(context_width, width, bias=False)
        self.to_out = nn.Linear(width, width)

    def forward(self, x: Tensor, context: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        context = x if context is None else context
        q, k, v = (
            y.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for y in (self.to_q(x), self.to_k(context), self.to_v(context))
        )
        # One prompt for the whole batch has its keys and values once; in an exported file they are constants.
        k, v = (y.expand(x.shape[0], -1, -1, -1) for y in (k, v))
        attended = F.scaled_dot_product_attention(q, k, v, None if mask is None else mask[:, None, None, :])
        return self.to_out(attended.transpose(1, 2).flatten(2))


class GEGLU(nn.Module):
    """(B, N, C) → (B, N, C): C → 8C, of which one half gates the other, 4C → C."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.expand = nn.Linear(width, 8 * width)
        self.contract = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.expand(x).chunk(2, dim=-1)
        return self.contract(value * F.gelu(gate))


class TransformerBlock(nn.Module):
    """The transformer block of latent diffusion (Fig. 3): (B, C, H, W) with tokens (B, T, D) → (B, C, H, W)."""

    def __init__(self, width: int, config: GeneratorConfig) -> None:
        super().__init__()
        self.width = width  # a layer that an adapter is on has no channels of its own
        self.norm_in = nn.GroupNorm(min(32, width), width, eps=1e-6)
        self.proj_in = nn.Conv2d(width, width, 1)
        self.norm1 = nn.LayerNorm(width)
        self.self_attention = Attention(width, width, config.heads)
        if config.cross_attention:
            self.norm2 = nn.LayerNorm(width)
            self.cross_attention = Attention(width, config.text_width, config.heads)
        self.norm3 = nn.LayerNorm(width)
        self.mlp = GEGLU(width)
        self.proj_out = nn.Conv2d(width, width, 1)
        nn.init.zeros_(self.proj_out.weight)  # as latent diffusion: the block starts as the identity
        nn.init.zeros_(self.proj_out.bias)  # pyright: ignore[reportArgumentType]

    def forward(
        self, x: Tensor, tokens: Tensor | None, mask: Tensor | None = None, place: Tensor | None = None
    ) -> Tensor:
        height, width = x.shape[2:]
        signal = None if place is None else place_signal(place, height, width, self.width)
        return self.placed(x, tokens, mask, signal)

    def placed(self, x: Tensor, tokens: Tensor | None, mask: Tensor | None, signal: Tensor | None) -> Tensor:
        """signal: where each token lies, (B, H·W, C) of `place_signal`; None without a sense of place."""
        height = x.shape[2]
        h = self.proj_in(self.norm_in(x)).flatten(2).transpose(1, 2)  # (B, H·W, C)
        h = h if signal is None else h + signal.to(h.dtype)
        h = h + self.self_attention(self.norm1(h))
        if hasattr(self, "cross_attention"):
            h = h + self.cross_attention(self.norm2(h), tokens, mask)
        h = h + self.mlp(self.norm3(h))
        return x + self.proj_out(h.transpose(1, 2).unflatten(2, (height, -1)))


class TransformerStage(nn.Module):
    """A TB at half the resolution of its surroundings (Sec. 4.2.1; Tab. 10: by convolutions, or by max pooling).

    Unpooling puts each value of the TB where its window had the maximum, and zeros elsewhere.
    """

    def __init__(self, width: int, config: GeneratorConfig) -> None:
        super().__init__()
        self.down = self.up = nn.Identity()
        if config.around == "conv":
            self.down = down(width, width, config)
            self.up = up(width, width, config.norm, config.upsample)
        elif config.around == "pool":
            self.down = nn.AvgPool2d(2)
            self.up = nn.Upsample(scale_factor=2)
        elif config.around == "max":
            self.down = nn.MaxPool2d(2, return_indices=True)
            self.up = nn.MaxUnpool2d(2)
        self.block = TransformerBlock(width, config)
        self.activation = activation_of(config.activation)
        self.skip, self.around = config.skip, config.around

    def forward(
        self, x: Tensor, tokens: Tensor | None, mask: Tensor | None = None, place: Tensor | None = None
    ) -> Tensor:
        if self.around == "max":
            h, maxima = self.down(x)
            h = self.up(self.block(h, tokens, mask, place), maxima)
        else:
            h = self.up(self.block(self.down(x), tokens, mask, place))
        h = self.activation(h) if self.around == "conv" else h
        return x + h if self.skip else h


def place_signal(place: Tensor, height: int, width: int, channels: int) -> Tensor:
    """Where each token of a map of height × width lies in its photo: (B, 4) → (B, height·width, channels) float32.

    place: left, top, right and bottom of what is seen, in parts of the photo; left is beyond right where it is
    mirrored. Sines and cosines of a quarter of a wave to four waves over the photo, as in Vaswani et al. (2017), for
    each axis.
    """
    count = channels // 4
    waves = torch.pi / 2 * 16 ** torch.linspace(0, 1, max(count, 1), device=place.device)
    parts = []
    for low, high, length in ((place[:, 0], place[:, 2], width), (place[:, 1], place[:, 3], height)):
        middles = (torch.arange(length, device=place.device) + 0.5) / length
        at = (low[:, None] + (high - low)[:, None] * middles)[..., None] * waves  # (B, length, count)
        parts.append(torch.cat([at.sin(), at.cos()], dim=-1))
    across, downwards = parts
    signal = torch.cat(
        [
            across[:, None].expand(-1, height, -1, -1),
            downwards[:, :, None].expand(-1, -1, width, -1),
        ],
        dim=-1,
    ).flatten(1, 2)
    return F.pad(signal, (0, channels - signal.shape[-1]))


class Generator(nn.Module):
    """Edits a photo by a prompt (Sec. 4.2.1).

    photo: (B, 3, H, W) float in [-1, 1], H and W multiples of `multiple` and at least twice that.
    tokens: (B, T, text_width) float, the prompt's tokens, or (1, T, text_width) for all of the batch; None where the
    generator has no cross-attention.
    mask: (B, T) bool, True where a token counts; None where all do.
    place: (B, 4) or (1, 4) float, what part of its photo is seen: left, top, right, bottom, from 0 to 1, beyond 1
    where it is padded, left beyond right where it is mirrored; None: the whole photo. Without effect where the
    generator has no sense of place.
    Returns (B, 3, H, W) float in [-1, 1].

    With `skip`, every level has its way around what lies below it: the photo as tanh(network + atanh(photo)), levels
    1 and 2 as sums before the ReLU, the TB as a residual. The parameters are the same ones.
    """

    whole: Tensor

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        config.check()
        self.config = config
        self.multiple = config.multiple
        w = config.width
        self.activation = activation_of(config.activation)
        if config.place:
            self.register_buffer("whole", torch.tensor([WHOLE]), persistent=False)
        ends = 3 * config.fold**2, 7 if config.fold == 1 else 3  # channels and kernel of the outermost convolutions
        # Modules without weights, so that an export can put an equal form in their place.
        self.fold: nn.Module = nn.PixelUnshuffle(config.fold) if config.fold > 1 else nn.Identity()
        self.unfold: nn.Module = nn.PixelShuffle(config.fold) if config.fold > 1 else nn.Identity()
        self.level1_in = nn.Sequential(
            *padded_conv(ends[0], w, ends[1], config.padding), norm_of(config.norm, w), activation_of(config.activation)
        )
        self.level2_down = down(w, 2 * w, config)
        self.level3_down = down(2 * w, 4 * w, config)
        self.blocks = nn.ModuleList(ResidualBlock(4 * w, config) for _ in range(config.blocks))
        self.transformers = nn.ModuleDict(
            {str(place): TransformerStage(4 * w, config) for place in sorted(config.transformers)}
        )
        self.level3_up = up(4 * w, 2 * w, config.norm, config.upsample)
        self.level2_up = up(2 * w, w, config.norm, config.upsample)
        self.level1_out = nn.Sequential(*padded_conv(w, *ends, config.padding))
        self._initialise()

    def _initialise(self) -> None:
        """pix2pix's N(0, 0.02) under a norm; He's where no norm corrects the scale. With the skip, as the identity."""
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)) and module.kernel_size != (1, 1):
                if self.config.norm == "none":
                    nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                else:
                    nn.init.normal_(module.weight, 0.0, 0.02)
                nn.init.zeros_(module.bias)  # pyright: ignore[reportArgumentType]
        if self.config.skip:
            for last in (self.level1_out, *(block.layers for block in self.blocks)):
                convs = [m for m in last.modules() if isinstance(m, nn.Conv2d)]  # pyright: ignore
                nn.init.zeros_(convs[-1].weight)

    def forward(
        self,
        photo: Tensor,
        tokens: Tensor | None = None,
        mask: Tensor | None = None,
        place: Tensor | None = None,
    ) -> Tensor:
        at = self.seen(place)
        level1 = self.level1_in(self.fold(photo))
        level2 = self.level2_down(level1)
        h = self._transformer(0, self.level3_down(level2), tokens, mask, at)
        for number, block in enumerate(self.blocks, start=1):
            h = self._transformer(number, block(h), tokens, mask, at)
        # The skips come before the ReLU, so that the prompt, which acts at the bottom, gates what passes at the top.
        h = self.level3_up(h)
        h = self.activation(h + level2 if self.config.skip else h)
        h = self.level2_up(h)
        h = self.activation(h + level1 if self.config.skip else h)
        h = self.unfold(self.level1_out(h)).float()
        if self.config.output == "clamp":
            return self._clamped(h + photo.float() if self.config.skip else h)
        if self.config.skip:
            h = h + torch.atanh(photo.float().clamp(-PHOTO_LIMIT, PHOTO_LIMIT))
        return h.tanh()

    def seen(self, place: Tensor | None) -> Tensor | None:
        """What part of the photo is seen; None where the TB has no sense of place."""
        if not self.config.place:
            return None
        return self.whole if place is None else place

    def _clamped(self, h: Tensor) -> Tensor:
        """Within [-1, 1]; where there is a gradient, it passes as if nothing were cut off."""
        clamped = h.clamp(-1, 1)
        return h + (clamped - h).detach() if h.requires_grad else clamped

    def _transformer(
        self, number: int, h: Tensor, tokens: Tensor | None, mask: Tensor | None, place: Tensor | None
    ) -> Tensor:
        if str(number) in self.transformers:
            return self.transformers[str(number)](h, tokens, mask, place)
        return h


def _inside(generator: nn.Module, prefix: str, kinds: tuple[type[nn.Module], ...]) -> list[str]:
    return [name for name, m in generator.named_modules() if name.startswith(prefix) and isinstance(m, kinds)]


def sampling_layers(generator: Generator) -> dict[str, int]:
    """Name of each convolution of the sampling layers → its level, 1 to 4 (Sec. 4.2.2: 4 convs and 4 mirror images)."""
    convs = (nn.Conv2d, nn.ConvTranspose2d)
    levels = {name: level for level in (1, 2, 3) for name in _inside(generator, f"level{level}_", convs)}
    for place in generator.transformers:
        for way in ("down", "up"):
            levels |= dict.fromkeys(_inside(generator, f"transformers.{place}.{way}", convs), 4)
    return levels


def transformer_layers(generator: Generator) -> list[str]:
    """Names of the linear layers and the two projections of each TB (Sec. 4.2.2: 10 linear, 2 projections)."""
    kinds = (nn.Linear, nn.Conv2d)
    return [
        name for place in generator.transformers for name in _inside(generator, f"transformers.{place}.block", kinds)
    ]
