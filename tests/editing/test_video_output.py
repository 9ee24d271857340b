"""Groups of frames, and what they are joined to."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from e2gan.core.errors import InputError
from e2gan.editing.video_file import Clip, Frame, open_clip
from e2gan.editing.video_output import Coder, join, write_group
from tests.editing.clips import apart, av, moving, read_clip, sound_of, write_clip


def groups_of(clip: Clip, coder: Coder, folder: Path, size: int) -> tuple[list[Path], list[Frame], int]:
    frames, paths, last = list(clip.frames()), [], 0
    for i in range(0, len(frames), size):
        paths.append(folder / f"{i:03}.nut")
        written = write_group(paths[-1], coder, frames[i : i + size])
        assert written.count == len(frames[i : i + size])
        last = written.duration
    return paths, frames, last


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_groups_become_one_stream_of_key_frames_and_times(tmp_path: Path, suffix: str) -> None:
    source = write_clip(tmp_path / "clip.mp4", moving(23), steps=(3000, 1500, 4500), sound="aac")
    with open_clip(source) as clip:
        coder = Coder.of(clip, suffix, 4)
        paths, frames, last = groups_of(clip, coder, tmp_path, 10)
        join(tmp_path / f"out{suffix}", clip, coder, paths, last=last, texts={"title": "joined"})
    read = read_clip(tmp_path / f"out{suffix}")
    assert read.metadata["title"] == "joined"
    assert len(read.frames) == 23
    for frame, made, time in zip(frames, read.frames, read.times, strict=True):
        assert apart(frame.pixels, made) < 3
        assert abs(frame.pts * clip.time_base - time) <= (0 if suffix == ".mp4" else Fraction(1, 1000))
    with av.open(str(tmp_path / f"out{suffix}")) as container:
        keys = [i for i, p in enumerate(p for p in container.demux(video=0) if p.size) if p.is_keyframe]
    assert keys == [0, 10, 20]


@pytest.mark.parametrize(("count", "base", "step"), [(1, Fraction(1, 12288), 512), (30, Fraction(1, 25), 1)])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_the_last_frame_is_shown_as_long_as_it_was(
    tmp_path: Path, suffix: str, count: int, base: Fraction, step: int
) -> None:
    """Where a group's ticks are finer than the clip's, too."""
    source = write_clip(tmp_path / "clip.mp4", moving(count), base=base, steps=(step,))
    with open_clip(source) as clip:
        coder = Coder.of(clip, suffix, 17)
        paths, _, last = groups_of(clip, coder, tmp_path, 60)
        join(tmp_path / f"out{suffix}", clip, coder, paths, last=last, texts={})
    before, after = read_clip(source), read_clip(tmp_path / f"out{suffix}")
    assert abs(after.ends - before.ends) <= (0 if suffix == ".mp4" else Fraction(1, 1000))
    assert abs(after.length - count * step * base) <= (1e-6 if suffix == ".mp4" else 0.001)
    assert after.rate == before.rate


def test_the_same_frames_are_the_same_bytes(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "clip.mp4", moving(12))
    with open_clip(source) as clip:
        coder, frames = Coder.of(clip, ".mp4", 17), list(clip.frames())
    write_group(tmp_path / "a.nut", coder, frames)
    write_group(tmp_path / "b.nut", coder, frames)
    assert (tmp_path / "a.nut").read_bytes() == (tmp_path / "b.nut").read_bytes()


def test_sound_ends_with_the_pictures_where_they_are_not_all(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "clip.mp4", moving(60), sound="aac")
    with open_clip(source) as clip:
        coder = Coder.of(clip, ".mp4", 17)
        paths, _, last = groups_of(clip, coder, tmp_path, 30)
        join(tmp_path / "half.mp4", clip, coder, paths[:1], last=last, texts={}, until=Fraction(1))
    whole, half = sound_of(source), sound_of(tmp_path / "half.mp4")
    assert half == whole[: len(half)]
    assert 0.4 < len(half) / len(whole) < 0.6


def test_a_better_constant_rate_factor_is_a_larger_file(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "clip.mp4", moving(12, 96, 128))
    with open_clip(source) as clip:
        frames = list(clip.frames())
        sizes = []
        for crf in (4, 17, 40):
            write_group(tmp_path / "group.nut", Coder.of(clip, ".mp4", crf), frames)
            sizes.append((tmp_path / "group.nut").stat().st_size)
    assert sizes[0] > sizes[1] > sizes[2]


def test_pixels_that_are_no_squares_stay_so(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "clip.mp4", moving(3), sample_aspect_ratio=Fraction(16, 15))
    with open_clip(source) as clip:
        coder = Coder.of(clip, ".mp4", 17)
        assert replace(coder, crf=3).pixel_aspect == Fraction(16, 15)
        paths, _, last = groups_of(clip, coder, tmp_path, 10)
        join(tmp_path / "out.mp4", clip, coder, paths, last=last, texts={})
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(16, 15)


def test_a_build_without_the_coder_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_clip(tmp_path / "clip.mp4", moving(3))
    monkeypatch.setattr(av, "codecs_available", {"libvpx-vp9"})
    with open_clip(source) as clip, pytest.raises(InputError, match="no libx264"):
        Coder.of(clip, ".mp4", 17)
