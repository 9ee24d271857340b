"""The progress line of a training: losses, photos per second, time left."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

__all__ = ["Meter"]

PLAIN_EVERY = 10.0  # seconds between lines where standard error is no terminal
REDRAW_EVERY = 1.0  # seconds between two looks of the bar, where there is nothing new but the time


def clock(seconds: float) -> str:
    seconds = max(0, round(seconds))
    hours, minutes = divmod(seconds // 60, 60)
    return f"{hours}:{minutes:02}:{seconds % 60:02}" if hours else f"{minutes}:{seconds % 60:02}"


class Meter:
    """A bar on a terminal, a line every ten seconds elsewhere; always on standard error."""

    def __init__(self, description: str, *, photos_a_step: int) -> None:
        self.photos_a_step = photos_a_step
        console = Console(stderr=True)
        self.description = description
        self.plain = not console.is_terminal
        self.console = console
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[state]}"),
            console=console,
        )
        self.task: TaskID | None = None
        self.first = (0, 0.0, 0.0)
        self.shown = 0.0
        self.losses = ""

    def __enter__(self) -> Meter:
        if not self.plain:
            self.bar.start()
            self.task = self.bar.add_task(self.description, total=1.0, state="starting")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.plain:
            self.bar.stop()

    def begin(self, step: int, done: float, seconds: float) -> None:
        """Where this process starts: its speed is its own, since an earlier one may have had another machine."""
        self.first = (step, done, seconds)

    def update(self, step: int, done: float, seconds: float, **losses: float) -> None:
        """`done` is the fraction of the run, `seconds` its training time, both with what came before a resume.

        Without losses the last ones stay, and nothing is shown so soon after the last time: it may be called each step.
        """
        quiet = not losses and time.monotonic() - self.shown < (PLAIN_EVERY if self.plain else REDRAW_EVERY)
        if losses:
            self.losses = "".join(f"  {name} {value:.2f}" for name, value in losses.items())
        if quiet:
            return
        step0, done0, seconds0 = self.first
        speed = self.photos_a_step * (step - step0) / max(seconds - seconds0, 1e-9)
        left = (
            (seconds - seconds0) / (done - done0) * (1 - done)
            if done > done0
            else seconds / max(done, 1e-9) * (1 - done)
        )
        state = f"{done:4.0%}  step {step}{self.losses}  {speed:.1f} photos/s  {clock(left)} left"
        if not self.plain and self.task is not None:
            self.shown = time.monotonic()
            self.bar.update(self.task, completed=done, state=state)
        elif self.plain and (time.monotonic() - self.shown >= PLAIN_EVERY or done >= 1):
            self.shown = time.monotonic()
            print(f"{self.description} {state}", file=self.console.file, flush=True)
