"""Distances between sets of images, in the features of a network.

`fd-random` is a Fréchet distance on a fixed random network, `fd-squeezenet` one on SqueezeNet 1.1. Neither is FID,
which is the same distance on Inception-v3's features.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from e2gan.errors import InputError
from e2gan.files import read_tensors
from e2gan.images import Pixels

__all__ = ["Distance", "Extractor", "SqueezeNetFeatures", "frechet_distance", "frechet_interval", "kernel_distance"]
__all__ += ["random_features"]

Features = NDArray[np.float64]
Extractor = Callable[[Pixels], NDArray[np.float32]]
CHUNK = 32  # images that run through a feature network together


@dataclass(frozen=True)
class Distance:
    """A Fréchet distance with its 95 % bootstrap interval, the kernel distance (KID) beside it, and the images seen."""

    frechet: float
    low: float
    high: float
    kernel: float
    images: int
    dimensions: int


def frechet_distance(a: NDArray, b: NDArray) -> float:
    """Fréchet distance of two feature sets (N, D), (M, D), each taken as a Gaussian with its sample covariance.

    The trace of the root of the covariances' product is the nuclear norm of X_a X_bᵀ, where the rows of X are the
    centred features over √(n - 1): min(N, M, D) decides the cost, and no D×D root is taken where N or M is smaller.
    Raises InputError for fewer than two images a set, different D, or features that are not finite.
    """
    a, b = _checked(a), _checked(b)
    if a.shape[1] != b.shape[1]:
        raise InputError(f"features of {a.shape[1]} and {b.shape[1]} dimensions cannot be compared")
    mean_a, mean_b = a.mean(0), b.mean(0)
    x, y = (a - mean_a) / np.sqrt(len(a) - 1), (b - mean_b) / np.sqrt(len(b) - 1)
    # Orthogonal factors change no nuclear norm: tall matrices shrink to their triangular one.
    root = np.linalg.svd(_short(x) @ _short(y).T, compute_uv=False).sum()
    squares = float((x**2).sum() + (y**2).sum() - 2 * root)
    return max(0.0, float(((mean_a - mean_b) ** 2).sum()) + squares)


def _short(x: Features) -> Features:
    return np.asarray(np.linalg.qr(x, mode="r")) if len(x) > x.shape[1] else x


def _checked(features: NDArray) -> Features:
    features = np.asarray(features, np.float64)
    if features.ndim != 2 or len(features) < 2:
        raise InputError(f"a Fréchet distance needs at least 2 images a set, here are {len(features)}")
    if not np.isfinite(features).all():
        raise InputError("the features are not finite: the feature network's file is damaged, or the images are")
    return features


def frechet_interval(a: NDArray, b: NDArray, draws: int = 40, seed: int = 0) -> tuple[float, float]:
    """95 % interval of the Fréchet distance by bootstrap draws of both sets, each of its own size.

    A draw repeats images, which moves the distance up where images are few. That shift, the draws' mean less the
    distance, is taken out of the percentiles; the distance's own bias with few images is not.
    """
    rng = np.random.default_rng(seed)
    found = [
        frechet_distance(a[rng.integers(len(a), size=len(a))], b[rng.integers(len(b), size=len(b))])
        for _ in range(draws)
    ]
    centred = np.array(found) - np.mean(found) + frechet_distance(a, b)
    low, high = np.percentile(centred, [2.5, 97.5])
    return max(0.0, float(low)), float(high)


def kernel_distance(a: NDArray, b: NDArray) -> float:
    """KID: the unbiased squared maximum mean discrepancy under the kernel (x·y/D + 1)³. It may come out negative."""
    a, b = _checked(a), _checked(b)

    def kernel(x: Features, y: Features) -> Features:
        return (x @ y.T / x.shape[1] + 1) ** 3

    def within(x: Features) -> float:
        k = kernel(x, x)
        return float((k.sum() - np.trace(k)) / (len(x) * (len(x) - 1)))

    return within(a) + within(b) - 2 * float(kernel(a, b).mean())


def distance(a: NDArray, b: NDArray) -> Distance:
    low, high = frechet_interval(a, b)
    return Distance(frechet_distance(a, b), low, high, kernel_distance(a, b), len(a), a.shape[1])


def random_features(images_NHWC: Pixels) -> NDArray[np.float32]:
    """Features (N, 352) of uint8 images (N, H, W, 3), at least 16 pixels a side, in a fixed random network.

    Four 3×3 convolutions at stride 2, the mean and the standard deviation of each map, and the colours' own. The
    weights come from NumPy's PCG64, so that no version of PyTorch changes them.
    """
    return _in_chunks(images_NHWC, _random_network)


@functools.cache
def _random_weights() -> list[Tensor]:
    rng = np.random.Generator(np.random.PCG64(20240721))
    sizes = [(3, 24), (24, 40), (40, 48), (48, 61)]
    return [
        torch.from_numpy(rng.standard_normal((out, into, 3, 3), np.float32) * np.float32((2 / (9 * into)) ** 0.5))
        for into, out in sizes
    ]


def _random_network(x: Tensor) -> Tensor:
    x = x / 127.5 - 1
    found = [*_moments(x)]
    for weight in _random_weights():
        x = F.relu(F.conv2d(x, weight, stride=2, padding=1))
        found += _moments(x)
    return torch.cat(found, 1)


def _moments(x: Tensor) -> Iterator[Tensor]:
    yield x.mean((2, 3))
    yield x.std((2, 3), correction=0)


def _in_chunks(images: Pixels, network: Callable[[Tensor], Tensor]) -> NDArray[np.float32]:
    with torch.inference_mode():
        parts = torch.from_numpy(np.ascontiguousarray(images)).split(CHUNK)
        return torch.cat([network(part.permute(0, 3, 1, 2).float()) for part in parts]).numpy()


class SqueezeNetFeatures:
    """SqueezeNet 1.1 without its classifier (ImageNet), from a safetensors file with PyTorch's layout of kernels.

    images: uint8 (N, H, W, 3) RGB of any size from 32 pixels; returns (N, 512) float32, the mean of fire9's maps.
    Preprocessing: BGR, the ImageNet mean subtracted, no scaling. So do the weights' publisher and the Caffe network
    that they were converted from. With inputs scaled to ±1 instead, photos of a kind are hardly told apart.
    """

    MEAN_BGR = (103.939, 116.779, 123.68)
    FIRES = (2, 3, 4, 5, 6, 7, 8, 9)

    def __init__(self, path: Path) -> None:
        """Raises InputError where the file is none, or lacks a layer."""
        self.weights, _ = read_tensors(path)
        layers = [f"fire{i}.{part}" for i in self.FIRES for part in ("squeeze1x1", "expand1x1", "expand3x3")]
        for layer in ("conv1", *layers):
            if not {f"{layer}.weight", f"{layer}.bias"} <= self.weights.keys():
                raise InputError(f"{path} is not SqueezeNet 1.1: it has no weights for {layer}")

    def __call__(self, images_NHWC: Pixels) -> NDArray[np.float32]:
        return _in_chunks(images_NHWC, self._network)

    def _network(self, x: Tensor) -> Tensor:
        x = x.flip(1) - torch.tensor(self.MEAN_BGR)[:, None, None]
        x = F.max_pool2d(self._conv(x, "conv1", stride=2), 3, 2)
        for i in self.FIRES:
            x = self._conv(x, f"fire{i}.squeeze1x1")
            x = torch.cat([self._conv(x, f"fire{i}.expand1x1"), self._conv(x, f"fire{i}.expand3x3", padding=1)], 1)
            if i in (3, 5):
                x = F.max_pool2d(x, 3, 2)
        return x.mean((2, 3))

    def _conv(self, x: Tensor, layer: str, *, stride: int = 1, padding: int = 0) -> Tensor:
        weight, bias = self.weights[f"{layer}.weight"], self.weights[f"{layer}.bias"]
        return F.relu(F.conv2d(x, weight, bias, stride=stride, padding=padding))
