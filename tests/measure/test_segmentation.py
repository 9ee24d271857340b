from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from sklearn.metrics import jaccard_score

from e2gan.core.errors import InputError
from e2gan.core.images import read_image
from e2gan.core.originals import list_images
from e2gan.features.hub import need_transformers
from e2gan.measure.segmentation import (
    IGNORE,
    Palette,
    SegmentationScorer,
    Segmenter,
    matches,
)
from tests.measure.tiny_segformer import (
    COLOURS,
    PREPROCESSOR,
    mean_iou,
    overlaps,
    painted,
    scenes,
    write_palette,
    write_segformer,
)

# ----------------------------------------------------------------------------------------------------------- the metric


def by_counting(pred: np.ndarray, truth: np.ndarray, classes: int, ignore: int) -> list[float]:
    """Pixel by pixel, class by class."""
    pixels = [(p, t) for p, t in zip(pred.ravel(), truth.ravel(), strict=True) if t != ignore]
    found = []
    for c in range(classes):
        both = sum(p == c and t == c for p, t in pixels)
        either = sum(p == c or t == c for p, t in pixels)
        found.append(both / either if any(t == c for _, t in pixels) else float("nan"))
    return found


@pytest.mark.parametrize(("classes", "ignore", "seed"), [(2, 255, 0), (5, 255, 1), (7, -1, 2)])
def test_mean_iou_is_what_counting_gives_and_scikit_learn(classes: int, ignore: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes - 1, (3, 12, 10))  # the last class is predicted, and not there
    truth[rng.random(truth.shape) < 0.1] = ignore
    pred = np.where(rng.random(truth.shape) < 0.6, truth, rng.integers(0, classes, truth.shape))
    pred[pred == ignore] = 0
    mean, each = mean_iou(pred, truth, classes, ignore)
    expected = by_counting(pred, truth, classes, ignore)
    assert each.tolist() == pytest.approx(expected, nan_ok=True)
    assert mean == pytest.approx(np.nanmean(expected))
    counts = truth != ignore
    present = sorted(set(truth[counts].tolist()))
    theirs = jaccard_score(truth[counts], pred[counts], labels=present, average=None)  # pyright: ignore[reportArgumentType]
    assert each[present].tolist() == pytest.approx(np.asarray(theirs).tolist())
    assert np.isnan(each[classes - 1])


def test_a_perfect_map_is_one_and_the_order_of_images_is_nothing() -> None:
    truth = np.random.default_rng(0).integers(0, 4, (5, 8, 8)).astype(np.uint8)
    assert mean_iou(truth, truth, 4)[0] == 1
    pred = np.roll(truth, 1, 2)
    assert mean_iou(pred, truth, 4)[0] == mean_iou(pred[::-1], truth[::-1], 4)[0] < 1


def test_unknown_predictions_are_wrong_and_ignored_pixels_free() -> None:
    truth = np.array([[[0, 0, 1, 255]]])
    assert mean_iou(np.array([[[0, 9, 1, 0]]]), truth, 2)[1].tolist() == [0.5, 1]
    assert mean_iou(np.array([[[0, IGNORE, 1, 7]]]), truth, 2)[1].tolist() == [0.5, 1]


# ----------------------------------------------------------------------------------------------------------- label maps


def test_a_palette_reads_its_own_colours_and_the_nearest(tmp_path: Path) -> None:
    palette = Palette.load(write_palette(tmp_path / "palette.json"))
    truth = scenes(3, 0)
    assert palette.names == ("sky", "grass", "the moon")
    assert np.array_equal(palette.labels(painted(truth)), truth)
    assert (palette.labels(painted(truth, noise=12)) == truth).mean() > 0.999
    random = np.random.default_rng(0).integers(0, 2, (1, 8, 8, 3), dtype=np.uint8) * 20 + painted(truth[:1, :8, :8])
    by_hand = ((random[..., None, :].astype(int) - palette.colours.astype(int)) ** 2).sum(-1).argmin(-1)
    assert np.array_equal(palette.labels(random), by_hand)


