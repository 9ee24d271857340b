"""Rows that take turns: which turns count, and what becomes of a row whose process ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.benchmarks import mistake, script, stopped

# A row's process without PyTorch, which would take seconds to import: its turns take 1, 2, 3… ms.
PROCESS = """
import json, sys
row = json.loads(sys.argv[2])
print(json.dumps({"ready": True}), flush=True)
for number, line in enumerate(sys.stdin, 1):
    if number > row["lives"]:
        sys.exit("out of memory")
    print(json.dumps({"ms": [number], "megabytes": 10}), flush=True)
"""


@dataclass(frozen=True)
class Row:
    """lives: turns that its process takes before it ends."""

    lives: int = 100


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    found = script("turns")
    monkeypatch.setattr(found, "SETTLED", 0.0)
    return found


@pytest.fixture
def start(bench: Any, tmp_path: Path) -> Callable[..., Callable[[], Any]]:
    file = tmp_path / "process.py"
    file.write_text(PROCESS)
    return lambda row: partial(bench.Served, str(file), row, 1)


def references(bench: Any, monkeypatch: pytest.MonkeyPatch, seconds: Iterator[float]) -> None:
    """What the matrix product takes, in its order: five before all turns, then one before and one after each."""
    monkeypatch.setattr(bench, "reference", lambda _: next(seconds))


def test_a_turn_beside_other_work_counts_only_where_there_is_no_other(bench: Any) -> None:
    turns = [(1.0, [10.0, 12.0]), (1.09, [11.0]), (1.2, [50.0])]
    quiet = bench.Found(turns, fastest=1.0).facts()
    assert (quiet["ms"], quiet["turns"], quiet["quiet"]) == (11.0, 2, True)
    noisy = bench.Found(turns[2:], fastest=1.0).facts()
    assert (noisy["ms"], noisy["quiet"]) == (50.0, False)


def test_a_load_from_the_start_counts_against_the_turns_beside_it_once_it_is_over(
    bench: Any, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    references(bench, monkeypatch, chain(repeat(2.0, 5 + 3), repeat(1.0)))
    found = bench.take_turns({"a": start(Row())}, 1, 2, 0.0)["a"]
    assert found.turns == [(2.0, [1]), (2.0, [2]), (1.0, [3]), (1.0, [4])]
    assert found.quiet == [[3], [4]]
    facts = found.facts()
    assert (facts["ms"], facts["turns"], facts["quiet"], facts["peak_megabytes"]) == (3.5, 2, True, 10)


def test_all_rows_are_judged_by_the_fastest_of_the_group(
    bench: Any, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    references(bench, monkeypatch, chain(repeat(2.0, 5 + 2), repeat(1.0)))
    found = bench.take_turns({"a": start(Row()), "b": start(Row())}, 1, 1, 0.0)
    assert found["a"].turns == [(2.0, [1]), (1.0, [2])]  # taken again for what b's turn showed
    assert found["b"].turns == [(1.0, [1])]


def test_a_row_that_is_never_quiet_has_twice_the_turns(bench: Any, start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    references(bench, monkeypatch, chain(repeat(1.0, 5), repeat(2.0)))
    never = bench.take_turns({"a": start(Row())}, 1, 2, 0.0)["a"]
    assert len(never.turns) == 4
    assert not never.facts()["quiet"]


def test_a_row_whose_process_ends_has_its_error_and_the_others_go_on(
    bench: Any, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    references(bench, monkeypatch, repeat(1.0))
    begun: list[Any] = []

    def kept(row: Row) -> Callable[[], Any]:
        def begin() -> Any:
            begun.append(start(row)())
            return begun[-1]

        return begin

    found = bench.take_turns({"dies": kept(Row(lives=1)), "lives": kept(Row())}, 1, 3, 0.0)
    assert found["dies"].facts() == {"error": "out of memory", "peak_megabytes": 10}  # no figure of what broke
    assert (found["lives"].facts()["turns"], found["lives"].error) == (3, None)
    assert all(served.process.poll() is not None for served in begun)


def test_a_process_that_is_gone_between_two_turns_is_told(bench: Any, start: Any) -> None:
    served = start(Row())()
    assert served.time(0.0)["ms"] == [1]
    served.process.kill()
    served.process.wait()
    with pytest.raises(bench.InputError, match="ended without a word"):
        served.time(0.0)
    served.stop()


# --------------------------------------------------------------------------- what the benchmarks of such rows refuse


@pytest.fixture(scope="module", params=["growth", "training"])
def command(request: pytest.FixtureRequest) -> ModuleType:
    return script(request.param)


@pytest.mark.parametrize(
    ("option", "value", "least"), [("threads", "0", 1), ("rounds", "0", 1), ("rounds", "-1", 1), ("seconds", "-1.0", 0)]
)
def test_numbers_that_measure_nothing_are_refused(
    command: Any, option: str, value: str, least: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert f"--{option} {value}: must be at least {least}" in mistake(command, [f"--{option}", value], capsys)


def test_a_folder_is_refused_before_anything_is_measured(
    command: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "is a folder" in mistake(command, ["--out", str(tmp_path)], capsys)


def test_a_stopped_one_promises_nothing(
    command: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert stopped(command, [], monkeypatch, capsys) == "benchmark: stopped"
