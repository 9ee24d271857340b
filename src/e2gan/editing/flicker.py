"""How much the edit of a video flickers where the video stands still, and a filter over time against it.

Nothing is warped: a place stands still where the frames themselves hardly change, and only there an edit is compared,
or averaged, with the one before. So what moves leaves no trace behind it, and edges stay where they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from e2gan.core.images import Pixels

WINDOW = 5  # pixels of a side: a mean over so many tells movement from noise
STILL = 2.0  # 8-bit levels that the mean of a place changes by at most where it stands still
MOVING = 5.0  # and those from which on it moves: nothing is averaged there
NEAR = 9  # pixels of a side: what lies so near to what moves counts as moving, since its edit changes with that
LONGEST = 0.9  # of the average, what was shown before has at most so much: about ten frames


@dataclass(frozen=True)
class Flicker:
    """Sums over the pixels of still places, one a frame: their number, and their absolute changes from the frame before
    in 8-bit levels, all channels together, of the video, of the edit as the network makes it, and of what is written.
    pixels: all that were looked at."""

    still: int = 0
    pixels: int = 0
    video: int = 0
    edit: int = 0
    written: int = 0

    def plus(self, other: Flicker) -> Flicker:
        return Flicker(*(a + b for a, b in zip(self.values(), other.values(), strict=True)))

    def values(self) -> tuple[int, int, int, int, int]:
        return self.still, self.pixels, self.video, self.edit, self.written

    def means(self) -> dict[str, float]:
        """Mean changes in levels of the video, the edit and what is written, and the share of the pixels that stand
        still; all 0 where none does."""
        count = 3 * max(1, self.still)
        means = {"video": self.video / count, "edit": self.edit / count, "written": self.written / count}
        return {name: round(value, 3) for name, value in means.items()} | {
            "still": round(self.still / max(1, self.pixels), 4)
        }


def flicker_lines(means: Mapping[str, float]) -> list[str]:
    """`Flicker.means` for people; nothing where no place stood still."""
    if not means.get("still"):
        return []
    return [
        f"flicker where the video stands still ({100 * means['still']:.0f} % of it), in 8-bit levels from frame to "
        f"frame: {means['written']:.2f}; before smoothing {means['edit']:.2f}, of the video itself {means['video']:.2f}"
    ]


class Smoother:
    """Averages an edit over time where its video stands still. smooth: 0 (not at all) to 1.

    `state` is what the next frame needs: a run that goes on with it does exactly as one that never stopped.
    """

    def __init__(self, smooth: float) -> None:
        self.smooth, self.flicker = smooth, Flicker()
        self.frame: Tensor | None = None  # the one before, uint8
        self.edit = self.shown = torch.zeros(0)  # its edit, uint8, and what was shown of it, float32

    def state(self) -> dict[str, Tensor]:
        """In float16, which what is shown is rounded to."""
        return {"edit": self.edit.half(), "shown": self.shown.half()}

    def load(self, state: Mapping[str, Tensor], flicker: Flicker, frame_HWC: Pixels) -> None:
        """Go on after a frame. state, flicker: as they were then."""
        self.edit, self.shown = state["edit"].to(torch.uint8), state["shown"].float()
        self.flicker, self.frame = flicker, _tensor(frame_HWC)

    def __call__(self, frame_HWC: Pixels, edit_HWC: Pixels) -> Pixels:
        """A frame, uint8 (H, W, 3), and its edit → what is shown."""
        frame, edit = _tensor(frame_HWC), _tensor(edit_HWC)
        shown, still, difference = edit.float(), None, None
        if self.frame is not None:
            difference = _difference(frame, self.frame)
            change = F.avg_pool2d(difference[None, None] / 3, WINDOW, 1, WINDOW // 2, count_include_pad=False)
            still = change[0, 0] < STILL
            if self.smooth:
                near = F.max_pool2d(change, NEAR, 1, NEAR // 2)[0, 0]
                weight = ((MOVING - near) / (MOVING - STILL)).clamp_(0, 1).mul_(self.smooth * LONGEST)
                shown = torch.lerp(shown, self.shown, weight[..., None])
        shown = shown.half().float()
        written = shown.round().to(torch.uint8)
        if still is not None and difference is not None:
            changes = difference, _difference(edit, self.edit), _difference(written, self.shown.round().to(torch.uint8))
            sums = (int((of * still).sum(dtype=torch.float64)) for of in changes)
            self.flicker = self.flicker.plus(Flicker(int(still.sum()), still.numel(), *sums))
        self.frame, self.edit, self.shown = frame, edit, shown
        return written.numpy()


def _tensor(pixels_HWC: Pixels) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels_HWC))


def _difference(one_HWC: Tensor, other_HWC: Tensor) -> Tensor:
    """Of all channels together, float32 (H, W)."""
    difference = (one_HWC.short() - other_HWC.short()).abs_()
    return (difference[..., 0] + difference[..., 1] + difference[..., 2]).float()
