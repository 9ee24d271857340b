"""Feature networks: what they are, and the one that needs no weights."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from e2gan.core.images import Pixels

__all__ = ["Extractor", "Once", "random_features"]

Extractor = Callable[[Pixels], NDArray[np.float32]]
CHUNK = 32 * 256 * 256  # pixels that run through a feature network together


class Once:
    """A feature network that sees each stack of images once, whatever asks for its features."""

    def __init__(self, network: Extractor) -> None:
        self.network = network
        self.seen: list[tuple[Pixels, NDArray[np.float32]]] = []

    def __call__(self, images_NHWC: Pixels) -> NDArray[np.float32]:
        for images, features in self.seen:
            if images is images_NHWC:
                return features
        self.seen.append((images_NHWC, self.network(images_NHWC)))
        return self.seen[-1][1]


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


def _in_chunks(images_NHWC: Pixels, network: Callable[[Tensor], Tensor]) -> NDArray[np.float32]:
    height, width = images_NHWC.shape[1:3]
    together = max(1, CHUNK // (height * width))
    found = []
    with torch.inference_mode():
        for start in range(0, len(images_NHWC), together):
            part = torch.from_numpy(np.array(images_NHWC[start : start + together]))  # a copy: it may be read-only
            found.append(network(part.permute(0, 3, 1, 2).float()))
    return torch.cat(found).numpy()
