"""An adapter folder gives here what it gives in PEFT, or is refused."""

from __future__ import annotations

import json
import math
import re
import warnings
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from e2gan.config import PRESETS, Ranks
from e2gan.core.tensors import write_tensors
from e2gan.networks.folders import ADAPTER, ADAPTER_CONFIG
from e2gan.networks.generator import Generator
from e2gan.networks.lora import (
    LoraConvTranspose2d,
    adapter_tensors,
    attach_tensors,
    lora_config,
    merged,
    rank_of_layers,
)
from e2gan.networks.peft_config import COUNTED, TARGETS, WITHOUT_EFFECT, adapter_weights
from tests.conftest import refused
from tests.networks.tiny_lora import generator, inputs, touched

RANKS = Ranks(level1=1, level2=2, level3=4, level4=4)


def bare(upsample: str = "resize") -> Generator:
    return generator(replace(PRESETS["device"], width=8, heads=2, text_width=16, upsample=upsample))  # pyright: ignore


def folder_of(path: Path, upsample: str = "resize", **changes: Any) -> Path:
    """An adapter of random weights on `bare`, with these changes of its settings."""
    g = touched(bare(upsample), ranks=RANKS)
    path.mkdir()
    write_tensors(path / ADAPTER, adapter_tensors(g))
    config = lora_config(rank_of_layers(bare(upsample), RANKS))
    found = {k: sorted(v) if isinstance(v, set) else v for k, v in config.to_dict().items()}
    (path / ADAPTER_CONFIG).write_text(json.dumps(found | changes))
    return path


def ours(folder: Path, upsample: str = "resize") -> Tensor:
    g = bare(upsample)
    attach_tensors(g, adapter_weights(folder, g))
    with torch.no_grad():
        return merged(g)(*inputs())


def theirs(folder: Path, upsample: str = "resize") -> Tensor:
    config: Any = LoraConfig.from_pretrained(str(folder))
    config._register_custom_module({nn.ConvTranspose2d: LoraConvTranspose2d})
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        network: Any = bare(upsample)
        return PeftModel.from_pretrained(network, str(folder), config=config).eval()(*inputs())


def counted(layers: dict[str, int]) -> dict[str, dict[str, Any]]:
    """Changes of an adapter on these layers that PEFT takes."""
    return {
        "as written": {},
        "every alpha halved": {"alpha_pattern": {k: v / 2 for k, v in layers.items()}},
        "one alpha for all": {"alpha_pattern": {}, "lora_alpha": 3},
        "no alpha at all": {"alpha_pattern": {}, "lora_alpha": 0},
        "against the edit": {"alpha_pattern": {}, "lora_alpha": -1.5},
        "patterns by the end of a name": {"alpha_pattern": {"to_q": 5, "down.0": 0.25}, "lora_alpha": 2},
        "patterns of letters": {"alpha_pattern": {r"level2_\w+\.\d": 7}},
        "square roots": {"use_rslora": True},
        "square roots of one alpha": {"use_rslora": True, "alpha_pattern": {}, "lora_alpha": 2},
        "r for those without a pattern": {
            "r": 4, "rank_pattern": {k: v for k, v in layers.items() if v != 4}, "alpha_pattern": {}, "lora_alpha": 2
        },
        "targets by the end of a name": {
            "target_modules": sorted({k if k[-1].isdigit() else k.split(".")[-1] for k in layers})
        },
        "targets by a pattern": {"target_modules": "|".join(map(re.escape, layers))},
        "more targets": {"target_modules": [*layers, "blocks.0.layers.0"]},
        "fan_in_fan_out": {"fan_in_fan_out": True},
        "dropout": {"lora_dropout": 0.5},
        "where it was trained": {"base_model_name_or_path": "a/b", "revision": "c"},
        "training again": {"inference_mode": False},
        "gaussian start": {"init_lora_weights": "gaussian"},
        "excluded, which it has not": {"exclude_modules": ["blocks.0.layers.0"]},
    }  # fmt: skip


@pytest.mark.parametrize("upsample", ["resize", "transpose"])
@pytest.mark.parametrize("kind", list(counted({})))
def test_settings_count_as_peft_counts_them(tmp_path: Path, kind: str, upsample: str) -> None:
    changes = counted(rank_of_layers(bare(upsample), RANKS))[kind]
    folder = folder_of(tmp_path / "look", upsample, **changes)
    torch.testing.assert_close(ours(folder, upsample), theirs(folder, upsample), atol=2e-5, rtol=0)


def test_alpha_matters_here() -> None:
    """Or else the comparison with PEFT would hold whatever alpha is."""
    g = touched(bare(), ranks=RANKS)
    with torch.no_grad():
        changed = (merged(g)(*inputs()) - bare()(*inputs())).abs().mean()
    assert changed > 1e-3


