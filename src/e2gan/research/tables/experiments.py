"""What each of the paper's tables and figures compares, as rows of models to train.

Numbers 1, 4, 5, 8, 10, 12, 13 and figures 4 and 6 are the paper's by what its text says of them. For 2, 3, 6, 7, 9, 11,
14 and figures 2 and 7 the experiments are those of Sec. 3 and 5, but which of them has which number was not checked
against the print.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from e2gan.config import GeneratorConfig, Ranks
from e2gan.core.errors import InputError
from e2gan.data.pair_set import PairSet
from e2gan.research.comparison import Subject
from e2gan.research.tables.bench import Bench
from e2gan.research.tables.sets import identity_set

__all__ = ["Arm", "Experiment", "EXPERIMENTS"]


@dataclass(frozen=True)
class Arm:
    """One row: its name, and how its model for a concept comes to be. x: its place on these curves."""

    name: str
    train: Callable[[PairSet], Subject]
    x: float | None = None
    curves: tuple[str, ...] = ()


@dataclass(frozen=True)
class Experiment:
    """title: what is compared. arms: the rows, made on a bench. x_label: of the curve, where it is one."""

    title: str
    arms: Callable[[Bench], list[Arm]]
    x_label: str | None = None


def quality(bench: Bench) -> list[Arm]:
    """The baselines, and the adapter on a selection of half of the photos."""
    return [
        Arm("pix2pix", lambda s: bench.scratch("pix2pix", s, "pix2pix")),
        Arm("pix2pix-zero-distilled (Co-Mod-GAN)", lambda s: bench.scratch("comodgan", s, "comodgan")),
        Arm(
            "adapter", lambda s: bench.adapter("adapter selected", s, selection=bench.selection(s, bench.keep(s)))
        ),
    ]  # fmt: skip


def base_concepts(bench: Bench) -> list[Arm]:
    """Adapters on bases of half of the concepts, chosen by clustering or chance, of a single one, and of all."""
    sets, keep = bench.base_sets, max(1, len(bench.base_sets) // 2)
    _need_bases(bench, 2)
    chosen = _chosen(bench, keep)
    rng = np.random.default_rng(bench.config.seed)
    by_chance = [sets[i] for i in sorted(rng.choice(len(sets), keep, replace=False))]
    bases = {
        f"{keep} concepts by clustering": chosen,
        f"{keep} concepts by chance": by_chance,
        f"one concept ({chosen[0].prompt})": chosen[:1],
        f"all {len(sets)} concepts": sets,
    }
    return [_on_base(bench, name, members) for name, members in bases.items()]


def base_alternatives(bench: Bench) -> list[Arm]:
    """Adapters on the usual base, on an autoencoder, and on a base of a single concept."""
    _need_bases(bench, 1)
    first = bench.base_sets[0]
    photos = identity_set(first, bench.out / "autoencoder-pairs")
    return [
        _on_base(bench, f"base of {len(bench.base_sets)} concepts", bench.base_sets),
        _on_base(bench, "autoencoder", [photos]),
        _on_base(bench, f"base of one concept ({first.prompt})", [first]),
    ]


def number_of_concepts(bench: Bench) -> list[Arm]:
    """Adapters on bases of 1, 2, 4, … concepts, chosen by clustering."""
    _need_bases(bench, 2)
    counts = sorted({min(2**i, len(bench.base_sets)) for i in range(8)})
    return [
        replace(_on_base(bench, f"{k} concept{'s' * (k > 1)}", _chosen(bench, k)), x=k, curves=("E²GAN",))
        for k in counts
    ]


def lora_ranks(bench: Bench) -> list[Arm]:
    """The paper's three sets of ranks, the ones asked for, and all of the base's weights."""
    sets = {
        "ranks 1,4,8,8 +1": Ranks(),
        "ranks 1,4,16,16 +1 (upscale 4x)": Ranks(level3=16, level4=16),
        "ranks 1,4,4,4 +1 (upscale 1x)": Ranks(level3=4, level4=4),
    }
    if bench.config.ranks not in sets.values():
        sets["the ranks given"] = bench.config.ranks
    base = bench.base()
    arms = [_ranked(bench, name, ranks) for name, ranks in sets.items()]
    return [*arms, Arm("all weights of the base", lambda s: bench.tuned("all weights", s, base=base))]


def what_is_tuned(bench: Bench) -> list[Arm]:
    """LoRA on the sampling layers, on the TB, on both; and all weights."""
    ranks = bench.config.ranks
    base = bench.base()
    return [
        _ranked(bench, "LoRA on the SL", replace(ranks, tb=0)),
        _ranked(bench, "LoRA on the TB", Ranks(level1=0, level2=0, level3=0, level4=0, tb=ranks.tb)),
        _ranked(bench, "LoRA on SL and TB", ranks),
        Arm("all weights of the base", lambda s: bench.tuned("all weights", s, base=base)),
    ]


def selection_method(bench: Bench) -> list[Arm]:
    """Adapters on all photos, on those chosen by clustering, and on as many by chance."""
    part = f"{bench.config.keep} photos" if bench.config.keep else "half"
    return [
        Arm("all photos", lambda s: bench.adapter("all photos", s)),
        Arm(
            f"{part} by clustering",
            lambda s: bench.adapter("by clustering", s, selection=bench.selection(s, bench.keep(s))),
        ),
        Arm(
            f"{part} by chance",
            lambda s: bench.adapter("by chance", s, selection=bench.selection(s, bench.keep(s), "random")),
        ),
    ]


def selection_embedding(bench: Bench) -> list[Arm]:
    """Adapters on selections by each embedding that can run: the one asked for and the project's own."""
    names = dict.fromkeys([bench.config.embedding, "gradient-colour"])
    if bench.config.features is not None:
        names["squeezenet"] = None

    def arm(name: str) -> Arm:
        return Arm(
            f"selected by {name}",
            lambda s: bench.adapter(
                f"selected by {name}", s, selection=bench.selection(s, bench.keep(s), embedding=name)
            ),
        )

    if len(names) < 2:
        raise InputError("this experiment compares embeddings: name another with --embedding, or --features FILE")
    return [arm(name) for name in names]


