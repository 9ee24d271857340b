"""Diffusion models of random weights at their smallest, of the libraries' own classes, saved as published ones are."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch

from e2gan.features.hub import need_transformers
from e2gan.teachers.diffusion.pipelines import need_diffusers
from tests.tiny_clip import write_tokenizer

WIDTH = 16
Safety = Literal["none", "passes", "flags"]


def write_stable_diffusion(
    folder: Path, kind: str = "StableDiffusionPipeline", *, safety: Safety = "none", seed: int = 0
) -> Path:
    """A Stable Diffusion 1.x, as the pipeline class `kind` of diffusers saves it: sides are multiples of 2.

    safety: no safety checker, one that lets everything pass, or one that flags everything.
    """
    diffusers, transformers = need_diffusers("this test"), need_transformers("this test")
    torch.manual_seed(seed)
    parts: dict[str, Any] = {
        "vae": tiny_vae(),
        "unet": tiny_unet(8 if "InstructPix2Pix" in kind else 4),
        "scheduler": tiny_scheduler(),
        **tiny_text(folder.with_name(folder.name + "-words")),
    }
    checker = None if safety == "none" else _safety_checker(flags=safety == "flags")
    extractor = transformers.CLIPImageProcessor(size=32, crop_size=32)
    pipeline = getattr(diffusers, kind)(
        **parts, safety_checker=checker, feature_extractor=extractor, requires_safety_checker=checker is not None
    )
    pipeline.save_pretrained(folder)
    return folder


def tiny_scheduler() -> Any:
    """Stable Diffusion 1.x's own."""
    diffusers = need_diffusers("this test")
    return diffusers.PNDMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True, steps_offset=1
    )


def tiny_text(folder: Path, width: int = WIDTH) -> dict[str, Any]:
    """A CLIP text encoder with its tokenizer, whose two files are put into the folder."""
    transformers = need_transformers("this test")
    folder.mkdir(parents=True, exist_ok=True)
    words = write_tokenizer(folder)
    config = transformers.CLIPTextConfig(
        vocab_size=words,
        hidden_size=width,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        projection_dim=width,
        bos_token_id=words - 2,
        eos_token_id=words - 1,
        pad_token_id=words - 1,
        initializer_factor=8.0,  # larger than usual, so that random networks tell their inputs apart
    )
    tokenizer = transformers.CLIPTokenizer.from_pretrained(folder, model_max_length=config.max_position_embeddings)
    return {"text_encoder": transformers.CLIPTextModel(config), "tokenizer": tokenizer}


def tiny_vae(widths: tuple[int, ...] = (8, 16), **more: Any) -> Any:
    diffusers = need_diffusers("this test")
    return diffusers.AutoencoderKL(
        block_out_channels=widths,
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
        **{"latent_channels": 4, "norm_num_groups": 4, "sample_size": 32} | more,
    )


def tiny_unet(in_channels: int = 4, **more: Any) -> Any:
    diffusers = need_diffusers("this test")
    return diffusers.UNet2DConditionModel(in_channels=in_channels, out_channels=4, **_unet_shape() | more)


def tiny_controlnet() -> Any:
    """A ControlNet of `tiny_unet` whose zero convolutions have left zero, as after training."""
    diffusers = need_diffusers("this test")
    shape = {name: value for name, value in _unet_shape().items() if name not in ("up_block_types", "sample_size")}
    net = diffusers.ControlNetModel(conditioning_embedding_out_channels=(8, 16), **shape)
    with torch.no_grad():
        for name, weights in net.named_parameters():
            if "controlnet" in name:
                weights.normal_(std=0.5 if "embedding" in name else 0.02)
    return net


def _unet_shape() -> dict[str, Any]:
    return {
        "block_out_channels": (8, 16),
        "layers_per_block": 1,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "cross_attention_dim": WIDTH,
        "attention_head_dim": 4,
        "norm_num_groups": 4,
        "sample_size": 16,
    }


def _safety_checker(*, flags: bool) -> Any:
    transformers = need_transformers("this test")
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker

    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision |= {"image_size": 32, "patch_size": 16, "projection_dim": 8}
    checker = StableDiffusionSafetyChecker(transformers.CLIPConfig(vision_config=vision, projection_dim=8))
    for name, value in checker.named_parameters():
        if name.endswith("_weights"):  # the cosine above which a concept counts as seen
            value.data.fill_(-2.0 if flags else 2.0)
    return checker


def write_depth(folder: Path, kind: Literal["dpt", "hybrid", "depth_anything"] = "dpt", seed: int = 0) -> Path:
    """A depth estimator of transformers for images around 32 pixels (depth_anything: 28, in patches of 14)."""
    transformers = need_transformers("this test")
    torch.manual_seed(seed)
    # Larger weights than usual, so that random networks tell their inputs apart.
    vit = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2}
    vit |= {"initializer_range": 0.15}
    if kind == "depth_anything":
        backbone = transformers.Dinov2Config(
            **{k: v for k, v in vit.items() if k != "intermediate_size"},
            mlp_ratio=1,
            image_size=28,
            patch_size=14,
            out_indices=[1, 2, 3, 4],
            reshape_hidden_states=False,
        )
        config = transformers.DepthAnythingConfig(
            backbone_config=backbone,
            initializer_range=0.15,
            reassemble_hidden_size=16,
            patch_size=14,
            neck_hidden_sizes=[8, 8, 8, 8],
            fusion_hidden_size=8,
            head_hidden_size=8,
        )
        transformers.DepthAnythingForDepthEstimation(config).save_pretrained(folder)
        return folder
    shape: dict[str, Any] = vit | {"image_size": 32, "fusion_hidden_size": 8, "backbone_out_indices": [0, 1, 2, 3]}
    if kind == "hybrid":
        bit = {"model_type": "bit", "embedding_size": 8, "hidden_sizes": [16, 16, 16], "depths": [1, 1, 1]}
        bit |= {"layer_type": "bottleneck", "out_features": ["stage1", "stage2", "stage3"], "num_groups": 4}
        shape |= {"is_hybrid": True, "backbone_config": bit, "backbone_featmap_shape": [1, 16, 2, 2], "patch_size": 16}
        shape |= {"neck_hidden_sizes": [16, 16, 8, 8], "neck_ignore_stages": [0, 1], "readout_type": "project"}
    else:
        shape |= {"is_hybrid": False, "patch_size": 8, "neck_hidden_sizes": [8, 8, 8, 8]}
    transformers.DPTForDepthEstimation(transformers.DPTConfig(**shape)).save_pretrained(folder)
    return folder
