"""A video through `edit`: as it was but for the edit, stopped and gone on with, found done, refused."""

from __future__ import annotations

import re
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from e2gan import EditConfig, InputError, Model, Predictor, edit
from e2gan.core.locks import only_writer
from e2gan.core.outputs import partial_of
from e2gan.editing import video
from e2gan.editing.edit import photos_seen
from e2gan.editing.edited import EditedVideo
from tests.conftest import Project, refused
from tests.editing.clips import apart, av, moving, read_clip, sound_of, write_clip
from tests.editing.tiny_model import told_in_one_line


def config(project: Project, source: Path, out: Path, **changes: object) -> EditConfig:
    changes = {"input": (source,), "base": project.base, "adapter": (project.adapter,), "device": "cpu"} | changes
    return EditConfig(out=out, **changes)  # pyright: ignore[reportArgumentType]


def edited(project: Project, source: Path, out: Path, **changes: object) -> EditedVideo:
    found = edit(config(project, source, out, **changes))
    assert isinstance(found, EditedVideo)
    return found


@pytest.mark.parametrize("name", ["out.mp4", "out.MOV", "new/out.mkv", "out.webm"])
def test_frames_are_the_edits_of_frames_and_times_and_sound_stay(project: Project, tmp_path: Path, name: str) -> None:
    source = write_clip(tmp_path / "clip.mp4", moving(9), sound="aac", steps=(3003,))
    found = edited(project, source, tmp_path / name, smooth=0.0, crf=4)
    before, after = read_clip(source), read_clip(found.out)
    predictor = Predictor(Model.load(base=project.base, adapter=(project.adapter,)), "cpu")
    assert found.frames == len(after.frames) == 9
    for frame, made in zip(before.frames, after.frames, strict=True):
        assert apart(made, predictor.edit(frame)) < 2
        assert apart(made, frame) > 3
    exact = name.lower().endswith(("mp4", "mov"))
    starts = before.times[0], after.times[0]
    for one, other in zip(before.times, after.times, strict=True):
        assert abs((one - starts[0]) - (other - starts[1])) <= (0 if exact else Fraction(1, 1000))
    if name.endswith("webm"):
        assert after.codecs == ["vp9", "opus"]
        assert "coded anew" in str(found)
    else:
        assert after.codecs == ["h264", "aac"]
        assert after.sound == before.sound
        assert not found.lost
    assert not list(tmp_path.rglob("*.partial*")) + list(tmp_path.rglob("*.lock")) + list(tmp_path.rglob("*.tmp*"))


def test_a_variable_frame_rate_is_kept(project: Project, tmp_path: Path) -> None:
    source = write_clip(tmp_path / "clip.mp4", moving(70), steps=(3000, 1500, 9000, 3001))
    before, after = read_clip(source), read_clip(edited(project, source, tmp_path / "out.mp4", strength=0.0).out)
    assert after.times == before.times
    assert len({b - a for a, b in zip(after.times, after.times[1:], strict=False)}) == 4
    assert abs(after.length - before.length) < 0.001


