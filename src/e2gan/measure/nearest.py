"""The adapters nearest to a new concept, and what each gives on its pairs before any training (the stage `nearest`).

Two steps: an index of what each adapter does to a few built-in photographs names candidates, of which none need be run
anew; these are run on a few of the new concept's pairs and measured.
"""

from __future__ import annotations

import copy
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from e2gan.config import NearestConfig
from e2gan.config.schemas import AdapterFacts
from e2gan.core.errors import InputError
from e2gan.core.files import plain, read_json, sha256, write_json
from e2gan.core.images import Pixels
from e2gan.core.names import printable, slug
from e2gan.core.outputs import make_folder, versions
from e2gan.core.progress import in_threads, track
from e2gan.core.reruns import ours
from e2gan.data.pair_set import PairSet
from e2gan.data.photos import read_stack, shuffled
from e2gan.editing.predictor import Predictor
from e2gan.measure.adapter_index import INDEX, AdapterIndex, Search, engine_of
from e2gan.measure.effect_vectors import WIDTH, effect_vector, form, probes
from e2gan.measure.evaluate import pixel_metrics
from e2gan.measure.prompt_likeness import HASHED, by_encoder, by_words, pooled_prompt
from e2gan.networks.folders import (
    ABOUT,
    ADAPTER,
    MODEL,
    adapter_content,
    adapter_folder,
    base_folder,
    folders_below,
    shipped_adapters,
)
from e2gan.networks.generator import Generator
from e2gan.networks.models import Model, attach_adapter, encoder_of, load_generator, takes_prompt
from e2gan.networks.text import TextEncoder
from e2gan.train.perceptual import maps_of_pictures, perceptual_loss

MOST_FOLDERS = 1_000_000  # that are looked into
BY_PROMPT = 4  # candidates, at most, that their prompts alone name
MOST_NOTES = 5


@dataclass(frozen=True)
class Given:
    """Edits against those of the pairs, a mean over them."""

    l1: float
    """Mean absolute difference in 8-bit levels."""
    ssim: float
    """Structural similarity, 1 for the same image."""
    perceptual: float
    """Distance of SqueezeNet's features, as `--perceptual` trains on; 0 for the same image."""


@dataclass(frozen=True)
class Near:
    """An adapter. distance: by the index. likeness: of the prompts, 1 for the same. edit: what it gives by its own
    prompt, as `e2gan edit` does; start: by the new concept's, as `adapt --start` begins. Both None without pairs."""

    name: str
    folder: Path
    prompt: str
    distance: float | None
    likeness: float
    edit: Given | None = None
    start: Given | None = None


@dataclass(frozen=True)
class Nearest:
    """The nearest adapters, those that give most first.

    known: adapters of this base. photo: what the photos as they
    are give, base: the base by the concept's prompt, as an adapter from nothing known begins.
    """

    concept: str
    pairs: int
    known: int
    near: tuple[Near, ...]
    photo: Given | None
    base: Given | None
    command: str | None
    notes: tuple[str, ...] = ()
    engine: str = "numpy"
    out: Path | None = None

    def __str__(self) -> str:
        measured = f", on {self.pairs} of its pairs before any training" if self.pairs else ""
        lines = [f'of {self.known:,} adapters, nearest to "{printable(self.concept)}"{measured}']
        head = ["", "prompt", *(["L1", "SSIM", "perceptual", "L1 as a start", "distance"] if self.pairs else [])]
        rows = [[*head, "likeness"]]
        for near in self.near:
            cells = [near.name, f'"{printable(near.prompt)}"']
            if self.pairs:
                start = "" if near.start is None else f"{near.start.l1:.2f}"
                cells += [*_cells(near.edit), start, "" if near.distance is None else f"{near.distance:.1f}"]
            rows.append([*cells, f"{near.likeness:.2f}"])
        if self.pairs:
            start = "" if self.base is None else f"{self.base.l1:.2f}"
            rows.append(["(no adapter)", "the base, by the new prompt", *_cells(self.base), start, "", ""])
            rows.append(["(no edit)", "the photo as it is", *_cells(self.photo), "", "", ""])
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        for row in rows:
            cells = [f"{c:<{w}}" if i < 2 else f"{c:>{w}}" for i, (c, w) in enumerate(zip(row, widths, strict=True))]
            lines.append("  ".join(cells).rstrip())
        lines += self.notes
        lines += [] if self.out is None else [f"table in {self.out}"]
        return "\n".join([*lines, *([] if self.command is None else [f"next: {self.command}"])])


