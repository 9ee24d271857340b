"""Flicker where a video stands still, and the filter against it, which leaves what moves alone."""

from __future__ import annotations

import numpy as np
import torch

from e2gan.core.images import Pixels
from e2gan.editing.flicker import NEAR, WINDOW, Smoother, flicker_lines
from tests.editing.tiny_model import noise


def shown(smoother: Smoother, frames: list[Pixels], edits: list[Pixels]) -> list[Pixels]:
    return [smoother(*pair) for pair in zip(frames, edits, strict=True)]


def flickering(count: int = 20) -> tuple[list[Pixels], list[Pixels]]:
    """A still video, and an edit of it that is brighter by 6 levels in each second frame."""
    frame = noise(40, 60) // 2 + 60
    return [frame] * count, [frame + np.uint8(6 * (i % 2)) for i in range(count)]


def test_an_edit_that_flickers_is_measured_and_calmed() -> None:
    frames, edits = flickering()
    plain, calm = Smoother(0.0), Smoother(1.0)
    for made, edit in zip(shown(plain, frames, edits), edits, strict=True):
        assert np.array_equal(made, edit)
    assert plain.flicker.means() == {"video": 0, "edit": 6, "written": 6, "still": 1}
    shown(calm, frames, edits)
    means = calm.flicker.means()
    assert means["edit"] == 6
    assert means["written"] < 1
    assert "(100 % of it)" in flicker_lines(means)[0]


def test_edges_stay_and_what_moves_leaves_no_trace() -> None:
    """A bright square crosses a still ground. Its edit is itself, with a ground that flickers by 4 levels."""
    frames, edits = [], []
    for i in range(12):
        frame = np.full((40, 80, 3), 90, np.uint8)
        frame[10:30, 5 * i : 5 * i + 15] = 220
        frames.append(frame)
        edits.append(frame + np.uint8(4 * (i % 2)))
    for i, made in enumerate(shown(Smoother(1.0), frames, edits)):
        difference = np.abs(made.astype(int) - edits[i])
        assert difference.max() <= 4  # of what flickers; a ghost of the square would be of 130 levels
        reach = WINDOW // 2 + NEAR // 2
        crossed = slice(max(0, 5 * (i - 1)), 5 * i + 15 + reach)
        assert difference[10:30, crossed][:, : 5 + 15].max(initial=0) <= 4
        if i:
            front = slice(5 * i + 15 - 3, 5 * i + 15 + 1)
            assert not difference[12:28, front].any()  # where it has just come
            assert not difference[12:28, 5 * (i - 1) : 5 * i].any()  # and where it was


def test_a_cut_begins_anew() -> None:
    one, other = noise(40, 60), 255 - noise(40, 60)
    made = shown(Smoother(1.0), [one, one, other], [one, one, other])
    assert np.array_equal(made[2], other)


def test_noise_is_no_movement() -> None:
    rng, frame = np.random.default_rng(1), np.full((40, 60, 3), 120)
    frames = [np.clip(frame + rng.normal(0, 1, frame.shape), 0, 255).astype(np.uint8) for _ in range(10)]
    smoother = Smoother(1.0)
    shown(smoother, frames, frames)
    means = smoother.flicker.means()
    assert means["still"] > 0.99
    assert means["written"] < means["video"] / 2


def test_it_goes_on_from_its_state_as_if_it_had_never_stopped() -> None:
    frames, edits = flickering()
    whole = Smoother(0.7)
    expected = shown(whole, frames, edits)
    first = Smoother(0.7)
    shown(first, frames[:9], edits[:9])
    second = Smoother(0.7)
    assert {tensor.dtype for tensor in first.state().values()} == {torch.float16}
    second.load(first.state(), first.flicker, frames[8])
    for made, wanted in zip(shown(second, frames[9:], edits[9:]), expected[9:], strict=True):
        assert np.array_equal(made, wanted)
    assert second.flicker == whole.flicker


def test_nothing_is_told_of_a_video_without_a_still_place() -> None:
    smoother = Smoother(0.5)
    shown(smoother, [noise(40, 60), 255 - noise(40, 60)], [noise(40, 60)] * 2)
    assert not flicker_lines(smoother.flicker.means())
