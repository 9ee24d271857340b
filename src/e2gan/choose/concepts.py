"""The choice of concepts that stand for the others: the base is trained on them alone (Sec. 4.2.1)."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from e2gan.choose.clusters import representatives
from e2gan.choose.photos import titled
from e2gan.config import ConceptsConfig
from e2gan.config.schemas import ConceptsFile
from e2gan.core.errors import InputError
from e2gan.core.files import sha256, write_json
from e2gan.core.images import Pixels, write_png
from e2gan.core.names import prompt_key
from e2gan.core.outputs import check_beside, make_folder, versions
from e2gan.core.reruns import earlier_file, replaced_note, with_reads
from e2gan.core.schemas import fits
from e2gan.data.pair_set import ROWS, PairSet
from e2gan.data.photos import read_stack, shuffled
from e2gan.features.embeddings import embed_files, embedding_reads, embedding_settings

COLUMNS = 6  # photos of a concept on the sheets


@dataclass(frozen=True)
class Concept:
    """One concept. cluster: the number of the concept kept for it, from 0; None where chance chose."""

    prompt: str
    pairs: str
    cluster: int | None


@dataclass(frozen=True)
class Concepts:
    """The concepts kept and the rest, in the order given. notes: what else to know, a sentence each.

    sheets: pictures of the concepts kept, and of the rest by cluster. command: trains a base on those kept.
    """

    out: Path
    keep: list[Concept]
    rest: list[Concept]
    sheets: list[Path]
    command: str
    notes: list[str] = field(default_factory=list)
    already_done: bool = False

    def __str__(self) -> str:
        lines = [f"kept {len(self.keep)} of {len(self.keep) + len(self.rest)} concepts: {self.out}"]
        for i, concept in enumerate(self.keep):
            like = [f'"{other.prompt}"' for other in self.rest if other.cluster == i]
            lines.append(f'  "{concept.prompt}"' + (f", for {', '.join(like)} too" if like else ""))
        if self.already_done:
            lines.append("chosen already with the same settings: nothing to do")
        lines += [*self.notes, f"to look at: {', '.join(map(str, self.sheets))}", f"next: {self.command}"]
        return "\n".join(lines)


def choose_concepts(config: ConceptsConfig) -> Concepts:
    """Choose concepts, and write concepts.json, and pictures of those kept and of the rest.

    A concept is the mean embedding of some of its edited training photos: the same photos for all concepts, where they
    have them. Run again with the same settings and pair sets, it finds it done; an earlier choice of other settings is
    replaced, and a note says so. Raises InputError for bad settings or pair sets, two of one prompt or of different
    sizes, an unknown embedding, and where the file to write is there and is no choice of this program.
    """
    ConceptsConfig.checked(config)
    sets = _load(config.pairs)
    reads = {"pairs": [s.content() for s in sets]} | embedding_reads(config)
    settings = with_reads(_settings(config, sets), reads)
    earlier = earlier_file(config.out, "concepts", settings)
    check_beside(config.out, _sheets(config.out))
    chosen = None if earlier is None or earlier[1] else _read(earlier[0], sets)
    done, notes = chosen is not None, []
    keep, rest = chosen or _choose(config, sets, notes)
    sheets = _sheets(config.out)[: 2 if rest else 1]
    if not done:
        if earlier is not None:
            notes.append(replaced_note("choice", earlier[1]))
        make_folder(config.out.parent)
        for sheet in _sheets(config.out):
            sheet.unlink(missing_ok=True)  # it shows an earlier choice
        about = {"settings": settings, "versions": versions()}
        write_json(config.out, {"stage": "concepts", "keep": keep, "rest": rest} | about)
    if not done or not all(sheet.exists() for sheet in sheets):
        _draw(config, sets, keep, rest)
    return Concepts(
        out=config.out,
        keep=keep,
        rest=rest,
        sheets=sheets,
        command=shlex.join(["e2gan", "base", "--pairs", *(c.pairs for c in keep), "--out", "base"]),
        notes=notes,
        already_done=done,
    )


def _load(folders: Sequence[Path]) -> list[PairSet]:
    sets = [PairSet.load(folder) for folder in folders]
    seen: dict[str, Path] = {}
    for pairs in sets:
        prompt = prompt_key(pairs.prompt)
        if prompt in seen:
            raise InputError(f'{seen[prompt]} and {pairs.folder} are both "{pairs.prompt}": name one of them')
        seen[prompt] = pairs.folder
        if pairs.size != sets[0].size:
            sizes = f"{sets[0].folder} has images of {sets[0].size} pixels, {pairs.folder} of {pairs.size}"
            raise InputError(f"{sizes}: make all pair sets at one size")
        if not _training(pairs):
            raise InputError(f"{pairs.folder} has no pairs in the split 'train'")
        _ = pairs.photos  # missing photos should be told now, not when all is embedded
    return sets


def _training(pairs: PairSet) -> dict[str, Path]:
    """Photo → edit, of the training pairs."""
    rows = [row for row in pairs.rows if row["split"] == "train" and row["photo"] is not None]
    return {row["photo"]: pairs.folder / row["file_name"] for row in rows}


def _settings(config: ConceptsConfig, sets: Sequence[PairSet]) -> dict[str, Any]:
    """The settings that decide the choice. A random choice samples and embeds nothing."""
    about = {"keep": config.keep, "method": config.method, "seed": config.seed}
    about["samples"] = None if config.method == "random" else config.samples
    about["pairs"] = [[str(s.folder), sha256(s.folder / ROWS)] for s in sets]
    return about | embedding_settings(config)


def _choose(config: ConceptsConfig, sets: Sequence[PairSet], notes: list[str]) -> tuple[list[Concept], list[Concept]]:
    """The concepts kept and the rest. What else to know joins `notes`."""
    count = min(config.keep, len(sets))
    if config.keep >= len(sets):
        notes.append(f"--keep {config.keep}: there are no more than {len(sets)} concepts, so all are kept")
    cluster: list[int | None] = [None] * len(sets)
    if config.method == "random":
        chosen = sorted(np.random.default_rng(config.seed).choice(len(sets), count, replace=False).tolist())
    else:
        clustering = representatives(_means(config, sets), config.keep, config.seed)
        if clustering.distinct < count:
            notes.append(
                f"only {clustering.distinct} concepts differ in {config.embedding}: some are kept beside their like"
            )
        chosen = sorted(clustering.chosen.tolist())
        # A cluster's number is that of the concept kept for it, in the order that the user gave.
        number = {int(clustering.cluster[row]): i for i, row in enumerate(chosen)}
        cluster = [number[int(c)] for c in clustering.cluster]
    concepts = [Concept(s.prompt, str(s.folder), c) for s, c in zip(sets, cluster, strict=True)]
    return [concepts[i] for i in chosen], [c for i, c in enumerate(concepts) if i not in chosen]


def _means(config: ConceptsConfig, sets: Sequence[PairSet]) -> NDArray[np.float64]:
    """The mean embedding of each concept's sampled edits (C, D)."""
    if config.embedding.lower().endswith(".npy"):
        try:
            rows = embed_files(config, [s.folder for s in sets], None)
        except InputError as error:
            raise InputError(f"{error} (of concepts: a row for each, in the order of --pairs)") from None
        return rows.astype(np.float64)
    files, of = [], []
    for i, pairs in enumerate(sets):
        edits = _training(pairs)
        # By the photos' names: a photo is in the sample of each concept that has it, or, but for the last, of none.
        sample = shuffled(edits, config.seed)[: config.samples]
        files += [edits[name] for name in sample]
        of += [i] * len(sample)
    rows = embed_files(config, files, sets[0].size).astype(np.float64)
    total = np.zeros((len(sets), rows.shape[1]))
    np.add.at(total, of, rows)
    return total / np.bincount(of)[:, None]