@pytest.mark.parametrize(("matrix", "full"), [(1, False), (1, True), (6, False), (6, True)])
def test_colour_bars_come_back(project: Project, tmp_path: Path, matrix: int, full: bool) -> None:
    """BT.709 and BT.601, limited and full: within two levels of what the video shows, and said in the file."""
    bars = np.zeros((48, 256, 3), np.uint8)
    for i in range(8):
        bars[:, 32 * i : 32 * i + 32] = [191 * (i >> k & 1) for k in (1, 2, 0)]
    source = write_clip(tmp_path / "bars.mp4", [bars] * 3, matrix=matrix, full=full)
    before = read_clip(source)
    after = read_clip(edited(project, source, tmp_path / "out.mp4", strength=0.0, crf=4).out)
    inside = np.arange(256) % 32
    places = (inside >= 8) & (inside < 24)  # the colours of a pixel are shared by its neighbours
    assert np.abs(before.frames[1].astype(int) - bars)[:, places].max() <= 2
    assert np.abs(after.frames[1].astype(int) - before.frames[1])[:, places].max() <= 2
    assert (before.tags, after.tags) == ((matrix, 2 if full else 1), (matrix, 1))


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_video_comes_back_upright(project: Project, tmp_path: Path, degrees: int) -> None:
    frames = moving(3)
    lying = [np.rot90(frame, -degrees // 90) for frame in frames]  # the player turns it counterclockwise
    source = write_clip(tmp_path / "clip.mp4", lying, rotation=degrees)
    after = read_clip(edited(project, source, tmp_path / "out.mp4", strength=0.0, crf=4).out)  # has no rotation
    assert after.frames[1].shape == frames[1].shape
    assert apart(after.frames[1], frames[1]) < 3


@pytest.mark.parametrize("name", ["out.mp4", "out.webm"])
def test_odd_sides(project: Project, tmp_path: Path, name: str) -> None:
    source = write_clip(tmp_path / "clip.webm", moving(3, 47, 63), codec="libvpx-vp9")
    found = edited(project, source, tmp_path / name, strength=0.0, crf=4)
    before, after = read_clip(source), read_clip(found.out)
    assert after.frames[0].shape == ((48, 64, 3) if name.endswith("mp4") else (47, 63, 3))
    assert ("even" in str(found)) == name.endswith("mp4")
    assert apart(after.frames[1][:47, :63], before.frames[1]) < 2.5


def test_ten_bits_without_sound_and_metadata(project: Project, tmp_path: Path) -> None:
    told = {"title": "a day out", "comment": "mine", "location": "+48.1+011.5/"}
    source = write_clip(tmp_path / "clip.mov", moving(3), kind="yuv420p10le", metadata=told)
    found = edited(project, source, tmp_path / "out.mov", strength=0.0, crf=4)
    before, after = read_clip(source), read_clip(found.out)
    assert apart(after.frames[1], before.frames[1]) < 2
    assert after.codecs == ["h264"]
    assert after.metadata["title"] == "a day out"
    assert after.metadata["comment"].startswith("mine\n")
    assert "as a sepia photo" in after.metadata["comment"]
    assert after.metadata["location"] == "+48.1+011.5/"
    quiet = {"metadata": "no-gps", "provenance": False}
    after = read_clip(edited(project, source, tmp_path / "no-gps.mov", strength=0.0, **quiet).out)
    assert "location" not in after.metadata
    assert after.metadata["comment"] == "mine"
    after = read_clip(edited(project, source, tmp_path / "none.mp4", strength=0.0, metadata="none").out)
    assert "title" not in after.metadata


def test_what_is_not_kept_is_told(project: Project, tmp_path: Path) -> None:
    clear = write_clip(
        tmp_path / "clear.mov", moving(3), codec="prores_ks", kind="yuva444p10le", options={"profile": "4"}
    )
    assert "transparency is left out" in str(edited(project, clear, tmp_path / "a.mp4", strength=0.0))
    hlg = {"color_primaries": 9, "color_trc": 18}
    hdr = write_clip(tmp_path / "hdr.mp4", moving(3), kind="yuv420p10le", matrix=9, tags=hlg)
    found = edited(project, hdr, tmp_path / "b.mp4", strength=0.0)
    assert "HLG (HDR) is mapped to standard range" in str(found)
    assert read_clip(found.out).tags == (1, 1)
    covered = tmp_path / "cover.mkv"
    with av.open(str(covered), "w") as container, av.open(str(write_clip(tmp_path / "x.mp4", moving(3)))) as plain:
        stream = container.add_stream_from_template(plain.streams.video[0])
        (tmp_path / "cover.png").unlink(missing_ok=True)
        Image.new("RGB", (32, 32)).save(tmp_path / "cover.png")
        container.add_attachment("cover.png", "image/png", (tmp_path / "cover.png").read_bytes())
        for packet in plain.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
    found = edited(project, covered, tmp_path / "c.mp4", strength=0.0)
    assert "cover picture is left out" in str(found)
    assert found.frames == 3


def test_a_damaged_tail_is_told_and_what_can_be_read_is_edited(project: Project, tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "whole.mkv", moving(60))
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    found = edited(project, cut, tmp_path / "out.mp4", strength=0.0)
    assert 20 < found.frames < 60
    assert "damaged" in str(found) or "cut off" in str(found)
    assert len(read_clip(found.out).frames) == found.frames


@pytest.mark.parametrize("sound", [None, "libopus"])
def test_a_tail_that_is_missing_between_two_parts_is_told_by_the_length(
    project: Project, tmp_path: Path, sound: str | None
) -> None:
    whole = write_clip(tmp_path / "whole.webm", moving(100), codec="libvpx-vp9", sound=sound)
    assert "cut off" not in str(edited(project, whole, tmp_path / "whole.mkv", strength=0.0))
    cut = tmp_path / "cut.webm"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    found = edited(project, cut, tmp_path / "out.mkv", strength=0.0)
    [missing] = re.findall(r"some (\d+) frames that its length makes likely", str(found))
    assert abs(found.frames + int(missing) - 100) <= 2


class Stop:
    """Stops a run as Ctrl-C does, before the edit of frame number `at`."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, at: int, error: type[BaseException] = KeyboardInterrupt
    ) -> None:
        self.seen, plain = 0, Predictor.edit_frames

        def counted(predictor: Predictor, frames: Any, **settings: Any) -> Any:
            self.seen += len(frames)
            if self.seen > at:
                raise error
            return plain(predictor, frames, **settings)

        monkeypatch.setattr(Predictor, "edit_frames", counted)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_a_stopped_run_leaves_what_can_be_watched_and_goes_on(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    """The filter over time goes on too: noise stands still across the groups' border."""
    frames = moving(150, still=140)  # in a time base of which the groups' files have finer ticks
    source = write_clip(tmp_path / "in" / "clip.mp4", frames, base=Fraction(1, 15360), steps=(512,), sound="aac")
    out, made = tmp_path / "clip.mp4", config(project, source, tmp_path / "clip.mp4")
    with monkeypatch.context() as patch:
        Stop(patch, 130, error)
        with pytest.raises(error):
            edit(made)
    watched = tmp_path / "clip.partial.mp4"
    assert watched.exists() == (error is KeyboardInterrupt)
    assert not out.exists()
    if watched.exists():
        partly = read_clip(watched)
        assert len(partly.frames) == 120
        assert (partly.ends, partly.rate) == (4, 30)
        assert 3.9 < len(partly.sound) * 1024 / 48_000 < 4.1
    with monkeypatch.context() as patch:
        again = Stop(patch, 10_000)
        found = edit(made)
    assert (found.resumed, again.seen) == (120, 30)
    assert "120 of them were there" in str(found)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "in"]
    assert (read_clip(out).ends, read_clip(out).rate) == (5, 30)
    undisturbed = edited(project, source, tmp_path / "in" / "other.mp4")
    assert undisturbed.out.read_bytes() == out.read_bytes()
    assert isinstance(found, EditedVideo)
    assert undisturbed.flicker == found.flicker


@pytest.mark.parametrize("damage", ["cut", "zeroed", "gone", "state"])
def test_what_is_damaged_of_a_stopped_run_is_made_anew(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    source = write_clip(tmp_path / "in" / "clip.mp4", moving(130))
    out = tmp_path / "clip.mp4"
    with monkeypatch.context() as patch:
        Stop(patch, 70, RuntimeError)
        with pytest.raises(RuntimeError):
            edit(config(project, source, out))
    group, state = partial_of(out) / "000000.nut", partial_of(out) / video.STATE
    data = group.read_bytes()
    if damage == "gone":
        group.unlink()
    elif damage == "state":
        state.write_bytes(state.read_bytes()[:100])
    else:
        half = len(data) // 2
        group.write_bytes(data[:half] if damage == "cut" else data[:half] + bytes(50) + data[half + 50 :])
    found = edit(config(project, source, out))
    assert isinstance(found, EditedVideo)
    assert (found.frames, found.resumed) == (130, 0)
    undisturbed = edited(project, source, tmp_path / "in" / "other.mp4")
    assert undisturbed.out.read_bytes() == out.read_bytes()


def test_long_names_are_told(project: Project, tmp_path: Path) -> None:
    source = write_clip(tmp_path / "clip.mp4", moving(3))
    for length, most in ((251, 242), (240, 242)):
        said = refused(lambda n=length: edit(config(project, source, tmp_path / f"{'y' * n}.mp4")))
        assert f"a name of {length + 4} bytes; at most {most} are possible" in said


def test_times_that_jump_are_told_where_they_do_and_nothing_is_left(project: Project, tmp_path: Path) -> None:
    """After a group of frames is written already."""
    clip = write_clip(tmp_path / "clip.mkv", moving(66), steps=[*[3000] * 63, 90_000 * 86_400 * 3, 3000, 3000])
    line = refused(lambda: edit(config(project, clip, tmp_path / "edit.mp4")))
    assert "its times jump by 4,320 minutes at frame 65" in line
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mkv"]


def test_a_run_that_is_done_is_found_and_another_one_is_told_apart(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_clip(tmp_path / "clip.mp4", moving(61))
    out = tmp_path / "out.mp4"
    edited(project, source, out)
    assert edited(project, source, out).already_done
    with monkeypatch.context() as patch:
        Stop(patch, 60)
        with pytest.raises(KeyboardInterrupt):
            edited(project, source, out, strength=0.5)
    assert "strength" in refused(lambda: edited(project, source, out, strength=0.7))
    with only_writer(partial_of(out)):
        assert edited(project, source, out, strength=0.5).resumed == 60  # the same process may enter again
    assert not edited(project, source, out).already_done
    mine = video.playable_of(out)
    mine.write_text("somebody's")
    assert "in the way" in refused(lambda: edited(project, source, out, strength=0.6))
    assert mine.read_text() == "somebody's"


def test_a_run_that_was_killed_as_it_cleared_up_is_done(project: Project, tmp_path: Path) -> None:
    source, out = write_clip(tmp_path / "clip.mp4", moving(3)), tmp_path / "out.mp4"
    edited(project, source, out)
    before = out.read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(video, "_clear_up", lambda out: None)  # noqa: ARG005
        patch.setattr(video, "_made_by", lambda out: None)  # noqa: ARG005
        edited(project, source, out)
    assert partial_of(out).is_dir()
    partial_of(out).with_name("out.mp4.partial.lock").write_text("process 1 on a machine that is gone\n")
    assert edited(project, source, out).already_done
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "out.mp4"]
    assert out.read_bytes() == before


def test_what_is_no_video_is_refused_in_one_line(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", moving(3), sound="aac")
    Image.new("RGB", (40, 40)).save(tmp_path / "picture.mp4", "PNG")
    (tmp_path / "text.mp4").write_text("no video at all")
    (tmp_path / "empty.mov").touch()
    (tmp_path / "cut.mp4").write_bytes(clip.read_bytes()[:400])
    playlist = f"#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:3,\n{clip}\n#EXT-X-ENDLIST\n"
    (tmp_path / "playlist.mp4").write_text(playlist)
    with av.open(str(tmp_path / "sound.mkv"), "w") as container, av.open(str(clip)) as source:
        stream = container.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
    (tmp_path / "photos").mkdir()
    shutil.copy(clip, tmp_path / "photos")
    before = sorted(tmp_path.rglob("*"))
    for source, out, reason in [
        ("picture.mp4", "o.mp4", "is a picture (PNG)"),
        ("text.mp4", "o.mp4", "is no video"),
        ("empty.mov", "o.mp4", "is empty"),
        ("cut.mp4", "o.mp4", "is no video that can be read"),
        ("playlist.mp4", "o.mp4", "is no video"),
        ("sound.mkv", "o.mp4", "is sound alone"),
        ("clip.mp4", "o.png", "ending is one of .mp4"),
        ("clip.mp4", "o", "ending is one of .mp4"),
        ("clip.mp4", "o.partial.mp4", "not whole"),
        ("clip.mp4", "photos", "ending is one of .mp4"),
        ("clip.mp4", "clip.mp4", "input itself"),
        ("photos", "o", "1 video is left out (clip.mp4): edit each by itself"),
    ]:
        assert reason in told_in_one_line(project, tmp_path / source, tmp_path / out, capsys)
        assert sorted(tmp_path.rglob("*")) == before, (source, out)


def test_videos_among_photos_are_told(project: Project, tmp_path: Path) -> None:
    Image.new("RGB", (40, 40), "red").save(tmp_path / "photo.png")
    write_clip(tmp_path / "in" / "day" / "clip.mp4", moving(2))
    shutil.copy(tmp_path / "photo.png", tmp_path / "in")
    found = edit(config(project, tmp_path / "in", tmp_path / "out"))
    assert found.photos == 1
    assert "1 video is left out (day/clip.mp4): edit each by itself" in str(found)
    several = (tmp_path / "photo.png", tmp_path / "in" / "day" / "clip.mp4")
    found = edit(config(project, several[0], tmp_path / "out2", input=several))
    assert found.photos == 1
    assert f"1 video is left out ({several[1]}): edit each by itself" in str(found)
    with pytest.raises(InputError, match="these are videos: edit each by itself"):
        edit(config(project, several[1], tmp_path / "out3", input=several[1:] * 2))


def test_sound_that_no_container_holds_is_coded_anew(project: Project, tmp_path: Path) -> None:
    source = write_clip(tmp_path / "clip.mkv", moving(30), sound="pcm_s16le")
    found = edited(project, source, tmp_path / "out.webm", strength=0.0)
    assert "its sound (pcm_s16le) does not go into .webm" in str(found)
    with av.open(str(found.out)) as container:
        heard = sum(frame.samples for frame in container.decode(audio=0)) / 48_000
    assert 0.95 < heard < 1.1
    assert sound_of(edited(project, source, tmp_path / "out.mkv", strength=0.0).out) == sound_of(source)


def test_the_runtime_is_chosen_by_its_own_frames(project: Project, tmp_path: Path) -> None:
    source = write_clip(tmp_path / "clip.mp4", moving(40, height=256, width=256))
    model = Model.load(base=project.base, adapter=(project.adapter,))
    whole, half = (config(project, source, tmp_path / "out.mp4", side=side) for side in (0, 128))
    assert photos_seen(whole, model, None, video=True) == 40
    assert photos_seen(half, model, None, video=True) == 10