def number_of_clusters(bench: Bench) -> list[Arm]:
    """Adapters on an eighth, a quarter, a half and all of the photos, by clustering and by chance."""

    ways: dict[str, Literal["similarity", "random"]] = {"by clustering": "similarity", "by chance": "random"}

    def arm(way: str, part: float) -> Arm:
        name = f"{part:.3g} of the photos, {way}"

        def train(pair_set: PairSet) -> Subject:
            keep = max(1, round(part * sum(row["split"] == "train" for row in pair_set.rows)))
            return bench.adapter(name, pair_set, selection=bench.selection(pair_set, keep, ways[way]))

        return Arm(name, train, x=part, curves=(way,))

    whole = Arm("all photos", lambda s: bench.adapter("all photos", s), x=1.0, curves=tuple(ways))
    return [*(arm(way, part) for way in ways for part in (0.125, 0.25, 0.5)), whole]


def data_sets(bench: Bench) -> list[Arm]:
    """Whole data sets, not edits: pix2pix and this generator, both from scratch; unpaired sets unpaired."""
    return [
        Arm("pix2pix", lambda s: bench.scratch("pix2pix", s, "pix2pix")),
        Arm("this generator", lambda s: bench.scratch("e2gan", s, "e2gan")),
    ]


def architecture(bench: Bench) -> list[Arm]:
    """This generator from scratch with its TB elsewhere, two, none; pooling, or nothing, around it; more RBs."""
    g = bench.config.generator
    variants: dict[str, GeneratorConfig] = {f"TB after RB {i}": replace(g, transformers=(i,)) for i in range(1, 4)}
    variants |= {
        "TB before RB 1": replace(g, transformers=(0,)),
        "two TBs, after RB 1 and 2": replace(g, transformers=(1, 2)),
        "TB after RB 2, pooling around it": replace(g, transformers=(2,), around="pool"),
        "TB after RB 2, nothing around it": replace(g, transformers=(2,), around="none"),
        "no TB, 3 RBs": replace(g, transformers=(), cross_attention=False),
        "no TB, 9 RBs": replace(g, blocks=9, transformers=(), cross_attention=False),
    }
    return [_from_scratch(bench, name, variant) for name, variant in variants.items()]


