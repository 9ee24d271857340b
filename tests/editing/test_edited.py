"""What is told of edits."""

from __future__ import annotations

from pathlib import Path

from e2gan.editing.edited import EDITS, Edited, EditedVideo, Told


def test_what_a_folder_has_beside_photos_is_named() -> None:
    told = str(Edited(Path("out"), 2, videos=["a.mp4", "b.mov", "c.mkv", "d.mp4"]))
    assert "4 videos are left out (a.mp4, b.mov, c.mkv, …): edit each by itself" in told
    assert "video" not in str(Edited(Path("out"), 2))
    assert "left out (a.mp4)" in str(Edited(Path("out"), 0, already_done=True, videos=["a.mp4"]))


def test_a_video_is_told_by_its_frames_and_flicker() -> None:
    flicker = {"video": 0.5, "edit": 1.5, "written": 0.75, "still": 0.25}
    lost = [("clip.mov", "its transparency is left out")]
    told = str(EditedVideo(Path("out.mp4"), 0, frames=61, resumed=60, flicker=flicker, lost=lost, blank=["clip.mov"]))
    lines = told.splitlines()
    assert lines[0] == "61 frames edited: out.mp4 (by pytorch)"
    assert "60 of them were there" in lines[1]
    assert "one flat colour" in told
    assert "clip.mov: its transparency is left out" in told
    assert "25 % of it" in lines[-1]
    assert "0.75; before smoothing 1.50, of the video itself 0.50" in lines[-1]


def test_rows_are_kept_as_they_are_told_and_stand_in_order_at_the_end(tmp_path: Path) -> None:
    edits = ("a.png", "b.png")
    told = Told.of_work(tmp_path, edits)
    told.add("b.png", "b.png", lost=["its captions"], blank=True)
    told.add("a.png", "a.heic", skipped="no photo")
    told.add("a.png", "a.heic", lost=[], blank=False)  # tried again
    again = Told.of_work(tmp_path, edits)
    assert again.rows == told.rows
    assert again.has("a.png")
    assert Told.of_work(tmp_path, ("b.png",)).rows.keys() == {"b.png"}
    again.finish(["a.png", "b.png"])
    lines = (tmp_path / EDITS).read_text().splitlines()
    assert lines[0] == '{"edit": "a.png", "photo": "a.heic"}'
    assert len(lines) == 2
    summary = {"photos": 2, "skipped": [], "lost": [("b.png", "its captions")], "blank": ["b.png"]}
    assert Told.of_result(tmp_path).summary() == summary
