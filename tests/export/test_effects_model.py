"""A folder of effects at work, and folders that are none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from e2gan import InputError, Model, Predictor
from e2gan.core.files import sha256
from e2gan.editing.predictor import mix
from e2gan.export.effects_model import EffectsModel
from tests.conftest import Project, refused
from tests.export.tiny_export import photos

pytestmark = pytest.mark.slow


def edits(project: Project, *adapters: Path, weights: tuple[float, ...] | None = None) -> np.ndarray:
    model = Model.load(base=project.base, adapter=adapters, weights=weights)
    return Predictor(model, "cpu").batch(photos(40, 56)).astype(int)


def test_effects_are_switched_mixed_and_weakened_between_two_photos(effects: Path, project: Project) -> None:
    second, photo = effects.parent / "second", photos(40, 56)
    model = EffectsModel(effects, threads=1)
    assert model.names == ["adapter", "second"]
    assert model.size == {"adapter": 32, "second": 32}
    first = model(photo)
    assert np.abs(first - edits(project, project.adapter)).max() <= 2
    model.set("second")
    assert np.abs(model(photo) - edits(project, second)).max() <= 2
    model.set({"adapter": 0.4, "second": 0.6})
    mixed = edits(project, project.adapter, second, weights=(0.4, 0.6))
    assert np.abs(model(photo) - mixed).max() <= 2
    model.set({"adapter": 1.0, "second": 0.0}, strength=0.3)
    np.testing.assert_array_equal(model(photo), np.stack([mix(p, e, 0.3) for p, e in zip(photo, first, strict=True)]))
    model.set("adapter", strength=0)
    np.testing.assert_array_equal(model(photo), photo)


def test_what_cannot_be_set_is_told(effects: Path) -> None:
    model = EffectsModel(effects)
    before = model(photos(32, 32))
    wrong: dict[str, Any] = {
        "no effect 'night'; there are adapter, second": "night",
        "weights 0.5, 0.6: must add to 1": {"adapter": 0.5, "second": 0.6},
        "weight -0.5 of adapter: must lie in 0..1": {"adapter": -0.5, "second": 1.5},
        "weights : must add to 1": {},
    }
    for line, value in wrong.items():
        assert line in refused(lambda value=value: model.set(value))
    for strength in (-0.1, 1.6, float("nan"), "1"):
        assert f"strength {strength}: must lie in 0..1.5" in refused(lambda s=strength: model.set("adapter", s))  # pyright: ignore
    for value in (3, None, ["adapter"]):
        assert "an effect's name, or weights by name, are expected" in refused(lambda v=value: model.set(v))  # pyright: ignore
    for wrong_photos in (
        np.zeros((1, 32, 32, 5), np.uint8),
        np.zeros((0, 32, 32, 3), np.uint8),
        np.zeros((32, 32, 3)),
        None,
    ):
        assert refused(lambda p=wrong_photos: model(p))  # pyright: ignore[reportArgumentType]
    model.set({"adapter": np.float32(1)})  # pyright: ignore[reportArgumentType]
    assert "must be multiples of 8" in refused(lambda: model(photos(36, 32)))
    np.testing.assert_array_equal(model(photos(32, 32)), before)  # what was set stays


@pytest.mark.parametrize("field", ["sha256", "prompt_sha256"])
def test_a_byte_of_the_manifest_is_not_blamed_on_a_file(copy: Path, field: str) -> None:
    manifest = json.loads((copy / "effects.json").read_text())
    told = manifest["effects"][0][field]
    manifest["effects"][0][field] = ("1" if told[0] == "0" else "0") + told[1:]
    (copy / "effects.json").write_text(json.dumps(manifest))
    assert refused(lambda: EffectsModel(copy)).startswith(f"{copy / 'effects.json'} is damaged: ")


def test_a_byte_of_a_file_or_of_its_name_is_told(copy: Path) -> None:
    prompts = copy / "prompts" / "adapter.safetensors"
    data = bytearray(prompts.read_bytes())
    data[-1] ^= 1
    prompts.write_bytes(data)
    assert refused(lambda: EffectsModel(copy)).startswith(f"{prompts} is not the file that ")
    prompts.unlink()
    said = refused(lambda: EffectsModel(copy))
    assert said == f"{prompts} is not there: it is missing, or effects.json, which names it, is damaged"


def test_weights_that_are_finite_and_too_large_are_told(copy: Path) -> None:
    file = copy / "effects" / "second.safetensors"
    save_file({name: tensor.float() * 0 + 3e38 for name, tensor in load_file(file).items()}, file)
    manifest = json.loads((copy / "effects.json").read_text())
    manifest["effects"][1]["sha256"] = sha256(file)
    (copy / "effects.json").write_text(json.dumps(manifest))
    model = EffectsModel(copy)
    before = model(photos(32, 32))
    assert "the edit by second is one flat colour" in refused(lambda: model.set("second", 0.5))
    np.testing.assert_array_equal(model(photos(32, 32)), before)


@pytest.fixture
def copy(effects: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(effects, tmp_path / "copy"))


def retold(folder: Path, **changes: Any) -> None:
    manifest = json.loads((folder / "effects.json").read_text())
    (folder / "effects.json").write_text(json.dumps(manifest | changes))


def told(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "effects.json").read_text())


@pytest.mark.parametrize("file", ["base.onnx", "effects/adapter.safetensors", "prompts/adapter.safetensors"])
def test_a_file_that_is_damaged_cut_or_missing_is_told(copy: Path, file: str) -> None:
    path, good = copy / file, (copy / file).read_bytes()
    for bad in (good[:-9], good[: len(good) // 2] + b"\x00\x01" + good[len(good) // 2 + 2 :], b""):
        path.write_bytes(bad)
        assert "is not the file that" in refused(lambda: EffectsModel(copy))
    path.unlink()
    assert str(path) in refused(lambda: EffectsModel(copy))


def test_another_bases_or_effects_file_is_told_even_with_its_own_hash(copy: Path) -> None:
    manifest = told(copy)
    path, (first, _) = copy / manifest["effects"][0]["file"], manifest["effects"]
    good = load_file(path)
    name = next(name for name, tensor in good.items() if name.endswith(".A") and tensor.ndim == 4)
    wrong: dict[str, dict[str, Any]] = {
        "are not the inputs": {k: v for k, v in good.items() if k != name},
        "is no input of": good | {name: good[name][:, :1].contiguous()},
        "has A of rank": good | {name: good[name][:1].repeat(9, 1, 1, 1)},
    }
    for line, tensors in wrong.items():
        save_file(tensors, path)
        retold(copy, effects=[first | {"sha256": sha256(path)}, manifest["effects"][1]])
        assert line in refused(lambda: EffectsModel(copy))


def test_a_manifest_that_is_not_of_its_graph_is_told(copy: Path, effects: Path, tmp_path: Path) -> None:
    manifest = told(effects)
    inputs = manifest["inputs"]
    wrong: list[dict[str, Any]] = [
        {"inputs": inputs[1:]},
        {"inputs": [*inputs, inputs[-1]]},
        {"inputs": [*inputs[:-1], inputs[-1] | {"kind": "prompt"}]},
        {"inputs": [*inputs[:-1], inputs[-1] | {"rank_axis": 3}]},
        {"base": manifest["base"] | {"multiple": 4}},
        {"base": manifest["base"] | {"file": "../effects/base.onnx"}},
        {"effects": [manifest["effects"][0]] * 2},
        {"format": "something else"},
        {"version": 2},
    ]
    for changes in wrong:
        retold(copy, **(manifest | changes))
        with pytest.raises(InputError) as error:
            EffectsModel(copy)
        assert "effects.json" in str(error.value)
        assert "\n" not in str(error.value)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    assert "effects.json" in refused(lambda: EffectsModel(foreign / "effects.json"))
