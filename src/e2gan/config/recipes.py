"""Recipes: what `base`, `adapt` and `scratch` take where nothing else is said, under one name (`--recipe`).

A recipe is data. Single flags override it; without one the defaults of the settings hold.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from e2gan.config.network import PAPER, GeneratorConfig, Ranks
from e2gan.config.training import TrainingConfig

Stage = Literal["base", "adapt", "scratch"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Settings of the stages that train. generator: that of bases and of models from scratch; None leaves the default.

    training: by stage. adapter: further settings of `adapt`, whatever the base; widths: on a base of this width.
    """

    about: str
    training: dict[Stage, TrainingConfig]
    generator: GeneratorConfig | None = None
    text: str | None = None
    adapter: dict[str, Any] = field(default_factory=dict)
    widths: dict[int, dict[str, Any]] = field(default_factory=dict)

    def fits(self, generator: GeneratorConfig | None) -> bool:
        """Whether a base of this generator is one of the recipe's; None: there is no base yet."""
        return self.generator is None or generator in (None, self.generator)

    def settings(self, stage: Stage, generator: GeneratorConfig | None = None) -> dict[str, Any]:
        """The stage's settings by field, to be given to its dataclass.

        generator: that of the base which is adapted or gone on from, without which `widths` does not count; where it is
        not the recipe's, the recipe's training settings are all that is taken. Of `scratch` the training is that of
        this project's generator; a baseline has as_published() of it.
        """
        values: dict[str, Any] = {"training": self.training[stage]}
        if not self.fits(generator):
            return values
        if stage == "adapt":
            return values | self.adapter | ({} if generator is None else self.widths.get(generator.width, {}))
        network = {"generator": self.generator, "text": self.text}
        return values | {name: value for name, value in network.items() if value is not None}

    def ranks(self, generator: GeneratorConfig) -> Ranks:
        """Those of an adapter on a base of this generator: the recipe's, or the usual."""
        return self.settings("adapt", generator).get("ranks", Ranks())


# The weights of what a generator is trained by.
LOSSES = ("l1", "perceptual", "gram", "gan", "feature_matching")


def as_published(training: TrainingConfig) -> TrainingConfig:
    """A recipe's training with the losses of Eq. 1, pix2pix's, alone: a baseline is known by its losses. CycleGAN and
    trainings without pairs make their own of its adversarial one."""
    own = TrainingConfig()
    return replace(training, **{name: getattr(own, name) for name in LOSSES})


PAPER_TRAINING = TrainingConfig(
    epochs=100,  # Sec. 5.1
    lr=2e-4,  # Sec. 5.1, with Adam
    batch=1,  # this and what follows: undisclosed, pix2pix's
    betas=(0.5, 0.999),
    schedule="linear",
    l1=100.0,
    gan=1.0,
    flip=True,
)

# Adapters of the paper's size, below 200 KB, by ranks that come nearer to the teacher than its own: at width 32, the
# small base's, what holds an adapter back are the convolutions at the photo's size and half of it. At 64 more
# parameters give more: `best` has four times the paper's there (docs/log.md).
SAME_SIZE: dict[str, Any] = {"init": "gradient", "ranks": Ranks(level1=4, level2=14, level3=6, level4=4, tb=1)}
AT_WIDTH: dict[int, dict[str, Any]] = {32: {"ranks": Ranks(level1=24, level2=24, level3=16, level4=10, tb=1)}}
OURS = TrainingConfig(schedule="cosine", warmup=20, clip=200.0, gan=0.0, flip=False)
QUICK = replace(OURS, minutes=3.0, batch=2, perceptual=5.0)
STROKES = replace(OURS, batch=4, betas=(0.5, 0.99), perceptual=20.0, crop=128)

RECIPES: dict[str, Recipe] = {
    "paper": Recipe(
        about="the paper's (Sec. 5.1, B, Fig. 3): its generator, CLIP's prompts, 100 epochs, 200 from scratch",
        generator=PAPER,
        text="clip",
        adapter={"init": "random", "ranks": Ranks(level1=1, level2=4, level3=8, level4=8, tb=1)},  # Sec. 4.2.2
        training={
            "base": PAPER_TRAINING,
            "adapt": PAPER_TRAINING,
            "scratch": replace(PAPER_TRAINING, epochs=200),  # Sec. 5.1
        },
    ),
    # Mirrored pairs contradict an effect that has a side, and double what is seen of one that has none (docs/log.md).
    # Few steps of few photos are ahead of fewer steps of many, A along the gradient of one at random (docs/log.md). The
    # norm of an adapter's gradient, with the adversarial loss that it had then, was 70 in the middle and 300 at most:
    # clipping meets the outliers alone. A discriminator that begins at random takes a fifth to a half of the time, and
    # gives little in minutes; a quarter of the perceptual loss of `best` keeps L1 and SSIM and brings strokes
    # (docs/log.md).
    "quick": Recipe(
        about="minutes on a CPU: small batches at higher rates, some perceptual loss, none adversarial (a base: Eq. 1)",
        adapter=SAME_SIZE,
        widths=AT_WIDTH,
        training={
            "base": replace(OURS, minutes=90.0, batch=8, lr=4e-4, betas=(0.5, 0.99), warmup=100, gan=1.0),
            "adapt": replace(QUICK, lr=4e-3),
            "scratch": replace(QUICK, lr=5e-4, betas=(0.5, 0.99)),
        },
    ),
    "best": Recipe(
        about="strokes too, an hour of a CPU (a base: ten), minutes of a GPU: perceptual loss, crops, none adversarial",
        adapter=SAME_SIZE | {"ranks": Ranks().times(4)},
        widths=AT_WIDTH,
        training={
            "base": replace(STROKES, minutes=600.0, batch=8, lr=8e-4, warmup=100),
            "adapt": replace(STROKES, minutes=60.0, lr=4e-3),
            "scratch": replace(STROKES, minutes=60.0, lr=5e-4),
        },
    ),
}
