"""Data selection by similarity clustering: of the training photos, those that stand for the others (Sec. 4.2.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from skimage.util import montage

from e2gan.choose.clusters import representatives
from e2gan.config import SelectConfig
from e2gan.config.schemas import SelectionFile
from e2gan.core.errors import InputError
from e2gan.core.files import sha256, write_json
from e2gan.core.identity import Reads
from e2gan.core.images import Pixels, resize, write_png
from e2gan.core.outputs import check_beside, make_folder, versions
from e2gan.core.reruns import earlier_file, replaced_note, with_reads
from e2gan.core.schemas import fits
from e2gan.core.sheets import sheet
from e2gan.data.pair_set import SELECTION, PairSet
from e2gan.data.photos import INDEX, Photo, PhotoSet
from e2gan.features.embeddings import embed_files, embedding_reads, embedding_settings, is_own
from e2gan.features.extractors import Features

CELL = 112  # pixels of a photo on the sheet
COLUMNS = 8
KEPT_ROWS, CLUSTER_ROWS = 4, 8
GAP = 4


@dataclass(frozen=True)
class Selection:
    """The photos that were kept, and where the file lies. notes: what else to know, a sentence each.

    ids: of the photos kept, in the photo set's order. photos: training photos to choose from that there were.
    clusters: how many clusters they were taken from; 0 for a random choice. pairs: the pair set whose photos alone
    were to choose from, where there is one.
    """

    out: Path
    folder: Path
    ids: list[str]
    photos: int
    method: str
    embedding: str | None
    clusters: int
    sheet: Path | None
    pairs: Path | None = None
    notes: list[str] = field(default_factory=list)
    already_done: bool = False

    def __str__(self) -> str:
        how = f"one of each of {self.clusters} clusters ({self.embedding})" if self.clusters else "by chance"
        of = self.folder if self.pairs is None else f"{self.folder} that have a pair in {self.pairs}"
        line = f"kept {len(self.ids)} of {self.photos} training photos of {of}, {how}: {self.out}"
        if self.already_done:
            return f"{line}\nselected already with the same settings: nothing to do"
        return "\n".join([line, *self.notes, *([f"to look at: {self.sheet}"] if self.sheet else [])])


def select_photos(config: SelectConfig) -> Selection:
    """Choose training photos of a set, and write their ids to its selection.json, which `make_pairs` goes by.

    With `pairs`, of the photos that have a pair there, to that pair set's selection.json, which `adapt` can be given.
    Run again with the same settings and photos, it finds it done; an earlier selection of other settings is replaced,
    and a note says so. Raises InputError for bad settings, an unknown embedding or one that does not fit the photos,
    pairs of another photo set, and where the file to write is there and is no selection of this program.
    """
    SelectConfig.checked(config)
    photo_set = PhotoSet.load(config.photos)
    photos = _candidates(config, photo_set)
    out = config.out or (config.pairs or config.photos) / SELECTION
    picture = out.with_suffix(".png")
    settings = with_reads(_settings(config, photos), _reads(config, photo_set, photos))
    earlier = earlier_file(out, "select", settings)
    check_beside(out, [picture] if config.sheet else [])
    done = earlier is not None and not earlier[1] and _whole(earlier[0], photos)
    if earlier is not None and done:
        selection, notes = earlier[0], []
    else:
        ids, clusters, notes = _choose(config, photo_set, photos)
        selection = {"stage": "select", **settings, "ids": ids, "clusters": clusters, "versions": versions()}
        make_folder(out.parent)
    if earlier is not None and not done:
        notes.append(replaced_note("selection", earlier[1]) + "; pair sets made from it keep its photos")
        picture.unlink(missing_ok=True)  # it shows the earlier selection
    if not done:
        write_json(out, selection)
    if config.sheet and not (done and picture.exists()):
        write_png(picture, _sheet(photo_set, selection["ids"], selection["clusters"]))
    return Selection(
        out=out,
        folder=config.photos,
        ids=list(selection["ids"]),
        photos=len(photos),
        method=config.method,
        embedding=selection["embedding"],
        clusters=len(set(selection["clusters"].values())),
        sheet=picture if config.sheet else None,
        pairs=config.pairs,
        notes=notes,
        already_done=done,
    )


def _candidates(config: SelectConfig, photo_set: PhotoSet) -> list[Photo]:
    """The training photos to choose from, in the set's order. Raises InputError where there are none."""
    photos = photo_set.split("train")
    if not photos:
        raise InputError(f"{config.photos} has no training photos to select from")
    if config.pairs is None:
        return photos
    pair_set = PairSet.load(config.pairs)
    if pair_set.photo_folder.resolve() != config.photos.resolve():
        raise InputError(f"--photos {config.photos}: the pairs in {config.pairs} are of {pair_set.photo_folder}")
    if not pair_set.paired:
        raise InputError(f"{config.pairs} holds no pairs: choose among all photos, without --pairs")
    with_pair = {row["photo"] for row in pair_set.rows}
    photos = [photo for photo in photos if photo.id in with_pair]
    if not photos:
        raise InputError(f"{config.pairs} has no pair of a training photo of {config.photos}")
    return photos


