"""A table at its smallest: a tiny generator, few epochs, and pair sets one of which has rejected edits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from e2gan import FunctionTeacher, PairsConfig, PhotoSet, TableConfig, make_pairs, run_table
from e2gan.config import PAPER
from e2gan.core.images import Pixels, write_png
from e2gan.research.tables.run import TableResult
from tests.conftest import TINY, Project

SMALL = replace(PAPER, **(TINY | {"blocks": 3, "transformers": (2,)}))
REJECTED = 3  # training photos of the concept `rejecting` that have no pair


@dataclass(frozen=True)
class Sets:
    """rejecting, dusk: to evaluate on; base: two concepts; random: two; art and single: one each."""

    rejecting: Path
    dusk: Path
    base: tuple[Path, ...]
    random: tuple[Path, ...]
    art: Path
    single: Path
    unpaired: Path


def make_sets(project: Project, root: Path) -> Sets:
    """The pair sets, made for real."""

    def filtered(name: str) -> Path:
        make_pairs(PairsConfig(photos=project.photos, concept=name, out=root / name))
        return root / name

    trained = PhotoSet.load(project.photos).split("train")[::8][:REJECTED]
    refused = PhotoSet.load(project.photos).array([photo.id for photo in trained])

    def darken(photos: list[Pixels], *_: object) -> list[Pixels]:
        """Black, as a safety checker leaves them, for some."""
        return [p * 0 if any((p == r).all() for r in refused) else p // 2 + 1 for p in photos]

    dark = FunctionTeacher(darken, name="dark", deterministic=True)
    made = make_pairs(PairsConfig(photos=project.photos, concept="Low Quality photo", out=root / "rejecting"), [dark])
    assert made.train == 24 - REJECTED

    for kind in ("before", "after"):
        for split, count in (("train", 8), ("test", 4)):
            (root / kind / split).mkdir(parents=True)
            for i in range(count):
                image = np.random.default_rng([count, i]).integers(0, 100, (32, 32, 3)) + (150 if kind == "after" else 0)
                write_png(root / kind / split / f"{kind}{i}.png", image.astype(np.uint8))
    unpaired = PairsConfig(
        before=root / "before", after=root / "after", unpaired=True, concept="brighter", size=32, out=root / "unpaired"
    )
    make_pairs(unpaired)
    return Sets(
        rejecting=root / "rejecting",
        dusk=project.dusk,
        base=(filtered("autumn"), filtered("winter")),
        random=(filtered("night"), filtered("neon")),
        art=filtered("sketch"),
        single=filtered("golden"),
        unpaired=root / "unpaired",
    )


def settings(sets: Sets, number: str, out: Path, **changes: object) -> TableConfig:
    config = TableConfig(
        number=number,
        out=out,
        pairs=(sets.rejecting,),
        base_pairs=sets.base,
        random_pairs=sets.random,
        art_pairs=(sets.art,),
        single_pairs=sets.single,
        epochs=1,
        baseline_epochs=2,
        base_epochs=3,
        batch=8,
        keep=(10,),
        embedding="gradient-colour",
        text="hashed",
        metric="l1",
        generator=SMALL,
        precision="fp32",
    )
    return replace(config, **changes)


def run(config: TableConfig) -> TableResult:
    found = run_table(config)
    assert isinstance(found, TableResult)
    return found
