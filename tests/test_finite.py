"""What is not finite is refused wherever weights are read or written, and wherever pixels are made of them."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from e2gan import (
    AdaptConfig,
    BaseConfig,
    EditConfig,
    EvaluateConfig,
    ExportConfig,
    InputError,
    Model,
    Predictor,
    TrainingConfig,
    adapt,
    edit,
    evaluate,
    export_model,
    train_base,
)
from e2gan.cli import main
from e2gan.core.errors import NotFiniteError
from e2gan.features.converted import published_weights
from e2gan.features.efficientnet import EfficientNetFeatures
from e2gan.features.inception import InceptionFeatures
from e2gan.features.squeezenet import SHIPPED, SqueezeNetFeatures
from e2gan.networks.folders import ADAPTER, CONCEPT, DISCRIMINATOR, MODEL, shipped_adapters
from tests.conftest import ROOT, Project, refused

# Pipelines of gigabytes, whose pixels are looked at instead; and what has no weights.
PIPELINES, WITHOUT_WEIGHTS = "diffusion", {"hub.model_config", "hub.clip_tokenizer", "hub.load"}


def libraries_called(function: ast.FunctionDef) -> set[str]:
    """The calls in a function by which a library reads or writes tensors."""
    found = set()
    imports = {
        alias.name: node.module
        for node in ast.walk(function)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("safetensors")
        for alias in node.names
    }
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and node.id in imports and node.id != "SafetensorError":
            found.add(f"safetensors.{node.id}")
        if (
            isinstance(node, ast.Attribute)
            and node.attr in ("load", "save")
            and getattr(node.value, "id", "") == "torch"
        ):
            found.add(f"torch.{node.attr}")
        if isinstance(node, ast.Attribute) and node.attr.startswith(
            ("from_pretrained", "from_single_file", "load_lora")
        ):
            found.add(node.attr)
    return found


def test_every_reader_and_writer_of_tensors_checks_them() -> None:
    """By the source: a library that reads or writes weights is called only beside `check_tensors`."""
    seen = {}
    for path in [*sorted((ROOT / "src").rglob("*.py")), *sorted((ROOT / "recipes").glob("*.py"))]:
        tree = ast.parse(path.read_text("utf-8"))
        assert not any(
            isinstance(node, ast.ImportFrom) and (node.module or "").startswith("safetensors") for node in tree.body
        ), f"{path.name}: read and write tensors by core/tensors.py"
        for function in ast.walk(tree):
            if not isinstance(function, ast.FunctionDef) or not libraries_called(function):
                continue
            names = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
            seen[function.name] = libraries_called(function)
            fine = names & {"check_tensors", "pretrained_network"} or f"{path.stem}.{function.name}" in WITHOUT_WEIGHTS
            assert fine or PIPELINES in path.parts, f"{path.name}: {function.name} {seen[function.name]}"
    assert {"read_tensors", "write_tensors", "published_weights", "pretrained_network"} <= seen.keys()


def test_pixels_are_made_of_floats_in_one_place() -> None:
    """`to_pixels` hides a NaN: whoever calls it looks before, or is compared with what has looked."""
    callers = {}
    for path in sorted((ROOT / "src").rglob("*.py")):
        for function in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(function, ast.FunctionDef):
                names = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
                if "to_pixels" in names:
                    callers[f"{path.stem}.{function.name}"] = "checked_finite" in names
    assert callers == {"predictor._run": True, "pixel_model.forward": False}  # the latter is the exported file


def spoiled(source: Path, copy: Path, value: float = float("nan")) -> Path:
    """A copy of a file of tensors with one such value in its first tensor."""
    tensors = load_file(source)
    tensors[sorted(tensors)[0]].view(-1)[0] = value
    save_file(tensors, copy)
    return copy


def folder_with(source: Path, copy: Path, file: str) -> Path:
    shutil.copytree(source, copy, dirs_exist_ok=True)
    spoiled(source / file, copy / file)
    return copy


@pytest.mark.slow
def test_every_kind_of_file_is_refused(project: Project, tmp_path: Path) -> None:
    """Bases, their discriminators, adapters, prompts, whole models and feature networks, each with one NaN."""
    training = TrainingConfig(steps=1, batch=2, precision="fp32")
    base = folder_with(project.base, tmp_path / "base", MODEL)
    judge = folder_with(project.base, tmp_path / "judge", DISCRIMINATOR)
    adapter = folder_with(project.adapter, tmp_path / "adapter", ADAPTER)
    concept = folder_with(project.adapter, tmp_path / "concept", CONCEPT)
    model = folder_with(project.model, tmp_path / "model", MODEL)
    features = spoiled(SHIPPED, tmp_path / "features.safetensors")
    published = tmp_path / "published.pth"
    torch.save({"a": torch.tensor([1.0, float("inf")])}, published)
    out = tmp_path / "out"
    readers: dict[str, Callable[[], object]] = {
        "base": lambda: Model.load(base=base, prompt="a"),
        "adapter": lambda: Model.load(base=project.base, adapter=adapter),
        "concept": lambda: Model.load(base=project.base, adapter=concept),
        "model": lambda: Model.load(model=model),
        "adapt on a base": lambda: adapt(AdaptConfig(base=base, pairs=project.sepia, out=out, training=training)),
        "its discriminator": lambda: adapt(AdaptConfig(base=judge, pairs=project.sepia, out=out, training=training)),
        "adapt from": lambda: adapt(
            AdaptConfig(base=project.base, start=(adapter,), pairs=project.sepia, out=out, training=training)
        ),
        "base from": lambda: train_base(BaseConfig(start=base, pairs=(project.sepia,), out=out, training=training)),
        "SqueezeNet": lambda: SqueezeNetFeatures(features),
        "EfficientNet": lambda: EfficientNetFeatures(features),
        "Inception": lambda: InceptionFeatures(features),
        "published": lambda: published_weights(published, "weights", 2**20),
    }
    for name, read in readers.items():
        with pytest.raises(NotFiniteError) as caught:
            read()
        assert "\n" not in str(caught.value), name
        assert "not finite" in str(caught.value), name
        assert not out.exists(), name
    photo = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)).save(photo)
    named = ["--base", str(project.base), "--adapter", str(adapter)]
    for command in (
        ["edit", str(photo), "--out", str(tmp_path / "o.png")],
        ["export", "--out", str(tmp_path / "e")],
        ["evaluate", "--pairs", str(project.sepia), "--out", str(tmp_path / "m")],
    ):
        assert main([*command, *named]) == 2, command
    assert not any((tmp_path / name).exists() for name in ("o.png", "e", "m"))


@pytest.mark.slow
def test_weights_that_overflow_half_precision_are_not_written(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Finite as they were trained, infinite as they would be written: the training is told as lost, nothing stays."""
    out = tmp_path / "look"
    settings = ["--base", str(project.base), "--pairs", str(project.sepia), "--out", str(out), "--steps", "1"]
    flags = ["--lr", "7e4", "--gan", "0", "--precision", "fp32", "--schedule", "constant"]
    assert main(["adapt", *settings, *flags]) in (1, 2)
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert "training diverged at step 1" in message
    assert "float16" in message
    assert not list(tmp_path.iterdir())


