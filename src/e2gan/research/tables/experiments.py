"""What each of the paper's tables and figures compares, as rows of models to train.

Numbers 1, 4, 5, 8, 10, 12, 13 and figures 4 and 6 are the paper's by what its text says of them. For 2, 3, 6, 7, 9, 11,
14 and figures 2 and 7 the experiments are those of Sec. 3 and 5, but which of them has which number was not checked
against the print.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from e2gan.choose.concepts import choose_concepts
from e2gan.config import ConceptsConfig, GeneratorConfig, Ranks
from e2gan.core.errors import InputError
from e2gan.data.pair_set import PairSet
from e2gan.research.comparison import Variant
from e2gan.research.tables.models import Method, Models
from e2gan.research.tables.sets import identity_set


@dataclass(frozen=True)
class Experiment:
    """title: what is compared. variants: its rows, from its models. x_label: of the curve, where it is one."""

    title: str
    variants: Callable[[Models], list[Variant]]
    x_label: str | None = None


def quality(models: Models) -> list[Variant]:
    """The baselines, and the adapter on a selection of half of the photos."""
    return [
        models.scratch("pix2pix", model="pix2pix"),
        models.scratch("pix2pix-zero-distilled (Co-Mod-GAN)", "comodgan", model="comodgan"),
        models.adapter("adapter", "adapter selected", selection=models.selection()),
    ]


def base_concepts(models: Models) -> list[Variant]:
    """Adapters on bases of half of the concepts, chosen by clustering or chance, of a single one, and of all."""
    sets, keep = models.base_sets, max(1, len(models.base_sets) // 2)
    _need_bases(models, 2)
    clustered = _clustered(models, keep)
    rng = np.random.default_rng(models.config.seed)
    by_chance = [sets[i] for i in sorted(rng.choice(len(sets), keep, replace=False))]
    bases = {
        f"{keep} concepts by clustering": clustered,
        f"{keep} concepts by chance": by_chance,
        f"one concept ({clustered[0].prompt})": clustered[:1],
        f"all {len(sets)} concepts": sets,
    }
    return [_on_base(models, name, members) for name, members in bases.items()]


def base_alternatives(models: Models) -> list[Variant]:
    """Adapters on the usual base, on an autoencoder, and on a base of a single concept."""
    _need_bases(models, 1)
    first = models.base_sets[0]
    photos = identity_set(first, models.out / "autoencoder-pairs")
    return [
        _on_base(models, f"base of {len(models.base_sets)} concepts", models.base_sets),
        _on_base(models, "autoencoder", [photos]),
        _on_base(models, f"base of one concept ({first.prompt})", [first]),
    ]


def number_of_concepts(models: Models) -> list[Variant]:
    """Adapters on bases of 1, 2, 4, … concepts, chosen by clustering."""
    _need_bases(models, 2)
    counts = sorted({min(2**i, len(models.base_sets)) for i in range(8)})
    return [
        replace(_on_base(models, f"{k} concept{'s' * (k > 1)}", _clustered(models, k)), x=k, curves=("E²GAN",))
        for k in counts
    ]


def lora_ranks(models: Models) -> list[Variant]:
    """The paper's three sets of ranks, the ones asked for, and all of the base's weights."""
    sets = {
        "ranks 1,4,8,8 +1": Ranks(),
        "ranks 1,4,16,16 +1 (upscale 4x)": Ranks(level3=16, level4=16),
        "ranks 1,4,4,4 +1 (upscale 1x)": Ranks(level3=4, level4=4),
    }
    if models.config.ranks not in sets.values():
        sets["the ranks given"] = models.config.ranks
    adapters = [models.adapter(name, ranks=ranks) for name, ranks in sets.items()]
    return [*adapters, models.all_weights(base=models.base())]


def what_is_tuned(models: Models) -> list[Variant]:
    """LoRA on the sampling layers, on the TB, on both; and all weights."""
    ranks = models.config.ranks
    return [
        models.adapter("LoRA on the SL", ranks=replace(ranks, tb=0)),
        models.adapter("LoRA on the TB", ranks=Ranks(level1=0, level2=0, level3=0, level4=0, tb=ranks.tb)),
        models.adapter("LoRA on SL and TB", ranks=ranks),
        models.all_weights(base=models.base()),
    ]


def selection_method(models: Models) -> list[Variant]:
    """Adapters on all photos, on those chosen by clustering, and on as many by chance."""
    part = f"{models.config.keep} photos" if models.config.keep else "half"
    return [
        models.adapter("all photos"),
        models.adapter(f"{part} by clustering", "by clustering", selection=models.selection()),
        models.adapter(f"{part} by chance", "by chance", selection=models.selection("random")),
    ]


def selection_embedding(models: Models) -> list[Variant]:
    """Adapters on selections by each embedding that can run: the one asked for and the project's own."""
    names = dict.fromkeys([models.config.embedding, "gradient-colour"])
    if models.config.features is not None:
        names["squeezenet"] = None
    if len(names) < 2:
        raise InputError("this experiment compares embeddings: name another with --embedding, or --features FILE")
    return [models.adapter(f"selected by {name}", selection=models.selection(embedding=name)) for name in names]


