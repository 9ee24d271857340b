"""base, adapt and scratch as a user runs them: folders, resuming, refusals."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from e2gan.cli import main
from e2gan.config import AdaptConfig, Ranks, TrainingConfig
from e2gan.core.errors import InputError
from e2gan.core.files import sha256
from e2gan.editing.predictor import Predictor
from e2gan.networks.models import Model
from e2gan.train.adapter import adapt
from tests.conftest import Project
from tests.data.test_photos import in_small_disk

NETWORK = [
    "--width",
    "8",
    "--blocks",
    "1",
    "--transformers",
    "1",
    "--heads",
    "2",
    "--text-width",
    "16",
    "--precision",
    "fp32",
]


def test_a_base_holds_what_an_adapter_needs(project: Project) -> None:
    assert sorted(p.name for p in project.base.iterdir()) == [
        "README.md",
        "config.json",
        "discriminator.safetensors",
        "metrics.jsonl",
        "model.safetensors",
    ]
    settings = json.loads((project.base / "config.json").read_text())["settings"]
    assert settings["size"] == 32
    assert list(settings["concepts"]) == ["make it dusk"]
    assert "make it dusk" in (project.base / "README.md").read_text()


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
def test_a_new_process_gives_the_same_output(project: Project, tmp_path: Path) -> None:
    code = (
        "import sys, numpy, torch; from pathlib import Path; from e2gan import Model; torch.set_num_threads(1)\n"
        "m = Model.load(base=Path(sys.argv[1]), adapter=(Path(sys.argv[2]),))\n"
        "x = torch.linspace(-1, 1, 3 * 32 * 32).reshape(1, 3, 32, 32)\n"
        "numpy.save(sys.argv[3], m.generator(x, m.tokens).detach().numpy())"
    )
    outs = []
    for name in ("a.npy", "b.npy"):
        subprocess.run([sys.executable, "-c", code, project.base, project.adapter, tmp_path / name], check=True)
        outs.append(np.load(tmp_path / name))
    assert np.array_equal(*outs)
    model = Model.load(base=project.base, adapter=(project.adapter,))
    here = model.generator(torch.linspace(-1, 1, 3072).reshape(1, 3, 32, 32), model.tokens).detach().numpy()
    np.testing.assert_allclose(here, outs[0], atol=1e-5)
    bare = Model.load(base=project.base, prompt="as a sepia photo")
    assert not np.allclose(bare.generator(torch.zeros(1, 3, 32, 32), bare.tokens).detach(), here, atol=1e-3)


def test_an_adapter_of_another_base_is_refused(project: Project, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(project.base, other)
    tensors = load_file(other / "model.safetensors")
    next(iter(tensors.values())).add_(1)
    from safetensors.torch import save_file

    save_file(tensors, other / "model.safetensors")
    with pytest.raises(InputError, match="belongs to another base"):
        Model.load(base=other, adapter=(project.adapter,))


def test_two_adapters_are_mixed(project: Project) -> None:
    photo = torch.rand(1, 3, 32, 32) * 2 - 1
    one = Model.load(base=project.base, adapter=(project.adapter,))
    both = Model.load(base=project.base, adapter=(project.adapter, project.adapter), weights=(0.25, 0.75))
    torch.testing.assert_close(both.generator(photo, both.tokens), one.generator(photo, one.tokens), atol=1e-5, rtol=0)
    assert both.prompt == "as a sepia photo + as a sepia photo"


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


def train_command(project: Project, out: Path, *more: str) -> list[str]:
    command = ["base", "--pairs", str(project.dusk), str(project.sepia), "--out", str(out), "--steps", "120"]
    return [sys.executable, "-m", "e2gan", *command, "--batch", "4", "--save-every", "0", *NETWORK, *more]


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_and_ends_the_same(project: Project, tmp_path: Path) -> None:
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(train_command(project, tmp_path / "whole"), check=True, env=env, capture_output=True)
    command = train_command(project, tmp_path / "killed")
    checkpoint = tmp_path / "killed.partial" / "checkpoint.safetensors"
    kills = 0
    for wait in (0.0, 0.3, 0.9):
        process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if checkpoint.exists() and checkpoint.stat().st_mtime_ns != before:
                break
            time.sleep(0.01)
        time.sleep(wait)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills >= 1
    assert not (tmp_path / "killed").exists() or kills < 3
    subprocess.run(command, check=True, env=env, capture_output=True)
    for name in ("model.safetensors", "discriminator.safetensors"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not checkpoint.exists()

    def losses(folder: str) -> list[dict]:
        lines = (tmp_path / folder / "metrics.jsonl").read_text().splitlines()
        return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]

    assert losses("killed") == losses("whole")


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


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("adapt --pairs {sepia} --out {tmp}/x --base {photos}", "is no base"),
        ("adapt --pairs {photos} --out {tmp}/x --base {base}", "not a pair set"),
        ("adapt --pairs {tmp}/nothing --out {tmp}/x --base {base}", "no pair set"),
        ("adapt --pairs {sepia} --out {base} --base {base}", "holds the output of 'base'"),
        ("adapt --pairs {sepia} --out {sepia}/config.json --base {base}", "is a file"),
        ("adapt --pairs {sepia} --out {tmp}/x --base {base} --crop 64", "--crop 64"),
        ("adapt --pairs {sepia} --out {tmp}/x --base {base} --batch 500", "--batch 500"),
        ("base --pairs {sepia} {photos} --out {tmp}/x", "not a pair set"),
        ("evaluate --pairs {sepia} --base {base} --adapter {model}", "is no adapter"),
        ("evaluate --pairs {sepia} --model {adapter}", "is no model"),
    ],
)
def test_wrong_folders_are_told_in_one_line(
    project: Project, tmp_path: Path, arguments: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments.format(tmp=tmp_path, **{k: str(v) for k, v in vars(project).items()}).split()) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_without_a_base_that_ships_one_line_says_what_to_do(project: Project, tmp_path: Path) -> None:
    from e2gan.networks.folders import base_folder

    try:
        assert (base_folder(None) / "model.safetensors").is_file()
    except InputError as error:
        assert "e2gan base" in str(error)  # noqa: PT017
        with pytest.raises(InputError, match="--base"):
            adapt(AdaptConfig(pairs=project.sepia, out=tmp_path / "x"))


def test_divergence_is_one_line_and_leaves_nothing_without_a_checkpoint(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["adapt", "--base", str(project.base), "--pairs", str(project.sepia), "--out", str(tmp_path / "a")]
    assert main([*command, "--steps", "300", "--lr", "1e30", "--precision", "fp32"]) == 2
    assert "diverged at step" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_tensorboard_events_are_written(project: Project, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    training = TrainingConfig(steps=20, precision="fp32", tensorboard=True)
    adapt(AdaptConfig(pairs=project.sepia, base=project.base, out=tmp_path / "a", training=training))
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "a" / "tensorboard")).Reload()
    assert [e.step for e in events.Scalars("loss/l1")] == [10, 20]


@pytest.mark.parametrize("save_every", ["0", "60"])
@pytest.mark.slow
def test_a_full_disk_while_training_is_one_line(project: Project, tmp_path: Path, save_every: str) -> None:
    arguments = ["adapt", "--base", str(project.base), "--pairs", str(project.sepia), "--steps", "20"]
    arguments += ["--precision", "fp32", "--out", str(tmp_path / "disk" / "a"), "--save-every", save_every]
    told, errors = in_small_disk(tmp_path, arguments, "20k")
    assert told == "status 2\n"
    lines = [line for line in errors.splitlines() if not line.startswith("training ")]
    assert len(lines) == 1
    assert "No space left" in lines[0]


def test_an_adapter_starts_as_the_mean_of_others(project: Project, tmp_path: Path) -> None:
    still = TrainingConfig(steps=1, batch=2, lr=1e-9, precision="fp32")
    config = AdaptConfig(
        base=project.base, pairs=project.sepia, out=tmp_path / "next", start=(project.adapter,), training=still
    )
    adapt(config)
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
