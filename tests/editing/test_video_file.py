"""Videos that are read: in little memory, judged by their headers, damaged ones as far as they go."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest

from e2gan.core.errors import InputError
from e2gan.editing.video_file import MOST_PIXELS, open_clip
from tests.editing.clips import apart, av, moving, write_clip
from tests.limited import Limited


@pytest.fixture(scope="module")
def limited() -> Iterator[Limited]:
    found = Limited("e2gan.editing.video_file", "av", "numpy")
    yield found
    found.close()


def count(path: str) -> int:
    """Frames that are read; for `Limited`."""
    with open_clip(Path(path)) as clip:
        return sum(1 for _ in clip.frames())


def test_a_clip_tells_what_it_is(tmp_path: Path) -> None:
    frames = moving(7)
    path = write_clip(tmp_path / "clip.mp4", frames, steps=(3000,), sound="aac")
    with open_clip(path) as clip:
        assert (clip.width, clip.height, clip.count, float(clip.rate)) == (64, 48, 7, 30)
        read = list(clip.frames())
        assert not clip.lost
    assert all(apart(frame.pixels, made) < 3 for frame, made in zip(read, frames, strict=True))
    assert [frame.pts * clip.time_base for frame in read] == [frame / clip.rate for frame in range(7)]
    with open_clip(path) as clip:
        assert [frame.pts for frame in clip.frames(since=5)] == [frame.pts for frame in read[4:]]


def test_a_stream_that_begins_late_begins_at_its_start(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.ts", moving(7), sound="aac")  # its muxer begins later
    with open_clip(path) as clip:
        assert clip.start > 0.01
        first = next(clip.frames())
    assert 0 <= first.pts * clip.time_base < 0.03


def test_where_a_file_has_no_durations_they_are_the_intervals_before(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.ts", moving(6), steps=(3000, 6000, 9000))
    with open_clip(path) as clip:
        read = list(clip.frames())
    steps = [after.pts - frame.pts for frame, after in pairwise(read)]
    assert steps == [3000, 6000, 9000, 3000, 6000]
    assert [frame.duration for frame in read] == [3000, *steps]


@pytest.mark.parametrize("codec", ["libvpx", "mpeg4", "ffv1", "mjpeg", "libx265", "libsvtav1"])
def test_other_codecs_are_read(tmp_path: Path, codec: str) -> None:
    kind = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    frames = moving(5, 64, 96)
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    told = {"kind": kind, "full": codec == "mjpeg", "options": {"qmin": "2"} | options}
    path = write_clip(tmp_path / "clip.mkv", frames, codec=codec, base=Fraction(1, 30), steps=(1,), **told)
    with open_clip(path) as clip:
        read = list(clip.frames())
    assert len(read) == 5
    assert apart(read[2].pixels, frames[2]) < 12


@pytest.mark.parametrize("part", [0.5, 0.9])
@pytest.mark.parametrize("suffix", [".mkv", ".avi", ".ts"])
def test_a_file_that_is_cut_off_is_read_as_far_as_it_goes(tmp_path: Path, suffix: str, part: float) -> None:
    told = {"base": Fraction(1, 30), "steps": (1,), "options": {"qmin": "1", "g": "5"}}
    whole = write_clip(tmp_path / f"whole{suffix}", moving(40, 144, 192), codec="mpeg4", **told)
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(whole.read_bytes()[: int(part * whole.stat().st_size)])
    with open_clip(cut) as clip:
        assert 4 < len(list(clip.frames())) < 40


def test_bytes_that_are_wrong_are_told_and_passed_over(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "clip.mp4", moving(60), options={"crf": "5", "g": "10", "threads": "1"})
    data = bytearray(whole.read_bytes())
    at = data.find(b"mdat") + 4
    for place in range(at + 3000, at + 9000, 7):
        data[place] ^= 0xFF
    (tmp_path / "wrong.mp4").write_bytes(data)
    with open_clip(tmp_path / "wrong.mp4") as clip:
        found = len(list(clip.frames()))
        assert found > 20
        assert found == 60 or clip.lost


def vast_rawvideo(folder: Path) -> Path:
    """An AVI whose header says 60,000×60,000 pixels."""
    path = write_clip(folder / "vast.avi", moving(2), codec="rawvideo", options={})
    data = bytearray(path.read_bytes())
    strf = data.find(b"strf") + 8
    data[strf + 4 : strf + 12] = struct.pack("<ii", 60_000, 60_000)
    path.write_bytes(data)
    return path


def vast_vp8(folder: Path) -> Path:
    """A WebM whose header says 64×48, and whose key frame says 16,383×16,383."""
    path = write_clip(folder / "vast.webm", moving(2), codec="libvpx", options={})
    data = path.read_bytes()
    at = data.find(b"\x9d\x01\x2a") + 3
    path.write_bytes(data[:at] + struct.pack("<HH", 16_383, 16_383) + data[at + 4 :])
    return path


def many_samples(folder: Path) -> Path:
    """An MP4 whose table says that it has two thousand million frames of one byte."""
    path = write_clip(folder / "many.mp4", moving(2))
    data = bytearray(path.read_bytes())
    at = data.find(b"stsz") + 4
    data[at : at + 12] = struct.pack(">III", 0, 1, 2**31)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("bomb", "words"),
    [(vast_rawvideo, "larger than is read"), (vast_vp8, "vast.webm"), (many_samples, "claims 2,147,483,648")],
)
def test_a_bomb_is_refused_before_memory_is_taken(bomb: object, words: str, limited: Limited, tmp_path: Path) -> None:
    path = bomb(tmp_path)  # pyright: ignore[reportCallIssue]
    found = limited.run("tests.editing.test_video_file:count", str(path), memory=400 * 2**20)
    assert found["ended"] == "refused", found
    assert words in found["said"]
    assert "\n" not in found["said"]
    assert found["peak"] < 100 * 2**20


def test_long_videos_take_no_more_memory_than_short_ones(limited: Limited, tmp_path: Path) -> None:
    peaks = []
    for number in (10, 300):
        path = write_clip(tmp_path / f"{number}.mp4", moving(number, 360, 640), options={"preset": "ultrafast"})
        found = limited.run("tests.editing.test_video_file:count", str(path))
        assert found["value"] == str(number)
        peaks.append(found["peak"])
    assert abs(peaks[1] - peaks[0]) < 10 * 2**20


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(InputError, match="is no file"), open_clip(tmp_path / "pipe.mp4"):
        pass
    with pytest.raises(InputError, match="missing"), open_clip(tmp_path / "gone.mp4"):
        pass


def test_the_limit_is_8k() -> None:
    assert 7680 * 4320 <= MOST_PIXELS < 2 * 7680 * 4320
    assert av.__version__
