"""The generator and its adapter's ranks (Sec. 4.2.1, 4.2.2, B.2)."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

from e2gan.config.checks import at_least, need
from e2gan.config.settings import Settings
from e2gan.core.errors import InputError

Norm = Literal["instance", "batch", "layer", "none"]
Upsample = Literal["transpose", "resize"]
Activation = Literal["relu", "leaky"]


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig(Settings):
    """The generator of Sec. 4.2.1 and Fig. 3, and what the paper varies of it.

    The defaults are what a stored model's settings mean where they lack one; a new generator starts from one of the
    presets, as `replace(PRESETS["device"], width=32)`.
    """

    width: int = 64
    """Channels of the first convolution; the residual blocks have four times as many (Sec. 4.2.1)."""
    blocks: int = 3
    """Residual blocks, RB (Sec. 4.2.1: 3; pix2pix has 9)."""
    transformers: tuple[int, ...] = (2,)
    """Transformer blocks, TB: one after each RB named, 0 for before RB 1 (Sec. 4.2.1, Fig. 2: after RB 2)."""
    around: Literal["conv", "pool", "max", "none"] = "conv"
    """What halves the map before a TB and restores it after it. conv: convolutions; max: max pooling and unpooling,
    which cost 47.4 to 68.5 FID (Tab. 10); pool: average pooling and nearest neighbours; none: nothing does."""
    heads: int = 8
    """Attention heads (undisclosed; 8 as in latent diffusion)."""
    cross_attention: bool = True
    """Whether the TB attends to the prompt's tokens (Tab. 13)."""
    text_width: int = 512
    """Width of the prompt's tokens (512, CLIP ViT-B/32, is the only one that meets the paper's counts)."""
    z: float = 0.0
    """Dropout rate in the RBs that plays z of Eq. 1, as in pix2pix (undisclosed; 0 is off, pix2pix has 0.5)."""
    skip: bool = True
    """Ways around the bottleneck, without a parameter: the photo is added before the tanh, each level's features on the
    way down to those on the way up. The paper's generator has none."""
    norm: Norm = "none"
    """Normalisation of the convolutions, without affine weights (the paper's preset: instance, which throws the photo's
    brightness away). Batch norm folds away on a device."""
    padding: Literal["reflect", "zero"] = "reflect"
    """Padding of the convolutions; zero is the one that every device converter knows."""
    upsample: Upsample = "resize"
    """Resize and convolution, which leaves no checkerboard and multiplies 1.1 times as often; or the paper's transposed
    convolution (Fig. 3)."""
    activation: Activation = "relu"
    """After the convolutions. leaky: a tenth below zero, so that none can die."""
    output: Literal["tanh", "clamp"] = "tanh"
    """What keeps the edit in its range. clamp passes the gradient as if it were not there, so that it cannot vanish."""
    fold: int = 1
    """Side of the squares of pixels that are folded into channels at the entrance and out again at the exit: with 2 the
    whole network runs at half the photo's size."""
    place: bool = False
    """Whether the TB is told where in the photo each of its tokens lies, by a fixed two-dimensional sinusoid: for
    effects that have a side, a vignette or a horizon."""

    @property
    def multiple(self) -> int:
        """What a photo's sides are a multiple of: it is halved three times, folded or not."""
        return 8 * self.fold

    @property
    def takes_prompt(self) -> bool:
        return self.cross_attention and bool(self.transformers)

    def check(self) -> None:
        at_least("width", self.width, 1, 4096)  # beyond these, the residual blocks alone have billions of parameters
        at_least("blocks", self.blocks, 0, 256)
        at_least("heads", self.heads, 1, 4 * self.width)
        at_least("text-width", self.text_width, 1, 65536)
        need(self.fold in (1, 2), f"--fold {self.fold}: must be 1 or 2")
        need(0 <= self.z < 1, f"--z {self.z}: must be at least 0 and below 1")
        places = set(self.transformers)
        need(len(places) == len(self.transformers), f"--transformers {self.transformers}: one place is named twice")
        need(
            all(0 <= p <= self.blocks for p in places),
            f"--transformers {self.transformers}: each must lie in 0..{self.blocks} (the number of residual blocks)",
        )
        groups = self.width <= 8 or self.width % 8 == 0
        need(not places or groups, f"--width {self.width}: above 8, it must be a multiple of 8 (the TB's group norm)")
        need(not places or 4 * self.width % self.heads == 0, f"--heads {self.heads}: must divide {4 * self.width}")


PAPER = GeneratorConfig(skip=False, norm="instance", upsample="transpose")
DEVICE = GeneratorConfig(padding="zero", activation="leaky", output="clamp", place=True)
"""The default: nothing in it can die, and what is trained is what phones and browsers run."""
PRESETS: dict[str, GeneratorConfig] = {
    "paper": PAPER,
    "residual": replace(DEVICE, padding="reflect"),
    "device": DEVICE,
    "small": replace(DEVICE, width=32, fold=2),
}
PIX2PIX = replace(PAPER, blocks=9, transformers=(), cross_attention=False)
"""The baseline of Tab. 1: the ResNet generator with 9 RBs and no TB."""


MOST_RANK = 4096


@dataclass(frozen=True, kw_only=True)
class Ranks(Settings):
    """LoRA ranks by level of the sampling layers (Sec. 4.2.2), and of the TB. 0 leaves that part frozen."""

    level1: int = 1
    """The two 7×7 convolutions."""
    level2: int = 4
    """64 to 128 channels and back."""
    level3: int = 8
    """128 to 256 channels and back."""
    level4: int = 8
    """The pair around the TB."""
    tb: int = 1
    """Every linear layer and projection of the TB (Sec. 4.2.2: 1)."""

    def check(self) -> None:
        for name in ("level1", "level2", "level3", "level4", "tb"):
            at_least(name, getattr(self, name), 0, MOST_RANK)
        need(any(vars(self).values()), "all ranks are 0: nothing would be trained")

    def times(self, factor: float) -> Ranks:
        """So many times each, rounded; 1 at least, where it is not 0."""
        return Ranks(**{name: rank and max(1, round(rank * factor)) for name, rank in vars(self).items()})

    @classmethod
    def load(cls, path: Path) -> Ranks:
        """The ranks of a ranks.json (`e2gan ranks`). Raises InputError where the file is none."""
        from e2gan.core.files import read_json
        from e2gan.core.schemas import RanksOf

        try:
            ranks = read_json(path, RanksOf)["ranks"]
        except InputError as error:
            raise InputError(f"{error} (this is no ranks.json: write one with: e2gan ranks)") from None
        return cls(**{f.name: ranks[f.name] for f in fields(cls)})


THRESHOLDS = Ranks(level1=1, level2=4, level3=16, level4=32, tb=1)
"""Where Alg. 1 stops to double (B.2)."""
