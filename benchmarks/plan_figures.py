"""What `e2gan plan` takes as measured on a CPU: bytes of pictures, seconds of what no GPU does.

    python benchmarks/plan_figures.py --photos FOLDER [--count 50] [--out plan_figures.json]

Of so many photos, evenly from the folder: the mean bytes of the PNG files that a photo set and a pair set hold, at
64, 128 and 256 pixels (of edits: five photos by all filters); seconds of one thread, in the process's own time, to
read, crop and write a photo, to edit it by a filter (mean), and to describe it for `select`; and an export of a
shipped adapter as `effects`, its seconds and bytes. The figures stand in src/e2gan/measure/plan.toml.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from e2gan import ExportConfig
from e2gan.core.files import write_json
from e2gan.core.images import encode_png, read_image, square
from e2gan.core.originals import made_here
from e2gan.export.all_formats import export
from e2gan.features.embeddings import GradientColour
from e2gan.teachers.filters.filters import FILTERS, apply

EDITED = 5  # photos, each by all filters
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


def seconds(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    files = sorted(p for p in options.photos.rglob("*") if p.suffix.lower() in SUFFIXES and not made_here(p))
    files = files[:: max(1, len(files) // options.count)][: options.count]
    describer = GradientColour()
    found: dict[str, object] = {"photos": len(files)}
    photos = [read_image(path) for path in files]
    for size in (64, 128, 256):
        squares = [square(photo, size) for photo in photos]
        few = squares[:: max(1, len(squares) // EDITED)][:EDITED]
        edits: list[np.ndarray] = []
        took = seconds(lambda s=few, e=edits: e.extend(apply(f, p) for p in s for f in FILTERS.values()))
        found[f"{size} pixels"] = {
            "photo, bytes": round(float(np.mean([len(encode_png(p)) for p in squares]))),
            "edit, bytes": round(float(np.mean([len(encode_png(p)) for p in edits]))),
            "filter, seconds": took / len(edits),
        }
        print(json.dumps(found), flush=True)
    whole = np.stack([square(photo, 256) for photo in photos])
    found["describe, seconds"] = seconds(lambda: describer(whole)) / len(photos)
    prepared = seconds(lambda: [encode_png(square(read_image(path), 256)) for path in files])
    found["prepare, seconds"] = prepared / len(files)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "effects"
        config = ExportConfig(adapter=(Path("golden"), Path("winter")), out=out, format="effects")
        found["export of two effects, seconds"] = seconds(lambda: export(config))
        parts = ("base.onnx", "effects/golden.safetensors", "prompts/golden.safetensors")
        found["export, bytes"] = {name: (out / name).stat().st_size for name in parts}
    print(json.dumps(found, indent=2))
    if options.out:
        write_json(options.out, found)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