def _cells(given: Given | None) -> list[str]:
    return ["", "", ""] if given is None else [f"{given.l1:.2f}", f"{given.ssim:.3f}", f"{given.perceptual:.3f}"]


def nearest(config: NearestConfig) -> Nearest:
    """Find the adapters of a base that come nearest to a concept. The index is made, or gone on with, on the way.

    Raises InputError for bad settings or folders, where no adapter of the base is found, an index that is none, and a
    file at `out` that this program did not write; BusyError where another process writes the index.
    """
    NearestConfig.checked(config)
    if config.out is not None:
        ours(config.out, "nearest")
    work = _Work.begin(config)
    engine = engine_of(config.engine)
    pairs = None if config.pairs is None else _pairs(config, PairSet.load(config.pairs))
    if pairs and config.concept and config.concept != pairs.prompt:
        raise InputError(f"--concept: the pairs have a prompt, {pairs.prompt!r}, by which adapt trains: leave it out")
    concept = config.concept or (pairs.prompt if pairs else "")
    if pairs is not None:
        work.look_at_new()
    likeness = work.likeness(concept)
    adapters = work.adapters
    if not adapters:
        why = f" ({work.notes[-1]})" if work.notes else ""
        raise InputError(
            f"no adapter of the base {work.base} is found{why}: name --adapters, or train one (e2gan adapt)"
        )
    if pairs is None:
        near = []
        for i in sorted(range(len(adapters)), key=lambda i: -likeness[i]):
            adapter = adapters[i]
            if len(near) == config.count:
                break
            if work.tried(adapter, work.model) is not None:
                near.append(Near(adapter.name, work.folder(adapter), adapter.prompt, None, likeness[i]))
        return _told(config, work, Nearest(concept, 0, len(adapters), tuple(near), None, None, None, (), engine))
    query = effect_vector(pairs.photos, pairs.edits)
    search = Search(np.stack([work.index.entries[a.key].vector for a in adapters]), config.engine)
    found, distances = search.nearest(query, len(adapters))
    by_effect = dict(zip(found.tolist(), distances.tolist(), strict=True))
    chosen = list(by_effect)[: config.candidates]
    by_prompt = sorted(range(len(adapters)), key=lambda i: -likeness[i])[:BY_PROMPT]
    chosen += [i for i in by_prompt if likeness[i] > 0 and i not in chosen]
    near = []
    for i in track(chosen, "candidates"):
        adapter = adapters[i]
        run = work.tried(adapter, lambda folder: work.run(folder, pairs, concept))
        if run is not None:
            near.append(Near(adapter.name, work.folder(adapter), adapter.prompt, by_effect[i], likeness[i], *run))
    near.sort(key=lambda n: n.start.l1 if n.start else np.inf)
    photo, base = given(pairs.photos, pairs.edits), work.run_base(pairs, concept)
    result = Nearest(
        concept=concept,
        pairs=len(pairs.photos),
        known=len(adapters),
        near=tuple(near[: config.count]),
        photo=photo,
        base=base,
        command=_command(config, concept, near, base),
        engine=engine,
    )
    return _told(config, work, result)


def _told(config: NearestConfig, work: _Work, result: Nearest) -> Nearest:
    """With its notes, and written where it should be."""
    more = len(work.notes) - MOST_NOTES
    notes = [*work.notes[:MOST_NOTES], *([f"{more} more that cannot be used"] if more > 0 else [])]
    if work.others:
        notes.append(f"left out: {work.others:,} adapters of other bases than {work.base}")
    if not result.pairs or any(near.likeness for near in result.near):
        notes += [HASHED] if work.hashed else []
    result = replace(result, notes=tuple(notes), out=config.out)
    if config.out is not None:
        make_folder(config.out.parent)
        about = {"stage": "nearest", "settings": plain(config), "versions": versions()}
        write_json(config.out, plain(result) | about)
    return result


