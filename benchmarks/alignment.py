"""How well shifts and zooms of edits are found, against OpenCV's ECC and three ways of scikit-image's.

    python benchmarks/alignment.py [--photos FOLDER] [--count 10] [--size 256] [--filters NAME …] [--methods NAME …]

Edits of photographs by the built-in filters are moved by known amounts, with real content beyond the border. Prints,
for each method and kind of motion, the root mean square error over the frame in pixels (median and 90th percentile),
the share over one pixel at 256, and the median time of one estimate in this process; then what `align` does with edits
that did not move, that are of another photo, and that moved.

ecc: cv2.findTransformECCMultiScale, affine, on gradient magnitudes of one local strength (pip install
opencv-python-headless). phase: phase cross-correlation of the same, without zoom. log-polar: with the zoom from the
log-polar spectrum. flow: optical_flow_ilk of the same, and the shift and zoom that fit it best.
"""

from __future__ import annotations

import argparse
import importlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage.registration import optical_flow_ilk, phase_cross_correlation
from skimage.transform import warp_polar

from e2gan.core.images import Pixels, read_image, square
from e2gan.core.originals import list_images
from e2gan.pairs.align import Alignment, align, estimate, undo
from e2gan.teachers.filters.filters import FILTERS, apply

SHARED = Path(os.environ.get("E2GAN_SHARED", Path(__file__).resolve().parents[2] / "shared"))
MARGIN = 22 / 256  # of the frame's side, that the canvas shows around it
Motion = tuple[float, float, float]  # dx, dy in pixels, zoom
Method = Callable[[Pixels, Pixels], Motion]


# ------------------------------------------------------------------------------------------------------------ motions


def still(_: np.random.Generator) -> Motion:
    return 0.0, 0.0, 1.0


def shift(low: float, high: float) -> Callable[[np.random.Generator], Motion]:
    def draw(rng: np.random.Generator) -> Motion:
        angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(low, high)
        return length * np.cos(angle), length * np.sin(angle), 1.0

    return draw


def zoom(rng: np.random.Generator) -> Motion:
    return 0.0, 0.0, float(rng.choice([0.94, 0.96, 0.98, 1.02, 1.05, 1.08]))


def crop(rng: np.random.Generator) -> Motion:
    """Cut out anywhere, and enlarged to the frame."""
    larger = rng.uniform(1.02, 1.08)
    room = (larger - 1) * 128
    return rng.uniform(-room, room), rng.uniform(-room, room), larger


MOTIONS = {"still": still, "0.5–3 px": shift(0.5, 3), "3–12 px": shift(3, 12), "zoom": zoom, "crop": crop}


def frame(canvas: Pixels, size: int) -> Pixels:
    margin = round(MARGIN * size)
    return np.ascontiguousarray(canvas[margin : margin + size, margin : margin + size])


def moved(canvas: Pixels, motion: Motion, size: int) -> Pixels:
    dx, dy, larger = motion
    x, y, half = (
        round(MARGIN * size) + size / 2 - dx / larger,
        round(MARGIN * size) + size / 2 - dy / larger,
        size / 2,
    )
    box = (x - half / larger, y - half / larger, x + half / larger, y + half / larger)
    return np.array(Image.fromarray(canvas).resize((size, size), Image.Resampling.BICUBIC, box=box))


def error(found: Motion, true: Motion, size: int) -> float:
    """Root mean square over the frame."""
    dx, dy, larger = np.subtract(found, true)
    return float(np.sqrt(dx**2 + dy**2 + larger**2 * size**2 / 6))


# ------------------------------------------------------------------------------------------------------------ methods


def edges(image: Pixels) -> NDArray[np.float32]:
    """Gradient magnitude of one local strength."""
    grey = image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    strength = ndimage.gaussian_gradient_magnitude(grey, 1.0)
    return (strength / np.sqrt(ndimage.gaussian_filter(strength**2, 12) + 4)).astype(np.float32)


def ours(photo: Pixels, edit: Pixels) -> Motion:
    found = estimate(photo, edit)
    return found.dx, found.dy, found.zoom


def ecc(photo: Pixels, edit: Pixels) -> Motion:
    cv2 = importlib.import_module("cv2")
    cv2.setNumThreads(1)
    settings = cv2.ECCParameters()
    settings.motionType, settings.nlevels, settings.criteria = cv2.MOTION_AFFINE, 4, (3, 50, 1e-5)
    try:
        _, warp = cv2.findTransformECCMultiScale(edges(photo), edges(edit), np.eye(2, 3, dtype=np.float32), settings)
    except cv2.error:  # it did not converge
        return 0.0, 0.0, 1.0
    middle = (photo.shape[0] - 1) / 2
    dx, dy = warp @ [middle, middle, 1] - middle
    return dx, dy, (warp[0, 0] + warp[1, 1]) / 2


def correlate(a: NDArray, b: NDArray, upsample: int) -> tuple[float, float]:
    """How far b lies below and right of a."""
    back, _, _ = phase_cross_correlation(
        a,
        b,
        upsample_factor=upsample,
        normalization=None,  # pyright: ignore[reportArgumentType]  (its types forget what it documents)
    )
    return -float(back[0]), -float(back[1])


def windowed(image: Pixels) -> NDArray[np.float32]:
    hann = np.hanning(image.shape[0])
    return edges(image) * np.outer(hann, hann).astype(np.float32)


def phase(photo: Pixels, edit: Pixels) -> Motion:
    dy, dx = correlate(windowed(photo), windowed(edit), 10)
    return dx, dy, 1.0


