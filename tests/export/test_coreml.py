"""Core ML packages: what their specification says."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from e2gan import ExportConfig, Model, export_model
from e2gan.core.errors import InputError
from e2gan.export import coreml
from e2gan.export.branches import branched
from e2gan.export.format import Function, Order, bytes_of
from e2gan.export.pixel_model import PixelModel
from e2gan.networks.lora import set_strengths
from tests.conftest import Project, refused
from tests.export.test_unmerged import with_adapters
from tests.export.tiny_export import pixel_model, tiny_generator

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(autouse=True)
def installed() -> None:
    try:
        coreml.require()
    except InputError as error:
        pytest.skip(str(error))


def test_a_package_has_an_image_in_and_an_image_out(tmp_path: Path) -> None:
    model, sizes = pixel_model("device", fold=2, place=True), []
    for precision in ("fp16", "fp32"):
        path = tmp_path / f"{precision}.mlpackage"
        coreml.write(Order(model, 64, precision, {"prompt": "fog"}), path)
        assert [check.passed for check in coreml.checks(path)] == [True, True]
        used = coreml.operators(path)
        assert used["conv_transpose"] >= 3
        assert not used.keys() & {"gather_nd", "pixel_shuffle", "pad"}
        sizes.append(bytes_of(path))
    assert sizes[0] < 0.75 * sizes[1]


def test_the_same_model_has_the_same_bytes_again_and_nothing_stays_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    model, packages = pixel_model("device"), (tmp_path / "a.mlpackage", tmp_path / "b.mlpackage")
    for path in packages:
        coreml.write(Order(model, 32, "fp16", {"prompt": "fog"}), path)
    assert contents(packages[0]) == contents(packages[1])
    assert not list(temporary.iterdir())


def contents(package: Path) -> dict[Path, bytes]:
    """Of its files. Its specification has the one order that no process gives by chance."""
    (file,) = package.rglob("*.mlmodel")
    assert file.read_bytes() == coreml.read_spec(package).SerializeToString(deterministic=True)
    return {path.relative_to(package): path.read_bytes() for path in package.rglob("*") if path.is_file()}


def test_weights_that_half_cannot_hold_are_refused(tmp_path: Path) -> None:
    model = pixel_model("device")
    with torch.no_grad():
        next(model.generator.parameters()).view(-1)[0] = 1e6
    order = Order(model, 32, "fp16", {})
    assert "too large for fp16" in refused(lambda: coreml.write(order, tmp_path / "m.mlpackage"))


def effects(preset: str = "device") -> list[Function]:
    """Two adapters on one base."""
    generator, tokens = with_adapters(tiny_generator(preset))
    found = []
    for name in tokens:
        set_strengths(generator, {name: 1.0})
        model = PixelModel(branched(generator), tokens[name])
        whole = Model(generator, tokens[name], f"as {name}", 64, Path(name))
        found.append(Function(name, name, whole, model))
    return found


def test_several_effects_are_functions_that_share_the_bases_weights(tmp_path: Path) -> None:
    both, path, alone = effects(), tmp_path / "both.mlpackage", tmp_path / "alone.mlpackage"
    coreml.write(Order(both[0].model, 64, "fp16", {"prompt": "a + b"}, functions=both), path)
    assert [(check.name, check.passed) for check in coreml.checks(path)] == [
        ("Core ML specification", True),
        ("Core ML weights", True),
        ("Core ML functions share the base's weights", True),
    ]
    spec = coreml.read_spec(path)
    assert spec.description.defaultFunctionName == "one"
    assert list(coreml.interfaces(spec)) == ["one", "two"]
    about = spec.description.metadata.userDefined
    assert (about["functions"], about["prompt.two"]) == ("one two", "as two")
    assert spec.specificationVersion == 9  # iOS 18
    coreml.write(Order(PixelModel(tiny_generator("device"), torch.randn(1, 5, 16)), 64, "fp16", {}), alone)
    base = {weight.digest: weight.bytes for weight in coreml.weights(alone)["main"].values()}
    used = coreml.weights(path)
    shared = {used["one"][place].digest for place in used["one"].keys() & used["two"].keys()}
    prompts = 2  # keys and values
    assert len(base.keys() - shared) <= prompts
    for function in both:
        tensors = function.model.state_dict().items()
        adapter = [tensor for key, tensor in tensors if any(part in key for part in (".A.", ".B.", "keys", "values"))]
        assert 0 < coreml.functions(path)[function.name] <= sum(2 * tensor.numel() for tensor in adapter)


def test_weights_that_are_broken_or_written_twice_fail_their_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both, path = effects(), tmp_path / "both.mlpackage"
    order = Order(both[0].model, 32, "fp16", {}, functions=both)
    with monkeypatch.context() as patch:
        from coremltools.converters.mil.mil.passes.defs.cleanup.const_deduplication import const_deduplication as one

        patch.setattr(one, "_deduplicate_const_across_functions", lambda *_: None)
        coreml.write(order, path)
    (check,) = [check for check in coreml.checks(path) if "share" in check.name]
    assert not check.passed
    assert "are written more than once" in str(check)
    assert "of its own beside the 0.00 MB of all" in str(check)
    file = next(path.rglob("weight.bin"))
    data, place = bytearray(file.read_bytes()), next(iter(coreml.weights(path)["one"]))
    start = int.from_bytes(data[place + 16 : place + 24], "little")  # of the values, in the weight's header
    data[start : start + 2] = np.float16("nan").tobytes()
    file.write_bytes(data)
    (check,) = [check for check in coreml.checks(path) if check.name == "Core ML weights"]
    assert str(check) == "Core ML weights: 1 are not finite"


def test_functions_have_the_same_bytes_again(tmp_path: Path) -> None:
    both, packages = effects(), (tmp_path / "a.mlpackage", tmp_path / "b.mlpackage")
    for path in packages:
        coreml.write(Order(both[0].model, 32, "fp16", {"prompt": "fog"}, functions=both), path)
    assert contents(packages[0]) == contents(packages[1])


def test_the_stage_writes_functions_and_says_what_each_adds(project: Project, tmp_path: Path) -> None:
    other = shutil.copytree(project.adapter, tmp_path / "2nd look")
    config = ExportConfig(
        base=project.base,
        adapter=(project.adapter, other),
        format="coreml",
        out=tmp_path / "o",
        photos=project.photos,
        strength=0.5,
    )
    found = export_model(config)
    told = json.loads((config.out / "parity.json").read_text())
    assert told["compared"] is False
    assert [(f["name"], f["effect"]) for f in told["functions"]] == [
        ("adapter", "adapter"),
        ("effect_2nd_look", "2nd look"),
    ]
    assert all(f["max"] <= 1 and f["prompt"] == "as a sepia photo" for f in told["functions"])
    assert [f["bytes"] for f in told["functions"]] == [0, 0]  # the same adapter twice
    assert "function effect_2nd_look: 0.00 MB of its own" in str(found)
    again = export_model(config)
    assert again.already_done
    assert again.functions == found.functions
    assert "no model" in refused(lambda: Model.load(model=config.out))
    single = export_model(replace(config, adapter=(project.adapter,), out=tmp_path / "single"))
    assert single.functions == []
    assert "functions" not in json.loads((tmp_path / "single" / "parity.json").read_text())


def test_a_further_effect_on_the_full_base_adds_less_than_half_a_megabyte(tmp_path: Path) -> None:
    config = ExportConfig(adapter=(Path("golden"), Path("winter")), format="coreml", size=64, out=tmp_path / "two")
    found = export_model(config)
    assert all(0 < f["bytes"] < 500_000 for f in found.functions)
    base = bytes_of(found.file) - sum(f["bytes"] for f in found.functions)
    one = export_model(replace(config, adapter=(Path("golden"),), out=tmp_path / "one"))
    assert bytes_of(found.file) - one.bytes < 2 * 500_000  # unmerged, and one more
    assert base < 15.5e6
