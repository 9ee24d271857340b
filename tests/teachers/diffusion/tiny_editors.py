"""Today's editing pipelines, tiny and randomly initialised, in folders as the hub has them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from e2gan.features.hub import need_transformers
from e2gan.teachers.diffusion.pipelines import need_diffusers

__all__ = ["BUILDERS", "write_editor", "write_lora"]

diffusers, transformers = need_diffusers("this test"), need_transformers("this test")

TEXT = (
    "make it autumn, as a painting by van Gogh, in deep snow at dusk",
    "Describe the key features of the input image (color, shape, size, texture, objects, background)",
    "Given a user prompt, generate an enhanced prompt that provides detailed visual descriptions",
    "the quick brown fox jumps over the lazy dog; 0123456789 ABCDEFGHIJKLMNOPQRSTUVWXYZ !?'\"[]<>|",
)
QWEN = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>")
QWEN += ("<|vision_pad|>", "<|image_pad|>", "<|video_pad|>")
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
DOWN, UP = "DownEncoderBlock2D", "UpDecoderBlock2D"
VIDEO = {"video_processor_type": "Qwen2VLVideoProcessor", "patch_size": 4, "merge_size": 2}


def write_editor(name: str, folder: Path) -> Path:
    """The tiny model of a preset in a folder; the same weights each time."""
    torch.manual_seed(0)
    BUILDERS[name](folder)
    return folder


def write_lora(model: Path, folder: Path, file: str | None) -> Path:
    """A LoRA of rank 1 for the transformer of a tiny Qwen-Image-Edit, as diffusers names its parts."""
    from safetensors.torch import save_file

    transformer = diffusers.QwenImageTransformer2DModel.from_pretrained(model, subfolder="transformer")
    width, rng = transformer.inner_dim, torch.Generator().manual_seed(0)
    weights = {}
    for block in range(transformer.config.num_layers):
        for layer in ("to_q", "to_k", "to_v", "to_out.0"):
            name = f"transformer.transformer_blocks.{block}.attn.{layer}"
            weights[f"{name}.lora_A.weight"] = torch.randn(1, width, generator=rng)
            weights[f"{name}.lora_B.weight"] = torch.randn(width, 1, generator=rng)
    save_file(weights, folder / (file or "pytorch_lora_weights.safetensors"))
    return folder


# ---------------------------------------------------------------------------------------------------------- tokenizers


@cache
def _bpe(suffix: str = "") -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merges of a byte-level BPE; suffix: what ends a word (CLIP)."""
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix=suffix))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        end_of_word_suffix=suffix,
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    found = json.loads(tokenizer.to_str())["model"]
    vocabulary = found["vocab"]
    if suffix:  # a byte that ends no word of the text still may end one of a prompt
        for letter in pre_tokenizers.ByteLevel.alphabet():
            vocabulary.setdefault(letter + suffix, len(vocabulary))
    return vocabulary, [tuple(pair) for pair in found["merges"]]


def _qwen_tokenizer() -> Any:
    vocabulary, merges = _bpe()
    tokenizer = transformers.Qwen2Tokenizer(vocab=dict(vocabulary), merges=list(merges), chat_template=CHAT)
    tokenizer.add_special_tokens({"additional_special_tokens": list(QWEN)})
    return tokenizer


def _clip_tokenizer() -> Any:
    vocabulary, merges = _bpe("</w>")
    ends = {"<|startoftext|>": len(vocabulary), "<|endoftext|>": len(vocabulary) + 1}
    return transformers.CLIPTokenizer(vocab=vocabulary | ends, merges=list(merges), model_max_length=77)


def _t5_tokenizer() -> Any:
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    letters = sorted(set("".join(TEXT)) - {" "})
    return transformers.T5Tokenizer(vocab=pieces + [(letter, -3.0) for letter in letters], extra_ids=0)


def _gemma_tokenizer() -> Any:
    special = ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>")
    letters = sorted(set("".join(TEXT)) - {" "} | {"▁"})
    pieces = (*special, *(f"<0x{byte:02X}>" for byte in range(256)), *letters)
    return transformers.GemmaTokenizer(vocab={piece: i for i, piece in enumerate(pieces)}, merges=[])


# ------------------------------------------------------------------------------------------------------- text encoders


