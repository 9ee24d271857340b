"""Attention to prompts that never change, and mixtures that attend to all of theirs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from e2gan import Model, Predictor
from e2gan.networks.fixed_attention import FixedAttention, keys_and_values
from e2gan.networks.generator import Attention
from tests.conftest import Project
from tests.export.tiny_export import photos
from tests.tiny_effects import second_adapter


@pytest.fixture(scope="module")
def second(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return second_adapter(project, tmp_path_factory.mktemp("second") / "second")


def test_it_gives_what_attention_to_the_tokens_gives() -> None:
    torch.manual_seed(0)
    attention = Attention(16, 12, heads=4)
    x, tokens, others = torch.randn(2, 9, 16), torch.randn(1, 5, 12), torch.randn(1, 3, 12)
    one, other = (keys_and_values(attention, words) for words in (tokens, others))
    with torch.no_grad():
        expected = [attention(x, words) for words in (tokens, others)]
        torch.testing.assert_close(FixedAttention(attention, [one])(x), expected[0])
        # the output's projection is linear, and the shares add to 1
        both = FixedAttention(attention, [one, other], [0.3, 0.7])(x)
        torch.testing.assert_close(both, 0.3 * expected[0] + 0.7 * expected[1])


def test_one_adapter_is_loaded_as_ever(project: Project) -> None:
    """Its tokens go through the generator's own attention: not a pixel of single effects may change."""
    model = Model.load(base=project.base, adapter=(project.adapter,))
    assert model.tokens is not None
    assert not any(isinstance(module, FixedAttention) for module in model.generator.modules())


def test_a_mixture_goes_from_one_edit_to_the_other_without_a_jump(project: Project, second: Path) -> None:
    photo = photos(32, 32)

    def edit(*weights: float) -> np.ndarray:
        model = Model.load(base=project.base, adapter=(project.adapter, second), weights=weights)
        return Predictor(model, "cpu").batch(photo).astype(int)

    alone = [
        Predictor(Model.load(base=project.base, adapter=(a,)), "cpu").batch(photo) for a in (project.adapter, second)
    ]
    assert np.abs(alone[0].astype(int) - alone[1]).mean() > 2
    np.testing.assert_array_equal(edit(1, 0), alone[0])
    np.testing.assert_array_equal(edit(0, 1), alone[1])
    # at the ends, and where the strongest adapter is another one
    assert np.abs(edit(0.999, 0.001) - alone[0]).max() <= 1
    assert np.abs(edit(0.5005, 0.4995) - edit(0.4995, 0.5005)).max() <= 1


def test_an_adapter_mixed_with_itself_is_that_adapter(project: Project) -> None:
    photo = photos(32, 32)
    for weights in ((0.3, 0.7), (0.2, 0.3)):
        both = Model.load(base=project.base, adapter=(project.adapter, project.adapter), weights=weights)
        one = Model.load(base=project.base, adapter=(project.adapter,), weights=(sum(weights),))
        edits = [Predictor(model, "cpu").batch(photo).astype(int) for model in (both, one)]
        assert np.abs(edits[0] - edits[1]).max() <= 1


def test_weights_that_are_not_positive_have_the_prompt_of_the_largest(project: Project, second: Path) -> None:
    for weights, whose in (((1, -0.5), 0), ((-1, -0.5), 1), ((0, 0), 0)):
        model = Model.load(base=project.base, adapter=(project.adapter, second), weights=weights)
        one = Model.load(base=project.base, adapter=((project.adapter, second)[whose],))
        assert model.tokens is not None
        assert one.tokens is not None
        torch.testing.assert_close(model.tokens, one.tokens)
