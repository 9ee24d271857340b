"""The experiments by number and name: the paper's tables and figures, and a few of our own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from e2gan.config import Training
from e2gan.research.comparison import Variant
from e2gan.research.tables import rows
from e2gan.research.tables.models import Models


@dataclass(frozen=True)
class Experiment:
    """One experiment.

    title: what is compared. variants: its rows, from its models. trains: which trainings that takes, and `special` what
    they have beside the settings. paper: the paper's table of that number, of which `columns` belong here (none named:
    all). faces: whether the paper's photos are faces. notes: what the paper had, and what to know. x_label: of the
    curve, where it is one.
    """

    title: str
    variants: Callable[[Models], list[Variant]]
    trains: tuple[Training, ...] = ("base", "adapter")
    paper: str | None = None
    columns: tuple[str, ...] = ()
    faces: bool = False
    notes: tuple[str, ...] = ()
    special: dict[str, str] = field(default_factory=dict)
    x_label: str | None = None


def of_an_image(models: Models) -> list[Variant]:  # noqa: ARG001 (as of all experiments)
    """pix2pix, Co-Mod-GAN and ours: parameters, operations, latency, and a training's time from a step (costs.py)."""
    return []


def by_blocks(models: Models) -> list[Variant]:  # noqa: ARG001
    """This generator with 0 to 4 transformer blocks: parameters, operations, latency (costs.py)."""
    return []


def of_a_training(models: Models) -> list[Variant]:  # noqa: ARG001
    """pix2pix, Co-Mod-GAN and ours: operations, time and parameters of a concept's training, computed from a step."""
    return []


ALL_FOUR: tuple[Training, ...] = ("base", "adapter", "scratch", "comodgan")
FACES = "The paper: FFHQ faces, a base of the 24 concepts in B.3 (its text says 20)"
SCENES = "The paper: Flickr-Scenery, a base of 7 concepts that were never published"
DISTILLED = "Its Co-Mod-GAN learns from edits of pix2pix-zero; here from the same pairs as the others."
SCRATCH = "How long the paper trained ours from scratch is undisclosed; here as long as the baselines."

