from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import sqrtm

from e2gan.core.errors import InputError
from e2gan.measure import distances as fid
from e2gan.measure.distances import frechet_distance, frechet_interval, kernel_distance, mean_interval


def by_definition(a: np.ndarray, b: np.ndarray) -> float:
    """The textbook formula, with SciPy's matrix square root."""
    root = sqrtm(np.cov(a, rowvar=False) @ np.cov(b, rowvar=False))
    trace = np.trace(np.cov(a, rowvar=False)) + np.trace(np.cov(b, rowvar=False)) - 2 * np.trace(np.real(root))
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + trace)


@pytest.mark.parametrize(("n", "m", "d"), [(50, 60, 8), (200, 40, 16), (30, 400, 24)])
def test_the_fast_formula_is_the_definition(n: int, m: int, d: int) -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=(n, d)) @ rng.normal(size=(d, d))
    b = rng.normal(size=(m, d)) @ rng.normal(size=(d, d)) + 1
    assert frechet_distance(a, b) == pytest.approx(by_definition(a, b), rel=1e-8)
    assert frechet_distance(b, a) == pytest.approx(frechet_distance(a, b), rel=1e-10)


def test_known_gaussians() -> None:
    """Between N(0, 1) and N(3, 4) along each of two axes: 3² + (1 - 2)² each."""
    x = np.array([[-1.0, -1], [-1, 1], [1, -1], [1, 1]]) * np.sqrt(3 / 4)  # covariance: the identity
    assert frechet_distance(x, 2 * x + 3) == pytest.approx(2 * (9 + 1))
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-12)


def test_fewer_images_than_dimensions_on_genuine_inception_features(shared: Path) -> None:
    features = np.load(shared / "features" / "inception_pool3.npz")["feat"].astype(np.float64)
    few, more = features[:40], features[40:120]
    assert frechet_distance(few, few) == pytest.approx(0, abs=1e-6)
    # The same in the first dimensions, where the definition can be computed
    short = features[:, :192]
    assert frechet_distance(short[:500], short[500:]) == pytest.approx(
        by_definition(short[:500], short[500:]), rel=1e-6
    )
    assert frechet_distance(few, more) > frechet_distance(features[:500], features[500:1000]) > 0


def by_roots(a: np.ndarray, b: np.ndarray) -> float:
    """The definition in any number of dimensions, by the roots of the eigenvalues of √A·B·√A."""
    values, vectors = np.linalg.eigh(np.cov(a, rowvar=False))
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    covariance = np.cov(b, rowvar=False)
    cross = np.sqrt(np.linalg.eigvalsh(root @ covariance @ root).clip(0)).sum()
    means = ((a.mean(0) - b.mean(0)) ** 2).sum()
    return float(means + values.clip(0).sum() + np.trace(covariance) - 2 * cross)


def test_all_dimensions_of_genuine_inception_features(shared: Path) -> None:
    """Of few images in their common span, which holds all their distances, by another way than the product's."""
    features = np.load(shared / "features" / "inception_pool3.npz")["feat"].astype(np.float64)
    assert features.shape == (1079, 2048)
    a, b = features[:60], features[60:130]
    _, _, span = np.linalg.svd(np.concatenate([a, b]), full_matrices=False)
    assert frechet_distance(a, b) == pytest.approx(by_roots(a @ span.T, b @ span.T), rel=1e-6)


@pytest.mark.slow
def test_every_genuine_inception_feature_at_full_width(shared: Path) -> None:
    features = np.load(shared / "features" / "inception_pool3.npz")["feat"].astype(np.float64)
    a, b = features[:500], features[500:]
    assert frechet_distance(a, b) == pytest.approx(by_roots(a, b), rel=1e-5)


def test_draws_by_products_are_the_draws_by_features() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(30, 90)) + 50, rng.normal(size=(25, 90)) @ rng.normal(size=(90, 90)) + 50
    from_features, from_products = fid._draws_by_features(a, b), fid._draws_by_products(a, b)
    for _ in range(5):
        rows_a, rows_b = rng.integers(30, size=30), rng.integers(25, size=25)
        assert from_products(rows_a, rows_b) == pytest.approx(from_features(rows_a, rows_b), rel=1e-9)
    # A draw may hold one image only
    assert from_products(np.full(30, 3), np.full(25, 4)) == pytest.approx(((a[3] - b[4]) ** 2).sum())


