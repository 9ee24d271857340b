from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from e2gan.cli import main
from e2gan.config import PRESETS, BaseConfig, DemoConfig, TrainingConfig
from e2gan.core.errors import InputError
from e2gan.core.images import read_image
from e2gan.data import builtin_photos
from e2gan.networks.models import Model
from e2gan.train.base import train_base
from tests.conftest import Project


@pytest.fixture(scope="module")
def base(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base of the real size that has hardly learned anything."""
    out = tmp_path_factory.mktemp("demo") / "base"
    training = TrainingConfig(steps=2, batch=2, warmup=1, clip=100.0, precision="fp32")
    train_base(BaseConfig(pairs=(project.sepia,), out=out, training=training))
    return out


@pytest.fixture(scope="module")
def small(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small base that has hardly learned anything."""
    out = tmp_path_factory.mktemp("demo") / "small"
    training = TrainingConfig(steps=2, batch=2, precision="fp32", gan=0.0)
    train_base(BaseConfig(pairs=(project.sepia,), out=out, training=training, generator=PRESETS["small"]))
    return out


@pytest.mark.slow
def test_the_whole_way(base: Path, small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "demo"
    command = ["demo", "--out", str(out), "--size", "32", "--minutes", "0.05", "--base", str(base), "--concept", "dusk"]
    command += ["--strokes-base", str(small), "--strokes", "oil", "--strokes-size", "32", "--strokes-minutes", "0.05"]
    assert main(command) == 0
    answer = capsys.readouterr()
    assert str(out / "report.html") in answer.out
    assert f"e2gan edit YOUR_PHOTO.jpg --base {base}" in answer.out
    page = (out / "report.html").read_text("utf-8")
    words = "89,877", "7,055,619", "11,378,179", "make it dusk", "as a sepia photo", "ONNX Runtime", "fd-random"
    for word in (*words, "colour table", "as an oil painting", "fd-squeezenet", "swd"):
        assert word in page
    beside = 5 + 4  # pictures of each photo: pix2pix is beside the look alone
    assert page.count("data:image/jpeg") == beside * len(builtin_photos.test_pictures())
    assert page.count("stroke-width: 2.25") == 3
    assert read_image(out / "picture.jpg").shape[1] > 4 * 384
    about = json.loads((out / "strokes" / "adapter" / "e2gan.json").read_text())
    assert about["prompt"] == "as an oil painting"
    assert about["training"]["perceptual"] > 0
    assert Model.load(model=out / "lut").prompt == "make it dusk"
    assert "LUT_3D_SIZE 17" in (out / "lut" / "lut.cube").read_text("ascii")
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", page)
    assert json.loads((out / "onnx" / "parity.json").read_text())["mean"] < 1
    assert Model.load(base=base, adapter=(out / "adapter",)).prompt == "make it dusk"
    assert not list(out.rglob("*.partial"))

    # again: every stage finds its work done
    written = (out / "adapter" / "adapter_model.safetensors").stat().st_mtime_ns
    assert main(command) == 0
    assert (out / "adapter" / "adapter_model.safetensors").stat().st_mtime_ns == written
    assert main([*command, "--concept", "fog"]) == 2
    assert "other settings" in capsys.readouterr().err


def test_a_concept_that_the_base_knows_is_refused(base: Path, tmp_path: Path) -> None:
    from e2gan.demo.demo import run_demo

    with pytest.raises(InputError, match=r'the base has learned "as a sepia photo"; new to it are autumn, spring'):
        run_demo(DemoConfig(out=tmp_path / "demo", base=base, concept="sepia"))
    assert not list(tmp_path.iterdir())


def test_strokes_that_their_base_knows_are_refused_too(base: Path, small: Path, tmp_path: Path) -> None:
    from e2gan.demo.demo import run_demo

    with pytest.raises(InputError, match='--strokes sepia: the base has learned "as a sepia photo"'):
        run_demo(DemoConfig(out=tmp_path / "demo", base=base, strokes_base=small, strokes="sepia"))
    assert not list(tmp_path.iterdir())


def test_a_folder_that_holds_something_else_is_refused(base: Path, small: Path, tmp_path: Path) -> None:
    from e2gan.demo.demo import run_demo

    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="already holds something else"):
        run_demo(DemoConfig(out=tmp_path, base=base, strokes_base=small))
    with pytest.raises(InputError, match="is a file"):
        run_demo(DemoConfig(out=tmp_path / "thesis.txt", base=base, strokes_base=small))
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_unknown_concept_is_told_before_anything_is_written(tmp_path: Path) -> None:
    from e2gan.demo.demo import run_demo

    with pytest.raises(InputError, match="autum"):
        run_demo(DemoConfig(out=tmp_path / "demo", concept="autum"))
    assert not list(tmp_path.iterdir())


def test_a_size_that_the_strokes_base_does_not_take_is_told_before_anything_is_written(
    base: Path, small: Path, tmp_path: Path
) -> None:
    from e2gan.demo.demo import run_demo

    with pytest.raises(InputError, match="takes multiples of 16"):
        run_demo(DemoConfig(out=tmp_path / "demo", base=base, strokes_base=small, strokes_size=40))
    assert not list(tmp_path.iterdir())