def _settings(config: SelectConfig, photos: Sequence[Photo]) -> dict[str, Any]:
    """What decides the choice, as the file has it. candidates: of what photos, where that is not all for training."""
    about: dict[str, Any] = {"method": config.method, "keep": config.keep, "seed": config.seed}
    about["photos_sha256"] = sha256(config.photos / INDEX)
    about["candidates"] = None if config.pairs is None else [photo.id for photo in photos]
    return about | embedding_settings(config)


def _reads(config: SelectConfig, photo_set: PhotoSet, photos: Sequence[Photo]) -> Reads:
    """What the choice is made from and shown by: the photos, and what they are embedded by."""
    return {"photos": photo_set.content([photo.id for photo in photos])} | embedding_reads(config)


def _whole(selection: Mapping[str, Any], photos: Sequence[Photo]) -> bool:
    """Whether an earlier file has what its settings promise; a hand may have been at it."""
    if not fits(selection, SelectionFile, Path()) or not selection["ids"]:
        return False
    return {photo.id for photo in photos}.issuperset([*selection["ids"], *selection["clusters"]])


def _choose(
    config: SelectConfig, photo_set: PhotoSet, photos: Sequence[Photo]
) -> tuple[list[str], dict[str, int], list[str]]:
    """The ids kept, the cluster of each photo (none by chance), and notes."""
    notes = []
    if config.keep >= len(photos):
        those = "training photos" if config.pairs is None else "training photos with a pair"
        notes.append(f"--keep {config.keep}: there are no more than {len(photos)} {those}, so all are kept")
    if config.method == "random":
        rng = np.random.default_rng(config.seed)
        rows = rng.choice(len(photos), min(config.keep, len(photos)), replace=False)
        return [photos[i].id for i in sorted(rows)], {}, notes
    clustering = representatives(_embeddings(config, photo_set, photos), config.keep, config.seed)
    if clustering.distinct < len(clustering.chosen):
        more = len(clustering.chosen) - clustering.distinct
        notes.append(
            f"only {clustering.distinct} photos differ in {config.embedding}: {more} are kept beside their like"
        )
    clusters = {photo.id: int(c) for photo, c in zip(photos, clustering.cluster, strict=True)}
    return [photos[i].id for i in sorted(clustering.chosen)], clusters, notes


def _embeddings(config: SelectConfig, photo_set: PhotoSet, photos: Sequence[Photo]) -> Features:
    """(N, D) of the photos to choose from. A file of the user's own has a row for each training photo all the same."""
    if not is_own(config.embedding):
        return embed_files(config, photo_set.files([photo.id for photo in photos]), photo_set.size)
    train, ids = photo_set.split("train"), {photo.id for photo in photos}
    rows = embed_files(config, photo_set.files([photo.id for photo in train]), photo_set.size)
    return rows[[photo.id in ids for photo in train]]


def _sheet(photo_set: PhotoSet, ids: Sequence[str], clusters: Mapping[str, int]) -> Pixels:
    """The photos kept, or as many as there is room for, then the largest clusters, the one kept first."""
    room = min(len(ids), KEPT_ROWS * COLUMNS)
    shown = [ids[i * len(ids) // room] for i in range(room)]
    some = f" ({len(shown)} of them)" if len(shown) < len(ids) else ""
    parts = [titled(f"kept: {len(ids)} photos{some}", photo_set.array(shown))]
    members: dict[int, list[str]] = {}
    kept = set(ids)
    for name in sorted(clusters, key=lambda name: name not in kept):  # stable: the one kept comes first
        members.setdefault(clusters[name], []).append(name)
    largest = sorted(members.values(), key=len, reverse=True)[:CLUSTER_ROWS]
    for names in largest:
        if len(names) > 1:
            some = f", and {COLUMNS - 1} others" if len(names) > COLUMNS else ", and the others"
            title = f"cluster of {len(names)} photos: the one kept{some}"
            parts.append(titled(title, photo_set.array(names[:COLUMNS])))
    return np.concatenate(parts)


def titled(title: str, images: Sequence[Pixels] | Pixels, columns: int = COLUMNS) -> Pixels:
    """Images, uint8 (N, H, W, 3), in rows of `columns` small ones under a title that has all the width."""
    shape, cells = (-(-len(images) // columns), columns), [resize(image, (CELL, CELL)) for image in images]
    grid = montage(cells, fill=(255, 255, 255), grid_shape=shape, padding_width=GAP, channel_axis=-1)
    return sheet([[grid[GAP:-GAP, GAP:-GAP]]], [title])
