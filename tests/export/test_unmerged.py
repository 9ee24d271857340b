"""The graph whose adapters and prompts are inputs: it edits as the merged generator does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from e2gan.config import PRESETS, Ranks
from e2gan.export.pixel_model import PixelModel
from e2gan.export.unmerged import HIDDEN, TEXT_LAYERS, UnmergedModel
from e2gan.networks.fixed_attention import blend_prompts, keys_and_values
from e2gan.networks.generator import WHOLE, Generator, TransformerBlock
from e2gan.networks.lora import attach, lora_layers, merged, rank_of_layers, set_strengths
from e2gan.networks.pixels import from_pixels, to_pixels
from tests.export.tiny_export import photos, tiny_generator

WEIGHTS = {"one": 0.3, "two": 0.7}


def with_adapters(generator: Generator) -> tuple[Generator, dict[str, Tensor]]:
    """Two adapters of other ranks, none of whose tensors is zero, and a prompt for each, of other lengths."""
    torch.manual_seed(1)
    for name, ranks in zip(WEIGHTS, (Ranks(level1=2, level3=3), Ranks(level2=1, level4=5)), strict=True):
        attach(generator, rank_of_layers(generator, ranks), name)
        for layer in lora_layers(generator).values():
            for part in (layer.lora_A, layer.lora_B):
                part[name].weight.data.normal_(0, 0.08)
    generator.eval().requires_grad_(False)
    return generator, {"one": torch.randn(1, 3, 16), "two": torch.randn(1, 5, 16)}


def given(model: UnmergedModel, generator: Generator, tokens: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inputs of a mixture, as docs/export/effects.md has them."""
    found: dict[str, Tensor] = {}
    for name, axis in model.rank_axes().items():
        layer = lora_layers(generator)[name[:-2]]
        parts = [getattr(layer, f"lora_{name[-1]}")[each].weight for each in tokens]
        scales = WEIGHTS.values() if name.endswith(".B") and len(tokens) > 1 else [1.0] * len(tokens)
        found[name] = torch.cat([scale * part for scale, part in zip(scales, parts, strict=True)], axis)
    longest = max(each.shape[1] for each in tokens.values())
    for place, stage in generator.transformers.items():
        block = stage.block
        assert isinstance(block, TransformerBlock)
        rows: dict[str, list[Tensor]] = {"keys": [], "values": [], "hidden": []}
        for each, words in tokens.items():
            set_strengths(generator, {each: 1.0})
            keys, values = keys_and_values(block.cross_attention, words)
            short = longest - words.shape[1]
            for name, tensor in (("keys", keys), ("values", values)):
                rows[name].append(torch.nn.functional.pad(tensor, (0, 0, 0, short)))
            rows["hidden"].append(torch.nn.functional.pad(torch.zeros(1, words.shape[1]), (0, short), value=HIDDEN))
        found |= {f"prompt.{place}.{name}": torch.cat(rows[name]) for name in ("keys", "values")}
        found["prompt.hidden"] = torch.cat(rows["hidden"])
    return found


def pixels(
    model: UnmergedModel,
    inputs: dict[str, Tensor],
    weights: list[float],
    strength: float = 1.0,
    place: tuple[float, ...] = WHOLE,
) -> np.ndarray:
    assert inputs.keys() == model.given().keys()
    photo, seen = torch.from_numpy(photos(48, 64)), torch.tensor([place]) if model.place else None
    return model(photo, seen, torch.tensor(strength), torch.tensor(weights), inputs).numpy().astype(int)


@pytest.mark.parametrize("preset", PRESETS)
def test_an_adapter_that_is_not_merged_edits_as_the_merged_one(preset: str) -> None:
    generator, tokens = with_adapters(tiny_generator(preset))
    bare = tiny_generator(preset)
    model, photo = UnmergedModel(bare), torch.from_numpy(photos(48, 64))
    one = given(model, generator, {"one": tokens["one"]})
    set_strengths(generator, {"one": 1.0})
    expected = PixelModel(merged(generator), tokens["one"]).eval()(photo).numpy().astype(int)
    found = pixels(model, one, [1.0])
    assert np.abs(found - expected).max() <= 1
    plain = PixelModel(bare, tokens["one"]).eval()(photo).numpy().astype(int)
    assert np.abs(plain - expected).mean() > 1  # the adapter does something

    half = PixelModel(merged(generator), tokens["one"], strength=0.5).eval()(photo).numpy().astype(int)
    assert np.abs(pixels(model, one, [1.0], 0.5) - half).max() <= 1
    np.testing.assert_array_equal(pixels(model, one, [1.0], 0.0), photo.numpy())


@pytest.mark.parametrize("preset", ["residual", "small"])
def test_a_mixture_is_concatenated_ranks_and_blended_prompts(preset: str) -> None:
    generator, tokens = with_adapters(tiny_generator(preset))
    model = UnmergedModel(tiny_generator(preset))
    inputs = given(model, generator, tokens)
    assert blend_prompts(generator, tokens, WEIGHTS) is None
    expected = PixelModel(merged(generator), None).eval()(torch.from_numpy(photos(48, 64))).numpy().astype(int)
    assert np.abs(pixels(model, inputs, list(WEIGHTS.values())) - expected).max() <= 1


def test_what_part_of_the_photo_is_seen_is_an_input() -> None:
    generator, tokens = with_adapters(tiny_generator("small"))
    model, part = UnmergedModel(tiny_generator("small")), (0.5, 0.0, 1.0, 0.5)
    inputs = given(model, generator, {"one": tokens["one"]})
    set_strengths(generator, {"one": 1.0})
    photo = from_pixels(torch.from_numpy(photos(48, 64)).permute(0, 3, 1, 2))
    edit = to_pixels(merged(generator)(photo, tokens["one"], None, torch.tensor([part]))).permute(0, 2, 3, 1).numpy()
    found = pixels(model, inputs, [1.0], place=part)
    assert np.abs(found - edit).max() <= 1
    assert (found != pixels(model, inputs, [1.0])).any()


def test_layers_of_text_have_no_inputs_and_others_can_be_asked_for() -> None:
    generator = tiny_generator("residual")
    assert not any(name.endswith(TEXT_LAYERS) for name in UnmergedModel(generator).layers)
    more = UnmergedModel(generator, ["blocks.0.layers.1", "level1_in.1"])
    assert more.layers.count("level1_in.1") == 1
    assert more.given()["blocks.0.layers.1.A"].shape[1:] == (32, 3, 3)
