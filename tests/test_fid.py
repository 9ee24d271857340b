from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import sqrtm

from e2gan.errors import InputError
from e2gan.fid import (
    SqueezeNetFeatures,
    frechet_distance,
    frechet_interval,
    kernel_distance,
    random_features,
)
from e2gan.images import list_images, read_image, square


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


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        (np.zeros((1, 3)), np.zeros((5, 3)), "at least 2"),
        (np.zeros((5, 3)), np.zeros((5, 4)), "dimensions"),
        (np.full((5, 3), np.nan), np.zeros((5, 3)), "not finite"),
    ],
)
def test_what_has_no_distance_is_refused(a: np.ndarray, b: np.ndarray, words: str) -> None:
    with pytest.raises(InputError, match=words):
        frechet_distance(a, b)


def test_random_features_never_change() -> None:
    image = (np.arange(64 * 48 * 3) % 251).astype(np.uint8).reshape(1, 64, 48, 3)
    found = random_features(image)
    assert found.shape == (1, 352)
    assert found[0, [0, 3, 60, 200, 351]].tolist() == pytest.approx(GOLDEN, rel=1e-4)
    assert np.allclose(random_features(np.repeat(image, 40, 0)), found, atol=1e-5)


GOLDEN = [-0.02519913, 0.56697220, 0.33927128, 0.17509072, 0.48381719]


def test_squeezenet_tells_kinds_of_photos_apart(shared: Path) -> None:
    network = SqueezeNetFeatures(shared / "features" / "squeezenet11.safetensors")
    kinds = {}
    for kind in ("faces", "landscapes"):
        files = list_images(shared / "photos" / kind)[:40]
        kinds[kind] = network(np.stack([square(read_image(f), 96) for f in files]))
        assert kinds[kind].shape == (40, 512)
    within = [frechet_distance(f[::2], f[1::2]) for f in kinds.values()]
    assert frechet_distance(kinds["faces"], kinds["landscapes"]) > 2 * max(within)


def test_a_file_that_is_no_squeezenet_is_refused(shared: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="missing"):
        SqueezeNetFeatures(tmp_path / "nothing")
    with pytest.raises(InputError, match="not a safetensors file"):
        SqueezeNetFeatures(shared / "README.md")
    with pytest.raises(InputError, match="not SqueezeNet"):
        SqueezeNetFeatures(shared / "teachers" / "fast-style" / "udnie.safetensors")
