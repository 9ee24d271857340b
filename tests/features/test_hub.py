"""What a network that cannot be loaded is told by."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from e2gan.features.hub import brief, cached, pretrained
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


def test_the_hub_is_asked_only_for_what_is_not_at_hand(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(copy / "cache"))
    assert cached(str(copy))
    assert cached("./nothing")  # a path, which the hub does not know either
    assert not cached("owner/model")
    assert not cached("owner/model@main")


def test_an_error_is_told_by_its_first_line() -> None:
    assert brief(ValueError("odd.\nand more")) == "odd"
    assert brief(KeyError("weight")) == "KeyError 'weight'"
    assert brief(ValueError()) == "ValueError"
