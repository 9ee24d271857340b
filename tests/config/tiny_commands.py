"""Commands with settings that cannot be."""

from __future__ import annotations

import pytest

from e2gan.cli import main


def refusal(arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a command ends with, on standard error, and status 2."""
    assert main(arguments.split()) == 2
    answer = capsys.readouterr()
    assert answer.out == ""
    assert answer.err.count("\n") == 1
    return answer.err
