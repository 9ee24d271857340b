"""A convolution to few channels, run at half the places: the same sums, and only where it pays."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from e2gan import Model, Predictor
from e2gan.config import PRESETS, RuntimeName
from e2gan.editing import predictor
from e2gan.networks.folded_output import FoldedConv2d, fold_output
from tests.conftest import Project
from tests.networks.tiny_lora import generator, inputs

CONVOLUTIONS = [(3, 7, 3, True), (1, 5, 2, False), (3, (5, 7), 0, True)]


@pytest.mark.parametrize(("out", "kernel", "padding", "bias"), CONVOLUTIONS)
@pytest.mark.parametrize("sides", [(20, 26), (64, 32)])
def test_it_is_the_same_convolution(
    out: int, kernel: int | tuple[int, int], padding: int, bias: bool, sides: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(6, out, kernel, padding=padding, bias=bias)
    x = torch.randn(2, 6, *sides)
    assert torch.allclose(FoldedConv2d(conv)(x), conv(x), atol=1e-5)


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(4, 12, 7, padding=3),
        nn.Conv2d(4, 3, 3, padding=1),
        nn.Conv2d(4, 3, 7, 2, padding=3),
        nn.Conv2d(4, 3, 7, padding=3, padding_mode="reflect"),
        nn.Conv2d(4, 3, 7, padding="same"),
        nn.Conv2d(4, 3, 7, padding=2),
        nn.Conv2d(4, 4, 7, padding=3, groups=2),
    ],
)
def test_others_stay_as_they_are(conv: nn.Conv2d) -> None:
    assert fold_output(nn.Sequential(conv))[0] is conv  # pyright: ignore[reportIndexIssue]


@pytest.mark.parametrize("preset", list(PRESETS))
def test_a_generator_gives_the_same_and_says_so(preset: str) -> None:
    plain = generator(replace(PRESETS[preset], width=8, heads=2, text_width=16))
    for weight in plain.parameters():
        if weight.dim() > 1 and not weight.any():
            nn.init.normal_(weight, 0.0, 0.1)
    folded = fold_output(deepcopy(plain))
    assert torch.allclose(folded(*inputs()), plain(*inputs()), atol=1e-5)
    count = sum(isinstance(module, FoldedConv2d) for module in folded.modules())
    assert count == (PRESETS[preset].fold == 1)  # with twelve channels it pays no longer


def test_edits_are_the_same_by_every_runtime(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    photos = np.random.default_rng(0).integers(0, 256, (2, 48, 32, 3), np.uint8)
    model = Model.load(base=project.base, adapter=(project.adapter,))
    runtimes: tuple[RuntimeName, ...] = ("pytorch", "pytorch-bf16", "openvino", "openvino-bf16")
    found = {runtime: Predictor(model, "cpu", runtime).batch(photos) for runtime in runtimes}
    assert any(isinstance(module, FoldedConv2d) for module in Predictor(model, "cpu").generator.modules())
    monkeypatch.setattr(predictor, "fold_output", lambda network: network)
    for runtime in runtimes:
        plain = Predictor(model, "cpu", runtime).batch(photos)
        assert np.abs(found[runtime].astype(int) - plain).max() <= 1, runtime