def _command(config: NearestConfig, concept: str, near: Sequence[Near], plain_base: Given) -> str:
    """What trains the adapter: from the nearest, where that begins nearer than the base does."""
    words = ["e2gan", "adapt", *([] if config.base is None else ["--base", str(config.base)])]
    words += ["--pairs", str(config.pairs), "--out", f"{slug(concept)}-adapter"]
    start = near[0].start if near else None
    if start is not None and start.l1 < plain_base.l1:
        folder = near[0].folder
        shipped = shipped_adapters().get(folder.name) == folder
        return shlex.join([*words, "--start", folder.name if shipped else str(folder)])
    return shlex.join([*words, "--init", "gradient"])


@dataclass(frozen=True)
class _Pairs:
    """A few pairs of the new concept, uint8 (N, size, size, 3) each."""

    prompt: str
    photos: Pixels
    edits: Pixels


def _pairs(config: NearestConfig, pair_set: PairSet) -> _Pairs:
    """Raises InputError where the set has no pairs."""
    if not pair_set.paired:
        raise InputError(f"{pair_set.folder} holds no pairs, which adapters could be measured on")
    photos, edits, ids = pair_set.files("train")
    place = {name: i for i, name in enumerate(ids)}
    chosen = [place[name] for name in shuffled(ids, config.seed)[: config.samples]]
    before = read_stack([photos[i] for i in chosen], pair_set.photos.size)
    return _Pairs(pair_set.prompt, before, read_stack([edits[i] for i in chosen], pair_set.size))


def given(edits_NHWC: Pixels, targets_NHWC: Pixels) -> Given:
    """Edits against the pairs' own, uint8 (N, H, W, 3) each. From 32 pixels a side."""
    pixels = pixel_metrics(edits_NHWC, targets_NHWC)
    with torch.inference_mode():
        maps = map(maps_of_pictures, (edits_NHWC, targets_NHWC))
        return Given(pixels["l1"], pixels["ssim"], float(perceptual_loss(*maps)))


@dataclass(frozen=True)
class _Adapter:
    """place: its folder, or where it lies from the index's folder."""

    key: str
    name: str
    prompt: str
    place: Path | str


