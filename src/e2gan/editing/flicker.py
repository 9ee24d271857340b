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
    in 8-bit levels, of the video, of the edit as the network makes it, and of what is written. pixels: all that were
    looked at."""

    still: int = 0
    pixels: int = 0
    video: float = 0.0
    edit: float = 0.0
    written: float = 0.0

    def plus(self, other: Flicker) -> Flicker:
        still, pixels, *sums = (a + b for a, b in zip(self.values(), other.values(), strict=True))
        return Flicker(int(still), int(pixels), *sums)

    def values(self) -> tuple[int, int, float, float, float]:
        return self.still, self.pixels, self.video, self.edit, self.written

    def means(self) -> dict[str, float]:
        """Mean changes in levels of the video, the edit and what is written, and the share of the pixels that stand
        still; all 0 where none does."""
        count = max(1, self.still)
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

    state: what the next frame needs, as tensors of float16, exactly: a run that goes on with it does as one that never
    stopped.
    """

    def __init__(self, smooth: float) -> None:
        self.smooth, self.flicker = smooth, Flicker()
        self.frame: Tensor | None = None
        self.state: dict[str, Tensor] = {}

    def sees(self, frame_HWC: Pixels) -> None:
        """The frame before the next one, where a run goes on."""
        self.frame = _floats(frame_HWC)

    def __call__(self, frame_HWC: Pixels, edit_HWC: Pixels) -> Pixels:
        """A frame, uint8 (H, W, 3), and its edit → what is shown."""
        frame, edit = _floats(frame_HWC), _floats(edit_HWC)
        if self.frame is None or not self.state:
            shown = edit
        else:
            difference = (frame - self.frame).abs().mean(2)
            change = _mean(difference)
            shown = edit
            if self.smooth:
                near = F.max_pool2d(change[None, None], NEAR, 1, NEAR // 2)[0, 0]
                weight = ((MOVING - near) / (MOVING - STILL)).clamp(0, 1) * (self.smooth * LONGEST)
                shown = torch.lerp(edit, self.state["shown"].float(), weight[..., None])
            self._measure(change < STILL, difference, edit, shown)
        self.frame = frame
        self.state = {"shown": shown.half(), "edit": edit.half()}
        # Of what is kept, not of what was computed: the same after a stop.
        return self.state["shown"].float().round().clamp(0, 255).to(torch.uint8).numpy()

    def _measure(self, still: Tensor, difference: Tensor, edit: Tensor, shown: Tensor) -> None:
        def changed(now: Tensor, before: str) -> float:
            return float((now.round() - self.state[before].float().round()).abs().mean(2)[still].double().sum())

        video = float(difference[still].double().sum())
        found = Flicker(
            int(still.sum()), still.numel(), video, changed(edit, "edit"), changed(shown.half().float(), "shown")
        )
        self.flicker = self.flicker.plus(found)


def _floats(pixels_HWC: Pixels) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels_HWC)).float()


def _mean(image_HW: Tensor) -> Tensor:
    """Over a window, of the pixels that there are."""
    return F.avg_pool2d(image_HW[None, None], WINDOW, 1, WINDOW // 2, count_include_pad=False)[0, 0]
