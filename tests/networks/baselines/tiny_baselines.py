"""Small U-Net and Co-Mod-GAN, and photos with their sepia edits to train them on."""

from __future__ import annotations

import numpy as np
import skimage.data
import torch
from torch import Tensor, nn

from e2gan.networks.baselines.comodgan import ComodganConfig, ComodganDiscriminator
from e2gan.networks.baselines.unet import UNetConfig
from e2gan.train.losses import l1_loss

UNET = UNetConfig(size=32, width=8)
COMODGAN = ComodganConfig(
    size=32, channel_base=1024, channel_max=32, code=64, z_dim=16, w_dim=32, mapping_layers=2, dropout=0.0
)


def pairs(count: int = 4, size: int = 32) -> tuple[Tensor, Tensor]:
    """Crops of real photographs and their sepia edits: (count, 3, size, size) in [-1, 1] each."""
    pictures = [skimage.data.astronaut(), skimage.data.coffee(), skimage.data.chelsea()]
    crops = [pictures[i % 3][8 + 8 * i :, 60 + 8 * i :][: 4 * size : 4, : 4 * size : 4] for i in range(count)]
    photo = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 127.5 - 1
    mixing = torch.tensor([[0.39, 0.77, 0.19], [0.35, 0.69, 0.17], [0.27, 0.53, 0.13]])
    edit = torch.einsum("oc,bchw->bohw", mixing, (photo + 1) / 2).clamp(0, 1) * 2 - 1
    return photo, edit


def small_discriminator() -> ComodganDiscriminator:
    torch.manual_seed(0)
    return ComodganDiscriminator(COMODGAN)


def fit(generator: nn.Module, steps: int, lr: float) -> tuple[float, float]:
    """L1 to the sepia edits before and after so many steps of L1 alone, in training mode."""
    photo, target = pairs()
    optimizer = torch.optim.Adam(generator.parameters(), lr=lr)
    losses = []
    for _ in range(steps + 1):
        loss = l1_loss(generator(photo), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses[0], losses[-1]


def bf16_is_near(network: nn.Module) -> None:
    """Asserts that the network's edits under autocast are near those of fp32."""
    photo, _ = pairs()
    network.eval()
    exact = network(photo)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        coarse = network(photo)
    assert coarse.dtype == torch.float32
    assert (coarse - exact).abs().mean() < 0.01


def chance_is_for_training_only(network: nn.Module, photo: Tensor) -> None:
    """Asserts that edits are the same each time and by themselves, but for the training mode's z."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("noise"):
                parameter.fill_(0.5)
        network.eval()
        edit = network(photo)
        assert torch.equal(edit, network(photo))
        assert torch.allclose(edit[:1], network(photo[:1]), atol=1e-5)  # whatever else is in the batch
        network.train()
        assert (network(photo) - network(photo)).abs().max() > 1e-3  # z
