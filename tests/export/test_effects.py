"""The folder of `--format effects`: what is in it, how far it is from PyTorch, and what is refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load_file, save_file

from e2gan import ExportConfig, InputError, Model, Predictor, VerifyConfig, export_all, export_model, verify
from e2gan.core.files import sha256
from e2gan.export.all_formats import available
from e2gan.export.effects import effect_names
from e2gan.export.effects_model import EffectsModel
from e2gan.export.formats import FORMATS, find_format
from e2gan.networks.folders import shipped_adapters
from tests.conftest import Project, refused
from tests.export.tiny_export import photos
from tests.tiny_effects import effects_config

NOT_OF_THE_FILE = ("parity.json", "config.json", "LICENCE.txt")


@pytest.mark.slow
def test_every_effect_a_strength_and_a_mixture_are_compared(effects: Path) -> None:
    parity = json.loads((effects / "parity.json").read_text())
    assert (parity["format"], parity["precision"], parity["compared"]) == ("effects", "fp16", True)
    ways = ["adapter", "second", "adapter at 0.5", "0.3 adapter + 0.7 second"]
    assert list(dict.fromkeys(run["effect"] for run in parity["runs"])) == ways
    assert parity["mean"] < 0.2
    assert parity["checks"] == [{"name": "an effect of at most 200 kB", "passed": True, "reasons": []}]
    files = [path for path in effects.rglob("*") if path.is_file() and path.name not in NOT_OF_THE_FILE]
    assert parity["bytes"] == sum(path.stat().st_size for path in files)
    assert parity["operators"]["ConvTranspose"] >= 2


@pytest.mark.slow
def test_the_manifest_says_what_the_graph_takes_and_the_files_hold(effects: Path, project: Project) -> None:
    told = json.loads((effects / "effects.json").read_text())
    graph = onnx.load(str(effects / "base.onnx")).graph
    assert {row["name"] for row in told["inputs"]} == {each.name for each in graph.input}
    assert (told["base"]["size"], told["base"]["sha256"]) == (32, sha256(effects / "base.onnx"))
    assert told["base"]["licence"] == "not stated: see base.md"
    assert (effects / "base.md").read_bytes() == (project.base / "README.md").read_bytes()
    lora = {row["name"]: row for row in told["inputs"] if row["kind"] == "lora"}
    prompts = {row["name"]: row for row in told["inputs"] if row["kind"] == "prompt"}
    assert not any(".to_k." in name and "cross" in name for name in lora)
    assert [entry["name"] for entry in told["effects"]] == ["adapter", "second"]
    for entry in told["effects"]:
        for file, expected in ((entry["file"], lora), (entry["prompt_file"], prompts)):
            tensors = load_file(effects / file)
            assert tensors.keys() == expected.keys()
            for name, tensor in tensors.items():
                row = expected[name]
                assert tensor.dtype == torch.float16
                free = row.get("rank_axis", 0)
                assert [n for i, n in enumerate(tensor.shape) if i != free] == [
                    n for n in row["shape"] if n is not None
                ]
    # as the adapter has it: the prompt's words are padded to the longest of the folder
    hidden = [load_file(effects / entry["prompt_file"])["prompt.hidden"] for entry in told["effects"]]
    assert sorted(int((row == 0).sum()) for row in hidden) != [hidden[0].shape[1]] * 2


@pytest.mark.slow
def test_verify_finds_all_adapters_and_compares_anew(effects: Path) -> None:
    found = verify(VerifyConfig(folder=effects))
    assert not found.wrong
    assert "levels from PyTorch on average, computed anew" in "\n".join(found.figures)


@pytest.mark.slow
def test_a_layer_of_no_effect_has_zeros_and_one_beyond_the_usual_its_own(project: Project, tmp_path: Path) -> None:
    """Adapters of other layers than ours: PEFT's own may be on any."""
    odd = tmp_path / "odd"
    shutil.copytree(project.adapter, odd)
    config = json.loads((odd / "adapter_config.json").read_text())
    tensors = load_file(odd / "adapter_model.safetensors")
    away, more = "level2_down.0", "blocks.0.layers.1"
    tensors = {name: tensor for name, tensor in tensors.items() if f".{away}." not in name}
    torch.manual_seed(0)
    tensors[f"base_model.model.{more}.lora_A.weight"] = torch.randn(2, 32, 3, 3) * 0.05
    tensors[f"base_model.model.{more}.lora_B.weight"] = torch.randn(32, 2, 1, 1) * 0.05
    save_file(tensors, odd / "adapter_model.safetensors")
    config["target_modules"] = [name for name in config["target_modules"] if name != away] + [more]
    for pattern in ("rank_pattern", "alpha_pattern"):
        config[pattern] = {k: v for k, v in config[pattern].items() if k != away} | {more: 2}
    (odd / "adapter_config.json").write_text(json.dumps(config))
    found = export_model(effects_config(project, odd, project.adapter, out=tmp_path / "effects"))
    assert found.parity is not None
    assert found.parity.mean < 0.2
    tensors = load_file(found.folder / "effects" / "odd.safetensors")
    assert tensors[f"{away}.A"].shape[0] == 1
    assert not tensors[f"{away}.B"].any()
    assert load_file(found.folder / "effects" / "adapter.safetensors")[f"{more}.A"].shape[0] == 1
    photo = photos(32, 32)
    model = EffectsModel(found.folder)
    expected = Predictor(Model.load(base=project.base, adapter=(odd,)), "cpu").batch(photo)
    assert np.abs(model(photo).astype(int) - expected).max() <= 2