class Broken(torch.nn.Module):
    """A generator of finite weights whose output is none."""

    multiple = 8

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = torch.nn.Parameter(torch.tensor(value), requires_grad=False)

    def forward(self, photo: torch.Tensor, *_: object) -> torch.Tensor:
        return photo * 1e-30 * self.value * 1e30 * self.value * 1e30


def model_of(generator: torch.nn.Module) -> Model:
    return Model(generator, None, "a", 32, Path())


PHOTO = np.random.default_rng(0).integers(0, 256, (40, 48, 3), np.uint8)


def test_an_output_that_is_not_finite_is_refused_before_it_is_pixels() -> None:
    for value in (1e38, float("nan")):
        predictor = Predictor(model_of(Broken(value)), "cpu")
        for work in (
            lambda p=predictor: p.edit(PHOTO),
            lambda p=predictor: p.edit(PHOTO, side=0, tile=64),
            lambda p=predictor: p.edit(PHOTO, strength=0.5, detail="none"),
            lambda p=predictor: p.batch(PHOTO[None]),
        ):
            assert "output is not finite" in refused(work)


@pytest.mark.slow
def test_an_edit_of_one_colour_is_told(project: Project, tmp_path: Path) -> None:
    """With status 0, since a model may mean it; the exported file of it is refused, since it shows nothing."""
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.fromarray(PHOTO).save(photos / "a.png")
    Image.fromarray(np.full((40, 48, 3), 90, np.uint8)).save(photos / "flat.png")
    model = flat_model(project, tmp_path / "flat")
    one = edit(EditConfig(input=(photos / "a.png",), model=model, out=tmp_path / "a.png"))
    assert one.blank == [str(photos / "a.png")]
    assert "warning: 1 of 1 edits have no variation" in str(one)
    assert edit(EditConfig(input=(photos / "flat.png",), model=model, out=tmp_path / "b.png")).blank == []
    folder = edit(EditConfig(input=(photos,), model=model, out=tmp_path / "edits"))
    assert folder.blank == ["a.png"]
    assert "warning: 1 of 2 edits have no variation" in str(folder)
    good = edit(EditConfig(input=(photos,), model=project.model, out=tmp_path / "good"))
    assert good.blank == []
    assert "warning" not in str(good)
    told = evaluate(EvaluateConfig(pairs=project.sepia, model=model, out=tmp_path / "m")).notes
    assert any("edits have no variation" in note for note in told)
    assert not any(
        "variation" in note
        for note in evaluate(EvaluateConfig(pairs=project.sepia, model=project.model, out=tmp_path / "n")).notes
    )
    with pytest.raises(InputError, match="one flat colour"):
        export_model(ExportConfig(model=model, out=tmp_path / "x", size=32))
    assert not (tmp_path / "x").exists()
    only = tmp_path / "only"
    only.mkdir()
    shutil.copy(photos / "flat.png", only)
    with pytest.raises(InputError, match="are flat colours"):
        export_model(ExportConfig(model=project.model, out=tmp_path / "x", size=32, photos=only))
    found = export_model(ExportConfig(model=project.model, out=tmp_path / "x", size=32)).parity
    assert found is not None
    assert found.contrast is not None
    assert found.contrast == min(row["contrast"] for row in found.runs) > 1


def flat_model(project: Project, folder: Path) -> Path:
    """A whole model whose last convolution gives one colour, whatever it sees."""
    shutil.copytree(project.model, folder)
    tensors = load_file(folder / MODEL)
    last = sorted(name for name in tensors if name.startswith("level1_out"))
    for name in last:
        tensors[name].zero_()
        if name.endswith("bias"):
            tensors[name] += torch.tensor([9.0, -9.0, 9.0])
    save_file(tensors, folder / MODEL)
    return folder


def test_the_adapters_that_ship_are_whole() -> None:
    for path in shipped_adapters().values():
        assert Predictor(Model.load(adapter=path), "cpu").edit(PHOTO).std() > 1
