"""Long loops: a bar with the time left, and threads that keep the order."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from e2gan.meter import PLAIN_EVERY, clock

__all__ = ["cores", "in_threads", "note", "track"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def track(items: Iterable[Item], description: str, total: int | None = None) -> Iterator[Item]:
    """The items, with progress and the time left on standard error.

    A bar that disappears when done on a terminal; elsewhere a line every ten seconds, none where it is quicker.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    console = Console(stderr=True)
    if not console.is_terminal:
        yield from _lines(items, description, total, console)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        yield from bar.track(items, total=total, description=description)


def _lines(items: Iterable[Item], description: str, total: int | None, console: Console) -> Iterator[Item]:
    start = printed = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - printed >= PLAIN_EVERY:
            printed = now
            rest = f" of {total}, {clock((now - start) / done * (total - done))} left" if total else ""
            print(f"{description} {done}{rest}", file=console.file, flush=True)


def in_threads(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """function(item) for each item, in order, several at once; no more than a few results wait in memory."""
    workers = min(8, cores())
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) >= 4 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def note(text: str) -> None:
    """A line on standard error: which part of a long stage begins."""
    Console(stderr=True).print(text, style="dim", highlight=False, markup=False)