def test_what_cannot_be_effects_is_refused(project: Project, tmp_path: Path) -> None:
    same, other = tmp_path / "same" / "adapter", tmp_path / "other"
    for folder in (same, other):
        shutil.copytree(project.adapter, folder)
    about = json.loads((other / "e2gan.json").read_text())
    (other / "e2gan.json").write_text(json.dumps(about | {"base_sha256": "0" * 64}))
    refusals = {
        "two effects of the name adapter": effects_config(project, project.adapter, same, out=tmp_path / "o"),
        "belongs to another base": effects_config(project, project.adapter, other, out=tmp_path / "o"),
        "name an --adapter, not a --model": ExportConfig(model=project.model, format="effects", out=tmp_path / "o"),
        "any strength as it runs": replace(effects_config(project, project.adapter, out=tmp_path / "o"), strength=0.5),
        "onnx takes one, and 2 are given": ExportConfig(
            base=project.base, adapter=(project.adapter, same), out=tmp_path / "o"
        ),
    }
    for line, config in refusals.items():
        with pytest.raises(InputError, match=line):
            export_model(config)
        assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"size": 64}, "--size: effects takes any size as it runs: leave it out"),
        ({"strength": 0.5}, "--strength: effects takes any strength as it runs: leave it out"),
        (
            {"size": 64, "strength": 0.5},
            "--size and --strength: effects takes any size and strength as it runs: leave them out",
        ),
    ],
)
def test_what_it_takes_as_it_runs_is_told_where_it_was_given(tmp_path: Path, given: dict[str, Any], told: str) -> None:
    config = ExportConfig(adapter=(Path("golden"),), format="effects", out=tmp_path / "o", **given)
    assert refused(lambda: export_model(config)) == told
    assert available(replace(config, format="all"))[1]["effects"] == told


def test_names_of_one_file_are_one_name(tmp_path: Path) -> None:
    assert list(effect_names([tmp_path / "Dusk", tmp_path / "dawn"])) == ["Dusk", "dawn"]
    samples = {name: shipped_adapters()[name] for name in ("small-sketch", "small-brush")}
    assert effect_names(list(samples.values())) == {"sketch": samples["small-sketch"], "brush": samples["small-brush"]}
    both = [shipped_adapters()[name] for name in ("small-sketch", "sketch")]  # of two bases, which is told elsewhere
    assert list(effect_names(both)) == ["small-sketch", "sketch"]
    own = [tmp_path / "Sketch", samples["small-sketch"]]
    assert list(effect_names(own)) == ["Sketch", "small-sketch"]
    assert "two effects of the name dusk" in refused(lambda: effect_names([tmp_path / "Dusk", tmp_path / "x" / "dusk"]))


@pytest.mark.slow
def test_all_has_effects_where_there_is_an_adapter(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only = {name: FORMATS[name] for name in ("onnx", "effects")}
    monkeypatch.setattr("e2gan.export.all_formats.FORMATS", only)
    one = ExportConfig(base=project.base, adapter=(project.adapter,), format="all", out=tmp_path / "one")
    found = export_all(replace(one, photos=project.photos))
    assert [exported.format for exported in found.formats] == ["onnx", "effects"]
    assert 'href="effects/effects.json"' in found.page.read_text("utf-8")
    assert (tmp_path / "one" / "effects" / find_format("effects").file).is_file()
    whole = ExportConfig(model=project.model, format="all", out=tmp_path / "whole", photos=project.photos)
    assert "not a --model" in export_all(whole).missing["effects"]


@pytest.mark.slow
def test_an_adapters_folder_may_have_any_name(project: Project, tmp_path: Path) -> None:
    look = Path(shutil.copytree(project.adapter, tmp_path / "look.v2"))
    folder = export_model(effects_config(project, look, out=tmp_path / "out")).folder
    assert EffectsModel(folder).names == ["look.v2"]
