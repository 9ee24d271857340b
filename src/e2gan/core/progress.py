"""Long loops: their progress and the time left, and threads that keep the order."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

Item = TypeVar("Item")
Result = TypeVar("Result")

PLAIN_EVERY = 10.0  # seconds between lines where standard error is no terminal
_quiet = 0  # how many `quietly` are entered


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Meter:
    """How far a loop is, how fast, and the time left, on standard error; used as a context manager.

    A bar that disappears when done on a terminal; elsewhere a line every ten seconds, none where it is quicker. Speed
    and time left count from `start`: count, fraction done and seconds at which this process took the loop up.
    """

    def __init__(self, description: str, *, unit: str = "", start: tuple[int, float, float] = (0, 0.0, 0.0)) -> None:
        self.description, self.unit, self.start = description, unit, start
        self.console = Console(stderr=True)
        name, state = (TextColumn(f"{{task.{field}}}", markup=False) for field in ("description", "fields[state]"))
        columns = name, BarColumn(bar_width=24), state
        self.quiet = _quiet > 0
        plain = self.quiet or not self.console.is_terminal
        self.bar = Progress(*columns, console=self.console, transient=True, disable=plain)
        self.task = self.bar.add_task(description, total=None, state="starting")
        self.printed = time.monotonic()

    def __enter__(self) -> Meter:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def update(self, state: str, count: int, done: float | None, seconds: float) -> None:
        """After `count` items of `unit`, a fraction `done` of the loop (None where its length is unknown)."""
        if self.quiet or (self.bar.disable and time.monotonic() - self.printed < PLAIN_EVERY):
            return
        count0, done0, seconds0 = self.start
        took = max(seconds - seconds0, 1e-9)
        if count > count0:
            speed = (count - count0) / took
            state += f"  {speed:.1f}{self.unit}/s" if speed >= 1 or self.unit else f"  {1 / speed:.1f} s each"
        if done is not None and done > done0:
            state += f"  {clock(took / (done - done0) * (1 - done))} left"
        if self.bar.disable:
            self.printed = time.monotonic()
            print(self.description, state, file=self.console.file, flush=True)
        else:
            self.bar.update(self.task, completed=done or 0, total=None if done is None else 1, state=state)


@contextmanager
def quietly() -> Iterator[None]:
    """Loops that begin inside show nothing: they are parts of one that does."""
    global _quiet
    _quiet += 1
    try:
        yield
    finally:
        _quiet -= 1


def clock(seconds: float) -> str:
    hours, minutes = divmod(round(seconds) // 60, 60)
    return f"{hours}:{minutes:02}:{round(seconds) % 60:02}" if hours else f"{minutes}:{round(seconds) % 60:02}"


def track(
    items: Iterable[Item], description: str, total: int | None = None, made: Callable[[], int] = int
) -> Iterator[Item]:
    """The items, with a `Meter` of them; its length is `total`, or that of the items where they have one.

    made: how many there are, where they come in batches: the first of one has taken as long as all of it. Speed and
    time left are those at the end of the last batch.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    start = time.monotonic()
    whole, seconds = 0, 0.0
    with Meter(description) as meter:
        for count, item in enumerate(items, 1):
            yield item
            if count >= made():
                whole, seconds = count, time.monotonic() - start
            state = f"{count} of {total}" if total else f"{count}"
            meter.update(state, whole, whole / total if total else None, seconds)


def in_threads(
    function: Callable[[Item], Result], items: Iterable[Item], *, workers: int | None = None, ahead: int | None = None
) -> Iterator[Result]:
    """function(item) for each item, in order, several at once; no more than a few results wait in memory.

    workers: threads (default: one a core, eight at most). ahead: items that are begun before the first is given
    (default: four a thread); `items` need not end.
    """
    workers = workers or min(8, cores())
    ahead = ahead or 4 * workers
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) >= ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def note(text: str) -> None:
    """A line on standard error, as it is (Rich would make a picture of the `:AB:` in a fingerprint)."""
    Console(stderr=True).print(text, style="dim", highlight=False, markup=False, emoji=False, soft_wrap=True)
