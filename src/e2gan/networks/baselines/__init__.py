"""The networks that the paper compares with, and their losses (Tab. 1, Tab. 8).

pix2pix with 9 residual blocks is the project's own generator (`e2gan.config.PIX2PIX`); here are pix2pix's U-Net,
Co-Mod-GAN, and the contrastive loss for training without pairs.
"""

from __future__ import annotations

from e2gan.networks.baselines.comodgan import ComodganConfig, ComodganDiscriminator, ComodganGenerator
from e2gan.networks.baselines.patchnce import PatchNCE, UnpairedDiscriminator
from e2gan.networks.baselines.unet import UNet, UNetConfig

__all__ = [
    "ComodganConfig",
    "ComodganDiscriminator",
    "ComodganGenerator",
    "PatchNCE",
    "UNet",
    "UNetConfig",
    "UnpairedDiscriminator",
]
