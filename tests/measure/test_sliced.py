"""The sliced Wasserstein distance: zero for the same, SciPy's along a direction, blind to no colour or sharpness."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.stats import wasserstein_distance

from e2gan.core.errors import InputError
from e2gan.data.builtin_photos import builtin_pictures
from e2gan.measure.evaluate import metrics
from e2gan.measure.metrics import METRICS, MetricScorer, NetworkOptions
from e2gan.measure.sliced import DIRECTIONS, MOST, PATCHES, fewer_patches, patch_projections, pyramid, sliced_distance


@pytest.fixture(scope="module")
def photos() -> np.ndarray:
    """(12, 64, 64, 3) crops of the built-in pictures."""
    pictures = list(builtin_pictures().values())
    return np.stack([pictures[i % len(pictures)][40 + i : 104 + i, 50 : 50 + 64] for i in range(12)])


def swd(edits: np.ndarray, targets: np.ndarray) -> float:
    return sliced_distance(patch_projections(edits), patch_projections(targets)).value


def test_the_same_images_are_no_distance_apart(photos: np.ndarray) -> None:
    found = sliced_distance(patch_projections(photos), patch_projections(photos.copy()))
    assert (found.value, found.low, found.high) == pytest.approx((0, 0, 0), abs=1e-6)
    assert found.images == 12


def test_of_one_level_it_is_the_mean_of_the_distances_along_each_direction(photos: np.ndarray) -> None:
    a, b = (patch_projections(x[:, :16, :16]) for x in (photos, 255 - photos[:7]))  # 16 pixels have one level
    along = [x.reshape(-1, DIRECTIONS) for x in (a, b)]
    expected = np.mean([wasserstein_distance(along[0][:, i], along[1][:, i]) for i in range(DIRECTIONS)])
    found = sliced_distance(a, b, paired=False)
    assert found.value == pytest.approx(expected / along[1].std(0).mean(), rel=1e-4)
    assert found.low < found.value < found.high


def test_it_sees_sharpness_and_colour_and_more_of_more(photos: np.ndarray) -> None:
    blurred = [np.stack([gaussian_filter(photo, (s, s, 0)) for photo in photos]) for s in (0.5, 1, 2)]
    order = [swd(x, photos) for x in blurred]
    assert 0.01 < order[0] < order[1] < order[2]
    tinted = [np.clip(photos.astype(int) + [k, 0, -k], 0, 255).astype(np.uint8) for k in (5, 20)]
    assert 0.01 < swd(tinted[0], photos) < swd(tinted[1], photos)


def test_targets_of_one_colour_are_not_infinitely_far(photos: np.ndarray) -> None:
    assert np.isfinite(swd(photos, np.full_like(photos, 128)))


def test_the_interval_of_pairs_is_narrower_than_of_sets(photos: np.ndarray) -> None:
    a, b = patch_projections(255 - photos), patch_projections(np.clip(255.0 - photos + 9, 0, 255).astype(np.uint8))
    paired, apart = (sliced_distance(a, b, paired=paired) for paired in (True, False))
    assert paired.value == apart.value
    assert paired.low <= paired.value <= paired.high
    assert paired.high - paired.low < apart.high - apart.low
    with pytest.raises(InputError, match="are not pairs"):
        sliced_distance(a, b[:5])


@pytest.mark.parametrize(("size", "levels"), [(7, 1), (31, 1), (32, 2), (66, 3), (128, 4)])
def test_each_level_is_projected_and_the_pyramid_loses_nothing(size: int, levels: int) -> None:
    x = torch.rand(2, 3, size, size) * 255
    found = pyramid(x)
    assert len(found) == levels
    for level in reversed(found[:-1]):
        up = torch.nn.functional.interpolate(found[-1], size=level.shape[2:], mode="bilinear", align_corners=False)
        found[-1] = up + level
    assert torch.allclose(found[-1], x, atol=1e-3)
    pixels = x.permute(0, 2, 3, 1).to(torch.uint8).numpy()
    assert patch_projections(pixels).shape == (2, levels, PATCHES, DIRECTIONS)


def test_of_many_images_each_has_fewer_patches(photos: np.ndarray) -> None:
    before, after = patch_projections(photos), patch_projections(255 - photos)
    assert np.array_equal(fewer_patches(before, MOST // PATCHES), before)
    few = fewer_patches(before, MOST // 16)
    assert np.array_equal(few, before[:, :, :16])
    assert fewer_patches(before, 10 * MOST).shape[2] == 1
    whole, part = sliced_distance(before, after), sliced_distance(few, fewer_patches(after, MOST // 16))
    assert part.value == pytest.approx(whole.value, rel=0.3)
    with pytest.raises(InputError, match="cannot be compared"):
        sliced_distance(before, few)


def test_it_is_a_metric_by_name(photos: np.ndarray) -> None:
    blurred = np.stack([gaussian_filter(photo, (1, 1, 0)) for photo in photos]).astype(np.uint8)
    expected = sliced_distance(patch_projections(blurred), patch_projections(photos))
    score = MetricScorer("swd", NetworkOptions())(blurred, photos)
    assert (score.value, score.low, score.high) == (expected.value, expected.low, expected.high)
    assert (score.kernel, score.images, score.higher_is_better) == (None, 12, False)
    assert metrics(blurred, photos, {"swd": METRICS["swd"].load(NetworkOptions())}).swd == expected