def text(bench: Bench) -> list[Arm]:
    """Adapters on bases whose TB attends to the prompt, and not."""
    _need_bases(bench, 1)
    g = bench.config.generator

    def arm(name: str, cross_attention: bool) -> Arm:
        base = bench.base(name, generator=replace(g, cross_attention=cross_attention))
        return Arm(name, lambda s: bench.adapter(name, s, base=base))

    return [arm("with cross-attention to the prompt", True), arm("self-attention alone", False)]


def transfer(bench: Bench) -> list[Arm]:
    """All weights trained from scratch, from another concept, and from the base, for parts of the training."""
    _need_bases(bench, 1)
    first = bench.base_sets[0]
    other = bench.base(f"one concept {first.prompt}", sets=[first])
    base = bench.base()
    arms = []
    for part in (0.25, 0.5, 1.0):
        at = f"{part:.0%} of the training"
        arms += [
            Arm(f"from scratch, {at}", _scratch_for(bench, part), x=part, curves=("from scratch",)),
            Arm(
                f"from {first.prompt}, {at}",
                _tuned_for(bench, "from one", other, part),
                x=part,
                curves=(f"from {first.prompt}",),
            ),
            Arm(
                f"from the base, {at}",
                _tuned_for(bench, "from the base", base, part),
                x=part,
                curves=("from the base",),
            ),
        ]
    return arms


def _scratch_for(bench: Bench, part: float) -> Callable[[PairSet], Subject]:
    return lambda s: bench.scratch(f"scratch {part:.0%}", s, "e2gan", part=part)


def _tuned_for(bench: Bench, name: str, base: Path, part: float) -> Callable[[PairSet], Subject]:
    return lambda s: bench.tuned(f"{name} {part:.0%}", s, base=base, part=part)


def _ranked(bench: Bench, name: str, ranks: Ranks) -> Arm:
    return Arm(name, lambda s: bench.adapter(name, s, ranks=ranks))


def _from_scratch(bench: Bench, name: str, generator: GeneratorConfig) -> Arm:
    return Arm(name, lambda s: bench.scratch(name, s, "e2gan", generator=generator))


def _on_base(bench: Bench, name: str, sets: list[PairSet]) -> Arm:
    base = bench.base(name, sets=sets)
    return Arm(name, lambda s: bench.adapter(f"on {name}", s, base=base))


def _need_bases(bench: Bench, count: int) -> None:
    if len(bench.base_sets) < count:
        raise InputError(
            f"this experiment trains its own bases: name at least {count} pair set{'s' * (count > 1)} with --base-pairs"
        )


def _chosen(bench: Bench, keep: int) -> list[PairSet]:
    """The concepts of Sec. 4.2.1: the nearest to each centre of the clustered mean embeddings."""
    from e2gan.choose.concepts import choose_concepts
    from e2gan.config import ConceptsConfig

    if keep >= len(bench.base_sets):
        return list(bench.base_sets)
    c = bench.config
    if c.embedding.endswith(".npy"):
        raise InputError(f"--embedding {c.embedding} is of photos, and this experiment compares concepts: name a kind")
    settings = ConceptsConfig(
        pairs=tuple(s.folder for s in bench.base_sets),
        keep=keep,
        out=bench.out / f"concepts-{keep}.json",
        embedding=c.embedding,
        features=c.features if c.embedding == "squeezenet" else None,
        model=c.model if c.embedding in ("clip", "dinov2") else None,
        seed=c.seed,
        device=c.device,
    )
    kept = {str(concept.pairs) for concept in choose_concepts(settings).keep}
    return [s for s in bench.base_sets if str(s.folder) in kept]


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