def test_photos_that_are_no_label_maps_are_refused(shared: Path, tmp_path: Path) -> None:
    facades = {
        "wall": [0, 60, 250],
        "background": [0, 0, 215],
        "window": [0, 120, 250],
        "sill": [250, 85, 0],
        "balcony": [195, 250, 55],
        "cornice": [0, 135, 245],
        "shop": [165, 0, 0],
        "pillar": [250, 0, 0],
        "door": [0, 200, 250],
    }
    palette = Palette.load(write_palette(tmp_path / "facades.json", facades))
    pairs = np.stack([read_image(path) for path in list_images(shared / "pairs" / "facades" / "val")[:6]])
    photos, maps = np.split(pairs, 2, axis=2)  # the label map is the right half
    assert len(np.unique(palette.labels(maps))) >= 6
    with pytest.raises(InputError, match="no label maps of this palette"):
        palette.labels(photos)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[1, 2]", "is no palette"),
        ('{"classes": {"road": [1, 2, 3]}}', "two or more"),
        ('{"classes": {"road": [1, 2, 3], "sky": [1, 2]}}', "three whole numbers"),
        ('{"classes": {"road": [1, 2, 3], "sky": [1, 2, 256]}}', "three whole numbers"),
        ('{"classes": {"road": [1, 2, 3], "sky": "blue"}}', "three whole numbers"),
        ('{"classes": {"road": [1, 2, 3], "sky": [1, 2, 3]}}', "'road' and 'sky' have the same colour"),
        ("{", "not JSON"),
    ],
)
def test_a_bad_palette_is_refused(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "palette.json").write_text(text)
    with pytest.raises(InputError, match=words) as error:
        Palette.load(tmp_path / "palette.json")
    assert "\n" not in str(error.value)


def test_labels_meet_the_palettes_classes_by_name() -> None:
    labels = {0: "Building, edifice", 1: "sky", 2: "traffic_light", 3: "door;double door", 4: "pier"}
    names = ("Sky", "edifice", "double-door", "traffic light", "lake")
    assert matches(names, labels).tolist() == [1, 0, 3, 2, IGNORE]
    # The whole name comes before a part of it
    assert matches(("field", "field, grass"), {0: "field, grass", 1: "field"}).tolist() == [1, 0]
    with pytest.raises(InputError, match="no class in common"):
        matches(("road", "car"), labels)


# ------------------------------------------------------------------------------------------------------------ the model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_segformer(tmp_path_factory.mktemp("segformer"))


@pytest.fixture(scope="module")
def segmenter(folder: Path) -> Segmenter:
    return Segmenter(str(folder), "cpu")


def test_a_model_segments_at_the_images_own_size(segmenter: Segmenter, folder: Path) -> None:
    images = painted(scenes(5, 1, size=48), noise=10)
    found = segmenter(images)
    assert found.shape == (5, 48, 48)
    # By the library's own way from the numbers, one image alone
    small = np.asarray(Image.fromarray(images[4]).resize((64, 64), Image.Resampling.BILINEAR)) / 255
    x = (small - np.array(PREPROCESSOR["image_mean"])) / np.array(PREPROCESSOR["image_std"])
    transformers = need_transformers("this test")
    model = transformers.SegformerForSemanticSegmentation.from_pretrained(folder).eval()
    with torch.inference_mode():
        logits = model(pixel_values=torch.from_numpy(x).permute(2, 0, 1)[None].float()).logits
    full = F.interpolate(logits, size=(48, 48), mode="bilinear", align_corners=False)
    assert (found[4] == full.argmax(1)[0].numpy()).mean() > 0.999
    assert len(np.unique(found)) >= 3


def test_label_maps_are_the_truth_where_a_palette_names_them(segmenter: Segmenter, tmp_path: Path) -> None:
    palette = Palette.load(write_palette(tmp_path / "palette.json"))
    labels = scenes(6, 2)
    maps = painted(labels)
    teacher, keeps, moves = (painted(x, noise=20) for x in (labels, labels, np.roll(labels, 16, 2)))
    good = overlaps(segmenter, palette, maps, teacher, keeps)
    bad = overlaps(segmenter, palette, maps, teacher, moves)
    assert good.edit.mean > 0.8 > 0.7 > bad.edit.mean
    assert good.teacher is not None
    assert good.teacher.mean == pytest.approx(good.edit.mean, abs=0.05)
    assert good.photo is None
    assert set(good.edit.classes) == set(COLOURS)
    assert good.edit.mean == pytest.approx(np.mean(list(good.edit.classes.values())))
    assert good.notes == ()


def test_classes_that_the_model_lacks_do_not_count_and_are_named(segmenter: Segmenter, tmp_path: Path) -> None:
    lacks = {"sky": COLOURS["sky"], "lava": COLOURS["grass"], "the moon": COLOURS["the moon"]}
    palette = Palette.load(write_palette(tmp_path / "palette.json", lacks))
    labels = scenes(4, 3)
    found = overlaps(segmenter, palette, painted(labels), painted(labels), painted(labels))
    assert set(found.edit.classes) == {"sky", "the moon"}
    assert found.edit.mean > 0.8
    assert "lava" in found.notes[0]
    only = {"lava": COLOURS["sky"], "rock": COLOURS["grass"], "sea": COLOURS["the moon"]}
    palette = Palette.load(write_palette(tmp_path / "palette.json", only))
    without_moon = painted(np.minimum(labels, 1))
    with pytest.raises(InputError, match=r"no pixel of a class that --segmenter knows \(sea\)"):
        overlaps(segmenter, palette, without_moon, without_moon, without_moon)


