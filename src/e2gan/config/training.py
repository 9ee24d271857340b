"""What all trainings share (Sec. 5.1, Eq. 1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from e2gan.config.checks import at_least, need, positive, side
from e2gan.config.settings import Settings

MOST_BATCH = 65536


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(Settings):
    """What all trainings share (Sec. 5.1, Eq. 1)."""

    epochs: int = 100
    """Passes over the training pairs (Sec. 5.1: 100 for E²GAN, 200 for the baselines)."""
    steps: int | None = None
    """Stop after so many steps instead of --epochs."""
    minutes: float | None = None
    """Stop after so many minutes of training instead of --epochs (not reproducible: it is a clock's choice)."""
    batch: int = 1
    """Pairs a step (undisclosed; 1 as in pix2pix)."""
    lr: float = 2e-4
    """Adam's learning rate (Sec. 5.1)."""
    lr_d: float | None = None
    """The discriminator's, where it is another (the paper has one for both)."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Adam's betas (undisclosed; pix2pix's)."""
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    """Learning rate over the run (undisclosed); linear: constant for a half, then linearly to zero, as pix2pix."""
    warmup: int = 0
    """Steps at the start over which the learning rate rises from zero."""
    clip: float | None = None
    """Largest norm of the generator's gradient, all parameters together; a larger one is scaled down to it."""
    l1: float = 100.0
    """Weight λ of L1 in Eq. 1 (undisclosed; pix2pix's 100)."""
    perceptual: float = 0.0
    """Weight of a perceptual loss beside Eq. 1 (not in the paper): the distance of SqueezeNet's features at each pixel.
    20 serves where L1 has 100; 0: none."""
    gram: float = 0.0
    """Weight of the distance of the same features' Gram matrices: strokes and texture, wherever they are; 0: none."""
    gan: float = 1.0
    """Weight of the adversarial loss in Eq. 1; 0: none."""
    feature_matching: float = 0.0
    """Weight of the distance of the discriminator's own features of edit and target (pix2pixHD's; not in the paper);
    0: none. 10 is pix2pixHD's beside --gan 1."""
    r1: float = 0.0
    """Weight γ of the R1 penalty on the discriminator, taken every 16 steps (StyleGAN2's; 0: none)."""
    ema: float = 0.0
    """Decay of a moving average of the generator, which is then what is written (0: none)."""
    flip: bool = True
    """Mirror half of the pairs (undisclosed; as pix2pix)."""
    crop: int | None = None
    """Train on random crops of this many pixels, where the pairs are larger; a multiple of 8 (small: of 16)."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """bf16 autocast; auto times one step of each on this machine and takes the faster."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    seed: int = 0
    """The same seed gives the same file on the same machine."""
    compile: bool = False
    """Compile the step, on a CUDA GPU with CUDA graphs: an adapter's steps were 2.1 times as fast so on an H200, after
    40 seconds, which --minutes does not count. Not with --unpaired, --r1 and comodgan."""
    save_every: float = 60.0
    """Seconds between checkpoints."""
    memory_share: float = 0.5
    """Part of the machine's free memory that the pairs may take; more lie in a file beside --out and are read as they
    are needed."""
    tensorboard: bool = False
    """Write TensorBoard event files too (needs the package tensorboard)."""

    def check(self) -> None:
        at_least("epochs", self.epochs, 1)
        at_least("steps", self.steps, 1)
        positive("minutes", self.minutes)
        at_least("batch", self.batch, 1, MOST_BATCH)
        positive("lr", self.lr)
        positive("lr-d", self.lr_d)
        need(all(0 <= b < 1 for b in self.betas), f"--betas {self.betas}: each must be at least 0 and below 1")
        at_least("warmup", self.warmup, 0)
        positive("clip", self.clip)
        at_least("l1", self.l1, 0)
        at_least("gan", self.gan, 0)
        at_least("feature-matching", self.feature_matching, 0)
        need(not self.feature_matching or bool(self.gan), "--feature-matching needs a discriminator that learns: --gan")
        at_least("perceptual", self.perceptual, 0)
        at_least("gram", self.gram, 0)
        weights = (self.l1, self.perceptual, self.gram, self.gan)
        need(any(weights), "--l1 0 and --gan 0: nothing would be trained")
        at_least("r1", self.r1, 0)
        twice = f"--compile cannot differentiate twice, as --r1 {self.r1:g} does: leave it out, or take --r1 0"
        need(not (self.compile and self.r1), twice)
        need(0 <= self.ema < 1, f"--ema {self.ema}: must be at least 0 and below 1")
        side("crop", self.crop)
        at_least("save-every", self.save_every, 0)
        need(0 < self.memory_share <= 1, f"--memory-share {self.memory_share}: must be above 0 and at most 1")


COMODGAN_TRAINING = TrainingConfig(epochs=200, lr=2e-3, betas=(0.0, 0.99), r1=5.0, schedule="constant")
"""How Co-Mod-GAN is trained (Zhao et al. 2021, after StyleGAN2): its weights are scaled, so that its rate is higher.
γ = 5 beside the halved loss of D is StyleGAN2's 10 beside the whole one."""
