"""Near-duplicates: how many made copies are found, how many other photos are wrongly joined, and how long it takes.

    python benchmarks/duplicates.py --photos FOLDER [--limit 2000] [--many 10000]

Of each photo four copies are made: resized to 30 %, recompressed as JPEG at quality 40, mirrored, and cropped by 5 %
on each side. Prints a Markdown table: the share of copies of a kind that are joined with their photo; the pairs of
photos that are in one group, of all pairs of photos, some of which do show the same; and the seconds for `--many`
pictures, the photos and their copies: of hashing them, at the working size of 256 pixels that they have at that point,
and of the search.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from e2gan import InputError
from e2gan.core.images import Pixels, read_image, square
from e2gan.core.originals import list_images
from e2gan.core.progress import in_threads, track
from e2gan.data.duplicates import groups_of, near_duplicates, thumbnail
from e2gan.data.photos import evenly

sys.path[:0] = [str(Path(__file__).resolve().parent)]
from runs import exit_status, markdown  # noqa: E402 (a script beside this one, found by the line above)

SIZE = 256


def resized(photo: Image.Image) -> Image.Image:
    return photo.resize((max(1, round(0.3 * photo.width)), max(1, round(0.3 * photo.height))), Image.Resampling.LANCZOS)


def recompressed(photo: Image.Image) -> Image.Image:
    data = io.BytesIO()
    photo.save(data, "JPEG", quality=40)
    return Image.open(data).convert("RGB")


def cropped(photo: Image.Image) -> Image.Image:
    x, y = round(0.05 * photo.width), round(0.05 * photo.height)
    return photo.crop((x, y, photo.width - x, photo.height - y))


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "resized to 30 %": resized,
    "recompressed at 40": recompressed,
    "mirrored": ImageOps.mirror,
    "cropped by 5 %": cropped,
}


def versions(path: Path) -> list[Pixels]:
    """The photo and its copies, each at the working size."""
    photo = Image.fromarray(read_image(path))
    return [square(np.array(image), SIZE) for image in (photo, *(copy(photo) for copy in COPIES.values()))]


def measure(photos: Path, limit: int, many: int) -> str:
    files = evenly(list_images(photos), limit)
    if len(files) < 2:
        raise InputError(f"{photos} holds {len(files)} photos: at least 2 are needed")
    kinds, hashing = len(COPIES) + 1, 0.0
    thumbnails: list[list[Pixels]] = [[] for _ in range(kinds)]
    for images in track(in_threads(versions, files), "photos and copies", len(files)):
        start = time.perf_counter()
        for kind, image in enumerate(images):
            thumbnails[kind].append(thumbnail(image))
        hashing += time.perf_counter() - start
    all_of_them = np.concatenate([np.stack(of_kind) for of_kind in thumbnails])[:many]
    start = time.perf_counter()
    pairs = near_duplicates(all_of_them)
    search = time.perf_counter() - start
    found, count = {tuple(pair) for pair in pairs.tolist()}, len(files)
    rows = []
    for kind, name in enumerate(COPIES, 1):
        looked = [i for i in range(count) if i + kind * count < len(all_of_them)]
        if looked:
            share = np.mean([(i, i + kind * count) in found for i in looked])
            rows.append([f"found, {name}", f"{100 * share:.1f} % of {len(looked):,}"])
    sizes = np.unique(groups_of(thumbnails[0]), return_counts=True)[1]
    joined, possible = int((sizes * (sizes - 1) // 2).sum()), count * (count - 1) // 2
    rows.append(["photos joined with others", f"{100 * joined / possible:.4f} % of {possible:,} pairs ({joined})"])
    hashed = hashing * len(all_of_them) / (kinds * count)
    rows.append([f"seconds for {len(all_of_them):,}", f"{hashed:.1f} of hashing, {search:.1f} of search"])
    return "\n".join(markdown(["near-duplicates", str(photos.name)], rows))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=2000)
    parser.add_argument("--many", type=int, default=10_000)
    arguments = parser.parse_args()
    return exit_status(lambda: print(measure(arguments.photos, arguments.limit, arguments.many)), goes_on=False)


if __name__ == "__main__":
    sys.exit(main())