def test_a_score_is_the_mean_iou_in_per_cent_with_an_interval_over_images(segmenter: Segmenter, tmp_path: Path) -> None:
    palette = Palette.load(write_palette(tmp_path / "palette.json"))
    scorer = SegmentationScorer(segmenter, palette)
    labels = scenes(8, 5)
    maps = painted(labels)
    edits = painted(np.concatenate([labels[:6], np.roll(labels[6:], 16, 2)]), noise=20)
    score = scorer(edits, maps)
    seen = scorer.classes(edits)
    assert score.value == pytest.approx(100 * mean_iou(seen, labels, 3, IGNORE)[0])
    assert score.value == pytest.approx(100 * overlaps(segmenter, palette, maps, maps, edits).edit.mean)
    assert score.images == 8
    assert str(score) == f"mIoU {score.value:.1f} % [{score.low:.1f}, {score.high:.1f}]"
    # By drawing images, one draw after another
    rng = np.random.default_rng(7)
    drawn = [mean_iou(seen[rows], labels[rows], 3, IGNORE)[0] for rows in rng.integers(8, size=(1000, 8))]
    low, high = np.percentile(drawn, [2.5, 97.5])
    assert (score.low, score.high) == pytest.approx((100 * low, 100 * high), abs=1.5)
    assert score.low < score.value < score.high
    with pytest.raises(InputError, match="mIoU needs at least 2 images, here is 1"):
        scorer(edits[:1], maps[:1])


def test_an_interval_leaves_out_draws_in_which_nothing_counts(segmenter: Segmenter, tmp_path: Path) -> None:
    palette = Palette.load(write_palette(tmp_path / "palette.json", {"sky": [200, 40, 40], "lava": [40, 180, 60]}))
    labels = np.zeros((2, 64, 64), int)
    labels[1] = 1  # of this image no pixel counts
    score = SegmentationScorer(segmenter, palette)(painted(labels), painted(labels))
    assert score.low == score.value == score.high > 0


def test_without_a_palette_the_teachers_segmentation_is_the_truth(segmenter: Segmenter) -> None:
    labels = scenes(4, 4)
    teacher, moved = painted(labels, noise=5), painted(np.roll(labels, 20, 1), noise=5)
    found = overlaps(segmenter, None, moved, teacher, teacher)
    assert found.edit.mean == 1
    assert found.photo is not None
    assert found.photo.mean < 0.8
    assert found.teacher is None
    assert "sea" not in found.edit.classes
    assert "teacher's images" in found.notes[0]


def test_what_is_no_segmentation_model_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(words: str, name: str) -> None:
        with pytest.raises(InputError, match=words) as error:
            Segmenter(name, "cpu")
        assert "\n" not in str(error.value)
        assert "--segmenter" in str(error.value)

    refused("no such folder", str(tmp_path / "none"))
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "preprocessor_config.json").write_text("no json")
    refused("cannot load", str(copy))
    (copy / "preprocessor_config.json").unlink()
    refused("cannot load", str(copy))
    # A backbone alone: the library would draw the head's weights by chance
    transformers = need_transformers("this test")
    backbone = tmp_path / "backbone"
    transformers.SegformerForSemanticSegmentation.from_pretrained(folder).segformer.save_pretrained(backbone)
    shutil.copy(folder / "preprocessor_config.json", backbone)
    refused("not whole", str(backbone))
    from huggingface_hub import constants

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    refused("connect to the hub once", "nvidia/segformer-b0-finetuned-ade-512-512")


def test_models_say_how_they_want_their_images(folder: Path, tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (30, 60, 3), dtype=np.uint8)

    def prepared(settings: dict[str, object]) -> np.ndarray:
        own = tmp_path / f"model{len(list(tmp_path.iterdir()))}"
        shutil.copytree(folder, own)
        (own / "preprocessor_config.json").write_text(json.dumps(settings))
        return Segmenter(str(own), "cpu").processor([image], return_tensors="pt")["pixel_values"].numpy()[0]

    # As published by nvidia/segformer-b0 (a number for the size, no rescaling named)
    old = prepared({"size": 40, "do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3})
    assert old.shape == (3, 40, 40)
    assert -1 <= old.min() < -0.8
    # As published by apple/mobilevit (BGR, the shorter side, no mean), without the crop, which would lose pixels
    mobile = prepared(
        {
            "image_processor_type": "MobileViTImageProcessor",
            "size": {"shortest_edge": 15},
            "resample": 2,
            "do_flip_channel_order": True,
            "do_center_crop": True,
            "crop_size": {"height": 15, "width": 15},
        }
    )
    small = np.asarray(Image.fromarray(image).resize((30, 15), Image.Resampling.BILINEAR))
    assert np.allclose(mobile, small[..., ::-1].transpose(2, 0, 1) / 255, atol=1e-6)
    as_is = prepared({"do_resize": False, "do_rescale": False, "do_normalize": False})
    assert np.array_equal(as_is, image.transpose(2, 0, 1))
