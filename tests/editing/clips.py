"""Small videos, made and read by PyAV, for the tests of editing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from e2gan.core.images import Pixels

av = pytest.importorskip("av", reason="PyAV is not installed: pip install 'e2gan[video]'")
FINE = 4 | 0x2000 | 0x4000 | 0x40000  # swscale's bicubic, with all of its chroma and exact rounding
TICKS = Fraction(1, 90_000)
EXACT = {"libx264": {"crf": "1", "preset": "veryfast"}, "libvpx-vp9": {"crf": "4", "b:v": "0", "deadline": "realtime"}}


def moving(count: int, height: int = 48, width: int = 64, still: int = 0) -> list[Pixels]:
    """A smooth picture that moves by two pixels a frame; the last `still` frames stand still, with a little noise."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(40, 216, (3, 3 + (width + 2 * count) // 24, 3), np.uint8))
    wide = np.array(coarse.resize((width + 2 * count, height), Image.Resampling.BICUBIC))
    frames = [wide[:, 2 * i : 2 * i + width] for i in range(count - still)]
    at = 2 * (count - still)
    for _ in range(still):
        noise = rng.integers(-1, 2, (height, width, 3))
        frames.append(np.clip(wide[:, at : at + width].astype(int) + noise, 0, 255).astype(np.uint8))
    return frames


def write_clip(
    path: Path,
    frames: Sequence[Pixels],
    *,
    codec: str = "libx264",
    kind: str = "yuv420p",
    steps: Sequence[int] = (3000,),
    base: Fraction = TICKS,
    sound: str | None = None,
    tags: dict[str, int] | None = None,
    matrix: int = 1,
    full: bool = False,
    rotation: float | None = None,
    options: dict[str, str] | None = None,
    metadata: dict[str, str] | None = None,
    **settings: Any,
) -> Path:
    """A video of these frames. steps: their durations in turn, in `base`. sound: a codec of a tone as long."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        container.metadata.update(metadata or {})
        stream = container.add_stream(codec, rate=Fraction(1) / (steps[0] * base), options=options or EXACT.get(codec))
        context = stream.codec_context
        context.time_base, context.pix_fmt = base, kind
        context.height, context.width = frames[0].shape[:2]
        told = {"colorspace": matrix, "color_range": 2 if full else 1} | (tags or {})
        for name, value in (told | settings).items():
            setattr(context, name, value)
        if rotation is not None:
            stream.set_display_rotation(rotation)
        tone = container.add_stream(sound, rate=48_000) if sound else None
        if tone is not None:
            tone.codec_context.layout = "mono"
        pts = 0
        for i, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24")
            frame = frame.reformat(
                format=kind,
                dst_colorspace={6: 5}.get(matrix, matrix),
                dst_color_range=2 if full else 1,
                interpolation=FINE,
            )
            for name, value in told.items():
                setattr(frame, name, value)
            frame.pts, frame.time_base, frame.duration = pts, base, steps[i % len(steps)]
            pts += steps[i % len(steps)]
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if tone is not None:
            _write_tone(container, tone, float(pts * base))
    if codec == "libsvtav1" and hasattr(os, "sched_setscheduler"):
        # As root it makes the whole process a real-time one, and those that are started from it, before all others.
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return path


def _write_tone(container: Any, stream: Any, seconds: float) -> None:
    layout, form = "mono", stream.codec_context.format.name
    wave = (8000 * np.sin(np.arange(round(48_000 * seconds)) / 20)).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(wave[None], "s16", layout)
    frame.sample_rate, frame.pts, frame.time_base = 48_000, 0, Fraction(1, 48_000)
    resampler = av.AudioResampler(form, layout, 48_000, stream.codec_context.frame_size or None)
    for part in (*resampler.resample(frame), *resampler.resample(None)):
        container.mux(stream.encode(part))
    container.mux(stream.encode())


def apart(one: Pixels, other: Pixels, block: int = 4) -> float:
    """How far two frames are, as `far`, by the means of small blocks: their pixels share their colours in a file."""
    height, width = (side // block * block for side in one.shape[:2])
    difference = one[:height, :width].astype(float) - other[:height, :width]
    return float(np.abs(difference.reshape(height // block, block, width // block, block, 3).mean((1, 3))).mean())


@dataclass(frozen=True)
class Read:
    """A video as a player has it. times: seconds of each frame. sound: the packets as they are stored. length: seconds
    of all of it; ends: when the last frame does. rate: frames a second, on average."""

    frames: list[Pixels]
    times: list[Fraction]
    sound: list[bytes]
    metadata: dict[str, str]
    tags: tuple[int, int]
    codecs: list[str]
    length: float
    ends: Fraction
    rate: Fraction


def read_clip(path: Path) -> Read:
    """All of a video. Its RGB is by what it says of itself."""
    frames, times, ends = [], [], Fraction(0)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        tags = stream.codec_context.colorspace, stream.codec_context.color_range
        for frame in container.decode(stream):
            assert frame.rotation == 0
            frames.append(frame.reformat(format="rgb24", interpolation=FINE, dst_color_range=2).to_ndarray())
            times.append(frame.pts * frame.time_base)
            ends = (frame.pts + frame.duration) * frame.time_base
        rate = stream.average_rate
        metadata, codecs = dict(container.metadata), [s.codec_context.name for s in container.streams]
        length = (container.duration or 0) / 1e6
    return Read(frames, times, sound_of(path), metadata, tags, codecs, length, ends, rate)


def sound_of(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return []
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]