def number_of_clusters(models: Models) -> list[Variant]:
    """Adapters on an eighth, a quarter, a half and all of the photos, by clustering and by chance."""
    methods: dict[str, Method] = {"by clustering": "similarity", "by chance": "random"}
    variants = []
    for curve, method in methods.items():
        for part in (0.125, 0.25, 0.5):
            selection = models.selection(method, part=part)
            variant = models.adapter(f"{part:.3g} of the photos, {curve}", selection=selection)
            variants.append(replace(variant, x=part, curves=(curve,)))
    return [*variants, replace(models.adapter("all photos"), x=1.0, curves=tuple(methods))]


def data_sets(models: Models) -> list[Variant]:
    """Whole data sets, not edits: pix2pix and this generator, both from scratch; unpaired sets unpaired."""
    return [models.scratch("pix2pix", model="pix2pix"), models.scratch("this generator", "e2gan")]


def architecture(models: Models) -> list[Variant]:
    """This generator from scratch with its TB elsewhere, two, none; pooling, or nothing, around it; more RBs."""
    g = models.config.generator
    generators: dict[str, GeneratorConfig] = {f"TB after RB {i}": replace(g, transformers=(i,)) for i in range(1, 4)}
    generators |= {
        "TB before RB 1": replace(g, transformers=(0,)),
        "two TBs, after RB 1 and 2": replace(g, transformers=(1, 2)),
        "TB after RB 2, pooling around it": replace(g, transformers=(2,), around="pool"),
        "TB after RB 2, nothing around it": replace(g, transformers=(2,), around="none"),
        "no TB, 3 RBs": replace(g, transformers=(), cross_attention=False),
        "no TB, 9 RBs": replace(g, blocks=9, transformers=(), cross_attention=False),
    }
    return [models.scratch(name, generator=generator) for name, generator in generators.items()]


def text(models: Models) -> list[Variant]:
    """Adapters on bases whose TB attends to the prompt, and not."""
    _need_bases(models, 1)
    names = {"with cross-attention to the prompt": True, "self-attention alone": False}
    bases = {
        name: models.base(name, generator=replace(models.config.generator, cross_attention=attends))
        for name, attends in names.items()
    }
    return [models.adapter(name, base=base) for name, base in bases.items()]


def transfer(models: Models) -> list[Variant]:
    """All weights trained from scratch, from another concept, and from the base, for parts of the training."""
    _need_bases(models, 1)
    first = models.base_sets[0]
    other = models.base(f"one concept {first.prompt}", sets=[first])
    base = models.base()
    variants = []
    for part in (0.25, 0.5, 1.0):
        at = f"{part:.0%}"
        other_name = f"from {first.prompt}"
        curves = {
            "from scratch": models.scratch(f"from scratch, {at} of the training", f"scratch {at}", part=part),
            other_name: models.all_weights(
                f"{other_name}, {at} of the training", f"from one {at}", base=other, part=part
            ),
            "from the base": models.all_weights(
                f"from the base, {at} of the training", f"from the base {at}", base=base, part=part
            ),
        }
        variants += [replace(variant, x=part, curves=(curve,)) for curve, variant in curves.items()]
    return variants


def _on_base(models: Models, name: str, sets: list[PairSet]) -> Variant:
    return models.adapter(name, f"on {name}", base=models.base(name, sets=sets))


def _need_bases(models: Models, count: int) -> None:
    if len(models.base_sets) < count:
        raise InputError(
            f"this experiment trains its own bases: name at least {count} pair set{'s' * (count > 1)} with --base-pairs"
        )


def _clustered(models: Models, keep: int) -> list[PairSet]:
    """The concepts of Sec. 4.2.1: the nearest to each centre of the clustered mean embeddings."""
    if keep >= len(models.base_sets):
        return list(models.base_sets)
    c = models.config
    if c.embedding.endswith(".npy"):
        raise InputError(f"--embedding {c.embedding} is of photos, and this experiment compares concepts: name a kind")
    settings = ConceptsConfig(
        pairs=tuple(s.folder for s in models.base_sets),
        keep=keep,
        out=models.out / f"concepts-{keep}.json",
        **models.embedding_settings(c.embedding),
    )
    kept = {str(concept.pairs) for concept in choose_concepts(settings).keep}
    return [s for s in models.base_sets if str(s.folder) in kept]


EXPERIMENTS: dict[str, Experiment] = {
    "table2": Experiment("Quality on the concepts (portraits)", quality),
    "table3": Experiment("Quality on the concepts (scenes)", quality),
    "table4": Experiment("Which concepts the base is trained on", base_concepts),
    "table5": Experiment("LoRA ranks", lora_ranks),
    "table6": Experiment("Half of the photos, by clustering and by chance", selection_method),
    "table7": Experiment("What is tuned", what_is_tuned),
    "table8": Experiment("Other data sets", data_sets),
    "table9": Experiment("What the selection compares photos by", selection_embedding),
    "table10": Experiment("Where the transformer block sits, and what is around it", architecture),
    "table11": Experiment("How many concepts the base is trained on", number_of_concepts, "concepts of the base"),
    "table12": Experiment("What an adapter starts from", base_alternatives),
    "table13": Experiment("Cross-attention to the prompt", text),
    "table14": Experiment("How many photos an adapter needs", number_of_clusters, "part of the training photos"),
    "fig2": Experiment("Transfer of knowledge between concepts", transfer, "part of the training"),
    "fig7": Experiment("Number of clusters", number_of_clusters, "part of the training photos"),
}
