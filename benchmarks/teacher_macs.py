"""Multiply-accumulates of one pass through a diffusion teacher's network, for src/e2gan/measure/plan.toml.

    python benchmarks/teacher_macs.py [--out teacher_macs.json]

The networks are diffusers' own classes, built from the settings below without weights (on PyTorch's meta device, which
has shapes and no numbers), and counted by PyTorch's counter, attention included. What the settings are from stands
beside them. A pass is of one photo at the side that the preset works at.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import diffusers as library
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from e2gan.core.files import write_json

diffusers: Any = library  # its lazy exports are unknown to type checkers
SD15 = {"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8}  # unet/config.json of the checkpoint
SDXL = {  # unet/config.json of stabilityai/stable-diffusion-xl-base-1.0
    "sample_size": 128,
    "cross_attention_dim": 2048,
    "attention_head_dim": [5, 10, 20],
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": [1, 2, 10],
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}


def counted(network: torch.nn.Module, *arguments: Any, **more: Any) -> dict[str, float]:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network.eval()(*arguments, **more)
    weights = sum(p.numel() for p in network.parameters())
    return {"gmacs": round(counter.get_total_flops() / 2e9, 1), "parameters": weights}


def unet(settings: dict[str, Any], side: int, channels: int = 4) -> dict[str, float]:
    network = diffusers.UNet2DConditionModel(in_channels=channels, **settings)
    more: dict[str, Any] = {}
    if "addition_embed_type" in settings:
        more["added_cond_kwargs"] = {"text_embeds": torch.empty(1, 1280), "time_ids": torch.empty(1, 6)}
    return counted(
        network, torch.empty(1, channels, side, side), 1, torch.empty(1, 77, settings["cross_attention_dim"]), **more
    )


def controlnet() -> dict[str, float]:
    network = diffusers.ControlNetModel(cross_attention_dim=768, attention_head_dim=8)
    latent, picture = torch.empty(1, 4, 64, 64), torch.empty(1, 3, 512, 512)
    return counted(network, latent, 1, torch.empty(1, 77, 768), picture)


def places(count: int, axes: int) -> Tensor:
    return torch.zeros(count, axes)


def flux_kontext() -> dict[str, float]:
    """Its own defaults are FLUX.1's. 4,096 tokens of the edit, as many of the photo, 512 of the prompt."""
    network = diffusers.FluxTransformer2DModel(guidance_embeds=True)
    return counted(
        network,
        hidden_states=torch.empty(1, 8192, 64),
        encoder_hidden_states=torch.empty(1, 512, 4096),
        pooled_projections=torch.empty(1, 768),
        timestep=torch.empty(1),
        img_ids=places(8192, 3),
        txt_ids=places(512, 3),
        guidance=torch.empty(1),
    )


def flux2_klein() -> dict[str, float]:
    """The 4B form: 5 blocks of two streams, 20 of one, 24 heads of 128, a text of 7,680; 512 tokens of the prompt."""
    network = diffusers.Flux2Transformer2DModel(
        num_layers=5, num_single_layers=20, num_attention_heads=24, joint_attention_dim=7680, guidance_embeds=False
    )
    return counted(
        network,
        hidden_states=torch.empty(1, 8192, 128),
        encoder_hidden_states=torch.empty(1, 512, 7680),
        timestep=torch.empty(1),
        img_ids=places(8192, 4),
        txt_ids=places(512, 4),
        guidance=None,
    )


def qwen_edit() -> dict[str, float]:
    """Its own defaults are Qwen-Image's. 4,096 tokens of the edit, as many of the photo, 512 of prompt and photo."""
    return counted(
        diffusers.QwenImageTransformer2DModel(),
        hidden_states=torch.empty(1, 8192, 64),
        encoder_hidden_states=torch.empty(1, 512, 3584),
        encoder_hidden_states_mask=torch.ones(1, 512),
        timestep=torch.empty(1),
        img_shapes=[[(1, 64, 64), (1, 64, 64)]],
    )


def longcat() -> dict[str, float]:
    """Half of FLUX.1's blocks, 10 and 20, which come to the published 6 B. Tokens as flux-kontext's."""
    return counted(
        diffusers.LongCatImageTransformer2DModel(num_layers=10, num_single_layers=20),
        hidden_states=torch.empty(1, 8192, 64),
        encoder_hidden_states=torch.empty(1, 512, 3584),
        timestep=torch.empty(1),
        img_ids=places(8192, 3),
        txt_ids=places(512, 3),
    )


NETWORKS: dict[str, Callable[[], dict[str, float]]] = {
    "Stable Diffusion 1.x, 512": lambda: unet(SD15, 64),
    "InstructPix2Pix and InstructDiffusion, 512": lambda: unet(SD15, 64, 8),
    "ControlNet of Stable Diffusion 1.5, 512": controlnet,
    "SDXL, 1024": lambda: unet(SDXL, 128),
    "SDXL, 512": lambda: unet(SDXL, 64),
    "FLUX.1 Kontext, 1024": flux_kontext,
    "FLUX.2 klein 4B, 1024": flux2_klein,
    "Qwen-Image-Edit, 1024": qwen_edit,
    "LongCat-Image-Edit, 1024": longcat,
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON with every row")
    options = parser.parse_args(arguments)
    rows = {}
    for name, count in NETWORKS.items():
        with torch.device("meta"):
            rows[name] = count()
        print(f"{name}: {json.dumps(rows[name])}", flush=True)
    if options.out:
        write_json(options.out, rows)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
