"""Ctrl-C and other signals that stop a program: the first one lets it clear up, a later one ends it at once."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
PATIENCE = 1.0  # seconds in which more signals are taken for the first one: `timeout` and terminals send two
MOST = 20  # times that it is swallowed, after which the program ends at once
AGAIN = 0.25  # seconds between two looks at whether what was raised is on its way, or a library has swallowed it


class Stopped(KeyboardInterrupt):
    """By a signal of this number."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class _Signals:
    """What has come so far. `stopped` is None while nothing has; `status`: what a process ends with that is done."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.stopped: Stopped | None = None
        self.first = 0.0
        self.status: int | None = None
        self.looks, self.swallowed = False, 0

    def come(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 (Python's to give)
        if os.getpid() != self.process:  # a fork has none of what is to be cleared up
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        if self.status is not None:
            os._exit(self.status)
        if self.stopped is None:
            self.stopped, self.first = Stopped(number), time.monotonic()
            logging.disable()  # what libraries say from here on is of what they were torn from
            self._look_again()
            raise self.stopped
        if time.monotonic() - self.first > PATIENCE:
            os._exit(128 + number)  # as kill -9 would: a rerun clears up

    def _look_again(self) -> None:
        """By a timer of the system's: a thread could not begin here where the signal met another one that begins."""
        if hasattr(signal, "setitimer") and signal.getsignal(signal.SIGALRM) == signal.SIG_DFL:
            signal.signal(signal.SIGALRM, self.look)
            signal.setitimer(signal.ITIMER_REAL, AGAIN, AGAIN)
            self.looks = True

    def look(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 (Python's to give)
        """Raise it again where nothing handles it any more: not while what it has torn is cleared up."""
        caught = sys.exc_info()[1]
        while caught is not None and caught is not self.stopped:
            caught = caught.__context__
        if caught is None and self.stopped is not None and self.status is None and os.getpid() == self.process:
            self.swallowed += 1
            if self.swallowed > MOST:
                os._exit(128 + self.stopped.number)
            raise self.stopped

    def end(self) -> None:
        """No more looks."""
        if self.looks:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            self.looks = False

    def unraisable(self, caught: Any) -> None:
        """Python drops what is raised in a destructor or a callback: this is raised again."""
        if caught.exc_value is None or caught.exc_value is not self.stopped:
            sys.__unraisablehook__(caught)
        elif not self.looks:  # Windows
            number, self.stopped = caught.exc_value.number, None
            again = threading.Timer(AGAIN, os.kill, (os.getpid(), number))
            again.daemon = True
            again.start()

    def take(self) -> dict[int, Any]:
        """Handle the signals from here on. Returns the handlers that were there before."""
        before: dict[int, Any] = {}
        sys.unraisablehook = self.unraisable
        for name in SIGNALS:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                before[number] = signal.signal(number, self.come)  # what nohup ignores stays ignored
        return before


_active: _Signals | None = None


@contextlib.contextmanager
def signals_stop() -> Iterator[None]:
    """Inside, Ctrl-C, SIGTERM and SIGHUP raise `Stopped`: programs that were started are stopped, temporary folders
    removed. What else is raised after one is its consequence, and `Stopped` comes out.

    Signals that are ignored, as nohup and a shell's background do it, stay so. Outside of the main thread it does
    nothing.
    """
    global _active
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    outer, hook, before, level = _active, sys.unraisablehook, {}, logging.root.manager.disable
    signals = outer or _Signals()
    try:
        if outer is None:
            _active, before = signals, signals.take()
        yield
    except BaseException:
        if signals.stopped is not None:
            raise signals.stopped from None
        raise
    finally:
        if outer is None:
            signals.end()
            for number, handler in before.items():
                signal.signal(number, handler)
            sys.unraisablehook, _active = hook, None
            logging.disable(level)


def stops_for_good() -> None:
    """As inside `signals_stop`, until the process ends."""
    global _active
    if _active is None:
        _active = _Signals()
        _active.take()


def ending(status: int) -> None:
    """After `stops_for_good`: from here on a signal ends the process with this status, since all is done."""
    if _active is not None:
        _active.status = status
        _active.end()


def is_stopped() -> bool:
    """Whether a signal has come, and this process is ending."""
    return _active is not None and _active.stopped is not None


@contextlib.contextmanager
def without_signals() -> Iterator[None]:
    """Here signals wait. Processes that are started inside never see one, not even before their first line, until they
    call `with_signals`."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {getattr(signal, name) for name in SIGNALS})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def with_signals() -> None:
    """In a process that was started `without_signals`: they come again."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {getattr(signal, name) for name in SIGNALS})
