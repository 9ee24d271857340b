from __future__ import annotations

from pathlib import Path

import pytest
import torch

from e2gan.core.tensors import write_tensors
from e2gan.measure.prompt_likeness import by_encoder, by_words, pooled_prompt
from e2gan.networks.text import text_encoder
from tests.tiny_clip import write_clip

OTHERS = ["make it dusk", "make it winter", "as a painting of dusk", "Make it DUSK!", ""]


def test_words_match_themselves_and_those_that_all_have_count_little() -> None:
    found = by_words("make it dusk", OTHERS)
    assert found[0] == found[3] == pytest.approx(1)
    assert found[4] == 0
    assert 0 < found[1] < 0.6
    assert by_words("nightfall", OTHERS) == [0] * 5  # which means the same as dusk
    assert by_words("", OTHERS) == [0] * 5
    assert by_words("x", []) == []
    rare = by_words("a painting", ["a photo", "a drawing", "a look", "some painting"])
    assert rare[3] > 2 * max(rare[:3])


def test_clips_prompts_are_compared_by_their_ends(tmp_path: Path) -> None:
    encoder = text_encoder(f"clip:{write_clip(tmp_path / 'clip')}")
    states = []
    for prompt in OTHERS:
        write_tensors(tmp_path / "concept.safetensors", {"tokens": encoder.encode(prompt).half()})
        states.append(pooled_prompt(tmp_path))
    found = by_encoder("make it dusk", states, encoder)
    assert found[0] == max(found) == pytest.approx(1, abs=1e-3)
    assert all(-1 <= likeness <= 1.001 for likeness in found)
    assert len({round(likeness, 4) for likeness in found}) > 2
    write_tensors(tmp_path / "concept.safetensors", {"other": torch.ones(2)})
    assert by_encoder("make it dusk", [pooled_prompt(tmp_path)], encoder) == [0.0]
    assert by_encoder("make it dusk", [], encoder) == []
