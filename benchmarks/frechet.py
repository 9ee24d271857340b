"""The Fréchet distance by the nuclear norm against the textbook formula with SciPy's sqrtm.

    python benchmarks/frechet.py [--images 300] [--dimensions 2048] [--repeat 3] [--features FILE.npz]

Prints both values, both times and their ratio. --features takes genuine vectors (an array `feat`, N×D) in place of
random ones. With fewer images than dimensions the covariances are singular, and sqrtm's value is only approximate.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import sqrtm

from e2gan import frechet_distance


def by_definition(a: NDArray, b: NDArray) -> float:
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = np.real(np.asarray(sqrtm(cov_a @ cov_b)))
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * np.trace(root))


def timed(function: Callable[[NDArray, NDArray], float], a: NDArray, b: NDArray, repeat: int) -> tuple[float, float]:
    """The value, and the best of `repeat` times in seconds."""
    value, times = 0.0, []
    for _ in range(repeat):
        start = time.perf_counter()
        value = function(a, b)
        times.append(time.perf_counter() - start)
    return value, min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--dimensions", type=int, default=2048, help="of random features")
    parser.add_argument("--repeat", type=int, default=3, help="of the fast formula; sqrtm runs once")
    parser.add_argument("--features", type=Path, help="an .npz with genuine features in `feat`")
    arguments = parser.parse_args()

    n = arguments.images
    if arguments.features is None:
        rng = np.random.default_rng(0)
        features = np.maximum(0, rng.normal(0.2, 0.4, (2 * n, arguments.dimensions)))
    else:
        features = np.load(arguments.features)["feat"].astype(np.float64)
        if len(features) < 2 * n:
            parser.error(f"{arguments.features} has {len(features)} vectors; two sets of {n} need {2 * n}")
        features = features[np.random.default_rng(0).permutation(len(features))]
    a, b = features[:n], features[n : 2 * n]
    value, seconds = timed(frechet_distance, a, b, arguments.repeat)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sqrtm says that the covariances are singular
        reference, slow = timed(by_definition, a, b, 1)
    print(f"two sets of {n} × {features.shape[1]}")
    print(f"nuclear norm  {value:12.6f}  {seconds * 1000:10.1f} ms")
    print(f"sqrtm         {reference:12.6f}  {slow * 1000:10.1f} ms")
    off = abs(value - reference) / max(abs(reference), 1e-12)
    print(f"ratio {slow / seconds:.0f}×, the values differ by {off:.1e} of themselves")


if __name__ == "__main__":
    main()
