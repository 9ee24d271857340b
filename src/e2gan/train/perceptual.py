"""A perceptual loss: edit and target compared in SqueezeNet's features, at each place or by their Gram matrices.

Not in the paper. After LPIPS (Zhang et al. 2018) without its learned weights, and Gatys et al. (2016), whose Gram
matrices here are those of the pair's own target, not of one style image.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from e2gan.core.images import Pixels
from e2gan.features.squeezenet import squeezenet_maps, squeezenet_parts
from e2gan.networks.pixels import from_pixels

LAYERS = ("conv1", "fire3", "fire5", "fire7")
EPS = 1e-6  # the least length that counts as one


NETWORK: dict[torch.device, dict[str, Tensor]] = {}


def load_network(device: torch.device) -> None:
    """SqueezeNet, frozen, float32, once a device. The first maps load it by themselves; a function that is compiled
    wants it loaded before, since reading a file breaks it into pieces."""
    if device not in NETWORK:
        with torch.inference_mode(False):  # of which tensors are no good for a training, and these are kept
            NETWORK[device] = {name: tensor.to(device) for name, tensor in squeezenet_parts().items()}


def perceptual_maps(images: Tensor) -> list[Tensor]:
    """Images (B, 3, H, W) in [-1, 1], from 32 pixels, to the maps of `LAYERS`, float32, channels last.

    In float32 throughout: in bf16 it takes as long on a CPU, and the gradient is another one (cosine 0.97). The layout
    is what pools and sums over channels are fast in: half of the loss's time on a CPU (docs/log.md).
    """
    levels = 127.5 * (images.float() + 1)
    load_network(images.device)
    return squeezenet_maps(NETWORK[images.device], levels.contiguous(memory_format=torch.channels_last), LAYERS)


def maps_of_pictures(pictures_NHWC: Pixels) -> list[Tensor]:
    """As `perceptual_maps`, of uint8 (N, H, W, 3), on the CPU."""
    images = torch.from_numpy(np.ascontiguousarray(pictures_NHWC)).permute(0, 3, 1, 2)
    return perceptual_maps(from_pixels(images))


def perceptual_loss(edit_maps: list[Tensor], target_maps: list[Tensor]) -> Tensor:
    """Squared distance of the maps' vectors, each of unit length, at each pixel; mean over pixels, sum over layers: 0
    for the same image, 8 at most."""
    return torch.stack([_distance(a, b).mean() for a, b in zip(edit_maps, target_maps, strict=True)]).sum()


def _distance(a: Tensor, b: Tensor) -> Tensor:
    """|u - v|² = |u|² + |v|² - 2·u·v of the vectors of unit length, (B, C, H, W) twice to (B, H, W), without making
    them: maps are large, and their sums over channels are not. A vector of zeros stays one."""
    aa, bb, ab = a.square().sum(1), b.square().sum(1), (a * b).sum(1)
    scale_a, scale_b = (squares.clamp_min(EPS**2).rsqrt() for squares in (aa, bb))
    return aa * scale_a**2 + bb * scale_b**2 - 2 * ab * scale_a * scale_b


def gram_loss(edit_maps: list[Tensor], target_maps: list[Tensor]) -> Tensor:
    """Squared distance of each image's Gram matrices, mean over the batch, sum over layers.

    A matrix is the mean over pixels of the unit vector's products, so that its trace is 1 in every layer: what occurs
    together counts, not where.
    """
    distances = [(gram(a) - gram(b)).square().sum((1, 2)).mean() for a, b in zip(edit_maps, target_maps, strict=True)]
    return torch.stack(distances).sum()


def gram(maps: Tensor) -> Tensor:
    """(B, C, H, W) → (B, C, C): the products of channels, mean over pixels, each pixel's vector of unit length."""
    x = F.normalize(maps, dim=1, eps=EPS).flatten(2)
    return x @ x.mT / x.shape[2]
