"""Effects as functions of one file: each edits as the merged model does, by the base's own weights."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from e2gan import ExportConfig, Predictor, export_model
from e2gan.config import PRESETS
from e2gan.core.errors import InputError
from e2gan.editing.predictor import mix
from e2gan.export import branches
from e2gan.export.branches import FixedBranch, InPytorch, branched, functions_of, identifier
from e2gan.export.fixed_model import FixedModel
from e2gan.export.pixel_model import PixelModel
from e2gan.networks.lora import merged, set_strengths
from tests.conftest import Project, refused
from tests.export.test_unmerged import with_adapters
from tests.export.tiny_export import photos, tiny_generator


@pytest.mark.parametrize("preset", PRESETS)
def test_branches_edit_as_the_merged_adapter_does(preset: str) -> None:
    generator, tokens = with_adapters(tiny_generator(preset))
    photo = torch.from_numpy(photos(48, 48)[:1])
    edits = []
    for name, strength in (("one", 1.0), ("two", 0.5)):
        set_strengths(generator, {name: strength})
        expected = PixelModel(merged(generator), tokens[name]).eval()(photo).int()
        model = PixelModel(branched(generator), tokens[name]).eval()
        assert (model(photo).int() - expected).abs().max() <= 1
        edit = FixedModel(model, 48, rounded=True).eval()(photo.float())
        assert (edit.int() - expected).abs().max() <= 1
        edits.append(expected)
    assert (edits[0] - edits[1]).abs().float().mean() > 1


@pytest.mark.parametrize("preset", PRESETS)
def test_the_bases_weights_stay_to_the_bit_and_are_the_same_in_each(preset: str) -> None:
    bare = PixelModel(tiny_generator(preset), torch.randn(1, 2, 16)).state_dict()
    generator, tokens = with_adapters(tiny_generator(preset))
    for name in tokens:
        set_strengths(generator, {name: 1.0})
        model = PixelModel(branched(generator), tokens[name])
        assert sum(isinstance(module, FixedBranch) for module in model.modules()) > 10
        own = {key.replace(".layer.", "."): value for key, value in model.state_dict().items()}
        shared = [key for key in bare if "keys0" not in key and "values0" not in key]
        assert all(torch.equal(own[key], bare[key]) for key in shared)


@pytest.mark.parametrize(
    ("effect", "name"),
    [("golden", "golden"), ("my look 2", "my_look_2"), ("3d", "effect_3d"), ("list", "effect_list")],
)
def test_a_functions_name_is_an_identifier(effect: str, name: str) -> None:
    assert identifier(effect) == name
    assert identifier("зима").isidentifier()


def test_an_adapter_is_a_function_and_two_of_one_name_are_refused(project: Project, tmp_path: Path) -> None:
    other, third = (shutil.copytree(project.adapter, tmp_path / name) for name in ("2nd look", "effect 2nd look"))
    found = functions_of(project.base, [project.adapter, other], strength=0.5)
    assert [(each.name, each.effect) for each in found] == [("adapter", "adapter"), ("effect_2nd_look", "2nd look")]
    batch = photos(64, 64)
    edits = Predictor(found[0].merged, "cpu").batch(batch)
    expected = np.stack([mix(photo, edit, 0.5) for photo, edit in zip(batch, edits, strict=True)])
    run = InPytorch(found[0].model, 64)
    assert np.abs(run(batch).astype(int) - expected).max() <= 1
    with pytest.raises(InputError, match="64×64 only"):
        run(photos(48, 48))
    told = refused(lambda: functions_of(project.base, [other, third], 1.0))
    assert "two functions of the name effect_2nd_look" in told


def test_a_function_that_edits_otherwise_is_refused(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a converter is given is compared before it is converted."""
    other = shutil.copytree(project.adapter, tmp_path / "other")

    def bare(generator: torch.nn.Module) -> torch.nn.Module:
        generator = branched(generator)
        for module in generator.modules():
            if isinstance(module, FixedBranch):
                module.B.weight.data *= -3.0  # pyright: ignore
        return generator

    monkeypatch.setattr(branches, "branched", bare)
    config = ExportConfig(
        base=project.base, adapter=(project.adapter, other), format="coreml", size=64, out=tmp_path / "o"
    )
    told = refused(lambda: export_model(replace(config, photos=project.photos)))
    assert told.startswith("the function adapter differs from PyTorch's edits by ")
    assert list(tmp_path.iterdir()) == [other]
