from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from e2gan.config import NearestConfig
from tests.conftest import refused


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "name the new concept"),
        ({"concept": " "}, "--concept is empty"),
        ({"concept": "x", "shipped": False}, "--no-shipped leaves nothing to look at"),
        ({"concept": "x", "count": 0}, "--count 0: must be at least 1"),
        ({"concept": "x", "candidates": 0}, "--candidates 0"),
        ({"concept": "x", "samples": 0}, "--samples 0"),
        ({"concept": "x", "out": Path("a.png")}, "--out a.png: must end in .json"),
        ({"concept": "x", "index": Path("a.json")}, "--index a.json: must end in .jsonl"),
    ],
)
def test_what_names_no_concept_and_no_adapter_is_refused(options: dict[str, Any], words: str) -> None:
    assert refused(NearestConfig(**options).check).startswith(words)


def test_a_concept_or_pairs_are_enough() -> None:
    NearestConfig(concept="make it dusk").check()
    NearestConfig(pairs=Path("dusk"), shipped=False, index=Path("nearest.jsonl")).check()
