from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from e2gan.cli import main
from e2gan.config import EvaluateConfig
from e2gan.errors import InputError
from e2gan.evaluation import evaluate, metrics, pixel_metrics
from e2gan.files import read_json, read_jsonl, write_json, write_jsonl
from e2gan.images import read_image
from e2gan.models import Model
from e2gan.pairs import PairSet
from e2gan.predictor import Predictor
from tests.conftest import Project


def noise(count: int = 3, size: int = 16, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def test_identical_images_are_perfect() -> None:
    assert pixel_metrics(noise(), noise()) == {"l1": 0.0, "psnr": 100.0, "ssim": 1.0}


def test_metrics_have_their_units() -> None:
    flat = np.full((2, 16, 16, 3), 100, np.uint8)
    found = pixel_metrics(flat, flat + 10)
    assert found["l1"] == 10
    assert found["psnr"] == pytest.approx(20 * np.log10(25.5))
    worse = pixel_metrics(noise(), noise(seed=1))
    assert worse["ssim"] < 0.2
    # uint8 must not wrap around
    assert pixel_metrics(flat + 10, flat)["l1"] == 10


def test_images_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(InputError, match="compared"):
        pixel_metrics(noise(2), noise(3))
    with pytest.raises(InputError, match="7 pixels"):
        pixel_metrics(noise(size=6), noise(size=6))


def test_one_image_has_no_distance() -> None:
    assert metrics(noise(1, 32), noise(1, 32, 1)).fd_random is None
    found = metrics(noise(4, 32), noise(4, 32, 1)).fd_random
    assert found is not None
    assert found.images == 4
    assert found.frechet > 0


def test_an_adapter_is_measured_on_the_test_split(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        "evaluate",
        "--base",
        str(project.base),
        "--adapter",
        str(project.adapter),
        "--pairs",
        str(project.sepia),
    ]
    assert main([*command, "--out", str(tmp_path), "--json"]) == 0
    found = json.loads((tmp_path / "metrics.json").read_text())
    assert found == json.loads(capsys.readouterr().out)
    photos, targets, _ = PairSet.load(project.sepia).arrays("test")
    edits = Predictor(Model.load(base=project.base, adapter=(project.adapter,))).batch(photos)
    assert found["model"]["l1"] == pytest.approx(np.abs(edits.astype(int) - targets).mean())
    assert found["photo"]["l1"] == pytest.approx(np.abs(photos.astype(int) - targets).mean())
    assert found["images"] == len(photos) == 3
    assert found["prompt"] == "as a sepia photo"
    assert found["model"]["fd_squeezenet"] is None
    assert read_image(tmp_path / "sheet.png").shape[1] > 3 * 32


def test_base_and_scratch_are_measured_with_the_concepts_prompt(project: Project, tmp_path: Path) -> None:
    base = evaluate(EvaluateConfig(base=project.base, pairs=project.dusk, out=tmp_path / "b", split="val"))
    assert (base.prompt, base.split) == ("make it dusk", "val")
    scratch = evaluate(EvaluateConfig(model=project.model, pairs=project.sepia, out=tmp_path / "s"))
    assert scratch.model.l1 != scratch.photo.l1
    assert "photo as it is" in str(scratch)


def test_squeezenet_is_used_where_its_file_is_given(project: Project, shared: Path, tmp_path: Path) -> None:
    features = shared / "features" / "squeezenet11.safetensors"
    found = evaluate(EvaluateConfig(model=project.model, pairs=project.sepia, out=tmp_path, features=features))
    assert found.model.fd_squeezenet is not None
    assert found.model.fd_squeezenet.dimensions == 512
    assert "fd-squeezenet" in str(found)


def test_one_photo_is_measured_without_distances_and_says_so(project: Project, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs"
    shutil.copytree(project.sepia, pairs)
    config = read_json(pairs / "config.json")
    config["settings"]["photos"] = os.path.relpath(project.photos, pairs)
    write_json(pairs / "config.json", config)
    rows = read_jsonl(pairs / "metadata.jsonl")
    tests = [row for row in rows if row["split"] == "test"]
    write_jsonl(pairs / "metadata.jsonl", [row for row in rows if row not in tests[1:]])
    found = evaluate(EvaluateConfig(model=project.model, pairs=pairs, out=tmp_path / "out"))
    assert (found.images, found.model.fd_random) == (1, None)
    assert "at least 2 test photos" in str(found)
    assert read_json(tmp_path / "out" / "metrics.json")["model"]["fd_random"] is None


def test_the_kernel_distance_stands_beside_the_frechet_distance(project: Project, tmp_path: Path) -> None:
    found = evaluate(EvaluateConfig(model=project.model, pairs=project.sepia, out=tmp_path))
    assert found.model.fd_random is not None
    line = next(line for line in str(found).splitlines() if line.startswith("kd-random"))
    assert f"{found.model.fd_random.kernel:.3g}" in line


def test_results_cannot_go_into_a_file(project: Project, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "deeper"):
        with pytest.raises(InputError, match="needs a folder"):
            evaluate(EvaluateConfig(model=project.model, pairs=project.sepia, out=out))
    assert (tmp_path / "file").read_text() == "mine"
