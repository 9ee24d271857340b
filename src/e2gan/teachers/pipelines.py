"""Pipelines of the library diffusers: what one takes, what one must have, and where it is held."""

from __future__ import annotations

import inspect
import json
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from e2gan.errors import InputError
from e2gan.hub import need_transformers

if TYPE_CHECKING:
    import torch

__all__ = [
    "IMAGES",
    "PROMPTS",
    "argument",
    "check_whole",
    "chooses_attention",
    "denoisers",
    "editing",
    "is_number",
    "line",
    "model_index",
    "multiple",
    "named",
    "need_diffusers",
    "own_side",
    "parameters",
    "place",
    "quiet",
]

PROMPTS = ("prompt", "instruction", "text")
IMAGES = ("image", "images", "input_image", "input_images")
OTHER_IMAGES = ("mask_image", "mask", "control_image")  # a pipeline that wants these edits no photo by a prompt alone
DENOISERS = ("unet", "transformer", "transformer_2", "controlnet")


def need_diffusers(why: str) -> ModuleType:
    """The library diffusers, quiet. Raises InputError where it, or transformers, is not installed."""
    try:
        import diffusers
        import transformers  # noqa: F401 (without it diffusers imports, but has no pipelines)
    except ImportError:
        raise InputError(
            f"{why} needs the packages diffusers and transformers: pip install 'e2gan[teachers]'"
        ) from None
    need_transformers(why)
    diffusers.utils.logging.set_verbosity(50)  # none: what fails is raised, or told of the photo
    diffusers.utils.logging.disable_progress_bar()
    return diffusers


@contextmanager
def quiet() -> Iterator[None]:
    """Without what the libraries warn of in their own code: what newer versions of others do no longer have."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The `local_dir_use_symlinks` argument", UserWarning)
        warnings.filterwarnings("ignore", "__array__ implementation doesn't accept a copy", DeprecationWarning)
        warnings.filterwarnings("ignore", "`torch.jit.script_method` is deprecated", DeprecationWarning)
        yield


# ------------------------------------------------------------------------------------------------ what a pipeline takes


def model_index(name: str, **arguments: Any) -> Any:
    """What a pipeline's checkpoint says of itself. As the libraries' `from_pretrained`: a folder, or a hub's name."""
    from huggingface_hub import hf_hub_download

    file = "model_index.json"
    path = Path(name, file) if Path(name).is_dir() else Path(hf_hub_download(name, file, **arguments))
    return json.loads(path.read_text("utf-8"))


def named(diffusers: ModuleType, name: str) -> Any:
    found = getattr(diffusers, name, None)
    if found is None:
        raise InputError(f"diffusers {diffusers.__version__} has no {name}: pip install --upgrade diffusers")
    return found


def editing(diffusers: ModuleType, kind: Any, model: str) -> Any:
    """The class that edits with a checkpoint of this class: its image-to-image counterpart, else itself."""
    auto = diffusers.pipelines.auto_pipeline
    family = next((key for key, c in auto.AUTO_TEXT2IMAGE_PIPELINES_MAPPING.items() if c is kind), None)
    kind = auto.AUTO_IMAGE2IMAGE_PIPELINES_MAPPING.get(family, kind)
    takes = parameters(kind)
    others = [name for name in OTHER_IMAGES if name in takes]
    if not set(IMAGES) & set(takes) or not set(PROMPTS) & set(takes) or others:
        why = f"needs {others[0]}" if others else "does not take a photo and a prompt"
        raise InputError(f"{model}: {kind.__name__} {why}: name an image-to-image or instruction-editing model")
    return kind


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def parameters(kind: Any) -> list[str]:
    parameters = inspect.signature(kind.__call__).parameters.values()
    return [p.name for p in parameters if p.name != "self" and p.kind is not p.VAR_KEYWORD]


def argument(given: str | None, usual: Sequence[str], takes: Sequence[str], kind: Any, what: str) -> str:
    name = given or next((name for name in usual if name in takes), None)
    if name is None or name not in takes:
        raise InputError(f"{kind.__name__} takes no {name or what}, but {', '.join(takes)}: mend {what} in the preset")
    return name


def own_side(pipeline: Any) -> int:
    latent = getattr(pipeline, "default_sample_size", None)
    if latent is None and hasattr(pipeline, "unet"):
        latent = pipeline.unet.config.sample_size
    return int(latent * pipeline.vae_scale_factor) if isinstance(latent, int) else 512


def multiple(pipeline: Any) -> int:
    """What both sides must be multiples of: 8, or what the pipeline's own preprocessing rounds to."""
    processor = getattr(pipeline, "image_processor", None)
    own = processor.config.vae_scale_factor if processor is not None else 8
    return math.lcm(8, int(own))


# ------------------------------------------------------------------------------------------------------ how it is held


def denoisers(pipeline: Any) -> list[Any]:
    return [model for model in (getattr(pipeline, name, None) for name in DENOISERS) if model is not None]


def chooses_attention(model: Any) -> bool:
    return any(hasattr(getattr(module, "processor", None), "_attention_backend") for module in model.modules())


def check_whole(pipeline: Any, name: str) -> None:
    """Raises InputError where a checkpoint lacks weights or words, which the libraries let pass."""
    for part, model in pipeline.components.items():
        weights = model.named_parameters() if hasattr(model, "named_parameters") else ()
        if lacking := [weight for weight, values in weights if values.is_meta]:
            raise InputError(f"{name}: its {part} is not whole ({lacking[0]} is missing): name another with --model")
        special = getattr(model, "all_special_tokens", None) if part.startswith("tokenizer") else None
        if special is not None and len(model) <= len(special) + 1:
            raise InputError(f"{name}: its {part} has no vocabulary: name another with --model")
    if "InstructPix2Pix" in type(pipeline).__name__ and hasattr(pipeline, "unet"):
        takes, needs = pipeline.unet.config.in_channels, 2 * pipeline.vae.config.latent_channels
        if takes != needs:
            raise InputError(
                f"{name}: its UNet takes {takes} channels, an InstructPix2Pix's {needs} (noise and photo): "
                "name another with --model"
            )


def place(pipeline: Any, device: torch.device, offload: str) -> None:
    import torch

    try:
        if offload == "model":
            pipeline.enable_model_cpu_offload(device=device)
        elif offload == "sequential":
            pipeline.enable_sequential_cpu_offload(device=device)
        else:
            pipeline.to(device)
    except torch.OutOfMemoryError:
        raise InputError("the model does not fit into the GPU's memory: try --offload model, or sequential") from None


def line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:160].rstrip(".:") if str(error).strip() else type(error).__name__