REFUSED: dict[str, dict[str, Any]] = {
    "another kind": {"peft_type": "LOHA"},
    "no kind": {"peft_type": None},
    "DoRA": {"use_dora": True},
    "a bias in B": {"lora_bias": True},
    "biases": {"bias": "all"},
    "modules of its own": {"modules_to_save": ["level1_in"]},
    "a base that it changes": {"init_lora_weights": "pissa"},
    "random where nothing is trained": {"init_lora_weights": False},
    "layers twice": {"layer_replication": [[0, 1]]},
    "parameters": {"target_parameters": ["level1_in.1.weight"]},
    "tokens": {"trainable_token_indices": [1]},
    "loftq": {"loftq_config": {"a": 1}},
    "a switch of a later PEFT": {"use_tomorrow": True},
    "targets that its layers are not": {"target_modules": ["level1_in.0"]},
    "no targets": {"target_modules": None},
    "all linear": {"target_modules": "all-linear"},
    "layers by number": {"layers_to_transform": [7]},
    "layers by number and pattern": {"layers_pattern": "transformers", "layers_to_transform": 2},
    "a target excluded": {"exclude_modules": ["level1_in.0"]},
    "ranks that its weights are not": {"rank_pattern": {}, "r": 1},
    "no rank": {"r": 0, "rank_pattern": {}},
    "a rank in words": {"r": "four"},
    "a rank that is none": {"rank_pattern": {"level1_in.0": 1.5}},
    "alpha not a number": {"lora_alpha": math.nan},
    "alpha without end": {"alpha_pattern": {"level1_in.0": math.inf}},
    "alpha in words": {"lora_alpha": "much"},
    "too much alpha": {"alpha_pattern": {"level1_in.0": 1e308}},
    "true alpha": {"lora_alpha": True},
    "a list for a table": {"alpha_pattern": [1]},
    "a broken pattern": {"alpha_pattern": {"(": 1}},
    "a pattern without end": {"alpha_pattern": {"([a-z0-9_.]+)+X": 4}},
    "targets without end": {"target_modules": "(.*)*X"},
    "alternatives without end": {"exclude_modules": "(?:.|.)" * 40 + "X"},
    "maybes without end": {"alpha_pattern": {".?" * 45 + "X": 4}},
    "too many of a letter": {"rank_pattern": {"a{99999999999999}": 4}},
    "too deep": {"alpha_pattern": {"(" * 20_000 + "a" + ")" * 20_000: 4}},
    "rslora in words": {"use_rslora": "yes"},
}


@pytest.mark.parametrize("kind", list(REFUSED))
def test_what_is_not_known_is_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    folder = folder_of(tmp_path / "look", **REFUSED[kind])
    assert str(folder) in refused(lambda: adapter_weights(folder, bare()))


def test_every_setting_of_peft_is_counted_or_refused(tmp_path: Path) -> None:
    """Also those that a later PEFT brings: each is among those that count, that do nothing, or is refused."""
    known = COUNTED | TARGETS | WITHOUT_EFFECT | {"peft_type"}
    folder = folder_of(tmp_path / "look")
    plain = json.loads((folder / ADAPTER_CONFIG).read_text())
    others = {f.name for f in fields(LoraConfig)} - known
    assert len(others) > 10
    for name in sorted(others):
        for value in (True, "other", {"a": 1}, ["a"]):
            if value == plain.get(name):
                continue
            (folder / ADAPTER_CONFIG).write_text(json.dumps(plain | {name: value}))
            assert name in refused(lambda: adapter_weights(folder, bare())), (name, value)


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors: tensors.pop("base_model.model.level1_in.0.lora_B.weight"),
        lambda tensors: tensors.update({"base_model.model.level1_in.0.lora_B.bias": torch.ones(8)}),
        lambda tensors: tensors.update({"base_model.model.level1_in.0.lora_magnitude_vector": torch.ones(8)}),
        lambda tensors: tensors.update({"base_model.model.nowhere.lora_A.weight": torch.ones(1, 8)}),
    ],
)
def test_tensors_that_are_no_such_adapter_are_refused(tmp_path: Path, change: Callable[[Any], object]) -> None:
    folder = folder_of(tmp_path / "look")
    tensors = load_file(folder / ADAPTER)
    change(tensors)
    save_file(tensors, folder / ADAPTER)
    assert str(folder) in refused(lambda: adapter_weights(folder, bare()))


def test_an_adapter_without_its_settings_is_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "look")
    (folder / ADAPTER_CONFIG).unlink()
    assert refused(lambda: adapter_weights(folder, bare())) == f"{folder / ADAPTER_CONFIG} is missing"