@dataclass
class _Work:
    config: NearestConfig
    base: Path
    generator: Generator
    encoder: TextEncoder
    hashed: bool
    index: AdapterIndex
    adapters: list[_Adapter]
    others: int
    notes: list[str] = field(default_factory=list)

    @classmethod
    def begin(cls, config: NearestConfig) -> _Work:
        """The base, the index, and the adapters of the base, none of which is run yet."""
        base = base_folder(config.base)
        generator, settings = load_generator(base)
        encoder = encoder_of(settings, config.text)
        base_hash = sha256(base / MODEL)
        file = config.index
        if file is None:
            folders = [folder for folder in config.adapters if folder.is_dir() and not (folder / ADAPTER).is_file()]
            file = folders[0] / INDEX if folders else None
        index = AdapterIndex.load(file, base_hash, form(), WIDTH)
        work = cls(config, base, generator, encoder, settings["text"] == "hashed", index, [], 0)
        named = [folder for place in config.adapters for folder in _adapters_at(place)]
        work._take(dict.fromkeys(folder.resolve() for folder in named), base_hash)
        if config.shipped:
            others = work.others
            work._take(shipped_adapters().values(), base_hash)
            work.others = others  # whoever named none of them need not be told
        if not config.adapters:
            seen = {adapter.key for adapter in work.adapters}
            kept = ((path, e) for path, e in index.known().items() if e.key not in seen)
            work.adapters += [_Adapter(e.key, Path(path).name, e.prompt, path) for path, e in kept]
        return work

    def _take(self, folders: Iterable[Path], base_hash: str) -> None:
        """Those of the base among these; of copies one."""

        def facts(folder: Path) -> tuple[Path, str, str | None, str] | InputError:
            try:
                about = read_json(folder / ABOUT, AdapterFacts)
                own = about.get("base_sha256") == base_hash
                return folder, about["prompt"], about.get("base_sha256"), adapter_content(folder) if own else ""
            except InputError as error:
                return error

        seen = {adapter.key for adapter in self.adapters}
        for found in in_threads(facts, folders):
            if isinstance(found, InputError):
                self.notes.append(f"left out: {found}")
                continue
            folder, prompt, of, key = found
            if of != base_hash:
                self.others += 1
            elif key not in seen:
                seen.add(key)
                self.adapters.append(_Adapter(key, folder.name, prompt, folder))

    def folder(self, adapter: _Adapter) -> Path:
        return adapter.place if isinstance(adapter.place, Path) else self.index.folder(adapter.place)

    def tried(self, adapter: _Adapter, work: Callable[[Path], Any]) -> Any:
        """What `work` makes of an adapter's folder; None, and a note, where it cannot be used."""
        try:
            folder = self.folder(adapter)
            if isinstance(adapter.place, str) and adapter_content(folder) != adapter.key:
                raise InputError(f"{folder} is another adapter than the index has seen there: name it with --adapters")
            return work(folder)
        except InputError as error:
            self.notes.append(f"left out: {error}")
            return None

    def look_at_new(self) -> None:
        """Run what the index does not know on the probes. What cannot be run is left out, with a note."""
        new = [adapter for adapter in self.adapters if adapter.key not in self.index.entries]
        if not new:
            return
        with self.index.growing() as add:
            for adapter in track(new, "adapters that are new to the index"):
                looked = self.tried(adapter, self._look)
                if looked is not None:
                    add(adapter.key, self.folder(adapter), adapter.prompt, *looked)
        self.adapters = [adapter for adapter in self.adapters if adapter.key in self.index.entries]

    def _look(self, folder: Path) -> tuple[Any, Any]:
        """What an adapter does, and its pooled prompt where those are compared."""
        model = self.model(folder)
        photos = probes(model.size)
        effect = effect_vector(photos, Predictor(model, self.config.device).batch(photos))
        return effect, None if self.hashed else pooled_prompt(folder)

    def model(self, folder: Path) -> Model:
        generator = copy.deepcopy(self.generator)
        tokens, about = attach_adapter(generator, self.base, folder, "near")
        size = about.get("size", 128)
        return Model(generator, tokens if takes_prompt(generator) else None, about["prompt"], size, folder)

    def run(self, folder: Path, pairs: _Pairs, concept: str) -> tuple[Given, Given]:
        """What an adapter gives on the pairs by its own prompt, and by the new one."""
        model = self.model(folder)
        own = given(Predictor(model, self.config.device).batch(pairs.photos), pairs.edits)
        if model.tokens is None:
            return own, own
        start = replace(model, tokens=self.encoder.encode(concept)[None])
        return own, given(Predictor(start, self.config.device).batch(pairs.photos), pairs.edits)

    def run_base(self, pairs: _Pairs, concept: str) -> Given:
        tokens = self.encoder.encode(concept)[None] if takes_prompt(self.generator) else None
        model = Model(copy.deepcopy(self.generator), tokens, concept, pairs.photos.shape[1], self.base)
        return given(Predictor(model, self.config.device).batch(pairs.photos), pairs.edits)

    def likeness(self, concept: str) -> list[float]:
        """Of each adapter's prompt to the concept's; adapters whose prompt cannot be read are left out, with a note."""
        if self.hashed:
            return by_words(concept, [adapter.prompt for adapter in self.adapters])
        states = []
        for adapter in self.adapters:
            entry = self.index.entries.get(adapter.key)
            kept = None if entry is None else entry.pooled
            states.append(self.tried(adapter, pooled_prompt) if kept is None else kept)
        self.adapters = [a for a, state in zip(self.adapters, states, strict=True) if state is not None]
        return by_encoder(concept, [state for state in states if state is not None], self.encoder)


def _adapters_at(place: Path) -> list[Path]:
    """An adapter, or all below a folder. Raises InputError where there is none."""
    if (place / ADAPTER).is_file() or not place.is_dir():
        return [adapter_folder(place)]
    found = [folder for folder, files in folders_below(place, MOST_FOLDERS) if ADAPTER in files]
    if not found:
        raise InputError(f"no adapter lies in {place} or below it (train one with: e2gan adapt)")
    return found
