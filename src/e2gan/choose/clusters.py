"""k-means and the row nearest each centre: what data selection (Sec. 4.2.3) and concept choice (Sec. 4.2.1) share."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from e2gan.core.errors import InputError

MOST_FULL = 20_000  # distinct rows up to which every step of k-means sees every row; above, mini-batches
MINI_BATCH = 4096
STARTS_OF_BATCHES = 3  # only their first centres are compared, on a part of the rows
LLOYD_STEPS = 3  # of all rows, after the mini-batches
EFFORT, MOST_STARTS = 5 * 10**8, 20  # starts of k-means: EFFORT / (N·D·K), so 3 for K = 400 of 800 photos, else 1 to 20
TIE = 1e-6  # distances within this share of one another are equal but for rounding
CHUNK_BYTES = 32 * 2**20  # of the float64 rows, or of their distances to the centres, that are held at once

Rows = NDArray[np.float32]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Representatives:
    """Rows clustered, and one row of each cluster.

    chosen: (K,) distinct rows, `chosen[c]` being of cluster c: of its rows the nearest to its centre.
    cluster: (N,) cluster of each row, 0..K-1. distance: (N,) float64, of each row to its cluster's centre (Euclidean).
    centres: (K, D) float64, the means of their rows. distinct: how many of the N rows differ, in float32.
    """

    chosen: Indices
    cluster: Indices
    distance: NDArray[np.float64]
    centres: NDArray[np.float64]
    distinct: int


def representatives(x: NDArray, k: int, seed: int = 0) -> Representatives:
    """Cluster the rows of x (N, D) and choose one row of each of min(k, N) clusters. x: any real dtype, also np.memmap.

    scikit-learn's KMeans up to MOST_FULL distinct rows, its MiniBatchKMeans and a few steps over all rows above that;
    beside x one centred float32 copy of it is held, and no array of N×N or N×K. The same seed gives the same result on
    the same machine.

    Where no more than k rows differ, each of them is a cluster with its first row as the chosen one, and the repeats
    belong to it; where k asks for more rows than that, repeats are chosen too, each a cluster of its own: the second
    row of each kind before the third. k of at least N gives every row.

    Raises InputError for k below 1, no rows, and values that are not finite.
    """
    if k < 1:
        raise InputError(f"{k} clusters: at least 1 is needed")
    if x.ndim != 2 or 0 in x.shape:
        raise InputError(f"clustering needs embeddings as (N, D), not an array of {x.shape}")
    rows, mean, scale = _centred(x)
    first, kind = _distinct(rows)
    if len(first) <= k:
        clustering = _repeats(rows, first, kind, min(k, len(rows)))
    else:
        clustering = _clustered(rows, first, kind, k, seed)
    return Representatives(
        chosen=clustering.chosen,
        cluster=clustering.cluster,
        distance=clustering.distance * scale,
        centres=clustering.centres * scale + mean,
        distinct=len(first),
    )


def _chunks(rows: NDArray, wide: int = 0) -> Iterator[slice]:
    """Slices over the rows, each small enough that it and its distances to `wide` centres fit in CHUNK_BYTES."""
    step = max(1, CHUNK_BYTES // (8 * max(rows.shape[1], wide)))
    yield from (slice(start, start + step) for start in range(0, len(rows), step))


def _centred(x: NDArray) -> tuple[Rows, NDArray[np.float64], float]:
    """(x - mean) / scale as float32 in [-1, 1], the mean and the scale: no offset or size of x costs precision."""
    total = np.zeros(x.shape[1])
    for part in _chunks(x):
        block = np.asarray(x[part], np.float64)
        finite = np.isfinite(block).all(1)
        if not finite.all():
            raise InputError(f"row {part.start + int(finite.argmin())} of the embeddings is not finite")
        total += (block / len(x)).sum(0)
    scale = max(float(np.abs(np.asarray(x[part], np.float64) - total).max()) for part in _chunks(x))
    scale = scale or 1.0
    rows = np.empty(x.shape, np.float32)
    for part in _chunks(x):
        rows[part] = (np.asarray(x[part], np.float64) - total) / scale
    rows += np.float32(0)  # no minus zero, whose bytes differ from zero's
    return rows, total, scale


def _distinct(rows: Rows) -> tuple[Indices, Indices]:
    """The first row of each kind, in order, and the kind of each row. By hashes: np.unique would sort all rows."""
    kinds: dict[bytes, int] = {}
    first: list[int] = []
    kind = np.empty(len(rows), np.int64)
    for i, row in enumerate(rows):
        kind[i] = kinds.setdefault(hashlib.blake2b(row.data, digest_size=16).digest(), len(kinds))
        if kind[i] == len(first):
            first.append(i)
    return np.array(first), kind


def _repeats(rows: Rows, first: Indices, kind: Indices, k: int) -> Representatives:
    """No more than k rows differ: a cluster for each kind, then for its second row, its third, until there are k."""
    order = np.argsort(kind, kind="stable")
    start = np.searchsorted(kind[order], np.arange(len(first)))
    turn = np.empty(len(rows), np.int64)
    turn[order] = np.arange(len(rows)) - start[kind[order]]  # how many rows of its kind come before it
    chosen = np.lexsort((np.arange(len(rows)), turn))[:k]
    cluster = kind.copy()
    cluster[chosen] = np.arange(k)
    return Representatives(chosen, cluster, np.zeros(len(rows)), rows[chosen].astype(np.float64), len(first))


def _clustered(rows: Rows, first: Indices, kind: Indices, k: int, seed: int) -> Representatives:
    """More than k rows differ: k-means of one row of each kind, weighted by how often it is there."""
    single = rows if len(first) == len(rows) else rows[first]
    weight = np.bincount(kind).astype(np.float32)
    centres = _centres(single, weight, k, seed)
    cluster, centres = _step(single, weight, centres)
    for _ in range(LLOYD_STEPS if len(single) > MOST_FULL else 0):
        cluster, centres = _step(single, weight, centres)
    distance = _distance(single, cluster, centres)
    return Representatives(
        first[_nearest_of_each(cluster, distance, k)], cluster[kind], distance[kind], centres, len(first)
    )


def _nearest_of_each(cluster: Indices, distance: NDArray[np.float64], k: int) -> Indices:
    """The row nearest the centre of each cluster. Of those as near, as any two alone in theirs are, the first."""
    least = np.full(k, np.inf)
    np.minimum.at(least, cluster, distance)
    near = np.flatnonzero(distance <= least[cluster] * (1 + TIE))
    nearest = np.empty(k, np.int64)
    nearest[cluster[near[::-1]]] = near[::-1]  # of several that are written, the last stays
    return nearest


def _centres(rows: Rows, weight: Rows, k: int, seed: int) -> NDArray[np.float64]:
    """The centres of k-means, (K, D), from scikit-learn."""
    from sklearn.cluster import KMeans, MiniBatchKMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    starts = max(1, min(MOST_STARTS, EFFORT // (rows.size * k)))
    if len(rows) <= MOST_FULL:
        means = KMeans(k, n_init=starts, tol=0, random_state=seed)  # pyright: ignore[reportArgumentType]
    else:
        batches = {"n_init": STARTS_OF_BATCHES, "batch_size": MINI_BATCH}
        means = MiniBatchKMeans(k, random_state=seed, **batches)  # pyright: ignore[reportArgumentType]
    # One thread: of several the order in which their sums are added is chance, and so is the last bit; and on a busy
    # machine two that wait for one another took 4 to 9 times as long as one.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of clusters that are empty: `_fill` sees to them
        means.fit(rows, sample_weight=weight)
    return np.asarray(means.cluster_centers_, np.float64)


def _step(rows: Rows, weight: Rows, centres: NDArray[np.float64]) -> tuple[Indices, NDArray[np.float64]]:
    """Each row to its nearest centre, the first of equals, and each centre to the mean of its rows."""
    cluster = np.empty(len(rows), np.int64)
    half = (centres**2).sum(1) / 2
    for part in _chunks(rows, len(centres)):
        cluster[part] = (half - rows[part].astype(np.float64) @ centres.T).argmin(1)
    _fill(rows, cluster, centres)
    total = np.zeros_like(centres)
    for part in _chunks(rows):
        block = rows[part].astype(np.float64)
        member = csr_array((weight[part], (cluster[part], np.arange(len(block)))), (len(centres), len(block)))
        total += member @ block
    return cluster, total / np.bincount(cluster, weight)[:, None]


def _fill(rows: Rows, cluster: Indices, centres: NDArray[np.float64]) -> None:
    """No cluster stays empty: each that is takes the row farthest from its centre, of a cluster that has another."""
    size = np.bincount(cluster, minlength=len(centres))
    if size.all():
        return
    distance = _distance(rows, cluster, centres)
    for c in np.flatnonzero(size == 0):
        row = int(np.where(size[cluster] > 1, distance, -1.0).argmax())
        size[cluster[row]] -= 1
        cluster[row], size[c] = c, 1


def _distance(rows: Rows, cluster: Indices, centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) of each row to the centre of its cluster."""
    distance = np.empty(len(rows))
    for part in _chunks(rows):
        distance[part] = np.linalg.norm(rows[part] - centres[cluster[part]], axis=1)
    return distance
