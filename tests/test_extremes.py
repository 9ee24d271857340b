"""Every numeric option of every command at values that no run can have: refused in one line, before all else."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterator
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest

from e2gan.cli import COMMANDS, main
from e2gan.config.settings import Settings

NEEDED = {
    "demo": "",
    "photos": "folder --out o",
    "select": "--photos p",
    "pairs": "--out o --concept c --photos p",
    "choose": "p",
    "concepts": "--pairs p --keep 1",
    "base": "--pairs p --out o",
    "adapt": "--pairs p --out o",
    "scratch": "--pairs p --out o --model e2gan",
    "ranks": "--pairs p --out o.json",
    "crucial": "--pairs p --out o",
    "evaluate": "--pairs p --out o",
    "sweep": "filters --photos p --out o",
    "table": "5",
    "reproduce": "faces --photos p",
    "cost": "",
    "nearest": "--concept c",
    "plan": "",
    "export": "--out o --adapter golden",
    "edit": "photo.png --out o.png --adapter golden",
    "push": "golden me/golden",
    "app": "folder",
    "verify": "folder",
}
EXTREMES = ["1" + "0" * 12, str(2**70), "-" + "9" * 12, "9" * 5000, "1e30", "-1e30", "1e400", "nan", "inf", "-inf"]


def numbers(settings: Any) -> Iterator[tuple[str, int]]:
    """The numeric options of a dataclass and of those in it, and how many values each takes."""
    hints = get_type_hints(settings)
    for field in dataclasses.fields(settings):
        kind = hints[field.name]
        if get_origin(kind) in (Union, types.UnionType):
            kind = next(part for part in get_args(kind) if part is not type(None))
        if isinstance(kind, type) and issubclass(kind, Settings):
            yield from numbers(kind)
        inside = get_args(kind)
        if kind in (int, float):
            yield f"--{field.name.replace('_', '-')}", 1
        elif get_origin(kind) is tuple and inside[0] in (int, float):
            yield f"--{field.name.replace('_', '-')}", 1 if inside[-1] is ... else len(inside)
        elif get_origin(kind) is not Literal:
            assert not {int, float} & {kind, *inside}, f"{field.name} is a number that this test does not see"


def try_numbers(command: str, values: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    passed = []
    for option, count in numbers(COMMANDS[command][0]):
        words = NEEDED[command].split()
        if option in words:
            words[words.index(option) : words.index(option) + 2] = []
        for value in values:
            status = main([command, *words, "--dry-run", option, *[value] * count])
            told = capsys.readouterr()
            if status != 2 or told.err.count("\n") != 1 or len(told.err) > 1000:
                passed.append((option, value, status, told.err[:200]))
    assert not passed


@pytest.mark.parametrize("command", COMMANDS)
def test_a_number_that_no_run_can_have_is_refused_in_one_line(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    try_numbers(command, EXTREMES[:1], capsys)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_extreme_numbers_are_refused_in_one_line(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    try_numbers(command, EXTREMES[1:], capsys)


def test_what_is_needed_is_enough(capsys: pytest.CaptureFixture[str]) -> None:
    """Else each is refused for another reason than its number."""
    for command, words in NEEDED.items():
        assert main([command, *words.split(), "--dry-run"]) == 0, command
    capsys.readouterr()
