"""The best colour table of a concept's training pairs, in closed form: the baseline that a photo editor has too."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import cg

from e2gan.config import ScratchConfig
from e2gan.core.errors import InputError
from e2gan.core.files import write_bytes
from e2gan.core.images import Pixels, read_square
from e2gan.core.outputs import writing
from e2gan.core.progress import in_threads
from e2gan.core.tensors import write_tensors
from e2gan.data.pair_set import PairSet
from e2gan.networks.baselines.lut import CUBE, LookUpTable, cube, identity
from e2gan.networks.folders import MODEL
from e2gan.networks.pixels import from_pixels
from e2gan.train.loop import Trained, TrainingResult, identity_of, reads_of, settings_of
from e2gan.train.step import parameters

MOST_PHOTOS, MOST_PIXELS = 400, 1_000_000  # of the training pairs; more of them change no figure (docs/log.md)
SMOOTH = 1e-5  # weight of the mean squared second derivative against the mean squared error (docs/log.md)
NEAR_IDENTITY = 1e-7  # weight of the mean squared distance to the identity, for what nothing else decides
CORNERS = tuple(product((0, 1), repeat=3))  # of a cell: blue, green, red
Floats = NDArray[np.float64]


def train_lut(config: ScratchConfig) -> Trained:
    """Fit a concept's colour table and write it as a model's folder, with `lut.cube` beside. Run again, it is found
    done.

    Of the training settings the seed counts alone. Raises InputError for bad settings or pairs.
    """
    config = replace(config, text="hashed")  # it takes no prompt, and so needs no CLIP
    pair_set = PairSet.load(config.pairs)
    photos, edits, _ = pair_files(pair_set, config.selection)
    settings = settings_of(config, pair_set.size, len(photos), identity_of(pair_set, config.selection))
    count = parameters(LookUpTable(config.lut_size))
    begun = time.monotonic()
    with writing(config.out, "scratch", settings, reads=reads_of(pair_set, config.selection)) as folder:
        if folder is None:
            result = TrainingResult(steps=0, seconds=0.0, l1=None, already_done=True)
        else:
            photo, edit = sample(photos, edits, pair_set.size, config.training.seed)
            table = fit(photo, edit, config.lut_size)
            write_tensors(folder / MODEL, table.state_dict())
            write_bytes(folder / CUBE, cube(table, pair_set.prompt).encode())
            seconds = round(time.monotonic() - begun, 3)
            result = TrainingResult(steps=0, seconds=seconds, l1=round(l1_of(table, photo, edit), 3))
    return Trained(folder=config.out, what="lut", parameters=count, result=result)


def lut_of(pair_set: PairSet, nodes: int = 17, seed: int = 0) -> LookUpTable:
    """The colour table of a pair set's training pairs. Raises InputError where it has none, or an image is missing."""
    photos, edits, _ = pair_files(pair_set)
    return fit(*sample(photos, edits, pair_set.size, seed), nodes)


def pair_files(pair_set: PairSet, selection: Path | None = None) -> tuple[list[Path], list[Path], list[str]]:
    """The training pairs' files and the photos' ids. Raises InputError where there are none."""
    if not pair_set.paired:
        raise InputError(f"{pair_set.folder} holds no pairs, which a colour table is fitted on")
    return pair_set.files("train", selection)


