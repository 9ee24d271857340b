"""Videos: frames a second and what takes the time, the memory of short and long clips, and flicker by --smooth.

    python benchmarks/video.py --photos FOLDER [--adapter golden cartoon] [--frames 48] [--device cpu] [--long 300]

Clips of 256×144 pixels are made of the first photos of the folder, with noise, and coded as H.264 at a constant rate
factor of 18: "pan" moves over a photo by two pixels a frame, "still" stands still, and over "crossing" a part of
another photo moves. Prints Markdown tables: of "pan", the share of each step; of clips of 10, 70 (more than a group of
frames) and `--long` frames, edited by the command at `--side 64` in a process of its own, the largest memory; of all
three clips, the flicker where they stand still (docs/video.md), and how far the pixels that something has just left,
3 frames or less ago, are from the edit that is not smoothed, in the mean and at the 99.9th percentile.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np

from e2gan import InputError, Model, Predictor
from e2gan.core.images import Pixels, read_image, resize
from e2gan.core.originals import list_images
from e2gan.editing.flicker import Smoother
from e2gan.editing.video_file import Frame, open_clip
from e2gan.editing.video_output import Coder, write_group

sys.path[:0] = [str(Path(__file__).resolve().parent)]
from runs import exit_status, markdown  # noqa: E402 (a script beside this one, found by the line above)

HEIGHT, WIDTH, TOGETHER = 144, 256, 6
SMOOTH = (0.0, 0.5, 0.75, 1.0)
AFTER, MOVES = 3, 8  # frames, and 8-bit levels that a pixel changes by where something moves


def clips(photos: Sequence[Pixels], frames: int) -> Iterator[tuple[str, list[Pixels]]]:
    wide, other = photos[0], photos[min(1, len(photos) - 1)]
    thing = resize(other, (60, 90))[10:50, 20:70]
    for name in ("pan", "still", "crossing"):
        rng, made = np.random.default_rng(0), []
        for i in range(frames):
            left = min(2 * i, wide.shape[1] - WIDTH) if name == "pan" else 0
            frame = wide[:HEIGHT, left : left + WIDTH] + rng.normal(0, 1, (HEIGHT, WIDTH, 3))
            if name == "crossing":
                at = 3 * i
                seen = max(0, min(50, WIDTH - at))
                frame[50:90, at : at + seen] = thing[:, :seen]
            made.append(np.clip(np.rint(frame), 0, 255).astype(np.uint8))
        yield name, made


def write(path: Path, frames: Sequence[Pixels]) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 30)
        for i, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
            frame.pts, frame.time_base = i, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def edited(path: Path, predictor: Predictor) -> tuple[list[Frame], list[Pixels], dict[str, float]]:
    """Frames of a clip, their edits, and the seconds of each step."""
    seconds, clock = {}, time.perf_counter
    start = clock()
    with open_clip(path) as clip:
        frames = list(clip.frames())
        coder = Coder.of(clip, ".mp4", 17)
    seconds["decode"] = clock() - start
    start, edits = clock(), []
    for i in range(0, len(frames), TOGETHER):
        edits += [*predictor.edit_frames(np.stack([frame.pixels for frame in frames[i : i + TOGETHER]]))]
    seconds["model"] = clock() - start
    start, smoother = clock(), Smoother(0.75)
    shown = [smoother(frame.pixels, edit) for frame, edit in zip(frames, edits, strict=True)]
    seconds["filter"] = clock() - start
    start = clock()
    made = [Frame(pixels, frame.pts, frame.duration) for pixels, frame in zip(shown, frames, strict=True)]
    write_group(path.with_name(f"{path.name}.nut"), coder, made)
    seconds["encode"] = clock() - start
    return frames, edits, seconds


def flicker(frames: Sequence[Frame], edits: Sequence[Pixels]) -> Iterator[list[str]]:
    """For each strength of smoothing: the flicker of the video, the edit and what is shown, and what lags behind."""
    changes = [np.abs(b.pixels.astype(float) - a.pixels).mean(2) for a, b in pairwise(frames)]
    moving = np.array(changes) > MOVES
    left = np.zeros_like(moving)
    for ago in range(1, AFTER + 1):
        left[ago:] |= moving[:-ago]
    left &= ~moving
    for smooth in SMOOTH:
        smoother = Smoother(smooth)
        shown = [smoother(frame.pixels, edit) for frame, edit in zip(frames, edits, strict=True)]
        far = np.array([np.abs(s.astype(float) - e).mean(2) for s, e in zip(shown[1:], edits[1:], strict=True)])[left]
        means = smoother.flicker.means()
        lag = f"{far.mean():.2f}, {np.percentile(far, 99.9):.1f}" if left.mean() > 0.001 else "–"
        cells = [f"{means[name]:.2f}" for name in ("video", "edit", "written")]
        yield [f"{smooth:g}", f"{100 * means['still']:.0f} %", *cells, lag]


def peak(path: Path, adapter: str, device: str) -> float:
    """MB that the command takes at most."""
    command = [sys.executable, "-m", "e2gan", "edit", str(path), "--adapter", adapter, "--side", "64"]
    command += ["--device", device, "--out", str(path.with_name(f"edited-{path.name}"))]
    code = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, capture_output=True); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run([sys.executable, "-c", code, *command], check=True, capture_output=True, text=True)
    return int(done.stdout) * 1024 / 1e6


def measure(arguments: argparse.Namespace) -> str:
    files = list_images(arguments.photos)[:2]
    if not files:
        raise InputError(f"{arguments.photos} holds no photos")
    photos = [read_image(file) for file in files]
    scale = 1.6 * HEIGHT / photos[0].shape[0]
    photos[0] = resize(photos[0], (round(1.6 * HEIGHT), max(WIDTH + 2, round(scale * photos[0].shape[1]))))
    speed, lines = [], []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for adapter in arguments.adapter:
            predictor = Predictor(Model.load(adapter=(Path(adapter),)), arguments.device)
            for name, frames in clips(photos, arguments.frames):
                read, edits, seconds = edited(write(place / f"{name}.mp4", frames), predictor)
                lines += [[adapter, name, *row] for row in flicker(read, edits)]
                if name == "pan":
                    total = sum(seconds.values())
                    shares = [f"{100 * value / total:.1f} %" for value in seconds.values()]
                    speed.append([adapter, f"{len(read) / total:.2f}", *shares])
        (_, long), *_ = clips(photos, arguments.long)
        paths = [write(place / f"{count}.mp4", long[:count]) for count in (10, 70, arguments.long)]
        peaks = [
            [path.name.removesuffix(".mp4"), f"{peak(path, arguments.adapter[0], arguments.device):.0f}"]
            for path in paths
        ]
    parts = [
        markdown(["adapter", "frames a second", "decode", "model", "filter", "encode"], speed),
        markdown(["frames", "largest memory (MB)"], peaks),
        markdown(["adapter", "clip", "--smooth", "stands still", "video", "edit", "written", "lag"], lines),
    ]
    return "\n\n".join("\n".join(part) for part in parts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--adapter", nargs="+", default=["golden", "cartoon"])
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--long", type=int, default=300)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    return exit_status(lambda: print(measure(arguments)), goes_on=False)


if __name__ == "__main__":
    sys.exit(main())
