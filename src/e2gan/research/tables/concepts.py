"""The concepts of an experiment: those to evaluate on, and those of each base, none of them in both (Sec. 5.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from e2gan.config import TableConfig
from e2gan.config.schemas import BASE
from e2gan.core.errors import InputError
from e2gan.core.names import prompt_key
from e2gan.core.outputs import read_settings
from e2gan.data.pair_set import PairSet
from e2gan.networks.folders import base_folder
from e2gan.research.comparison import load_sets
from e2gan.research.tables.sets import resized_set


@dataclass(frozen=True)
class Concepts:
    """sets: to evaluate on. base, random, art, single: to train bases on, single of one. notes: what was left out."""

    sets: list[PairSet]
    base: list[PairSet] = field(default_factory=list)
    random: list[PairSet] = field(default_factory=list)
    art: list[PairSet] = field(default_factory=list)
    single: PairSet | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def of_bases(self) -> list[PairSet]:
        return [*self.base, *self.random, *self.art, *([self.single] if self.single else [])]

    @classmethod
    def load(cls, config: TableConfig, work: Path) -> Concepts:
        """The pair sets that the settings name, at one size. work: where resized ones are kept.

        A concept to evaluate on that a base to be trained has too is left out of that base; one that a trained base
        knows, or that is a base's only one, is left out of the evaluation. Raises InputError where a pair set is
        missing, two of a group cannot be told apart, they differ in size, or nothing is left to evaluate on.
        """
        single = () if config.single_pairs is None else (config.single_pairs,)
        groups = [
            [_sized(s, config.size, work) for s in load_sets(folders)]
            for folders in (config.pairs, config.base_pairs, config.random_pairs, config.art_pairs, single)
        ]
        sets, *bases = groups
        sizes = sorted({s.size for group in groups for s in group})
        if len(sizes) > 1:
            raise InputError(f"the pair sets have different sizes ({', '.join(map(str, sizes))}): name one with --size")
        notes: list[str] = []
        sets = _unknown(sets, config.base, [prompt_key(s.prompt) for s in bases[3]], notes)
        if config.pairs and not sets:
            raise InputError(f"no concept is left to evaluate on: {notes[-1]}")
        names = ("--base-pairs", "--random-pairs", "--art-pairs")
        base, random, art = (_apart(g, sets, n, notes) for g, n in zip(bases, names, strict=False))
        return cls(sets, base, random, art, next(iter(bases[3]), None), notes)


def _sized(pair_set: PairSet, size: int | None, work: Path) -> PairSet:
    if size is None or size == pair_set.size:
        return pair_set
    return resized_set(pair_set, size, work / f"sets-{size}")


def _unknown(sets: Sequence[PairSet], base: Path | None, single: list[str], notes: list[str]) -> list[PairSet]:
    """The sets whose concepts neither the given base nor the base of one concept has learned."""
    trained: set[str] = set()
    if base is not None:
        trained = set(map(prompt_key, read_settings(base_folder(base), BASE, "base").get("concepts", ())))
    left = []
    for s in sets:
        if prompt_key(s.prompt) in trained:
            notes.append(f'"{s.prompt}" is left out of the evaluation: the base {base} has learned it (Sec. 5.1).')
        elif prompt_key(s.prompt) in single:
            notes.append(f'"{s.prompt}" is left out of the evaluation: it is the concept of --single-pairs (Sec. 5.1).')
        else:
            left.append(s)
    return left


def _apart(group: Sequence[PairSet], sets: Sequence[PairSet], flag: str, notes: list[str]) -> list[PairSet]:
    """A base's concepts without those that are evaluated on."""
    evaluated = {prompt_key(s.prompt) for s in sets}
    for s in group:
        if prompt_key(s.prompt) in evaluated:
            notes.append(f'"{s.prompt}" is left out of {flag}: it is evaluated on (Sec. 5.1).')
    return [s for s in group if prompt_key(s.prompt) not in evaluated]
