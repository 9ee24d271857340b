"""SqueezeNet 1.1 without its classifier, as a feature network; its weights ship with the package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files as package_files
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from e2gan.core.images import Pixels
from e2gan.core.tensors import read_tensors
from e2gan.features.extractors import FeatureExtractor, Features, checked_weights

SHIPPED = Path(str(package_files("e2gan") / "assets" / "squeezenet" / "squeezenet11.safetensors"))
MOST_BYTES = 32 * 2**20  # of a file: five times what it is in float32
MEAN_BGR = (103.939, 116.779, 123.68)
FIRES = (2, 3, 4, 5, 6, 7, 8, 9)
LEAST = 32  # pixels of a side; below 31 nothing is left for the last pooling


def squeezenet_shapes() -> dict[str, tuple[int, ...]]:
    """Every tensor's name and shape: conv1 gives 64 maps; fires 2 and 3 squeeze to 16, 4 and 5 to 32, …"""
    shapes: dict[str, tuple[int, ...]] = {"conv1.weight": (64, 3, 3, 3), "conv1.bias": (64,)}
    into = 64
    for i in FIRES:
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


def squeezenet_weights(path: Path | None = None) -> dict[str, Tensor]:
    """The network's tensors as float32; None takes those that ship.

    Raises InputError where the file is none, lacks a layer, or has one of another shape (SqueezeNet 1.0).
    """
    path = SHIPPED if path is None else path
    tensors, _ = read_tensors(path, most=MOST_BYTES)
    return checked_weights(tensors, squeezenet_shapes(), path, "SqueezeNet 1.1")


def squeezenet_parts(path: Path | None = None) -> dict[str, Tensor]:
    """What `squeezenet_maps` runs: the network's tensors and, as `mean`, what it subtracts. Raises InputError alike."""
    return squeezenet_weights(path) | {"mean": torch.tensor(MEAN_BGR)[:, None, None]}


def squeezenet_maps(parts: Mapping[str, Tensor], levels: Tensor, layers: Sequence[str]) -> list[Tensor]:
    """The maps of these layers (`conv1`, `fire2` … `fire9`) after their ReLU, each (B, C, H', W').

    levels: (B, 3, H, W), RGB in 0..255, from 32 pixels. Nothing is run beyond the last layer that is asked for.
    """
    x = _conv(parts, levels.flip(1) - parts["mean"], "conv1", stride=2)
    maps = {"conv1": x}
    for i in FIRES:
        if all(layer in maps for layer in layers):
            break
        if i in (2, 4, 6):
            x = F.max_pool2d(x, 3, 2)
        x = _conv(parts, x, f"fire{i}.squeeze1x1")
        wide = _conv(parts, x, f"fire{i}.expand3x3", padding=1)
        maps[f"fire{i}"] = x = torch.cat([_conv(parts, x, f"fire{i}.expand1x1"), wide], 1)
    return [maps[layer] for layer in layers]


def _conv(parts: Mapping[str, Tensor], x: Tensor, layer: str, *, stride: int = 1, padding: int = 0) -> Tensor:
    return F.relu(F.conv2d(x, parts[f"{layer}.weight"], parts[f"{layer}.bias"], stride=stride, padding=padding))


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

    least = LEAST

    def __init__(self, path: Path | None = None) -> None:
        """path: another file than the one that ships. Raises InputError as `squeezenet_weights` does."""
        self.parts = squeezenet_parts(path)

    def extract(self, prepared_NHWC: Pixels) -> Features:
        levels = torch.from_numpy(prepared_NHWC).permute(0, 3, 1, 2).float()
        (maps,) = squeezenet_maps(self.parts, levels, ("fire9",))
        return maps.mean((2, 3)).numpy()
