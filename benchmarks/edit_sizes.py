"""How an adapter's edit looks at sizes that it was not trained at, by each way in which `edit` can bring it back.

    python benchmarks/edit_sizes.py --photos ../shared/photos/large --adapters small-brush brush --out edit-sizes
                                    [--sides 256 1024 0] [--count 3] [--own-size]

Photos reduced to each shorter side (0: as they are), edited as `edit` does by itself; and by the other ways: run at the
adapter's own size and enlarged, or brought back with the photo's detail; and run at the photo's size (--own-size, long
for large photos). Two figures, means over the photos. shift: L1, of 255, between the edit reduced to the adapter's own
size and the edit of the photo of that size: how far the look is from what was trained. detail: root mean square of the
edit less its blur of two pixels, in levels: what is seen from near; the photo's own beside it. Writes OUT/sizes.md,
OUT/sizes.json and a picture of each adapter: of the first photo, whole and a part at full resolution.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from e2gan import Model, Predictor
from e2gan.config.checks import at_least, need
from e2gan.core.files import write_bytes, write_json
from e2gan.core.images import Pixels, read_image, resize, shrink, square, write_png
from e2gan.core.names import slug
from e2gan.core.originals import list_images
from e2gan.core.outputs import make_folder, versions
from e2gan.core.progress import note, track
from e2gan.core.sheets import sheet

sys.path[:0] = [str(Path(__file__).resolve().parent)]
from runs import exit_status, markdown  # noqa: E402 (scripts beside this one, found by the line above)

CELL = 256
WAYS: dict[str, dict[str, Any]] = {
    "as edit does": {},
    "enlarged": {"side": None, "detail": "none"},
    "with the photo's detail": {"side": None, "detail": "guided"},
    "at the photo's size": {"side": 0},
}


def at_side(photo: Pixels, side: int) -> Pixels:
    """The photo at this shorter side; 0, or one that is larger, leaves it as it is."""
    return shrink(photo, side) if side else photo


def edited(predictor: Predictor, photo: Pixels, way: str) -> Pixels:
    how = dict(WAYS[way])
    if "side" in how and how["side"] is None:
        how["side"] = predictor.size
    return predictor.edit(photo, **how)


def detail(image: Pixels) -> float:
    levels = image.astype(np.float32)
    return float(np.sqrt(np.mean((levels - gaussian_filter(levels, (2, 2, 0))) ** 2)))


def shift(edit: Pixels, small_edit: Pixels) -> float:
    return float(np.abs(resize(edit, small_edit.shape[:2]).astype(np.int16) - small_edit).mean())


def part(image: Pixels) -> Pixels:
    """The middle of it, at full resolution; a smaller one is enlarged to the cell."""
    height, width = image.shape[:2]
    side = min(CELL, height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return resize(np.ascontiguousarray(image[top : top + side, left : left + side]), (CELL, CELL))


def measure(
    predictor: Predictor, photos: Sequence[Pixels], sides: Sequence[int], ways: Sequence[str], name: str
) -> tuple[list[dict[str, Any]], Pixels]:
    """The rows of the table, and the picture."""
    rows, cells, labels = [], [], []
    for side in sides:
        found: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
        own = []
        for k, photo in enumerate(track(photos, f"{name}, {side or 'as they are'}")):
            given, reference = at_side(photo, side), at_side(photo, predictor.size)
            small_edit, own_detail = predictor.batch(reference[None])[0], detail(given)
            own.append(own_detail)
            edits = {way: edited(predictor, given, way) for way in ways}
            for way, edit in edits.items():
                found[way].append((shift(edit, small_edit), detail(edit)))
            if k == 0:
                cells += [[square(x, CELL) for x in (given, *edits.values())]]
                cells += [[part(x) for x in (given, *edits.values())]]
                labels += [f"{min(given.shape[:2])}, whole", f"{min(given.shape[:2])}, a part, 1:1"]
        for way, pairs in found.items():
            shifts, details = np.mean(pairs, axis=0).tolist()
            rows.append({"side": side, "way": way, "shift": shifts, "detail": details, "photo": float(np.mean(own))})
    return rows, sheet(cells, ["photo", *ways], labels)


def table(rows: Sequence[dict[str, Any]], sides: Sequence[int], ways: Sequence[str]) -> list[str]:
    heads = ["shift, detail", *(f"{side} pixels" if side else "as they are" for side in sides)]
    of = {(row["side"], row["way"]): row for row in rows}
    photo = ["the photo as it is", *(f"{of[side, ways[0]]['photo']:.1f}" for side in sides)]
    lines = [[way, *(f"{of[side, way]['shift']:.1f}, {of[side, way]['detail']:.1f}" for side in sides)] for way in ways]
    return markdown(heads, [photo, *lines])


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--photos", type=Path, required=True, help="folder of large photographs")
    made.add_argument("--adapters", nargs="+", required=True, help="that ship, by name, or folders")
    made.add_argument("--base", type=Path, help="of folders: full, small or a base's (default: the one that ships)")
    made.add_argument("--out", type=Path, required=True)
    made.add_argument("--sides", type=int, nargs="+", default=[256, 1024, 0], help="shorter sides; 0: as they are")
    made.add_argument("--count", type=int, default=3, help="photos")
    made.add_argument("--own-size", action="store_true", help="run the generator at the photo's own size too")
    return made


def run(options: argparse.Namespace) -> str:
    """Raises InputError for bad settings, no photos, and where an adapter or its base is not there."""
    at_least("count", options.count, 1)
    need(all(side == 0 or side >= 64 for side in options.sides), "--sides: 0, or at least 64")
    need(len(set(options.sides)) == len(options.sides), "--sides names one twice")
    files = list_images(options.photos)
    need(bool(files), f"--photos {options.photos}: no images")
    pictures = [slug(Path(name).name) for name in options.adapters]
    need(len(set(pictures)) == len(pictures), f"--adapters: two are named alike ({', '.join(pictures)})")
    models = {name: Model.load(base=options.base, adapter=(name,)) for name in options.adapters}
    make_folder(options.out)
    photos = [read_image(path) for path in files[: options.count]]
    ways = [way for way in WAYS if options.own_size or WAYS[way].get("side") != 0]
    torch.set_num_threads(1)
    lines, found = [], {}
    for picture_name, (name, model) in zip(pictures, models.items(), strict=True):
        predictor = Predictor(model, "cpu")
        rows, picture = measure(predictor, photos, options.sides, ways, name)
        title = f"{Path(name).name}: {model.detail}, trained at {predictor.size}"
        note(title)
        found[name] = {"detail": model.detail, "size": predictor.size, "rows": rows}
        lines += [title, "", *table(rows, options.sides, ways), ""]
        write_png(options.out / f"{picture_name}.png", picture)
    text = "\n".join(lines)
    write_bytes(options.out / "sizes.md", text.encode())
    settings = {"photos": [path.name for path in files[: options.count]], "sides": options.sides}
    write_json(options.out / "sizes.json", {"settings": settings, "versions": versions(), "adapters": found})
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    return exit_status(lambda: print(run(parser().parse_args(arguments)), end=""), goes_on=False)


if __name__ == "__main__":
    sys.exit(main())
