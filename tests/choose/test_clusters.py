"""Representatives: each the nearest of its cluster, as brute force finds it; duplicates, empty clusters, bad input."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import e2gan.choose.clusters as clusters
from e2gan.choose.clusters import Representatives, representatives
from e2gan.core.errors import InputError


def clustered(count: int, places: int, dimensions: int = 8, spread: float = 0.05, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centre = rng.standard_normal((places, dimensions))
    return (centre[np.arange(count) % places] + spread * rng.standard_normal((count, dimensions))).astype(np.float32)


def check(x: np.ndarray, k: int, found: Representatives) -> None:
    """What holds for every input, told by loops over rows and centres."""
    kept = min(k, len(x))
    assert found.chosen.shape == (kept,)
    assert found.cluster.shape == found.distance.shape == (len(x),)
    assert len(set(found.chosen.tolist())) == kept
    assert found.cluster[found.chosen].tolist() == list(range(kept))
    assert set(found.cluster.tolist()) == set(range(kept))
    x = x.astype(np.float64)
    slack = 1e-6 * np.abs(x - x.mean(0)).max() + 1e-300
    for row in range(len(x)):
        own = np.linalg.norm(x[row] - found.centres[found.cluster[row]])
        assert found.distance[row] == pytest.approx(own, rel=1e-4, abs=slack)
        assert all(own <= np.linalg.norm(x[row] - centre) + slack for centre in found.centres)
        assert found.distance[found.chosen[found.cluster[row]]] <= found.distance[row]


def groups(labels: np.ndarray) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(labels == c).tolist()) for c in np.unique(labels)}


def best_partition(x: np.ndarray, k: int) -> tuple[float, set[frozenset[int]]]:
    """The partition into k parts with the least sum of squares, of all there are."""
    best = (np.inf, set())
    for rest in itertools.product(range(k), repeat=len(x) - 1):
        labels = np.array((0, *rest))
        if len(set(labels.tolist())) == k:
            parts = [x[labels == c] for c in range(k)]
            best = min(best, (sum(((p - p.mean(0)) ** 2).sum() for p in parts), groups(labels)), key=lambda b: b[0])
    return best


# --------------------------------------------------------------------------------------------------------- the ordinary


@pytest.mark.parametrize("seed", range(12))
def test_tiny_sets_get_the_best_of_all_partitions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, k = rng.standard_normal((7, 2)), 2 + seed % 3
    found = representatives(x, k, seed)
    check(x, k, found)
    inertia, parts = best_partition(x, k)
    assert (found.distance**2).sum() == pytest.approx(inertia, rel=1e-5)
    assert groups(found.cluster) == parts
    for part in parts:
        rows = sorted(part)
        far = np.linalg.norm(x[rows] - x[rows].mean(0), axis=1)
        assert rows[int(far.round(6).argmin())] in found.chosen


@pytest.mark.parametrize("seed", range(8))
def test_the_chosen_row_is_the_nearest_of_its_cluster(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count, dimensions = int(rng.integers(2, 120)), int(rng.integers(1, 20))
    x = rng.standard_normal((count, dimensions)).astype(np.float32)
    k = int(rng.integers(1, count + 5))
    check(x, k, representatives(x, k, seed))


def test_one_of_each_group_is_kept() -> None:
    x = clustered(300, 25)
    found = representatives(x, 25)
    assert sorted(found.chosen % 25) == list(range(25))
    assert len(groups(found.cluster) & groups(np.arange(300) % 25)) == 25
    assert found.distinct == 300


def test_the_same_seed_gives_the_same_rows() -> None:
    x = np.random.default_rng(0).standard_normal((3000, 16)).astype(np.float32)
    first, again, other = (representatives(x, 60, seed) for seed in (3, 3, 4))
    assert np.array_equal(first.chosen, again.chosen)
    assert np.array_equal(first.cluster, again.cluster)
    assert np.array_equal(first.distance, again.distance)
    assert set(first.chosen.tolist()) != set(other.chosen.tolist())


def test_neither_size_nor_offset_nor_kind_of_the_numbers_matters() -> None:
    x = clustered(120, 9).astype(np.float64)
    found = representatives(x, 9)
    for scale, offset in ((1e-20, 0.0), (1e25, 0.0), (1.0, 1e6), (1e200, 0.0)):
        other = representatives(x * scale + offset, 9)
        assert np.array_equal(other.chosen, found.chosen)
        assert other.distance == pytest.approx(found.distance * scale, rel=1e-3)
    pixels = np.round(100 * (x - x.min())).astype(np.uint16)
    check(pixels, 9, representatives(pixels, 9))


def test_the_input_is_left_as_it_is_and_may_lie_on_disk(tmp_path: Path) -> None:
    x = clustered(90, 6)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")  # not writeable
    assert np.array_equal(representatives(mapped, 6).chosen, representatives(x, 6).chosen)
    assert np.array_equal(x, clustered(90, 6))


# ---------------------------------------------------------------------------------------------------------- the awkward


def test_as_many_clusters_as_rows_or_more_keep_every_row() -> None:
    x = clustered(10, 5)
    for k in (10, 11, 400):
        found = representatives(x, k)
        check(x, k, found)
        assert sorted(found.chosen) == list(range(10))
        assert not found.distance.any()


def test_of_duplicates_one_of_each_comes_first_and_then_the_repeats_in_turn() -> None:
    a, b, c = np.eye(3, dtype=np.float32)
    x = np.stack([a, a, a, b, c, b, a])  # three kinds: rows 0, 3, 4; their seconds: 1, 5; the thirds: 2; the fourths: 6
    for k, rows in ((3, [0, 3, 4]), (4, [0, 1, 3, 4]), (5, [0, 1, 3, 4, 5]), (6, [0, 1, 2, 3, 4, 5])):
        found = representatives(x, k)
        check(x, k, found)
        assert sorted(found.chosen) == rows
        assert found.distinct == 3
    assert representatives(x, 3).cluster.tolist() == [0, 0, 0, 1, 2, 1, 0]
    pairs = representatives(x, 2)
    check(x, 2, pairs)
    assert pairs.cluster[0] == pairs.cluster[1] == pairs.cluster[2] == pairs.cluster[6]
    assert set(pairs.chosen.tolist()) <= {0, 3, 4}  # of equals the first


def test_equal_rows_alone() -> None:
    x = np.full((5, 3), 7.0)
    found = representatives(x, 2)
    check(x, 2, found)
    assert found.chosen.tolist() == [0, 1]
    assert found.distinct == 1
    zeros = np.array([[0.0], [-0.0], [0.0]])  # the same number, of other bytes
    assert representatives(zeros, 1).distinct == 1


def test_duplicates_weigh_as_much_as_they_are_many() -> None:
    """The centre of 0, 0, 0, 0, 1 is 0.2, and of each row once it would be 0.5."""
    x = np.array([[0.0], [0.0], [0.0], [0.0], [1.0], [50.0]])
    found = representatives(x, 2)
    assert found.centres[found.cluster[0]] == pytest.approx([0.2], abs=1e-5)
    assert found.chosen[found.cluster[4]] == 0


def test_rows_that_only_rounding_tells_apart_still_give_k_of_them() -> None:
    x = np.ones((40, 4), np.float32)
    x[:, 0] += np.arange(40) * np.float32(2**-23)
    x[20:] += 1000
    for k in (2, 7, 39):
        check(x, k, representatives(x, k))


def test_of_two_alone_in_a_cluster_the_first_is_kept() -> None:
    """Both are as far from their mean; rounding must not decide, for K is half of N in the paper."""
    rng = np.random.default_rng(0)
    x = np.repeat(10 * rng.standard_normal((60, 16)), 2, axis=0) + rng.standard_normal((120, 16))
    found = representatives(x, 60)
    sizes = np.bincount(found.cluster)
    assert (sizes == 2).sum() > 50
    for c in np.flatnonzero(sizes == 2):
        assert found.chosen[c] == np.flatnonzero(found.cluster == c)[0]


def test_a_row_nearest_to_two_centres_is_chosen_once() -> None:
    """Row 0 is the nearest of all to both centres; it stands for its own cluster, another row for the other."""
    x = np.zeros((25, 12))
    x[0, 0], x[1:5, 0] = 1.4, 2.9
    x[1:5, 1:3] = [[2, 0], [-2, 0], [0, 2], [0, -2]]
    x[5:, 2:] = np.concatenate([3 * np.eye(10), -3 * np.eye(10)])
    found = representatives(x, 2)
    check(x, 2, found)
    for centre in found.centres:
        assert np.linalg.norm(x - centre, axis=1).argmin() == 0
    assert found.chosen[found.cluster[0]] == 0
    assert sorted(np.bincount(found.cluster)) == [5, 20]


def test_clusters_without_a_row_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever centres come, no cluster stays empty: here all lie in one place, far off."""
    x = clustered(30, 6)
    monkeypatch.setattr(clusters, "_centres", lambda rows, _weight, k, _seed: np.full((k, rows.shape[1]), 9.0))
    found = representatives(x, 12)
    assert len(set(found.chosen.tolist())) == 12
    assert np.array_equal(found.cluster[found.chosen], np.arange(12))
    for c in range(12):
        assert found.centres[c] == pytest.approx(x[found.cluster == c].mean(0), abs=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none_are_refused_with_their_row(bad: float) -> None:
    x = clustered(20, 4)
    x[13, 2] = bad
    with pytest.raises(InputError, match="row 13 of the embeddings is not finite"):
        representatives(x, 4)


def test_shapes_and_counts_that_cannot_be_are_refused() -> None:
    for k in (0, -3):
        with pytest.raises(InputError, match="at least 1"):
            representatives(clustered(5, 2), k)
    for shape in ((0, 4), (4, 0), (4,), (2, 2, 2)):
        with pytest.raises(InputError, match=r"\(N, D\)"):
            representatives(np.zeros(shape), 1)


# ------------------------------------------------------------------------------------------------------------ many rows


def test_mini_batches_and_small_chunks_find_the_same_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    x = clustered(2500, 40, spread=0.02)
    whole = representatives(x, 40)
    monkeypatch.setattr(clusters, "CHUNK_BYTES", 10_000)
    chunked = representatives(x, 40)
    assert np.array_equal(chunked.chosen, whole.chosen)
    assert chunked.distance == pytest.approx(whole.distance, rel=1e-4)
    monkeypatch.setattr(clusters, "MOST_FULL", 1000)
    batches = representatives(x, 40)
    check(x[batches.chosen], 40, representatives(x[batches.chosen], 40))
    assert set(batches.cluster.tolist()) == set(range(40))
    assert np.array_equal(batches.cluster[batches.chosen], np.arange(40))
    assert np.array_equal(batches.chosen, representatives(x, 40).chosen)
    assert (batches.distance**2).mean() < 8 * (whole.distance**2).mean()  # a group or two may share a centre
    for c in range(40):
        assert batches.centres[c] == pytest.approx(x[batches.cluster == c].mean(0, dtype=np.float64), abs=1e-5)


@pytest.mark.slow
def test_memory_stays_near_the_embeddings_own_size() -> None:
    """30,000×128 in a process of its own: no array of all rows by all rows (3.6 GB), nor several copies."""
    benchmark = Path(__file__).resolve().parents[2] / "benchmarks" / "clusters.py"
    command = [
        sys.executable,
        str(benchmark),
        "--measure",
        "--rows",
        "30000",
        "--dimensions",
        "128",
        "--clusters",
        "100",
    ]
    found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert found["peak"] < 200  # MiB; the embeddings are 15
