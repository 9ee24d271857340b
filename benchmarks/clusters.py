"""Time and memory of choosing representatives, K of N embeddings; each N in a process of its own.

    python benchmarks/clusters.py [--rows 1000 10000 100000] [--dimensions 512] [--clusters 400]

The embeddings are random points about 1,000 random places, float32. Prints a Markdown table: the embeddings' own size,
the peak of resident memory above what the process held with the embeddings made and the libraries imported, and the
mean distance to the nearest centre as a share of that to the mean of all, which shows how good the clusters are.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def embeddings(rows: int, dimensions: int, places: int = 1000) -> NDArray[np.float32]:
    """(rows, dimensions) about `places` centres, the spread within one as large as that between them."""
    rng = np.random.default_rng(0)
    centre = rng.standard_normal((places, dimensions), np.float32)
    x = rng.standard_normal((rows, dimensions), np.float32)
    for start in range(0, rows, 4096):  # in parts: the baseline must not hold more than the embeddings
        part = slice(start, min(start + 4096, rows))
        x[part] += centre[rng.integers(places, size=part.stop - part.start)]
    return x


def peak_megabytes() -> float:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def measure(rows: int, dimensions: int, clusters: int) -> dict[str, float]:
    import sklearn.cluster  # noqa: F401  (its import is not what is timed)

    from e2gan.choose.clusters import representatives

    x = embeddings(rows, dimensions)
    before = peak_megabytes()
    start = time.perf_counter()
    found = representatives(x, clusters, seed=0)
    seconds = time.perf_counter() - start
    peak = peak_megabytes() - before
    spread = np.linalg.norm(x - x.mean(0), axis=1).mean()
    return {"seconds": seconds, "peak": peak, "whole": before + peak, "share": float(found.distance.mean() / spread)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--dimensions", type=int, default=512)
    parser.add_argument("--clusters", type=int, default=400)
    parser.add_argument("--measure", action="store_true", help="in this process, and print JSON (used by itself)")
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.rows[0], arguments.dimensions, arguments.clusters)))
        return
    print(f"| {arguments.dimensions} wide, K = {arguments.clusters} | embeddings | seconds | peak above | share |")
    print("|---|---|---|---|---|")
    for rows in arguments.rows:
        command = [sys.executable, str(Path(__file__).resolve()), "--measure", "--rows", str(rows)]
        command += ["--dimensions", str(arguments.dimensions), "--clusters", str(arguments.clusters)]
        found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        size = rows * arguments.dimensions * 4 / 2**20
        cells = f"{size:.0f} MiB | {found['seconds']:.1f} | {found['peak']:.0f} MiB | {found['share']:.3f}"
        print(f"| {rows:,} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
