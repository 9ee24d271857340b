"""Painted label maps, their palette, and a segmentation model that has learnt them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from e2gan.core.images import Pixels
from e2gan.features.hub import need_transformers
from e2gan.measure.segmentation import Overlaps, OverlapTally, Palette, Segmenter, confusions, iou_of

COLOURS = {"sky": [200, 40, 40], "grass": [40, 180, 60], "the moon": [50, 70, 210]}


def write_palette(path: Path, classes: object = COLOURS) -> Path:
    path.write_text(json.dumps({"classes": classes}))
    return path


def scenes(count: int, seed: int, size: int = 64) -> np.ndarray:
    """Label maps (N, size, size): sky above grass, a moon before them."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((size, size))
    found = np.zeros((count, size, size), np.int64)
    for labels in found:
        labels[y > rng.integers(size // 4, 3 * size // 4)] = 1
        row, column = rng.integers(size // 4, 3 * size // 4, 2)
        labels[(y - row) ** 2 + (x - column) ** 2 < rng.integers(size // 6, size // 3) ** 2] = 2
    return found


def painted(labels: np.ndarray, noise: float = 0, seed: int = 0) -> np.ndarray:
    colours = np.array(list(COLOURS.values()), np.float64)[labels]
    return np.clip(colours + np.random.default_rng(seed).normal(0, noise, colours.shape), 0, 255).astype(np.uint8)


PREPROCESSOR = {
    "do_resize": True,
    "size": {"height": 64, "width": 64},
    "resample": 2,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.45, 0.4],
    "image_std": [0.25, 0.2, 0.3],
    "do_reduce_labels": True,
}


def write_segformer(path: Path) -> Path:
    """A Segformer of a few thousand parameters that has learnt the scenes, saved as the published ones are."""
    transformers = need_transformers("this test")
    torch.manual_seed(0)
    config = transformers.SegformerConfig(
        hidden_sizes=[16, 16, 32, 32],
        depths=[1] * 4,
        num_attention_heads=[1, 1, 2, 2],
        decoder_hidden_size=32,
        id2label={0: "THE_MOON", 1: "grass, meadow", 2: "sky", 3: "sea"},  # another order than the palette's
        hidden_dropout_prob=0.0,
        drop_path_rate=0.0,
    )
    model = transformers.SegformerForSemanticSegmentation(config).train()
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    processor = transformers.SegformerImageProcessorPil(**PREPROCESSOR)
    for step in range(45):
        labels = scenes(6, 100 + step)
        x = processor(list(painted(labels, noise=25, seed=step)), return_tensors="pt")["pixel_values"]
        loss = model(pixel_values=x, labels=torch.from_numpy(np.array([2, 1, 0])[labels])).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.save_pretrained(path)
    (path / "preprocessor_config.json").write_text(
        json.dumps(PREPROCESSOR | {"image_processor_type": "SegformerImageProcessor"})
    )
    return path


def mean_iou(
    pred: NDArray[np.integer], truth: NDArray[np.integer], classes: int, ignore: int = 255
) -> tuple[float, NDArray[np.float64]]:
    """Of label maps (N, H, W), over all images together: the mean, and each class's."""
    mean, of_classes = iou_of(confusions(pred[None], truth[None], classes, ignore)[0])
    return float(mean), of_classes


def overlaps(
    segmenter: Segmenter, palette: Palette | None, photos_NHWC: Pixels, targets_NHWC: Pixels, edits_NHWC: Pixels
) -> Overlaps:
    """Of images that are all there."""
    tally = OverlapTally(segmenter, palette)
    tally.add(photos_NHWC, targets_NHWC, edits_NHWC)
    return tally.found()
