"""The baselines by the same loop: U-Net, Co-Mod-GAN, CycleGAN, CUT; and their command."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from torch import nn

from e2gan import (
    GeneratorConfig,
    Model,
    PairsConfig,
    Predictor,
    ScratchConfig,
    TrainingConfig,
    make_pairs,
    train_scratch,
)
from e2gan.cli import main
from e2gan.config import PIX2PIX
from e2gan.core.errors import InputError
from e2gan.core.files import read_json, read_jsonl
from e2gan.core.tensors import read_tensors
from e2gan.data.pair_set import PairSet
from tests.conftest import Project

QUICK = TrainingConfig(steps=3, batch=4, precision="fp32")


@pytest.mark.parametrize("model", ["pix2pix-unet", "comodgan"])
@pytest.mark.slow
def test_each_baseline_trains_is_saved_and_edits(model: str, project: Project, tmp_path: Path) -> None:
    training = replace(QUICK, steps=1, r1=5.0) if model == "comodgan" else QUICK
    options = {"model": model, "text": "clip"}  # which none of them asks, nor is there one here
    config = ScratchConfig(pairs=project.sepia, out=tmp_path / "m", training=training, **options)  # type: ignore[arg-type]
    trained = train_scratch(config)
    assert trained.parameters == sum(p.numel() for p in Model.load(model=tmp_path / "m").generator.parameters())
    photos, _, _ = PairSet.load(project.sepia).arrays("test")
    run = Predictor(Model.load(model=tmp_path / "m"))
    edits = run.batch(photos)
    assert edits.shape == photos.shape
    assert (edits[:1] == run.batch(photos[:1])).all()
    assert train_scratch(config).result.already_done
    assert main(f"export --model {tmp_path / 'm'} --out {tmp_path / 'x'}".split()) == 2


def test_a_selection_narrows_the_training_photos(project: Project, tmp_path: Path) -> None:
    import json

    ids = PairSet.load(project.sepia).arrays("train")[2]
    (tmp_path / "s.json").write_text(json.dumps({"ids": ids[:5]}))
    command = f"scratch --model e2gan --pairs {project.sepia} --out {tmp_path / 'm'} --epochs 1 --precision fp32"
    command += " --width 8 --blocks 1 --transformers 1 --heads 2 --text-width 16"
    assert main([*command.split(), "--selection", str(tmp_path / "s.json")]) == 0
    assert read_json(tmp_path / "m/config.json")["settings"]["pairs_total"] == 5
    (tmp_path / "s.json").write_text(json.dumps({"ids": ["nobody"]}))
    with pytest.raises(InputError, match="names none of the train photos"):
        train_scratch(ScratchConfig(pairs=project.sepia, out=tmp_path / "n", selection=tmp_path / "s.json"))


@pytest.mark.parametrize("flip", [True, False])
def test_a_training_that_mirrors_is_another_one_once_the_edit_is_said_to_have_a_side(
    flip: bool, project: Project, tmp_path: Path
) -> None:
    pairs = PairsConfig(photos=project.photos, concept="sepia", out=tmp_path / "pairs")
    make_pairs(pairs)
    small = GeneratorConfig(width=8, blocks=1, transformers=(1,), heads=2, text_width=16)
    training = replace(QUICK, flip=flip, steps=1)
    config = ScratchConfig(model="e2gan", pairs=pairs.out, out=tmp_path / "m", generator=small, training=training)
    train_scratch(config)
    assert train_scratch(config).result.already_done
    make_pairs(replace(pairs, sided=True))
    assert PairSet.load(pairs.out).sided
    if flip:
        with pytest.raises(InputError, match="its pairs have been said to have a side since"):
            train_scratch(config)
    else:
        assert train_scratch(config).result.already_done


@pytest.mark.slow
def test_cyclegan_is_trained_by_the_command_and_used_as_every_model(project: Project, tmp_path: Path) -> None:
    model = tmp_path / "m"
    command = f"scratch --model cyclegan --unpaired --pairs {project.sepia} --out {model} --steps 2 --precision fp32"
    assert main([*command.split(), "--batch", "2", "--text", "clip"]) == 0
    generator, _ = read_tensors(model / "model.safetensors")
    assert sum(t.numel() for t in generator.values()) == 11_378_179  # one of the two
    discriminator, _ = read_tensors(model / "discriminator.safetensors")
    assert sum(t.numel() for t in discriminator.values()) == 2_764_737
    (losses,) = read_jsonl(model / "metrics.jsonl")
    assert {"cycle", "identity", "d", "g", "cycle_back", "identity_back", "d_back", "g_back"} < losses.keys()

    photo = next(project.photos.rglob("*.png"))
    assert main(f"edit {photo} --model {model} --out {tmp_path / 'e.png'}".split()) == 0
    assert (tmp_path / "e.png").exists()
    assert main(f"evaluate --pairs {project.sepia} --model {model} --out {tmp_path / 'v'}".split()) == 0
    assert main(f"cost --model {model} --size 32 --repeat 1".split()) == 0
    assert main(f"export --model {model} --out {tmp_path / 'x'} --size 32".split()) == 0
    again = [*command.split(), "--batch", "2"]
    assert main(again) == 0  # found done
    assert main(["pix2pix" if word == "cyclegan" else word for word in again]) == 2  # CUT, which is another run
    assert main(f"adapt --base {model} --pairs {project.sepia} --out {tmp_path / 'a'} --steps 1".split()) == 2


@pytest.mark.parametrize(
    ("options", "words"), [("", "needs --unpaired"), ("--unpaired --gan 0", "--unpaired needs the adversarial loss")]
)
def test_cyclegan_without_what_it_needs_is_one_line(
    options: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*f"scratch --model cyclegan --pairs p --out {tmp_path / 'm'}".split(), *options.split()]) == 2
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_cut_trains_the_published_layers_of_nine_residual_blocks(project: Project, tmp_path: Path) -> None:
    training = TrainingConfig(steps=1, precision="fp32")
    config = ScratchConfig(pairs=project.sepia, out=tmp_path / "m", model="pix2pix", unpaired=True, training=training)
    assert train_scratch(config).parameters == 11_378_179
    assert {"nce", "identity", "d", "g"} < read_jsonl(tmp_path / "m/metrics.jsonl")[0].keys()
    generator = Model.load(model=tmp_path / "m").generator
    convs = [m for m in generator.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))]
    # CUT's and CycleGAN's own notation: c7s1-64, d128, d256, nine times R256, u128, u64, c7s1-3.
    ways = [(3, 64, 7), (64, 128, 3), (128, 256, 3), *[(256, 256, 3)] * 18, (256, 128, 3), (128, 64, 3), (64, 3, 7)]
    assert [(m.in_channels, m.out_channels, m.kernel_size[0]) for m in convs] == ways
    assert [m.stride[0] for m in convs] == [1, 2, 2, *[1] * 18, 2, 2, 1]
    assert [isinstance(m, nn.ConvTranspose2d) for m in convs] == [False] * 21 + [True] * 2 + [False]
    assert sum(isinstance(m, nn.InstanceNorm2d) for m in generator.modules()) == 23  # after each but the last
    assert read_json(tmp_path / "m/config.json")["settings"]["generator"]["blocks"] == PIX2PIX.blocks == 9
