"""An adapter: its files, what it starts as, what it refuses; and one on a base whose prompts CLIP encodes."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from e2gan import AdaptConfig, BaseConfig, GeneratorConfig, Model, TrainingConfig, adapt, train_base
from e2gan.cli import main
from e2gan.config import Ranks
from e2gan.core.errors import InputError
from e2gan.core.files import read_json, sha256
from e2gan.editing.predictor import Predictor
from e2gan.networks import text as text_module
from e2gan.networks.generator import Generator
from e2gan.networks.lora import rank_of_layers
from e2gan.train.adapter import gradients
from tests.conftest import TINY, Project
from tests.tiny_clip import WIDTH, write_clip
from tests.train.tiny_commands import NETWORK
from tests.train.tiny_training import SMALL, data

QUICK = TrainingConfig(steps=2, batch=4, precision="fp32")


def test_the_bases_encoder_is_recorded_followed_and_no_other_taken(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = write_clip(tmp_path / "clip")
    generator = replace(GeneratorConfig(**TINY), text_width=99)
    train_base(
        BaseConfig(
            pairs=(project.dusk,), out=tmp_path / "base", text=f"clip:{clip}", generator=generator, training=QUICK
        )
    )
    settings = read_json(tmp_path / "base/config.json")["settings"]
    assert settings["text"] == f"clip:{clip}"
    assert settings["generator"]["text_width"] == WIDTH
    assert f"clip:{clip}" in (tmp_path / "base/README.md").read_text()

    config = AdaptConfig(pairs=project.sepia, out=tmp_path / "a", base=tmp_path / "base", training=QUICK)
    other = write_clip(tmp_path / "other", seed=1)
    with pytest.raises(InputError, match="another encoder than the base's"):
        adapt(replace(config, text=f"clip:{other}"))
    with pytest.raises(InputError, match="another encoder than the base's"):
        adapt(replace(config, text="hashed"))
    with pytest.raises(InputError, match=f"name it: --text clip:{clip}"):
        adapt(config)  # that the base says so is no reason to load it
    copy = shutil.copytree(clip, tmp_path / "copy")
    adapt(replace(config, text=f"clip:{copy}"))

    monkeypatch.setattr(text_module, "_known", {})
    shutil.rmtree(clip)
    loaded = Model.load(base=tmp_path / "base", adapter=(tmp_path / "a",))  # its tokens lie beside it
    assert loaded.tokens is not None
    assert loaded.tokens.shape[-1] == WIDTH
    with pytest.raises(InputError, match="clip"):
        Model.load(base=tmp_path / "base", prompt="as a sepia photo")


def test_an_adapter_is_pefts_with_the_prompt_beside_it(project: Project) -> None:
    assert {"adapter_model.safetensors", "adapter_config.json", "concept.safetensors", "e2gan.json"} <= {
        p.name for p in project.adapter.iterdir()
    }
    about = json.loads((project.adapter / "e2gan.json").read_text())
    assert about["prompt"] == "as a sepia photo"
    assert about["base_sha256"] == sha256(project.base / "model.safetensors")
    tokens = load_file(project.adapter / "concept.safetensors")["tokens"]
    assert tokens.shape == (4, 16)  # four words, no padding
    with safe_open(project.adapter / "adapter_model.safetensors", "pt") as f:
        header = f.metadata()
    assert header["modelspec.architecture"] == "e2gan/lora"
    assert header["modelspec.title"] == "as a sepia photo"
    assert header["ss_learning_rate"] == "0.0002"


def test_peft_itself_loads_the_adapter(project: Project) -> None:
    from peft import LoraConfig, PeftModel
    from torch import nn

    from e2gan.networks.lora import LoraConvTranspose2d
    from e2gan.networks.models import load_generator

    ours = Model.load(base=project.base, adapter=(project.adapter,))
    generator, _ = load_generator(project.base)
    config = LoraConfig.from_pretrained(str(project.adapter))
    assert isinstance(config, LoraConfig)
    config._register_custom_module({nn.ConvTranspose2d: LoraConvTranspose2d})
    theirs = PeftModel.from_pretrained(generator, str(project.adapter), config=config).eval()
    photo = torch.rand(1, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(theirs(photo, ours.tokens), ours.generator(photo, ours.tokens))


def test_the_published_sizes_adapter_is_at_most_200_kb(tmp_path: Path) -> None:
    from e2gan.config import PAPER
    from e2gan.networks.generator import Generator
    from e2gan.networks.lora import attach, rank_of_layers
    from e2gan.networks.text import encode
    from e2gan.train.adapter import write_adapter

    generator = Generator(PAPER)
    layers = rank_of_layers(generator, Ranks())
    attach(generator, layers)
    facts = {"prompt": "a prompt of some length " * 4, "base": "base", "base_sha256": "0" * 64, "size": 256}
    facts |= {"pairs": 400, "ranks": Ranks(), "training": TrainingConfig(), "steps": 40_000}
    write_adapter(tmp_path, generator, layers, encode(str(facts["prompt"]), 512), facts)
    assert (tmp_path / "adapter_model.safetensors").stat().st_size <= 200_000
    assert sum(t.numel() for t in load_file(tmp_path / "adapter_model.safetensors").values()) == 91_926


@pytest.mark.slow
def test_batch_norms_adapter_keeps_the_bases_statistics(project: Project, tmp_path: Path) -> None:
    command = ["base", "--pairs", str(project.dusk), "--out", str(tmp_path / "b"), "--steps", "10", *NETWORK]
    assert main([*command, "--norm", "batch", "--batch", "4"]) == 0
    before = load_file(tmp_path / "b" / "model.safetensors")
    assert any("running_mean" in k and v.any() for k, v in before.items())
    training = TrainingConfig(steps=10, batch=4, precision="fp32")
    adapt(AdaptConfig(pairs=project.sepia, base=tmp_path / "b", out=tmp_path / "a", training=training))
    loaded = Model.load(base=tmp_path / "b", adapter=(tmp_path / "a",)).plain().state_dict()
    assert all(torch.equal(loaded[k], v) for k, v in before.items() if "running" in k)


def test_a_rerun_does_nothing_and_other_settings_are_refused(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["adapt", "--base", str(project.base), "--pairs", str(project.sepia), "--out", str(tmp_path / "a")]
    command += ["--precision", "fp32", "--batch", "4"]
    assert main([*command, "--steps", "5"]) == 0
    written = (tmp_path / "a" / "adapter_model.safetensors").stat().st_mtime_ns
    assert main([*command, "--steps", "5"]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert (tmp_path / "a" / "adapter_model.safetensors").stat().st_mtime_ns == written
    assert main([*command, "--steps", "6"]) == 2
    assert "other settings (training.steps)" in capsys.readouterr().err
    for name in ("config.json", "e2gan.json"):
        assert (tmp_path / "a" / name).exists()


@pytest.mark.slow
def test_the_same_seed_gives_the_same_adapter_file(project: Project, tmp_path: Path) -> None:
    files = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        training = TrainingConfig(steps=6, precision="fp32", seed=seed)
        adapt(AdaptConfig(pairs=project.sepia, base=project.base, out=tmp_path / name, training=training))
        files.append((tmp_path / name / "adapter_model.safetensors").read_bytes())
    assert files[0] == files[1]
    tensors = [load_file(tmp_path / n / "adapter_model.safetensors") for n in ("a", "c")]
    assert any(not torch.equal(tensors[0][k], tensors[1][k]) for k in tensors[0])


def test_an_adapter_starts_as_the_mean_of_others(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    still = TrainingConfig(steps=1, batch=2, lr=1e-9, precision="fp32")
    config = AdaptConfig(
        base=project.base, pairs=project.sepia, out=tmp_path / "next", start=(project.adapter,), training=still
    )
    adapt(config)
    assert "--start" not in capsys.readouterr().err
    adapt(replace(config, out=tmp_path / "narrow", ranks=Ranks(level1=1, level2=1, level3=1, level4=1, tb=1)))
    assert re.search(r"--start: this adapter's ranks hold [3-9]\d% of what it starts from", capsys.readouterr().err)
    photo = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), np.uint8)
    old, new = (
        Predictor(Model.load(base=project.base, adapter=(folder,))).batch(photo).astype(int)
        for folder in (project.adapter, tmp_path / "next")
    )
    assert np.abs(old - new).max() <= 1
    about = json.loads((project.adapter / "e2gan.json").read_text())
    other = tmp_path / "other"
    shutil.copytree(project.adapter, other)
    (other / "e2gan.json").write_text(json.dumps(about | {"base_sha256": "0"}))
    with pytest.raises(InputError, match="belongs to another base"):
        adapt(replace(config, out=tmp_path / "x", start=(other,)))
    with pytest.raises(InputError, match="is no adapter"):
        adapt(replace(config, out=tmp_path / "x", start=(Path("nothing"),)))


def test_an_adapter_starts_along_the_gradient(project: Project, tmp_path: Path) -> None:
    still = TrainingConfig(steps=1, batch=2, lr=1e-9, precision="fp32")
    config = AdaptConfig(base=project.base, pairs=project.sepia, out=tmp_path / "one", init="gradient", training=still)
    adapt(config)
    adapt(replace(config, out=tmp_path / "two", init="random"))
    photo = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), np.uint8)
    along, chance = (
        Predictor(Model.load(base=project.base, adapter=(tmp_path / name,))).batch(photo).astype(int)
        for name in ("one", "two")
    )
    assert np.abs(along - chance).max() <= 1  # B is zero in both
    tensors = [load_file(tmp_path / name / "adapter_model.safetensors") for name in ("one", "two")]
    assert all(not torch.equal(tensors[0][key], tensors[1][key]) for key in tensors[0] if "lora_A" in key)
    adapt(replace(config, out=tmp_path / "again"))
    again = load_file(tmp_path / "again" / "adapter_model.safetensors")
    assert all(torch.equal(tensors[0][key], again[key]) for key in again)
    with pytest.raises(InputError, match="exclude each other"):
        adapt(replace(config, out=tmp_path / "x", start=(project.adapter,)))
    assert not (tmp_path / "x").exists()


def test_a_start_along_the_gradient_sees_what_the_clamp_cuts_off() -> None:
    """The base's edit is past white everywhere; the targets are dark."""
    torch.manual_seed(0)
    generator = Generator(replace(SMALL, output="clamp", activation="leaky")).eval().requires_grad_(False)
    torch.nn.init.normal_(generator.level1_out[-1].weight)  # pyright: ignore
    torch.nn.init.constant_(generator.level1_out[-1].bias, 200.0)  # pyright: ignore
    layers = rank_of_layers(generator, Ranks())
    config = AdaptConfig(pairs=Path(), out=Path(), training=replace(QUICK, batch=2))
    found = gradients(generator, layers, data(), config)
    assert all(slope.abs().max() > 0 for name, slope in found.items() if name.startswith("level"))
