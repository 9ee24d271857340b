from __future__ import annotations

import threading

import pytest

from e2gan.app.work import BusyError, Worker, stop_all


def test_things_are_done_in_turn_and_beyond_the_most_refused() -> None:
    worker, gate, done = Worker("w", 2), threading.Event(), list[int]()
    first = worker.submit(lambda: gate.wait(30))
    others = [worker.submit(lambda i=i: done.append(i)) for i in range(2)]
    with pytest.raises(BusyError):
        worker.submit(lambda: None)
    others[0].cancel()
    gate.set()
    assert first.result(30) is True
    others[1].result(30)
    assert done == [1]  # the one that was cancelled is left out
    assert worker.submit(lambda: 5).result(30) == 5
    assert stop_all([worker], 30)


def test_an_error_is_raised_where_the_result_is_asked_for_and_the_worker_goes_on() -> None:
    worker = Worker("w", 2)
    with pytest.raises(ZeroDivisionError):
        worker.submit(lambda: 1 / 0).result(30)
    assert worker.submit(lambda: 1).result(30) == 1
    worker.stop(30)


def test_after_a_stop_what_waits_is_cancelled_and_nothing_is_taken() -> None:
    worker, gate, begun = Worker("w", 2), threading.Event(), threading.Event()
    first = worker.submit(lambda: (begun.set(), gate.wait(30)))
    waiting = worker.submit(lambda: None)
    begun.wait(30)
    assert not worker.stop(0.01)  # it is still at the first
    with pytest.raises(BusyError):
        worker.submit(lambda: None)
    gate.set()
    first.result(30)
    assert worker.stop(30)
    assert waiting.cancelled()
