"""The baselines by the same loop: U-Net and Co-Mod-GAN."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from e2gan import Model, Predictor, ScratchConfig, TrainingConfig, train_scratch
from e2gan.cli import main
from e2gan.core.errors import InputError
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
    from e2gan.core.files import read_json

    assert read_json(tmp_path / "m/config.json")["settings"]["pairs_total"] == 5
    (tmp_path / "s.json").write_text(json.dumps({"ids": ["nobody"]}))
    with pytest.raises(InputError, match="names none of the train photos"):
        train_scratch(ScratchConfig(pairs=project.sepia, out=tmp_path / "n", selection=tmp_path / "s.json"))