def test_the_interval_is_the_same_either_way(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=(20, 64))
    b = a + 0.3 * rng.normal(size=(20, 64))
    for paired in (True, False):
        fast = frechet_interval(a, b, draws=20, paired=paired)
        with monkeypatch.context() as patched:
            patched.setattr(fid, "_draws_by_products", fid._draws_by_features)
            assert fast == pytest.approx(frechet_interval(a, b, draws=20, paired=paired), rel=1e-9)


def test_moving_a_set_away_adds_the_squared_distance() -> None:
    a = np.random.default_rng(0).normal(size=(30, 100))
    assert frechet_distance(a, a + 0.5) == pytest.approx(100 * 0.25)


def test_the_interval_holds_chance_and_the_seed_holds_the_interval() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(60, 5)), rng.normal(size=(60, 5)) + 2
    low, high = frechet_interval(a, b)
    assert low < frechet_distance(a, b) < high
    assert (low, high) == frechet_interval(a, b)


def test_the_kernel_distance_is_unbiased_and_sees_a_shift() -> None:
    rng = np.random.default_rng(0)
    same = [kernel_distance(rng.normal(size=(40, 6)), rng.normal(size=(40, 6))) for _ in range(60)]
    assert abs(np.mean(same)) < 3 * np.std(same) / np.sqrt(len(same))
    assert min(same) < 0
    assert kernel_distance(rng.normal(size=(40, 6)), rng.normal(size=(40, 6)) + 1) > 5 * np.std(same)


def related(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two sets whose rows are pairs, as edits and the teacher's edits of the same photos are."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(count, 6))
    return a, 0.9 * a + 0.3 + 0.1 * rng.normal(size=(count, 6))


def test_the_interval_of_pairs_is_as_wide_as_chance() -> None:
    found = [frechet_distance(*related(60, seed)) for seed in range(200)]
    spread = np.subtract(*np.percentile(found, [97.5, 2.5]))

    def width(paired: bool) -> float:
        ends = [frechet_interval(*related(60, seed), paired=paired) for seed in range(10)]
        return float(np.mean([high - low for low, high in ends]))

    assert 0.7 * spread < width(True) < 1.4 * spread
    assert width(False) > 2 * spread
    assert frechet_interval(related(20)[0], related(20)[0], paired=True) == pytest.approx((0, 0), abs=1e-9)


def test_the_kernel_distance_of_pairs_does_not_hang_on_their_number() -> None:
    few = [kernel_distance(*related(8, seed), paired=True) for seed in range(400)]
    truth = kernel_distance(*related(4000), paired=True)
    error = 3 * np.std(few) / np.sqrt(len(few))
    assert abs(np.mean(few) - truth) < error
    assert np.mean([kernel_distance(*related(8, seed)) for seed in range(400)]) < truth - error
    assert kernel_distance(related(20)[0], related(20)[0], paired=True) == pytest.approx(0, abs=1e-12)


def test_sets_of_different_length_are_no_pairs() -> None:
    a, b = related(9)
    for function in (frechet_interval, kernel_distance):
        with pytest.raises(InputError, match="not pairs"):
            function(a, b[:8], paired=True)


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        (np.zeros((1, 3)), np.zeros((5, 3)), "at least 2"),
        (np.zeros((5, 3)), np.zeros((5, 4)), "dimensions"),
        (np.full((5, 3), np.nan), np.zeros((5, 3)), "not finite"),
    ],
)
def test_what_has_no_distance_is_refused(a: np.ndarray, b: np.ndarray, words: str) -> None:
    for function in (frechet_distance, kernel_distance):
        with pytest.raises(InputError, match=words):
            function(a, b)


def test_a_single_photo_has_no_chance() -> None:
    assert mean_interval(np.array([0.5])) == (0.5, 0.5)


def test_the_interval_holds_the_mean_and_narrows_with_more_photos() -> None:
    rng = np.random.default_rng(1)
    widths = []
    for count in (10, 1000):
        values = rng.normal(1, 1, count)
        low, high = mean_interval(values)
        assert low < values.mean() < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 5


def test_features_whose_squares_are_not_finite_are_refused() -> None:
    with pytest.raises(InputError, match="squares"):
        frechet_distance(np.full((3, 2), 1e308), np.zeros((3, 2)))