COSTS: dict[str, Experiment] = {
    "table1": Experiment(
        "Size, operations, latency and training time",
        of_an_image,
        (),
        "table1",
        notes=("SnapFusion is a published row. Latency is of this machine, where the paper has an iPhone 14 Pro.",),
    ),
    "table2": Experiment(
        "Size, operations and latency by the number of transformer blocks",
        by_blocks,
        (),
        "table2",
        notes=("The TBs' places are ours: after RB 2; 1 and 2; 1, 2 and 3; before RB 1 too.",),
    ),
    "fig6": Experiment(
        "Cost of training a concept",
        of_a_training,
        (),
        "fig6",
        notes=(
            "E²GAN on 400 photos, the others on 800, at batch 1; the paper prints 14 and 25 times fewer operations.",
        ),
    ),
}
EXPERIMENTS: dict[str, Experiment] = {
    "table3-faces": Experiment(
        "Quality on the concepts, faces",
        rows.distilled,
        ALL_FOUR,
        "table3",
        columns=("FFHQ",),
        faces=True,
        notes=(
            f"{FACES}, 30 concepts to evaluate on; baselines on 800 pairs, adapters on 400. {DISTILLED} "
            '"Low Quality photo" is in both of its lists; here a concept is in one.',
        ),
    ),
    "table3-scenes": Experiment(
        "Quality on the concepts, scenes",
        rows.distilled,
        ALL_FOUR,
        "table3",
        columns=("Landscape",),
        notes=(
            f"{SCENES}, 10 concepts to evaluate on, of which it names 8; baselines on 800 pairs, adapters on 400. "
            f"{DISTILLED}",
        ),
    ),
    "table4": Experiment(
        "Which concepts the base is trained on",
        rows.base_concepts,
        paper="table4",
        faces=True,
        notes=(
            f"{FACES}, the 20 random ones of B.3, 200 art concepts (not published), and old person; evaluated on White "
            "Walker, blond person, sunglasses, Vangogh style.",
        ),
    ),
    "table5": Experiment(
        "LoRA ranks",
        rows.lora_ranks,
        paper="table5",
        notes=(
            f"{SCENES}; mean of 10 concepts. The searched ranks are those that it published, not found here; the two "
            "upscaled ones are those that meet its 0.056 and 0.164 M; how it drew random ranks is not published.",
        ),
    ),
    "table6": Experiment(
        "This architecture and pix2pix's, from scratch",
        rows.architecture,
        ("scratch",),
        "table6",
        faces=True,
        notes=(f"The paper: angry, pale, tan and young person, 800 pairs. {SCRATCH}",),
    ),
    "table7": Experiment(
        "Quality on AFHQ",
        rows.methods,
        ALL_FOUR,
        "table7",
        notes=(
            "The paper: AFHQ, a base of cat to serval, watercolor painting and chalk art; five concepts. What its "
            "selection compared cats by is undisclosed; here CLIP.",
        ),
    ),
    "table8": Experiment(
        "Paired benchmarks, from scratch",
        rows.benchmarks,
        ("scratch", "comodgan"),
        "table8",
        notes=(
            f"The paper: facades and edges to shoes by FID, cityscapes by mIoU (--labels). {SCRATCH} "
            "GAN Compression is a published row.",
        ),
    ),
    "table9": Experiment(
        "Unpaired benchmarks, from scratch",
        rows.unpaired,
        ("scratch",),
        "table9",
        notes=(
            "The paper: horse to zebra. Its losses for ours are undisclosed; here they are CUT's. "
            "GAN Compression and GAN Slimming are published rows.",
            "CUT has the layers and the contrast of its publication here, but no filters where it resamples, the "
            "logistic loss, and as many epochs as the others; docs/method.md has this, and what differs of CycleGAN.",
        ),
        special={
            "of all three": "--l1 plays no part, for there are no pairs",
            "CycleGAN": "least squares, cycle loss 10, identity loss 5, histories of 50 edits (Zhu et al. 2017)",
            "CUT, E2GAN": "contrast of patches with its identity part (Park et al. 2020) in place of L1",
        },
    ),
    "table10": Experiment(
        "Convolutions, or max pooling, around the transformer block",
        rows.around_the_block,
        ("base", "finetune"),
        "table10",
        notes=(
            f"{SCENES}; then all weights are fine-tuned on all the data of a concept: forest in the dark, "
            "impressionism painting, forest in the autumn.",
        ),
        special={"finetune": "all weights on all training photos"},
    ),
    "table11": Experiment(
        "Does pix2pix gain from pre-training?",
        rows.pretraining,
        ("base", "adapter", "scratch"),
        "table11",
        notes=(
            f"{SCENES}; Vangogh style, add blossoms, forest in the winter. pix2pix is pre-trained as long as a base, "
            "then fine-tuned with all of its weights on all "
            "photos, as long as it is trained from scratch: the paper does not say how long.",
        ),
        special={
            "pix2pix pre-trained": "a base as the others, then all weights on all photos, as long as from scratch"
        },
    ),
    "table12": Experiment(
        "An auto-encoder as the base",
        rows.base_alternatives,
        paper="table12",
        faces=True,
        notes=(
            f"{FACES}; angry person, White Walker. The auto-encoder learns by L1 alone, under the prompt "
            '"the photo itself", as long as a base; '
            "its discriminator is therefore untrained.",
        ),
        special={"autoencoder": "a base of the photos as their own edits, with gan 0: L1 alone (D.2)"},
    ),
    "table13": Experiment(
        "Cross-attention removed from the trained base at fine-tuning",
        rows.cross_attention,
        paper="table13",
        faces=True,
        notes=(f"{FACES}; Vincent van Gogh, blond person, White Walker.",),
        special={"removed": "the same base without the cross-attention of its TB, and the norm before it (D.3)"},
    ),
    "table14": Experiment(
        "Twice as long a training",
        rows.longer,
        paper="table14",
        notes=(f"{SCENES}; forest in the dark, oil painting, forest in the spring.",),
        special={"second row": "twice as long as the first; the paper: 100 and 200 epochs (E)"},
    ),
    "fig2": Experiment(
        "Place and number of the transformer blocks, from scratch",
        rows.places,
        ("scratch", "comodgan"),
        "fig2",
        notes=(f"The paper: two landscape concepts, autumn and dusk; its values are a picture. {SCRATCH} {DISTILLED}",),
    ),
    "fig4": Experiment(
        "Crucial layers: each part frozen in turn, all others fine-tuned",
        rows.parts_frozen,
        ("base", "finetune"),
        "fig4",
        notes=(f"{SCENES}; mean of 10 concepts. How many photos, and how long, is undisclosed: all, as an adapter.",),
        special={"finetune": "all weights but the frozen ones, on all training photos"},
    ),
    "fig7": Experiment(
        "Number of training photos, by clustering and by chance",
        rows.number_of_photos,
        paper="fig7",
        faces=True,
        notes=(f"{FACES}; old person and sunglasses; its values are a picture.",),
        x_label="training photos",
    ),
    "selection-embedding": Experiment("What the selection compares photos by (ours)", rows.selection_embedding),
    "number-of-concepts": Experiment(
        "How many concepts the base is trained on (ours)", rows.number_of_concepts, x_label="concepts of the base"
    ),
    "what-is-tuned": Experiment(
        "LoRA on SL, on TB, on both; all weights (ours)", rows.what_is_tuned, ("base", "adapter", "finetune")
    ),
    "transfer": Experiment(
        "Transfer of knowledge between concepts (ours)",
        rows.transfer,
        ("base", "scratch"),
        x_label="part of the training",
    ),
}
ALL = COSTS | EXPERIMENTS
