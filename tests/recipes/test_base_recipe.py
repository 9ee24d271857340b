"""The recipe of the base that ships, on a handful of photographs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from e2gan.core.files import read_json, read_jsonl
from e2gan.data.builtin_photos import builtin_pictures
from e2gan.networks.folders import base_folder

RECIPE = Path(__file__).parents[2] / "recipes" / "base.py"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("recipe") / "photos"
    pictures = list(builtin_pictures().values())
    rng = np.random.default_rng(0)
    for folder in ("train", "landscapes", "faces"):
        (root / folder).mkdir(parents=True)
        for i in range(6):
            picture = pictures[i % len(pictures)]
            top, left = (int(rng.integers(length - 160)) for length in picture.shape[:2])
            Image.fromarray(picture[top : top + 160, left : left + 160]).save(root / folder / f"{i}.png")
    return root


def run(photos: Path, out: Path, *options: str, script: Path = RECIPE) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(script), "--photos", str(photos), "--out", str(out), *options]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )


@pytest.mark.slow
def test_small_then_large_and_again_is_nothing(photos: Path, tmp_path: Path) -> None:
    options = ["--concepts", "sepia", "dusk", "photo", "--sizes", "32", "64", "--steps", "2", "1", "--batch", "2"]
    done = run(photos, tmp_path / "work", *options)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "work" / "device-64")
    small, large = (read_json(tmp_path / "work" / f"device-{size}" / "config.json")["settings"] for size in (32, 64))
    assert list(large["concepts"]) == ["as a sepia photo", "make it dusk", "a photo"]
    assert (small["size"], large["size"]) == (32, 64)
    assert large["start"].endswith("device-32")
    rows = [read_jsonl(tmp_path / "work" / f"photos-{size}" / "photos.jsonl") for size in (32, 64)]
    assert [(row["source"], row["split"]) for row in rows[0]] == [(row["source"], row["split"]) for row in rows[1]]
    assert not {row["source"] for row in rows[0]} & {f"faces/{i}.png" for i in (3, 4, 5)}
    weights = tmp_path / "work" / "device-64" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    assert run(photos, tmp_path / "work", *options).returncode == 0
    assert weights.stat().st_mtime_ns == before


@pytest.mark.slow
def test_pieces_go_on_from_each_other_and_what_is_easy_gets_fewer_photos(photos: Path, tmp_path: Path) -> None:
    options = ["--concepts", "sepia", "hatching", "--sizes", "64", "--steps", "1", "--lr", "1e-4", "--batch", "2"]
    own = photos / "landscapes"  # a folder that has none of the three in it
    done = run(own, tmp_path, *options, "--crop", "32", "48", "--share", "0.8", "--pieces", "2", "--balance")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "device-64-2")
    first, second = (read_json(tmp_path / name / "config.json")["settings"] for name in ("device-64", "device-64-2"))
    assert (first["start"], second["start"]) == (None, str(tmp_path / "device-64"))
    assert [(s["training"]["crop"], s["training"]["seed"]) for s in (first, second)] == [(32, 0), (48, 1)]
    count = {name: len(read_jsonl(tmp_path / "pairs-64" / name / "metadata.jsonl")) for name in ("sepia", "hatching")}
    assert count["sepia"] < count["hatching"] / 2
    assert set(read_json(tmp_path / "hardness.json")) == {"sepia", "hatching"}
    (tmp_path / "half" / "train").mkdir(parents=True)
    done = run(tmp_path / "half", tmp_path / "none", *options)
    assert (done.returncode, done.stderr) == (2, f"recipe: {tmp_path / 'half'} has no folder landscapes\n")


@pytest.mark.slow
def test_a_style_joins_and_a_base_is_gone_on_from(photos: Path, shared: Path, tmp_path: Path) -> None:
    small = ["--concepts", "sepia", "--batch", "2", "--sizes", "32", "--steps", "1", "--lr", "1e-4"]
    assert run(photos, tmp_path / "small", *small).returncode == 0
    start = tmp_path / "small" / "device-32"
    styled = ["--styles", str(shared / "teachers"), "--learn", "udnie", "--style-size", "64", "--batch", "2"]
    on = [*styled, "--start", str(start), "--sizes", "32", "64", "--steps", "1", "1"]
    done = run(photos, tmp_path / "work", *on)
    assert done.returncode == 0, done.stderr
    settings = read_json(tmp_path / "work" / "device-64" / "config.json")["settings"]
    assert list(settings["concepts"]) == ["as a sepia photo", "in the style of Udnie"]
    assert read_json(tmp_path / "work" / "device-32" / "config.json")["settings"]["start"] == str(start)
    rows = [read_jsonl(tmp_path / "work" / f"pairs-{size}" / "udnie" / "metadata.jsonl") for size in (32, 64)]
    assert [row["photo"] for row in rows[0]] == [row["photo"] for row in rows[1]]
    others = ["--start", str(start), "--concepts", "dusk", "--sizes", "32", "--steps", "1", "--lr", "1e-4"]
    assert run(photos, tmp_path / "others", *others, "--batch", "2").returncode == 0
    other = read_json(tmp_path / "others" / "device-32" / "config.json")["settings"]
    assert (other["start"], list(other["concepts"])) == (str(start), ["make it dusk"])
    sepia = {row["photo"] for row in read_jsonl(tmp_path / "work" / "pairs-64" / "sepia" / "metadata.jsonl")}
    assert sepia & {row["photo"] for row in rows[1]}

    card = [sys.executable, str(RECIPE.with_name("card.py")), "--base", str(tmp_path / "work" / "device-64")]
    card += ["--photos", str(photos / "faces"), "--count", "2", "--size", "64"]
    told = subprocess.run([*card, "--styles", str(shared / "teachers")], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    assert [line.split(" | ")[0] for line in told.stdout.splitlines()[2:]] == [f"| {c}" for c in settings["concepts"]]
    alone = subprocess.run(card, capture_output=True, text=True, check=False)
    assert alone.returncode == 2
    assert "no style of --styles, is called 'in the style of Udnie'" in alone.stderr


@pytest.mark.slow
def test_sample_adapters_by_one_command(photos: Path, tmp_path: Path) -> None:
    script, shipped = RECIPE.with_name("samples.py"), tmp_path / "shipped"
    options = ["--concepts", "golden", "winter", "--size", "32", "--pairs", "6", "--steps", "2", "--ship", str(shipped)]
    done = run(photos, tmp_path / "work", *options, script=script)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in shipped.iterdir()} == {"golden", "winter"}
    about = read_json(shipped / "winter" / "e2gan.json")
    assert (about["prompt"], about["pairs"], about["steps"]) == ("make it winter", 6, 2)
    assert {path.name for path in (shipped / "golden").iterdir()} == {
        "adapter_model.safetensors",
        "README.md",
        "adapter_config.json",
        "concept.safetensors",
        "e2gan.json",
    }
    wrong = run(photos, tmp_path / "other", "--concepts", "beautiful", script=script)
    assert wrong.returncode == 2
    assert "no built-in filter" in wrong.stderr


@pytest.mark.slow
def test_wrong_settings_are_one_line(photos: Path, tmp_path: Path) -> None:
    for options, words in (
        (["--concepts", "beautiful"], "no built-in filter"),
        (["--sizes", "64", "128", "256"], "2 given for 3 sizes"),
        (["--keep", "99"], "must lie in"),
        (["--pieces", "0"], "must be at least 1"),
        (["--learn", "udnie"], "the styles of --styles are none"),
        (["--sizes", "64", "64"], "--sizes names one twice"),
        (["--start", "nowhere"], "nowhere is no base"),
        (["--share", "0.1", "0.2", "0.3"], "3 given for 2 sizes"),
        (["--start", str(base_folder(None)), "--preset", "residual"], "brings its generator"),
    ):
        done = run(photos, tmp_path / "work", *options)
        assert done.returncode == 2
        assert done.stderr.startswith("recipe: ")
        assert words in done.stderr
        assert not (tmp_path / "work").exists()