def _clip(tokenizer: Any, projected: bool = False) -> Any:
    config = transformers.CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=16,
        num_attention_heads=2,
        num_hidden_layers=2,
        projection_dim=16,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    kind = transformers.CLIPTextModelWithProjection if projected else transformers.CLIPTextModel
    return kind(config)


def _vision_language(tokenizer: Any, qwen3: bool = False) -> Any:
    """Qwen2.5-VL, or Qwen3-VL: 16 wide, patches of 4 pixels."""
    ids = {
        f"{name}_token_id": tokenizer.convert_tokens_to_ids(f"<|{token}|>")
        for name, token in (
            ("image", "image_pad"),
            ("video", "video_pad"),
            ("vision_start", "vision_start"),
            ("vision_end", "vision_end"),
        )
    }
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "max_position_embeddings": 4096,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]},
    }
    vision = {"depth": 1, "num_heads": 2, "in_channels": 3, "patch_size": 4, "hidden_size": 16}
    vision |= {"intermediate_size": 16, "out_hidden_size": 16}
    if qwen3:
        vision |= {"deepstack_visual_indexes": [0], "num_position_embeddings": 16}
        config = transformers.Qwen3VLConfig(text_config=text, vision_config=vision, **ids)
        return transformers.Qwen3VLForConditionalGeneration(config)
    vision |= {"window_size": 16, "fullatt_block_indexes": [0]}
    config = transformers.Qwen2_5_VLConfig(text_config=text, vision_config=vision, **ids)
    return transformers.Qwen2_5_VLForConditionalGeneration(config)


def _save_processor(folder: Path, tokenizer: Any) -> None:
    """A processor of text and images as the hub has it, with its part for videos, which nothing here uses."""
    Qwen2VLImageProcessorPil(patch_size=4, min_pixels=8 * 8, max_pixels=32 * 32).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "video_preprocessor_config.json").write_text(json.dumps(VIDEO))


# ---------------------------------------------------------------------------------------------------------- the rest


def _vae(latent: int, blocks: int = 2, width: int = 8, **more: Any) -> Any:
    return diffusers.AutoencoderKL(
        block_out_channels=(width,) * blocks,
        down_block_types=(DOWN,) * blocks,
        up_block_types=(UP,) * blocks,
        layers_per_block=1,
        latent_channels=latent,
        norm_num_groups=2,
        sample_size=64,
        **more,
    )


def _unet(**more: Any) -> Any:
    return diffusers.UNet2DConditionModel(
        **{
            "block_out_channels": (8, 16),
            "layers_per_block": 1,
            "sample_size": 32,
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
            "cross_attention_dim": 16,
            "attention_head_dim": 2,
            "norm_num_groups": 4,
            **more,
        }
    )


def _flow(**more: Any) -> Any:
    return diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, **more)


def _enlarge(network: torch.nn.Module) -> None:
    """Fresh linear layers are so small that a prompt would change no pixel by a whole step of 255."""
    for layer in network.modules():
        if isinstance(layer, torch.nn.Linear | torch.nn.Embedding):
            layer.weight.data *= 3


def _save(folder: Path, kind: str, parts: Mapping[str, Any], **settings: Any) -> None:
    """Parts in subfolders and model_index.json; a part that is but its class's name lies there already."""
    index: dict[str, Any] = {"_class_name": kind, "_diffusers_version": diffusers.__version__, **settings}
    for name, part in parts.items():
        if part is None or isinstance(part, str):
            index[name] = ["transformers" if part else None, part]
            continue
        if hasattr(part, "modules"):
            _enlarge(part)
        part.save_pretrained(folder / name)
        index[name] = [type(part).__module__.split(".")[0], type(part).__name__]
    (folder / "model_index.json").write_text(json.dumps(index))


# ----------------------------------------------------------------------------------------------------------- pipelines


def _flux2_klein(folder: Path) -> None:
    tokenizer = _qwen_tokenizer()
    text = transformers.Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=28,  # the pipeline reads the layers 9, 18 and 27
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
    )
    parts = {
        "tokenizer": tokenizer,
        "text_encoder": transformers.Qwen3ForCausalLM(text),
        "vae": diffusers.AutoencoderKLFlux2(
            block_out_channels=(8, 8),
            down_block_types=(DOWN, DOWN),
            up_block_types=(UP, UP),
            layers_per_block=1,
            latent_channels=4,
            norm_num_groups=4,
        ),
        "transformer": diffusers.Flux2Transformer2DModel(
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=48,
            timestep_guidance_channels=16,
            axes_dims_rope=(2, 2, 2, 2),
            guidance_embeds=False,
        ),
        "scheduler": _flow(),
    }
    _save(folder, "Flux2KleinPipeline", parts, is_distilled=True)


