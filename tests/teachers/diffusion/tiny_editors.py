"""Today's editing pipelines, tiny and randomly initialised, in folders as the hub has them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from e2gan.features.hub import need_transformers
from e2gan.teachers.diffusion.pipelines import need_diffusers, quiet
from tests.teachers.diffusion.tiny_diffusion import tiny_scheduler, tiny_unet, tiny_vae

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
TEXT_ENCODER = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1}
DECODER = TEXT_ENCODER | {"num_key_value_heads": 1, "head_dim": 8}
TRANSFORMER = {"num_layers": 1, "attention_head_dim": 8, "num_attention_heads": 2, "joint_attention_dim": 16}
VAE = {"norm_num_groups": 2, "sample_size": 64}
VIDEO = {"video_processor_type": "Qwen2VLVideoProcessor", "patch_size": 4, "merge_size": 2}


Parts = dict[str, Any]


@quiet()
def write_editor(name: str, folder: Path) -> Path:
    """The tiny model of a preset in a folder: parts in subfolders and model_index.json; the same weights each time."""
    torch.manual_seed(0)
    kind, parts, settings = BUILDERS[name]()
    index: Parts = {"_class_name": kind, "_diffusers_version": diffusers.__version__, **settings}
    for part, model in parts.items():
        if model is None:
            index[part] = [None, None]
            continue
        if hasattr(model, "modules"):
            _enlarge(model)
        model.save_pretrained(folder / part)
        kind = getattr(model, "kind", type(model).__name__)
        index[part] = ["diffusers" if hasattr(diffusers, kind) else "transformers", kind]
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def _enlarge(network: torch.nn.Module) -> None:
    """Fresh linear layers are so small that a prompt would change no pixel by a whole step of 255."""
    for layer in network.modules():
        if isinstance(layer, torch.nn.Linear | torch.nn.Embedding):
            layer.weight.data *= 3


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
        **TEXT_ENCODER | {"num_hidden_layers": 2, "projection_dim": 16},
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return (transformers.CLIPTextModelWithProjection if projected else transformers.CLIPTextModel)(config)


def _vision_language(tokenizer: Any, qwen3: bool = False) -> Any:
    """Qwen2.5-VL, or Qwen3-VL: 16 wide, patches of 4 pixels."""
    tokens = {"image": "image_pad", "video": "video_pad", "vision_start": "vision_start", "vision_end": "vision_end"}
    ids = {f"{name}_token_id": tokenizer.convert_tokens_to_ids(f"<|{token}|>") for name, token in tokens.items()}
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}
    text = DECODER | {"vocab_size": len(tokenizer), "max_position_embeddings": 4096, "rope_parameters": rope}
    vision = {"depth": 1, "num_heads": 2, "in_channels": 3, "patch_size": 4, "hidden_size": 16}
    vision |= {"intermediate_size": 16, "out_hidden_size": 16}
    if qwen3:
        vision |= {"deepstack_visual_indexes": [0], "num_position_embeddings": 16}
        config = transformers.Qwen3VLConfig(text_config=text, vision_config=vision, **ids)
        return transformers.Qwen3VLForConditionalGeneration(config)
    vision |= {"window_size": 16, "fullatt_block_indexes": [0]}
    config = transformers.Qwen2_5_VLConfig(text_config=text, vision_config=vision, **ids)
    return transformers.Qwen2_5_VLForConditionalGeneration(config)


@dataclass
class _Processor:
    """A processor of text and images as the hub has it, with its part for videos, which nothing here uses."""

    kind: str
    tokenizer: Any

    def save_pretrained(self, folder: Path) -> None:
        Qwen2VLImageProcessorPil(patch_size=4, min_pixels=8 * 8, max_pixels=32 * 32).save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        (folder / "video_preprocessor_config.json").write_text(json.dumps(VIDEO))


def _seeing(name: str, qwen3: bool = False) -> Parts:
    """Tokenizer, processor, which the pipeline calls `name`, and text encoder of an editor that reads the photo too."""
    tokenizer = _qwen_tokenizer()
    processor = _Processor("Qwen3VLProcessor" if qwen3 else "Qwen2VLProcessor", tokenizer)
    return {"tokenizer": tokenizer, name: processor, "text_encoder": _vision_language(tokenizer, qwen3)}


def _flow(**more: Any) -> Any:
    return diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, **more)


# ----------------------------------------------------------------------------------------------------------- pipelines
# Each gives the pipeline's class, its parts, in the order in which their weights are drawn, and its settings.

Pipeline = tuple[str, Parts, Parts]


def _flux2_klein() -> Pipeline:
    tokenizer = _qwen_tokenizer()
    # The pipeline reads the layers 9, 18 and 27.
    text = transformers.Qwen3Config(vocab_size=len(tokenizer), **DECODER | {"num_hidden_layers": 28})
    parts = {
        "tokenizer": tokenizer,
        "text_encoder": transformers.Qwen3ForCausalLM(text),
        "vae": diffusers.AutoencoderKLFlux2(
            block_out_channels=(8, 8),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            layers_per_block=1,
            latent_channels=4,
            norm_num_groups=4,
        ),
        "transformer": diffusers.Flux2Transformer2DModel(
            **TRANSFORMER | {"joint_attention_dim": 48, "num_single_layers": 1},
            in_channels=16,
            timestep_guidance_channels=16,
            axes_dims_rope=(2, 2, 2, 2),
            guidance_embeds=False,
        ),
        "scheduler": _flow(),
    }
    return "Flux2KleinPipeline", parts, {"is_distilled": True}


def _flux_kontext() -> Pipeline:
    tokenizer, tokenizer_2 = _clip_tokenizer(), _t5_tokenizer()
    text = transformers.T5Config(
        vocab_size=len(tokenizer_2), d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, is_encoder_decoder=False
    )
    without = {"use_quant_conv": False, "use_post_quant_conv": False}
    parts = {
        "tokenizer": tokenizer,
        "text_encoder": _clip(tokenizer),
        "tokenizer_2": tokenizer_2,
        "text_encoder_2": transformers.T5EncoderModel(text),
        "vae": tiny_vae((8, 8), shift_factor=0.1, scaling_factor=0.4, **VAE, **without),
        "transformer": diffusers.FluxTransformer2DModel(
            **TRANSFORMER,
            num_single_layers=1,
            in_channels=16,
            pooled_projection_dim=16,
            guidance_embeds=True,
            axes_dims_rope=(2, 2, 4),
        ),
        "scheduler": _flow(),
        "image_encoder": None,
        "feature_extractor": None,
    }
    return "FluxKontextPipeline", parts, {}


def _qwen_edit() -> Pipeline:
    stages = 4  # one more than the real one: it works at 1024² whatever is asked for, and fewer tokens keep that quick
    parts = _seeing("processor") | {
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
            **TRANSFORMER, in_channels=16, out_channels=4, axes_dims_rope=(2, 2, 4), zero_cond_t=True
        ),
        "scheduler": _flow(base_shift=0.5, max_shift=0.9, max_image_seq_len=8192, shift_terminal=0.02),
    }
    return "QwenImageEditPlusPipeline", parts, {}


def _longcat_edit() -> Pipeline:
    parts = _seeing("text_processor") | {
        # The pipeline itself fixes 16 channels, and 1024²: hence the many narrow stages.
        "vae": tiny_vae((2,) * 6, latent_channels=16, shift_factor=0.1, scaling_factor=0.4, **VAE),
        "transformer": diffusers.LongCatImageTransformer2DModel(
            **TRANSFORMER, num_single_layers=1, in_channels=64, pooled_projection_dim=16, axes_dims_rope=[2, 2, 4]
        ),
        "scheduler": _flow(),
    }
    return "LongCatImageEditPipeline", parts, {}


def _sdxl(scheduler: str = "EulerDiscreteScheduler", spacing: str = "leading") -> Pipeline:
    tokenizer = _clip_tokenizer()
    betas = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    parts = {
        "tokenizer": tokenizer,
        "text_encoder": _clip(tokenizer),
        "tokenizer_2": tokenizer,
        "text_encoder_2": _clip(tokenizer, projected=True),
        "vae": tiny_vae((8, 8), **VAE),
        "unet": tiny_unet(
            sample_size=32,
            cross_attention_dim=32,
            attention_head_dim=(2, 2),
            use_linear_projection=True,
            transformer_layers_per_block=(1, 1),
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=16 + 6 * 8,
        ),
        "scheduler": getattr(diffusers, scheduler)(**betas, timestep_spacing=spacing, steps_offset=1),
    }
    return "StableDiffusionXLPipeline", parts, {"force_zeros_for_empty_prompt": True}


def _sdxl_turbo() -> Pipeline:
    return _sdxl("EulerAncestralDiscreteScheduler", "trailing")


def _ledits() -> Pipeline:
    tokenizer = _clip_tokenizer()
    parts = {
        "tokenizer": tokenizer,
        "text_encoder": _clip(tokenizer),
        "vae": tiny_vae((8, 8), **VAE),
        "unet": tiny_unet(
            sample_size=32,
            attention_head_dim=2,
            block_out_channels=(8, 16, 16),  # attention at a quarter of the latents' size, which the masks are made of
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        ),
        "scheduler": tiny_scheduler(),
        "safety_checker": None,
        "feature_extractor": None,
    }
    return "StableDiffusionPipeline", parts, {"requires_safety_checker": False}


def _sana_sprint() -> Pipeline:
    tokenizer, blocks = _gemma_tokenizer(), ("ResBlock",) * 5 + ("EfficientViTBlock",)
    coders = {
        f"{coder}_{what}": value
        for coder in ("encoder", "decoder")
        for what, value in (
            ("block_types", blocks),
            ("block_out_channels", (8,) * 6),
            ("layers_per_block", (1,) * 6),
            ("qkv_multiscales", ((),) * 5 + ((5,),)),
        )
    }
    parts = {
        "tokenizer": tokenizer,
        "text_encoder": transformers.Gemma2Model(transformers.Gemma2Config(vocab_size=len(tokenizer), **DECODER)),
        "vae": diffusers.AutoencoderDC(
            **coders,
            latent_channels=4,
            attention_head_dim=2,
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
    return "SanaSprintPipeline", parts, {}


def _dreamlite(kind: str = "DreamLitePipeline") -> Pipeline:
    parts = _seeing("processor", qwen3=True) | {
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
    return kind, parts, {}


def _dreamlite_mobile() -> Pipeline:
    return _dreamlite("DreamLiteMobilePipeline")


BUILDERS: dict[str, Callable[[], Pipeline]] = {
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
"""By a preset's name; what makes its tiny pipeline."""
