"""SqueezeNet 1.1 without its classifier, as a feature network."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from e2gan.core.files import read_tensors
from e2gan.core.images import Pixels
from e2gan.features.extractors import FeatureExtractor, Features, checked_weights, normalised


class SqueezeNetFeatures(FeatureExtractor):
    """SqueezeNet 1.1 without its classifier (ImageNet), from a safetensors file with PyTorch's layout of kernels.

    Images at their own size, from 32 pixels, to 512 features: the mean of fire9's maps.
    Preprocessing: BGR, the ImageNet mean subtracted, no scaling. So says rcmalli/keras-squeezenet, whose weights are
    converted from the Caffe network (its first README's means are 104.006, 116.669, 122.679; later it takes Keras's
    `imagenet_utils.preprocess_input`, whose means these are); DeepCognition/keras-squeezenet imports the same function.
    Checked on 450 photographs, faces, landscapes and BSDS: of all six orders of channels BGR makes fire9's features the
    sparsest in each set, and so do the kernels as they are against kernels turned by 180°, as Theano's would be.
    With inputs scaled to ±1 or 0..1, 19 and 34 % of the features are the same for every photo; unscaled, none.
    """

    MEAN_BGR = (103.939, 116.779, 123.68)
    FIRES = (2, 3, 4, 5, 6, 7, 8, 9)
    least = 32  # pixels; below 31 nothing is left for the last pooling

    def __init__(self, path: Path) -> None:
        """Raises InputError where the file is none, lacks a layer, or has one of another shape (SqueezeNet 1.0)."""
        tensors, _ = read_tensors(path)
        self.weights = checked_weights(tensors, self._shapes(), path, "SqueezeNet 1.1")

    def extract(self, prepared_NHWC: Pixels) -> Features:
        x = normalised(prepared_NHWC[..., ::-1], self.MEAN_BGR, (1, 1, 1), factor=1)
        x = F.max_pool2d(self._conv(x, "conv1", stride=2), 3, 2)
        for i in self.FIRES:
            x = self._conv(x, f"fire{i}.squeeze1x1")
            x = torch.cat([self._conv(x, f"fire{i}.expand1x1"), self._conv(x, f"fire{i}.expand3x3", padding=1)], 1)
            if i in (3, 5):
                x = F.max_pool2d(x, 3, 2)
        return x.mean((2, 3)).numpy()

    @classmethod
    def _shapes(cls) -> dict[str, tuple[int, ...]]:
        """Every tensor's name and shape: conv1 gives 64 maps; fires 2 and 3 squeeze to 16, 4 and 5 to 32, …"""
        shapes: dict[str, tuple[int, ...]] = {"conv1.weight": (64, 3, 3, 3), "conv1.bias": (64,)}
        into = 64
        for i in cls.FIRES:
            squeezed = 16 * (i // 2)
            expanded = 4 * squeezed
            for part, shape in (
                ("squeeze1x1", (squeezed, into, 1, 1)),
                ("expand1x1", (expanded, squeezed, 1, 1)),
                ("expand3x3", (expanded, squeezed, 3, 3)),
            ):
                shapes[f"fire{i}.{part}.weight"], shapes[f"fire{i}.{part}.bias"] = shape, shape[:1]
            into = 2 * expanded
        return shapes

    def _conv(self, x: Tensor, layer: str, *, stride: int = 1, padding: int = 0) -> Tensor:
        weight, bias = self.weights[f"{layer}.weight"], self.weights[f"{layer}.bias"]
        return F.relu(F.conv2d(x, weight, bias, stride=stride, padding=padding))