def log_polar(photo: Pixels, edit: Pixels) -> Motion:
    radius = photo.shape[0] / 4
    spectra = [np.abs(np.fft.fftshift(np.fft.fft2(windowed(image)))) for image in (photo, edit)]
    polar = [np.log1p(warp_polar(s, radius=radius, output_shape=(180, 256), scaling="log")[:90]) for s in spectra]
    flat = [p - p.mean(0) for p in polar]
    _, finer = correlate(flat[0], flat[1], 20)  # a larger picture has the narrower spectrum
    larger = float(np.clip(np.exp(-finer * np.log(radius) / 256), 0.85, 1.2))
    dx, dy, _ = phase(photo, undo(edit, Alignment(0, 0, larger, 1, 0)))
    return larger * dx, larger * dy, larger


def flow(photo: Pixels, edit: Pixels) -> Motion:
    a, b = edges(photo), edges(edit)
    down, right = optical_flow_ilk(a, b, radius=9, num_warp=5)
    y, x = np.indices(a.shape) - (a.shape[0] - 1) / 2
    inside = (slice(16, -16), slice(16, -16))
    weight, x, y, right, down = ((a * b)[inside].ravel(), *(v[inside].ravel() for v in (x, y, right, down)))
    one, none = np.ones_like(x), np.zeros_like(x)
    design = np.concatenate([np.stack([one, none, x], -1), np.stack([none, one, y], -1)])
    target, weight = np.concatenate([right, down]), np.concatenate([weight, weight])
    robust, fit = weight, np.zeros(3)
    for _ in range(5):
        fit = np.linalg.solve((design.T * robust) @ design, (design.T * robust) @ target)
        robust = weight / (1 + (design @ fit - target) ** 2)
    return float(fit[0]), float(fit[1]), 1 + float(fit[2])


METHODS: dict[str, Method] = {"e2gan": ours, "ecc": ecc, "phase": phase, "log-polar": log_polar, "flow": flow}


# ------------------------------------------------------------------------------------------------------------- tables


def accuracy(canvases: list[Pixels], edits: list[list[Pixels]], methods: list[str], size: int) -> None:
    print(f"| {size} px | {' | '.join(MOTIONS)} | ms |")
    print("|---" * (len(MOTIONS) + 2) + "|")
    for method in methods:
        cells, times = [], []
        for kind, draw in MOTIONS.items():
            rng = np.random.default_rng(0)
            errors = []
            for canvas, made in zip(canvases, edits, strict=True):
                photo = frame(canvas, size)
                for edit in made:
                    dx, dy, larger = draw(rng)
                    motion = dx * size / 256, dy * size / 256, larger
                    astray = frame(edit, size) if kind == "still" else moved(edit, motion, size)
                    start = time.process_time()
                    found = METHODS[method](photo, astray)
                    times.append(time.process_time() - start)
                    errors.append(error(found, motion, size))
            far = np.mean(np.array(errors) > size / 256)
            cells.append(f"{np.median(errors):.2f} / {np.percentile(errors, 90):.2f} / {100 * far:.0f} %")
        print(f"| {method} | {' | '.join(cells)} | {1000 * np.median(times):.0f} |", flush=True)


def effect(canvases: list[Pixels], edits: list[list[Pixels]], names: list[str], size: int) -> None:
    """What `align` does: to edits that did not move, to those of the next photo, and to those that moved."""
    rng = np.random.default_rng(0)
    touched, strangers, before, after, worse = [], 0, [], [], 0
    for i, (canvas, made) in enumerate(zip(canvases, edits, strict=True)):
        photo = frame(canvas, size)
        for j, edit in enumerate(made):
            true, other = frame(edit, size), frame(edits[i - 1][j], size)
            touched += [names[j]] if align(photo, true)[0] is not true else []
            strangers += align(photo, other)[0] is not other
            dx, dy, larger = crop(rng)
            astray = moved(edit, (dx * size / 256, dy * size / 256, larger), size)
            l1 = [np.abs(image.astype(np.int16) - true).mean() for image in (astray, align(photo, astray)[0])]
            before.append(l1[0])
            after.append(l1[1])
            worse += l1[1] > l1[0]
    n = len(before)
    kinds = ", ".join(f"{name} {touched.count(name)}" for name in dict.fromkeys(touched))
    print(f"\nedits that did not move: {len(touched)} of {n} touched{f' ({kinds})' if kinds else ''}")
    print(f"edits of another photo: {strangers} of {n} touched")
    print(f"cropped edits, median L1 to the same uncropped: {np.median(before):.1f} as they are, ", end="")
    print(f"{np.median(after):.1f} aligned; {worse} of {n} grew worse")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, default=SHARED / "photos/test")
    parser.add_argument("--count", type=int, default=10, help="photos, evenly over the folder")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--filters", nargs="+", choices=sorted(FILTERS), default=list(FILTERS), metavar="NAME")
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS), metavar="NAME")
    arguments = parser.parse_args()
    files = list_images(arguments.photos)
    files = [files[i * len(files) // arguments.count] for i in range(min(arguments.count, len(files)))]
    size, names = arguments.size, arguments.filters
    canvases = [square(read_image(file), size + 2 * round(MARGIN * size)) for file in files]
    edits = [[apply(FILTERS[name], canvas) for name in names] for canvas in canvases]
    print(
        f"{len(files)} photos × {len(names)} filters; error in px: median / 90th percentile / share over 1 px at 256\n"
    )
    accuracy(canvases, edits, arguments.methods, size)
    effect(canvases, edits, names, size)


if __name__ == "__main__":
    main()