def _flux_kontext(folder: Path) -> None:
    tokenizer, tokenizer_2 = _clip_tokenizer(), _t5_tokenizer()
    text = transformers.T5Config(
        vocab_size=len(tokenizer_2), d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, is_encoder_decoder=False
    )
    parts = {
        "tokenizer": tokenizer,
        "text_encoder": _clip(tokenizer),
        "tokenizer_2": tokenizer_2,
        "text_encoder_2": transformers.T5EncoderModel(text),
        "vae": _vae(4, shift_factor=0.1, scaling_factor=0.4, use_quant_conv=False, use_post_quant_conv=False),
        "transformer": diffusers.FluxTransformer2DModel(
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=16,
            pooled_projection_dim=16,
            guidance_embeds=True,
            axes_dims_rope=(2, 2, 4),
        ),
        "scheduler": _flow(),
        "image_encoder": None,
        "feature_extractor": None,
    }
    _save(folder, "FluxKontextPipeline", parts)


def _qwen_edit(folder: Path) -> None:
    tokenizer = _qwen_tokenizer()
    _save_processor(folder / "processor", tokenizer)
    stages = 4  # one more than the real one: it works at 1024² whatever is asked for, and fewer tokens keep that quick
    parts = {
        "tokenizer": tokenizer,
        "processor": "Qwen2VLProcessor",
        "text_encoder": _vision_language(tokenizer),
        "vae": diffusers.AutoencoderKLQwenImage(
            base_dim=1,
            z_dim=4,
            dim_mult=[1] + [2] * stages,
            num_res_blocks=1,
            temperal_downsample=[False] * stages,
            latents_mean=[0.0] * 4,
            latents_std=[1.0] * 4,
        ),
        "transformer": diffusers.QwenImageTransformer2DModel(
            in_channels=16,
            out_channels=4,
            num_layers=1,
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=16,
            axes_dims_rope=(2, 2, 4),
            zero_cond_t=True,
        ),
        "scheduler": _flow(base_shift=0.5, max_shift=0.9, max_image_seq_len=8192, shift_terminal=0.02),
    }
    _save(folder, "QwenImageEditPlusPipeline", parts)


def _longcat_edit(folder: Path) -> None:
    tokenizer = _qwen_tokenizer()
    _save_processor(folder / "text_processor", tokenizer)
    parts = {
        "tokenizer": tokenizer,
        "text_processor": "Qwen2VLProcessor",
        "text_encoder": _vision_language(tokenizer),
        # The pipeline itself fixes 16 channels, and 1024²: hence the many narrow stages.
        "vae": _vae(16, blocks=6, width=2, shift_factor=0.1, scaling_factor=0.4),
        "transformer": diffusers.LongCatImageTransformer2DModel(
            in_channels=64,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=16,
            pooled_projection_dim=16,
            axes_dims_rope=[2, 2, 4],
        ),
        "scheduler": _flow(),
    }
    _save(folder, "LongCatImageEditPipeline", parts)


def _sdxl(folder: Path) -> None:
    tokenizer = _clip_tokenizer()
    parts = {
        "tokenizer": tokenizer,
        "text_encoder": _clip(tokenizer),
        "tokenizer_2": tokenizer,
        "text_encoder_2": _clip(tokenizer, projected=True),
        "vae": _vae(4),
        "unet": _unet(
            cross_attention_dim=32,
            attention_head_dim=(2, 2),
            use_linear_projection=True,
            transformer_layers_per_block=(1, 1),
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=16 + 6 * 8,
        ),
        "scheduler": diffusers.EulerDiscreteScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            timestep_spacing="leading",
            steps_offset=1,
        ),
    }
    _save(folder, "StableDiffusionXLPipeline", parts, force_zeros_for_empty_prompt=True)


