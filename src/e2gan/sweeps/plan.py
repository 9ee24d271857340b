"""What is to be made of a list of concepts: each concept's things, in the order of the data's way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from e2gan.config import PairsConfig, SweepConfig
from e2gan.core.errors import InputError
from e2gan.core.files import CONFIG, plain
from e2gan.core.identity import files_below, hash_of_named
from e2gan.data.pair_set import SELECTION, SIDED, PhotosToEdit
from e2gan.data.photos import INDEX
from e2gan.export.export import precision_of
from e2gan.export.formats import find_format
from e2gan.networks.folders import DISCRIMINATOR, MODEL, base_content, base_folder, shipped_name
from e2gan.networks.models import load_generator
from e2gan.pairs.concept_lists import ConceptRow
from e2gan.pairs.make import NOT_DECISIVE as TEACHING_HINTS
from e2gan.pairs.make import edits_identity, has_side, plan_pair_sets
from e2gan.sharing.licence import CARD
from e2gan.sweeps.things import (
    ADAPTERS,
    BASES,
    BLOCKS,
    EVALUATIONS,
    EXPORTS,
    PAIRS,
    PHOTOS,
    SELECTIONS,
    Ref,
    Thing,
    digest,
)
from e2gan.teachers import make_teachers, takes_settings
from e2gan.train.loop import METRICS, NOT_DECISIVE


@dataclass(frozen=True)
class Brought:
    """A folder that the driver brings to the store: a photo set, or a base. names: its files."""

    ref: Ref
    folder: Path
    names: list[str]


@dataclass(frozen=True)
class Concept:
    """A concept of the list, and its things in the order in which they can be made."""

    name: str
    prompt: str
    things: tuple[Thing, ...]

    def of(self, kind: str) -> list[Thing]:
        """Its things of a kind."""
        return [thing for thing in self.things if thing.kind == kind]


@dataclass(frozen=True)
class Plan:
    """All that a sweep comes to. about: what the list has to say to who uses it."""

    brought: tuple[Brought, ...]
    concepts: tuple[Concept, ...]
    about: tuple[str, ...]

    @property
    def refs(self) -> list[Ref]:
        """Of all things, each once."""
        return list(dict.fromkeys(thing.ref for concept in self.concepts for thing in concept.things))


def make_plan(config: SweepConfig) -> Plan:
    """Raises InputError where the list, the photos, the base, a teacher or a format cannot be; nothing is made."""
    concepts, configs = plan_pair_sets(
        PairsConfig(
            concepts=config.concepts,
            photos=config.photos,
            out=Path("pairs"),
            teacher=config.teacher,
            run_commands=config.run_commands,
            seed=config.training.seed,
            teach=config.teach,
        )
    )
    chosen = PhotosToEdit.load(config.photos)
    names = [CONFIG, INDEX, *([SELECTION] if chosen.selection else []), *(p.file for p in chosen.photo_set.photos)]
    content = {"content": chosen.photo_set.content(), "reads": chosen.reads}
    photos = Brought(Ref(PHOTOS, digest(content)), config.photos, names)
    base = base_folder(config.base)
    load_generator(base)  # a base that is none is told now
    ships = shipped_name(base)
    brought = [photos]
    if ships is None:
        files = [path.relative_to(base).as_posix() for path in files_below(base)]
        kept = [name for name in files if name in (MODEL, DISCRIMINATOR, CONFIG, METRICS, CARD)]
        brought.append(Brought(Ref(BASES, digest(base_content(base))), base, kept))
    of_base = {} if ships is None else {"base": ships, "base_content": base_content(base)}
    inputs = {} if ships is not None else {BASES: brought[-1].ref}
    for name in config.export:
        find_format(name).require()
        precision_of(name, None)
    planner = _Planner(config, photos.ref, len(chosen.photos), of_base, inputs)
    rows = zip(concepts.concepts, configs, strict=True)
    made = tuple(Concept(row.name, row.prompt, tuple(planner.things(row, one))) for row, one in rows)
    return Plan(tuple(brought), made, tuple(concepts.about))


@dataclass(frozen=True)
class _Planner:
    config: SweepConfig
    photos: Ref
    count: int  # of the photos that teachers edit
    base: dict[str, Any]  # settings that say which base ships
    base_input: dict[str, Ref]  # or the one that was brought

    def things(self, row: ConceptRow, pairs: PairsConfig) -> Iterator[Thing]:
        """The things of a concept, each after those that it is made from."""
        config = self.config
        *blocks, pair_set = self._pair_set(row, pairs)
        yield from (*blocks, pair_set)
        of_pairs = {PAIRS: pair_set.ref}
        selection: dict[str, Ref] = {}
        if config.keep is not None:
            settings = {"keep": config.keep, "embedding": config.embedding, "seed": config.training.seed}
            if config.embedding.endswith(".npy"):
                raise InputError(f"--embedding {config.embedding}: a sweep takes kinds of embeddings, not files")
            chosen = Thing(SELECTIONS, settings, {PHOTOS: self.photos, **of_pairs}, hints={"device": "cpu"})
            selection = {SELECTIONS: chosen.ref}
            yield chosen
        photos = {PHOTOS: self.photos}
        training = plain(config.same_training)
        hints = {name: training.pop(name) for name in (*NOT_DECISIVE, "device")}
        settings = self.base | {
            "text": config.text,
            "text_content": hash_of_named((config.text or "").removeprefix("clip:") or None),
            "init": config.init,
            "ranks": plain(config.ranks),
            "training": training,
        }
        adapter = Thing(
            ADAPTERS,
            settings,
            {**self.base_input, **photos, **of_pairs, **selection},
            hints={"training": hints},
            gpu=True,
        )
        yield adapter
        of_adapter = {**self.base_input, ADAPTERS: adapter.ref}
        settings = self.base | {"text": config.text, "inception": config.inception}
        device = {"device": config.device}
        yield Thing(EVALUATIONS, settings, {**of_adapter, **photos, **of_pairs}, hints=device, gpu=True)
        for name in config.export:
            yield Thing(EXPORTS, self.base | {"text": config.text, "format": name}, of_adapter)

    def _pair_set(self, row: ConceptRow, pairs: PairsConfig) -> Iterator[Thing]:
        """The blocks of a concept's pair set, and the set."""
        arguments = row.settings_of(pairs.teachers)
        teachers = make_teachers(pairs, arguments)
        teach = plain(pairs.teach)
        gpu = any(map(takes_settings, pairs.teachers))
        hints = {
            "device": self.config.device if gpu else "cpu",
            "teach": {name: teach.pop(name) for name in TEACHING_HINTS},
        }
        settings = {
            "concept": pairs.concept,
            "teacher": list(pairs.teachers),
            "seed": pairs.seed,
            "arguments": plain(arguments),
            "teach": teach,
            "decisive": edits_identity(pairs, teachers),
        }
        # It decides no edit, so no block; and of the set nothing but what a training mirrors.
        mirrors = self.config.training.flip and (pairs.sided or has_side(teachers))
        of_set = settings | ({SIDED: True} if mirrors else {})
        whole = Thing(PAIRS, of_set, {PHOTOS: self.photos}, hints=hints | {SIDED: pairs.sided}, gpu=gpu)
        size = self.config.block
        if size is None or size >= self.count:
            yield whole
            return
        blocks = [
            replace(whole, kind=BLOCKS, settings=settings | {"first": first, "count": size}, hints=hints)
            for first in range(0, self.count, size)
        ]
        yield from blocks
        yield replace(whole, after=tuple(block.ref for block in blocks))
