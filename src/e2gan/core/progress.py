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

from e2gan.core.meter import PLAIN_EVERY, clock

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
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    start = time.monotonic()
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(description, total=total, speed="")
        for done, item in enumerate(items, 1):
            yield item
            bar.update(task, completed=done, speed=rate(done, time.monotonic() - start))


def _lines(items: Iterable[Item], description: str, total: int | None, console: Console) -> Iterator[Item]:
    start = printed = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - printed >= PLAIN_EVERY:
            printed = now
            rest = f" of {total}, {rate(done, now - start)}, {clock((now - start) / done * ((total or 0) - done))} left"
            print(f"{description} {done}{rest if total else ''}", file=console.file, flush=True)


def rate(done: int, seconds: float) -> str:
    """How fast it goes: so many a second, or seconds each."""
    speed = done / max(seconds, 1e-9)
    return f"{speed:.1f}/s" if speed >= 1 else f"{1 / speed:.1f} s each"


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
