"""Time and peak memory of loading training pairs: 26 concepts of 800 edits at 256 pixels, a tenth of the paper's faces.

    python benchmarks/loading.py [--concepts 26] [--pairs 800] [--size 256]

The sets lie in a temporary folder: hard links to a few distinct PNG files, each of which is decoded as often as it is
named. Prints the bytes of the data, the peak of resident memory above what the process held before it loaded (with the
libraries imported), their ratio, the seconds, and a checksum of some pixels. Needs Linux.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PICTURES = 32  # distinct ones


def make(folder: Path, concepts: int, pairs: int, size: int) -> None:
    """A photo set and the pair sets of its photos, all in the split train."""
    import numpy as np

    from e2gan.core.files import write_json, write_jsonl
    from e2gan.core.images import write_png
    from e2gan.data.builtin_photos import builtin_pictures, square

    rng = np.random.default_rng(0)
    pictures = list(builtin_pictures().values())
    for i in range(PICTURES):
        whole = pictures[i % len(pictures)]
        top, left = (int(rng.integers(side - side // 2)) for side in whole.shape[:2])
        crop = whole[top : top + whole.shape[0] // 2, left : left + whole.shape[1] // 2]
        write_png(folder / f"{i}.png", square(crop, size))
    names = [f"images/{i}.png" for i in range(pairs)]
    for number, images in enumerate([folder / "photos", *(folder / f"pairs{c}" for c in range(concepts))]):
        (images / "images").mkdir(parents=True)
        for i, name in enumerate(names):
            os.link(folder / f"{(i + number) % PICTURES}.png", images / name)
    rows = [{"id": str(i), "file": name, "split": "train", "source": name} for i, name in enumerate(names)]
    write_jsonl(folder / "photos" / "photos.jsonl", (r | {"width": size, "height": size, "sha256": ""} for r in rows))
    write_json(folder / "photos" / "config.json", {"stage": "photos", "settings": {"size": size}})
    for concept in range(concepts):
        settings = {"concept": f"concept {concept}", "teacher": "none", "size": size, "photos": "../photos"}
        lines = ({"file_name": name, "photo": str(i), "split": "train"} for i, name in enumerate(names))
        write_jsonl(folder / f"pairs{concept}" / "metadata.jsonl", lines)
        write_json(folder / f"pairs{concept}" / "config.json", {"stage": "pairs", "settings": settings})


def resident() -> int:
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()


def measure(folder: Path, concepts: int) -> dict[str, float]:
    from e2gan.data.pair_set import PairSet
    from e2gan.networks.text import text_encoder
    from e2gan.train.batches import TrainingData

    sets = [PairSet.load(folder / f"pairs{c}") for c in range(concepts)]
    before, start = resident(), time.perf_counter()
    data = TrainingData.load(sets, text_encoder("hashed", 512))
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    check = int(data.edits[:: max(1, len(data) // 100)].sum()) + int(data.photos[::8].sum())
    return {"bytes": data.edits.nbytes + data.photos.nbytes, "peak": peak, "seconds": seconds, "check": check}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--concepts", type=int, default=26)
    parser.add_argument("--pairs", type=int, default=800, help="of each concept")
    parser.add_argument("--size", type=int, default=256, help="pixels of each side")
    parser.add_argument("--part", choices=["make", "measure"], help="do one part alone (used by itself)")
    parser.add_argument("--folder", type=Path, help="where the sets lie (used by itself)")
    arguments = parser.parse_args()
    if arguments.part == "make":
        make(arguments.folder, arguments.concepts, arguments.pairs, arguments.size)
        return
    if arguments.part == "measure":
        print(json.dumps(measure(arguments.folder, arguments.concepts)))
        return
    with tempfile.TemporaryDirectory() as folder:
        # Parts in processes of their own, and this one small: a process counts its parent's memory in its peak.
        command = [sys.executable, str(Path(__file__).resolve()), *sys.argv[1:], "--folder", folder, "--part"]
        subprocess.run([*command, "make"], check=True)
        found = json.loads(subprocess.run([*command, "measure"], check=True, stdout=subprocess.PIPE).stdout)
    print("| concepts × pairs, pixels | data | peak above | ratio | seconds | checksum |\n|---|---|---|---|---|---|")
    cells = f"{found['bytes'] / 1e9:.2f} GB | {found['peak'] / 1e9:.2f} GB | {found['peak'] / found['bytes']:.2f}"
    sides = f"{arguments.concepts} × {arguments.pairs}, {arguments.size}"
    print(f"| {sides} | {cells} | {found['seconds']:.1f} | {found['check']} |")


if __name__ == "__main__":
    main()
