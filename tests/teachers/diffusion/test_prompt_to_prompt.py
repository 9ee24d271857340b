"""Prompt-to-prompt: words and tokens that two prompts share, and the maps that follow them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from e2gan.core.errors import InputError
from e2gan.teachers.diffusion.prompt_to_prompt import (
    AttentionControl,
    added_words,
    align_words,
    amplified,
    controlled,
    map_tokens,
    split_words,
    token_factors,
    tokenize,
)

SOURCE = "a photo of a landscape"
AUTUMN = "a photo of a landscape in autumn"


@pytest.mark.parametrize(
    ("source", "target", "pairs"),
    [
        ("a photo of a cat", "a photo of a cat", [0, 1, 2, 3, 4]),
        ("a photo of a cat", "a photo of a cat in autumn", [0, 1, 2, 3, 4, None, None]),
        ("a photo of a cat", "an oil painting", [None, None, None]),
        ("a cat on a chair", "a black cat on a red chair", [0, None, 1, 2, 3, None, 4]),
        ("a photo of a cat", "a photo of a dog", [0, 1, 2, 3, 4]),  # swapped: dog looks where cat looked
        ("a red car, a blue bike", "a blue bike, a red car", None),
        ("a photo of a cat", "a photo of two big dogs", [0, 1, 2, None, None, None]),
        ("a cat in the snow", "a cat", [0, 1]),
        ("", "a cat", [None, None]),
        ("a cat", "", []),
    ],
)
def test_words_are_aligned(source: str, target: str, pairs: list[int | None] | None) -> None:
    old, new = split_words(source), split_words(target)
    found = align_words(old, new)
    if pairs is not None:
        assert found == pairs
    else:  # reordered: every word has its own again, each once
        assert sorted(i for i in found if i is not None) == list(range(len(old)))
        assert [old[i] for i in found if i is not None] == new


def test_words_added_are_the_new_and_the_swapped_once_each() -> None:
    def added(source: str, target: str) -> list[str]:
        return added_words(split_words(source), split_words(target))

    assert added(SOURCE, AUTUMN) == ["in", "autumn"]
    assert added("a photo of a cat", "A photo of a dog, a dog!") == ["dog"]
    assert added("a cat", "cat a") == []


def test_words_keep_hyphens_and_apostrophes_and_lose_case() -> None:
    assert split_words("Low-poly art, it's  Nice.") == ["low-poly", "art", ",", "it's", "nice", "."]


@pytest.mark.parametrize("prompt", ["", "auto in autumn", "Low-poly art, it's nice... in 1999!", "naïve café — 東京"])
def test_tokens_are_those_of_the_tokenizer(pipeline: Any, prompt: str) -> None:
    tokens = tokenize(prompt, pipeline.tokenizer, 77)
    assert tokens.ids == pipeline.tokenizer(prompt, padding="max_length", max_length=77)["input_ids"]
    assert tokens.ids[tokens.end] == pipeline.tokenizer.eos_token_id
    for word, place in zip(tokens.words, tokens.places, strict=True):
        pieces = pipeline.tokenizer.decode([tokens.ids[i] for i in place])
        assert pieces.replace(" ", "") == word


def test_map_pairs_pieces_and_keeps_a_swapped_word_its_weight(pipeline: Any) -> None:
    source, target = (tokenize(p, pipeline.tokenizer, 77) for p in ("in ab", "in snow ab"))
    tokens = map_tokens(source, target)
    (new_in, new_snow, new_ab), (old_in, old_ab) = target.places, source.places
    assert not tokens[list(new_snow)].any()
    assert tokens[list(new_in), list(old_in)].tolist() == [1] * len(new_in)
    assert tokens[list(new_ab), list(old_ab)].tolist() == [1, 1]
    assert tokens[0, 0] == tokens[target.end, source.end] == tokens[76, 76] == 1
    swap = map_tokens(source, tokenize("in abcd", pipeline.tokenizer, 77))
    assert swap[2:6, list(old_ab)].eq(0.25).all()  # two pieces' attention shared by four
    assert swap[2:6].sum() == len(old_ab)


def test_amplification_by_number_words_and_text() -> None:
    assert amplified(2, SOURCE, AUTUMN) == {"in": 2, "autumn": 2}
    assert amplified(1, SOURCE, AUTUMN) == {}
    assert amplified("autumn=5, photo=0.5", SOURCE, AUTUMN) == {"autumn": 5, "photo": 0.5}
    assert amplified({"Autumn": 5}, SOURCE, AUTUMN) == {"autumn": 5}
    with pytest.raises(InputError, match='no word "winter", but a, photo, of, landscape, in, autumn'):
        amplified("winter=5", SOURCE, AUTUMN)
    for wrong in ("autumn", "autumn=x", "=5", "", float("nan"), True, {"autumn": None}, {}):
        with pytest.raises(InputError, match="--set amplify="):
            amplified(wrong, SOURCE, AUTUMN)  # type: ignore[arg-type]


def attention(layer: Any, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
    """Maps (batch, heads, pixels, tokens) and values (batch, heads, tokens, width), written from the formula."""
    query, key, value = (
        linear(y).unflatten(2, (layer.heads, -1)).transpose(1, 2)
        for linear, y in ((layer.to_q, x), (layer.to_k, context), (layer.to_v, context))
    )
    return (query @ key.mT / query.shape[-1] ** 0.5).softmax(-1), value


def test_maps_are_the_source_s_and_amplified_in_every_attention(pipeline: Any) -> None:
    """Inputs and outputs of the UNet's own layers, against maps that this test computes and changes itself."""
    prompts = [tokenize(p, pipeline.tokenizer, 77) for p in ("", SOURCE, AUTUMN)]
    factors = token_factors(prompts[2], {"autumn": 5.0})
    control = AttentionControl(map_tokens(*prompts[1:]), factors, cross_steps=1, self_steps=1, self_limit=16)
    calls: list[tuple[Any, Tensor, Tensor | None, Tensor]] = []

    def hook(layer: Any, inputs: tuple[Tensor, ...], named: dict[str, Any], output: Tensor) -> None:
        calls.append((layer, inputs[0], named["encoder_hidden_states"], output))

    layers = [m for n, m in pipeline.unet.named_modules() if n.endswith(("attn1", "attn2"))]
    hooks = [layer.register_forward_hook(hook, with_kwargs=True) for layer in layers]
    texts = pipeline.text_encoder(torch.tensor([tokens.ids for tokens in prompts]))[0]
    latents = torch.randn(3, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    before = dict(pipeline.unet.attn_processors)
    with torch.no_grad(), controlled(pipeline.unet, control):
        for control.step in range(2):
            pipeline.unet(latents, 500, encoder_hidden_states=texts)
    for handle in hooks:
        handle.remove()
    assert dict(pipeline.unet.attn_processors) == before
    assert len(calls) == 2 * len(layers) == 2 * 14
    assert {x.shape[1] for _, x, *_ in calls} == {64, 16}

    shared = list(range(1, prompts[1].end))  # the source's pieces open the target, too
    autumn = list(prompts[2].places[-1])
    for n, (layer, x, context, output) in enumerate(calls):
        first = n < len(layers)
        with torch.no_grad():
            maps, values = attention(layer, x, x if context is None else context)
            own = maps.clone()
            if context is None and first and x.shape[1] <= 16:
                maps[2] = maps[1]
            if context is not None and first:
                maps[2][..., [0, *shared]] = maps[1][..., [0, *shared]]
                maps[2][..., prompts[2].end] = maps[1][..., prompts[1].end]
                maps[2][..., prompts[2].end + 1 :] = maps[1][..., prompts[2].end + 1 :]
                maps[2][..., autumn] = 5 * own[2][..., autumn]
            expected = layer.to_out[0]((maps @ values).transpose(1, 2).flatten(2))
            unchanged = layer.to_out[0]((own @ values).transpose(1, 2).flatten(2))
        torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-5)
        changes = first and (context is not None or x.shape[1] <= 16)
        assert torch.allclose(output[2], unchanged[2], rtol=1e-4, atol=1e-5) != changes
