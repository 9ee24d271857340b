"""Threads that do one thing after another, with few of them waiting."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

Result = TypeVar("Result")


class BusyError(Exception):
    """As much waits already as may wait."""


class Worker:
    """A thread that does what it is given in turn; of a daemon, so that the program ends without it."""

    def __init__(self, name: str, most: int) -> None:
        """most: how many may wait beside the one that is done."""
        self._queue: queue.Queue[tuple[Future[Any], Callable[[], Any]] | None] = queue.Queue()
        self._most, self._lock, self._waiting, self._stopped = most, threading.Lock(), 0, False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, does: Callable[[], Result]) -> Future[Result]:
        """What comes of it, later. One that is cancelled before its turn is left out. Raises BusyError."""
        future: Future[Result] = Future()
        with self._lock:
            if self._stopped or self._waiting > self._most:
                raise BusyError
            self._waiting += 1
        self._queue.put((future, does))
        return future

    @property
    def stopped(self) -> bool:
        """Whether it was told to stop: what it is at should end soon."""
        return self._stopped

    def stop(self, patience: float) -> bool:
        """Nothing is begun any more, and what waits is cancelled. Returns whether it ended within so many seconds."""
        self._stopped = True
        self._queue.put(None)
        self._thread.join(patience)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (job := self._queue.get()) is not None:
            future, does = job
            if self._stopped:
                future.cancel()
            elif future.set_running_or_notify_cancel():
                try:
                    result = does()
                except BaseException as error:  # it is raised where the result is asked for
                    self._done()
                    future.set_exception(error)
                    continue
                self._done()
                future.set_result(result)
                continue
            self._done()

    def _done(self) -> None:
        with self._lock:
            self._waiting -= 1


def stop_all(workers: list[Worker], patience: float) -> bool:
    """Whether all ended within so many seconds."""
    end = time.monotonic() + patience
    ended = [worker.stop(max(0.0, end - time.monotonic())) for worker in workers]
    return all(ended)
