"""What a network that cannot be loaded is told by."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from e2gan.features.hub import pretrained
from tests.conftest import refused


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A local copy of a network."""
    return tmp_path


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("x"), RuntimeError("CUDA: out of memory")])
def test_a_full_memory_is_no_broken_checkpoint(copy: Path, error: Exception) -> None:
    def load(_: str) -> None:
        raise error

    with pytest.raises(type(error)) as raised:
        pretrained(load, str(copy), "--model")
    assert raised.value is error


def test_a_reason_that_is_cut_has_no_open_parenthesis(copy: Path) -> None:
    def load(_: str) -> None:
        raise OSError("it broke (in a place that takes " + "many words " * 20 + ")")

    assert "(it broke): " in refused(lambda: pretrained(load, str(copy), "--model"))