def sample(photos: list[Path], edits: list[Path], size: int, seed: int) -> tuple[Pixels, Pixels]:
    """Pixels of the pairs, uint8 (M, 3) each: all of them, or of many an even share of each pair by the seed's chance.

    Raises InputError where a file is missing or of another size.
    """
    rng = np.random.default_rng(seed)
    chosen = np.arange(len(photos))
    if len(chosen) > MOST_PHOTOS:
        chosen = np.sort(rng.choice(chosen, MOST_PHOTOS, replace=False))
    share = min(size**2, max(1, MOST_PIXELS // len(chosen)))
    files = [file for i in chosen for file in (photos[i], edits[i])]
    images = in_threads(partial(read_square, size=size), files)
    parts = []
    for photo, edit in zip(images, images, strict=True):  # by turns: a photo, its edit
        at = slice(None) if share == size**2 else rng.integers(size**2, size=share)
        parts.append((photo.reshape(-1, 3)[at], edit.reshape(-1, 3)[at]))
    return np.concatenate([p for p, _ in parts]), np.concatenate([e for _, e in parts])


def fit(photo_M3: Pixels, edit_M3: Pixels, nodes: int = 17) -> LookUpTable:
    """The table T of nodes³ colours that takes the photo's pixels nearest to the edit's, uint8 (M, 3) each.

    With colours x and y in 0..1, D = T - identity and its second derivatives D'' along each axis, it is the least of

        mean |T(x) - y|² + SMOOTH · mean |D''|² + NEAR_IDENTITY · mean |D|²

    so that nodes without a pixel near them go on from their neighbours. The colours are then held to 0..1.
    """
    count = nodes**3
    data, difference = normal_equations(photo_M3, edit_M3, nodes)
    matrix = data + SMOOTH * bending(nodes) + NEAR_IDENTITY / count * sp.identity(count)
    matrix = sp.csr_matrix(matrix)
    scale = sp.diags_array(1 / matrix.diagonal())
    change = np.empty((count, 3))
    for channel in range(3):
        change[:, channel], _ = cg(matrix, difference[:, channel], rtol=1e-5, maxiter=20 * nodes**2, M=scale)
    table = LookUpTable(nodes)
    with torch.no_grad():
        moved = identity(nodes) + torch.from_numpy(2 * change.T).float().reshape(3, nodes, nodes, nodes)
        table.table.copy_(moved.clamp(-1, 1))
    return table.eval().requires_grad_(False)


def normal_equations(photo_M3: Pixels, edit_M3: Pixels, nodes: int) -> tuple[sp.csr_matrix, Floats]:
    """Of mean |D(x) - (y - x)|² in the nodes' D: the matrix (nodes³, nodes³), and the right side (nodes³, 3).

    Summed cell by cell, so that no matrix has a row for each pixel.
    """
    count = nodes**3
    place = photo_M3.astype(np.float32) * np.float32((nodes - 1) / 255)
    low = np.minimum(place.astype(np.int64), nodes - 2)
    share = place - low
    cell = (low[:, 2] * nodes + low[:, 1]) * nodes + low[:, 0]
    change = (edit_M3.astype(np.float32) - photo_M3) / np.float32(255)
    sides = [(1 - share[:, axis], share[:, axis]) for axis in range(3)]
    weights = [sides[2][b] * sides[1][g] * sides[0][r] for b, g, r in CORNERS]
    offsets = [(b * nodes + g) * nodes + r for b, g, r in CORNERS]
    right = np.zeros((count, 3))
    rows, columns, values = [], [], []
    for i, (weight, offset) in enumerate(zip(weights, offsets, strict=True)):
        for channel in range(3):
            total = np.bincount(cell, weight * change[:, channel], count)
            right[offset:, channel] += total[: count - offset]
        for j in range(8):
            total = np.bincount(cell, weight * weights[j], count)
            used = np.flatnonzero(total)
            rows.append(used + offsets[i])
            columns.append(used + offsets[j])
            values.append(total[used])
    entries = np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))
    return sp.csr_matrix(entries, (count, count)) / len(photo_M3), right / len(photo_M3)


def bending(nodes: int) -> sp.csr_matrix:
    """Of mean |D''|², summed over the axes, with the whole range of a colour as the unit of length."""
    one = sp.identity(nodes)
    second = sp.csr_matrix(np.diff(np.eye(nodes), 2, axis=0))
    along = (nodes - 1) ** 4 / nodes**3 * (second.T @ second)
    axes = ((along, one, one), (one, along, one), (one, one, along))
    return sp.csr_matrix(sum(sp.kron(sp.kron(b, g), r) for b, g, r in axes))


def l1_of(table: LookUpTable, photo_M3: Pixels, edit_M3: Pixels) -> float:
    """Mean absolute difference of the table's edits, in 8-bit levels."""
    photo, edit = (from_pixels(torch.from_numpy(x)).t()[None, :, :, None] for x in (photo_M3, edit_M3))
    return float((table(photo) - edit).abs().mean()) * 127.5
