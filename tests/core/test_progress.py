from __future__ import annotations

import io
import time
from functools import partial

import pytest
from rich.console import Console

from e2gan.core import progress


def test_speed_and_time_left_are_of_this_process_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "PLAIN_EVERY", 0.0)
    # resumed: an earlier process took 1000 seconds for 100 steps of 4 photos
    with progress.Meter("training", unit=" photos", start=(400, 0.5, 1000.0)) as meter:
        meter.update("50%  step 101", 404, 0.505, 1002.0)
        meter.update("55%  step 110  l1 3.25", 440, 0.55, 1020.0)
        meter.update("56%  step 111  l1 3.25", 444, 0.555, 1022.0)
    lines = [line.split(maxsplit=1)[1] for line in capsys.readouterr().err.splitlines()]
    assert lines[0].endswith("step 101  2.0 photos/s  3:18 left")
    assert lines[1].endswith("step 110  l1 3.25  2.0 photos/s  3:00 left")
    assert lines[2].endswith("step 111  l1 3.25  2.0 photos/s  2:58 left")


def test_a_loop_says_how_far_it_is_and_nothing_where_it_is_quick(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert list(progress.track([1, 2, 3], "photos")) == [1, 2, 3]
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(progress, "PLAIN_EVERY", 0.0)
    list(progress.track([1, 2, 3], "photos"))
    list(progress.track(iter([1]), "edits"))
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["photos 1 of 3", "photos 2 of 3", "photos 3 of 3", "edits 1"]
    assert lines[2].endswith("/s  0:00 left")
    assert not lines[3].endswith("left")


def test_a_terminal_has_a_bar_that_disappears(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    console = partial(Console, file=screen, force_terminal=True, width=100)
    monkeypatch.setattr(progress, "Console", lambda stderr: console())  # noqa: ARG005
    for _ in progress.track(range(3), "photos [red]:cd:"):
        time.sleep(0.2)
    assert "photos [red]:cd:" in screen.getvalue()
    assert "2 of 3" in screen.getvalue()
    assert screen.getvalue().endswith("\x1b[2K")  # the bar's line, erased


def test_a_note_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    line = "    0E:AB:CD:12 [bold]a.jpg[/bold] " + "long " * 40
    progress.note(line)
    assert capsys.readouterr().err == line + "\n"


def test_threads_keep_the_order_and_an_error_ends_them() -> None:
    def slow(i: int) -> int:
        if i == 90:
            raise ValueError("90")
        time.sleep(0.001 * (i % 3))
        return i

    assert list(progress.in_threads(slow, range(80))) == list(range(80))
    with pytest.raises(ValueError, match="90"):
        list(progress.in_threads(slow, range(200)))


def test_parts_of_a_loop_that_shows_are_quiet(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "PLAIN_EVERY", 0.0)
    for _ in progress.track(range(2), "whole"):
        with progress.quietly():
            assert list(progress.track(range(3), "part")) == [0, 1, 2]
    list(progress.track(range(1), "after"))
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["whole 1 of 2", "whole 2 of 2", "after 1 of 1"]