def _sdxl_turbo(folder: Path) -> None:
    _sdxl(folder)
    name = "EulerAncestralDiscreteScheduler"
    _change(folder / "scheduler" / "scheduler_config.json", _class_name=name, timestep_spacing="trailing")
    _change(folder / "model_index.json", scheduler=["diffusers", name])


def _change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def _ledits(folder: Path) -> None:
    tokenizer = _clip_tokenizer()
    parts = {
        "tokenizer": tokenizer,
        "text_encoder": _clip(tokenizer),
        "vae": _vae(4),
        "unet": _unet(
            block_out_channels=(8, 16, 16),  # attention at a quarter of the latents' size, which the masks are made of
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        ),
        "scheduler": diffusers.PNDMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True, steps_offset=1
        ),
        "safety_checker": None,
        "feature_extractor": None,
    }
    _save(folder, "StableDiffusionPipeline", parts, requires_safety_checker=False)


def _sana_sprint(folder: Path) -> None:
    tokenizer = _gemma_tokenizer()
    text = transformers.Gemma2Config(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
    )
    parts = {
        "tokenizer": tokenizer,
        "text_encoder": transformers.Gemma2Model(text),
        "vae": diffusers.AutoencoderDC(
            latent_channels=4,
            attention_head_dim=2,
            encoder_block_types=("ResBlock",) * 5 + ("EfficientViTBlock",),
            decoder_block_types=("ResBlock",) * 5 + ("EfficientViTBlock",),
            encoder_block_out_channels=(8,) * 6,
            decoder_block_out_channels=(8,) * 6,
            encoder_layers_per_block=(1,) * 6,
            decoder_layers_per_block=(1,) * 6,
            encoder_qkv_multiscales=((),) * 5 + ((5,),),
            decoder_qkv_multiscales=((),) * 5 + ((5,),),
            downsample_block_type="conv",
            upsample_block_type="interpolate",
            scaling_factor=0.41407,
        ),
        "transformer": diffusers.SanaTransformer2DModel(
            in_channels=4,
            out_channels=4,
            num_layers=1,
            num_attention_heads=2,
            attention_head_dim=4,
            num_cross_attention_heads=2,
            cross_attention_head_dim=4,
            cross_attention_dim=8,
            caption_channels=16,
            sample_size=32,
            qk_norm="rms_norm_across_heads",
            guidance_embeds=True,
        ),
        "scheduler": diffusers.SCMScheduler(prediction_type="trigflow", sigma_data=0.5),
    }
    _save(folder, "SanaSprintPipeline", parts)


def _dreamlite(folder: Path, kind: str = "DreamLitePipeline") -> None:
    tokenizer = _qwen_tokenizer()
    _save_processor(folder / "processor", tokenizer)
    parts = {
        "tokenizer": tokenizer,
        "processor": "Qwen3VLProcessor",
        "text_encoder": _vision_language(tokenizer, qwen3=True),
        "vae": diffusers.AutoencoderTiny(
            encoder_block_out_channels=(8, 8),
            decoder_block_out_channels=(8, 8),
            num_encoder_blocks=(1, 1),
            num_decoder_blocks=(1, 1),
        ),
        "unet": diffusers.DreamLiteUNetModel(
            sample_size=32,
            block_out_channels=(8, 16, 16),
            layers_per_block=1,
            norm_num_groups=4,
            cross_attention_dim=16,
            attention_head_dim=(2, 2, 2),
            num_kv_heads=1,
            use_linear_projection=True,
        ),
        "scheduler": _flow(),
    }
    _save(folder, kind, parts)


def _dreamlite_mobile(folder: Path) -> None:
    _dreamlite(folder, "DreamLiteMobilePipeline")


BUILDERS: dict[str, Callable[[Path], None]] = {
    "flux2-klein": _flux2_klein,
    "flux-kontext": _flux_kontext,
    "qwen-edit": _qwen_edit,
    "qwen-edit-lightning": _qwen_edit,
    "longcat-edit": _longcat_edit,
    "longcat-edit-turbo": _longcat_edit,
    "sdxl-img2img": _sdxl,
    "sdxl-turbo": _sdxl_turbo,
    "ledits": _ledits,
    "sana-sprint": _sana_sprint,
    "dreamlite": _dreamlite,
    "dreamlite-mobile": _dreamlite_mobile,
}
"""By a preset's name; what writes its tiny pipeline."""
