from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest

from e2gan import RECIPES, AdaptConfig, BaseConfig, GeneratorConfig, ScratchConfig, TrainingConfig
from e2gan.cli import main
from e2gan.config import COMODGAN_TRAINING, PAPER, PRESETS, Ranks
from e2gan.config.recipes import LOSSES
from e2gan.core.files import write_json
from e2gan.networks.folders import MODEL
from e2gan.networks.generator import Generator
from e2gan.networks.lora import attach, rank_of_layers


def resolved(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    """What --dry-run shows."""
    assert main([*arguments, "--dry-run"]) == 0
    return json.loads(capsys.readouterr().out)


def base_of(generator: GeneratorConfig, folder: Path) -> Path:
    """As much of a base as a command line looks at."""
    folder.mkdir()
    (folder / MODEL).touch()
    settings = {"generator": generator, "size": 32, "text": "hashed", "training": {"gan": 1.0}}
    write_json(folder / "config.json", {"stage": "base", "settings": settings})
    return folder


def test_the_papers_recipe_is_the_papers() -> None:
    """Sec. 5.1: Adam at 2e-4, 100 epochs, 200 for the baselines; Fig. 3: instance norm, transposed convolutions."""
    base = BaseConfig(pairs=(Path("a"),), out=Path("b"), **RECIPES["paper"].settings("base"))
    assert (base.training.lr, base.training.epochs, base.training.batch, base.text) == (2e-4, 100, 1, "clip")
    assert (base.generator.norm, base.generator.upsample, base.generator.skip) == ("instance", "transpose", False)
    adapter = AdaptConfig(pairs=Path("a"), out=Path("b"), **RECIPES["paper"].settings("adapt"))
    assert (adapter.init, adapter.training.epochs, vars(adapter.ranks)["level4"]) == ("random", 100, 8)
    scratch = ScratchConfig(pairs=Path("a"), out=Path("b"), **RECIPES["paper"].settings("scratch"))
    assert scratch.training.epochs == 200
    for config in (base, adapter, scratch):  # Eq. 1 and nothing beside it
        assert (config.training.perceptual, config.training.gram) == (0, 0)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("stage", ["base", "adapt", "scratch"])
def test_every_recipe_holds_for_every_stage(recipe: str, stage: str) -> None:
    kind = {"base": BaseConfig, "adapt": AdaptConfig, "scratch": ScratchConfig}[stage]
    pairs = (Path("a"),) if stage == "base" else Path("a")
    kind(pairs=pairs, out=Path("b"), **RECIPES[recipe].settings(stage)).check()  # pyright: ignore


def test_without_a_recipe_nothing_changes(capsys: pytest.CaptureFixture[str]) -> None:
    assert resolved(capsys, "adapt", "--pairs", "a", "--out", "b")["training"]["lr"] == 2e-4
    assert resolved(capsys, "base", "--pairs", "a", "--out", "b")["generator"]["norm"] == "none"


def test_single_flags_override_a_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    quick = RECIPES["quick"].training["adapt"]
    settings = resolved(capsys, "adapt", "--pairs", "a", "--out", "b", "--recipe", "quick", "--lr", "1e-3")
    assert settings["init"] == "gradient"
    assert settings["training"] == json.loads(json.dumps(vars(replace(quick, lr=1e-3))))
    paper = resolved(capsys, "base", "--pairs", "a", "--out", "b", "--recipe=paper", "--preset", "device")
    assert (paper["generator"]["padding"], paper["text"]) == ("zero", "clip")


def test_quick_gives_adapters_of_both_bases_the_papers_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained = {}
    for name, recipe in itertools.product(("small", "device"), ("quick", "best")):
        base = base_of(PRESETS[name], tmp_path / f"{recipe}-{name}")
        command = ["adapt", "--pairs", "a", "--out", "b", "--base", str(base), "--recipe", recipe]
        found = resolved(capsys, *command)["ranks"]
        generator = Generator(PRESETS[name])
        attach(generator, rank_of_layers(generator, Ranks(**found)))
        trained[name, recipe] = sum(tensor.numel() for tensor in generator.parameters() if tensor.requires_grad)
        assert resolved(capsys, *command, "--level2", "3")["ranks"] == found | {"level2": 3}
    assert trained == {
        ("small", "quick"): 91_440,
        ("device", "quick"): 89_877,
        ("small", "best"): 91_440,
        ("device", "best"): 364_565,
    }


@pytest.mark.parametrize("length", [("--steps", "7"), ("--epochs", "7"), ("--minutes", "7")])
def test_a_length_that_is_named_is_the_only_one(length: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    training = resolved(capsys, "adapt", "--pairs", "a", "--out", "b", "--recipe", "quick", *length)["training"]
    lengths = {"steps": None, "minutes": None, "epochs": TrainingConfig().epochs} | {length[0][2:]: 7}
    assert {name: training[name] for name in lengths} == lengths


def test_on_a_base_of_another_generator_a_recipe_gives_its_training_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other, own = base_of(GeneratorConfig(), tmp_path / "other"), base_of(PAPER, tmp_path / "own")
    arguments = ["--pairs", "a", "--out", "b", "--recipe", "paper", "--dry-run"]
    assert main(["adapt", *arguments, "--base", str(other)]) == 0
    assert "has another generator, so that its training settings alone are taken" in capsys.readouterr().err
    assert main(["base", *arguments, "--start", str(other)]) == 0
    shown = capsys.readouterr()
    assert "has another generator" in shown.err
    assert json.loads(shown.out)["text"] == "hashed"
    assert main(["adapt", *arguments, "--base", str(own)]) == 0
    assert capsys.readouterr().err == ""


def test_baselines_take_of_a_recipe_what_is_theirs(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["scratch", "--pairs", "a", "--out", "b", "--recipe", "quick", "--model", "comodgan", "--dry-run"]
    assert main(command) == 0
    shown = capsys.readouterr()
    comodgan = json.loads(shown.out)
    assert "of the recipe it takes length and batch" in shown.err
    quick = RECIPES["quick"].training["scratch"]
    expected = replace(COMODGAN_TRAINING, minutes=quick.minutes, batch=quick.batch)
    assert comodgan["training"] == json.loads(json.dumps(vars(expected)))


def test_a_recipe_leaves_what_an_adapter_starts_from_to_its_flag(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--pairs", "a", "--out", "b", "--recipe", "quick", "--start", "winter", "golden"]
    settings = resolved(capsys, "adapt", *arguments)
    assert (settings["init"], settings["start"]) == ("random", ["winter", "golden"])


@pytest.mark.parametrize("flag", ["--recipe", "--preset", "--ranks"])
def test_a_flag_of_other_commands_is_unknown(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["edit", "x.jpg", "--out", "y.jpg", "--adapter", "winter", flag, "nope"]) == 2
    assert f"unknown options: {flag}" in capsys.readouterr().err


def test_an_unknown_recipe_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["adapt", "--pairs", "a", "--out", "b", "--recipe", "finest"]) == 2
    assert capsys.readouterr().err == "e2gan: invalid choice 'finest' for --recipe: there are paper, quick, best\n"


@pytest.mark.parametrize(
    ("model", "line"),
    [
        (["--model", "pix2pix"], "pix2pix keeps its own losses: of the recipe it takes the rest"),
        ([], "pix2pix keeps its own losses: of the recipe it takes the rest"),
        (
            ["--model", "pix2pix-unet"],
            "pix2pix-unet keeps its own losses, and no crops: of the recipe it takes the rest",
        ),
        (["--model", "cyclegan", "--unpaired"], "cyclegan keeps its own losses: of the recipe it takes the rest"),
        (
            ["--model", "e2gan", "--unpaired"],
            "a training without pairs keeps its own losses: of the recipe it takes the rest",
        ),
    ],
)
def test_a_baseline_keeps_the_losses_that_it_is_known_by(
    model: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["scratch", "--pairs", "a", "--out", "b", "--recipe", "best", "--dry-run", *model]) == 0
    shown = capsys.readouterr()
    assert shown.err == f"e2gan: {line}\n"
    training, best, plain = json.loads(shown.out)["training"], RECIPES["best"].training["scratch"], TrainingConfig()
    assert {name: training[name] for name in LOSSES} == {name: getattr(plain, name) for name in LOSSES}
    assert (training["lr"], training["batch"], training["minutes"]) == (best.lr, best.batch, best.minutes)


@pytest.mark.parametrize("model", ["e2gan", "lut"])
def test_our_own_generator_takes_the_recipes_losses(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    settings = resolved(capsys, "scratch", "--pairs", "a", "--out", "b", "--recipe", "best", "--model", model)
    assert settings["training"] == json.loads(json.dumps(vars(RECIPES["best"].training["scratch"])))


def test_what_is_typed_goes_before_a_baselines_own_losses(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--pairs", "a", "--out", "b", "--recipe", "best", "--model", "pix2pix", "--perceptual", "20"]
    assert resolved(capsys, "scratch", *arguments)["training"]["perceptual"] == 20


def test_an_adapters_ranks_are_those_of_the_recipe_on_its_base() -> None:
    small = Ranks(level1=24, level2=24, level3=16, level4=10, tb=1)
    assert RECIPES["quick"].ranks(PRESETS["small"]) == RECIPES["best"].ranks(PRESETS["small"]) == small
    assert RECIPES["quick"].ranks(PRESETS["device"]) == Ranks(level1=4, level2=14, level3=6, level4=4, tb=1)
    assert RECIPES["best"].ranks(PRESETS["device"]) == Ranks().times(4)
    assert RECIPES["paper"].ranks(PRESETS["small"]) == Ranks()  # not the paper's generator: its training alone