def _read(choice: Mapping[str, Any], sets: Sequence[PairSet]) -> tuple[list[Concept], list[Concept]] | None:
    """The choice in an earlier file; None where that is not whole, for a hand may have been at it."""
    if not fits(choice, ConceptsFile, Path()):
        return None
    keep, rest = ([Concept(c["prompt"], c["pairs"], c["cluster"]) for c in choice[n]] for n in ("keep", "rest"))
    folders = sorted(str(c.pairs) for c in (*keep, *rest))
    return (keep, rest) if keep and folders == sorted(str(s.folder) for s in sets) else None


def _sheets(out: Path) -> list[Path]:
    """The pictures: of the concepts kept, and of the rest, which is only there where there is a rest."""
    return [out.with_suffix(".png"), out.with_name(f"{out.stem}-rest.png")]


def _draw(config: ConceptsConfig, sets: Sequence[PairSet], keep: Sequence[Concept], rest: Sequence[Concept]) -> None:
    """Write the sheets: the concepts kept, and the rest by cluster, each with the concept kept for it on top."""
    by_folder = {str(s.folder): s for s in sets}
    names = _shared_photos(sets, config.seed)
    photos = [titled("photo", sets[0].photos.array(names), COLUMNS)] if names else []

    def strip(concept: Concept, title: str) -> Pixels:
        return titled(title, _examples(by_folder[concept.pairs], names, config.seed), COLUMNS)

    like = [[c for c in rest if c.cluster == i] for i in range(len(keep))]
    more = [f", for {len(others)} more" if others else "" for others in like]
    top = [strip(concept, f'"{concept.prompt}"{text}') for concept, text in zip(keep, more, strict=True)]
    bottom = [strip(c, f'"{c.prompt}"') for c in rest if c.cluster is None]
    for concept, others in zip(keep, like, strict=True):
        if others:
            bottom += [_rule(top[0].shape[1]), strip(concept, f'kept: "{concept.prompt}"')]
            bottom += [strip(c, f'"{c.prompt}", like "{concept.prompt}"') for c in others]
    of_kept, of_rest = _sheets(config.out)
    write_png(of_kept, np.concatenate([*photos, *top]))
    if bottom:
        write_png(of_rest, np.concatenate([*photos, *bottom]))


def _shared_photos(sets: Sequence[PairSet], seed: int) -> list[str]:
    """A few photos that all concepts have edits of; none where they have too few in common."""
    has = ({(s.photo_folder.resolve(), name) for name in _training(s)} for s in sets)
    shared = shuffled((name for _, name in set.intersection(*has)), seed)
    return shared[:COLUMNS] if len(shared) >= COLUMNS // 2 else []


def _examples(pairs: PairSet, names: Sequence[str], seed: int) -> Pixels:
    """The edits of these photos (N, size, size, 3); where none are named, photos of its own, each before its edit."""
    edits = _training(pairs)
    if names:
        return read_stack([edits[name] for name in names], pairs.size)
    own = shuffled(edits, seed)[: COLUMNS // 2]
    both = np.stack([pairs.photos.array(own), read_stack([edits[name] for name in own], pairs.size)], axis=1)
    return both.reshape(-1, *both.shape[2:])


def _rule(width: int) -> Pixels:
    """A line between two clusters, with room above it."""
    line = np.full((12, width, 3), 255, np.uint8)
    line[-3:] = 90
    return line
