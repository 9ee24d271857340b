from __future__ import annotations

from collections.abc import Iterator

import pytest

from e2gan.cli import COMMANDS
from tests.faults.commands import LONG, RUNS, SERVERS
from tests.faults.kills import Program, inputs, kills, program


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with program(tmp_path_factory.mktemp("kills")) as found:
        inputs(found, found.place / "home")
        yield found


def test_every_command_is_killed() -> None:
    assert {run.command for run in RUNS.values()} == set(COMMANDS) - SERVERS.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in RUNS if name not in LONG])  # `make soak` alone kills those
def test_a_command_that_was_killed_comes_to_the_same_when_it_is_called_again(name: str, place: Program) -> None:
    tried = list(kills(name, place.place / "home", place, range(2)))[-1]
    assert not tried.faults
    assert tried.tries == 2
