"""Pipelines of the library diffusers: what one takes, what one must have, and where it is held."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from e2gan.config.schemas import ModelIndex
from e2gan.core.errors import InputError
from e2gan.core.files import read_json
from e2gan.features.hub import need_transformers

if TYPE_CHECKING:
    import torch

    from e2gan.teachers.diffusion.presets import Preset

PROMPTS = ("prompt", "instruction", "text")
IMAGES = ("image", "images", "input_image", "input_images")
OTHER_IMAGES = ("mask_image", "mask", "control_image")  # a pipeline that wants these edits no photo by a prompt alone
DENOISERS = ("unet", "transformer", "transformer_2", "controlnet")
CLIP_READS = 77  # word pieces, beginning and end among them


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


def model_index(name: str, **arguments: Any) -> Any:
    """What a pipeline's checkpoint says of itself. As the libraries' `from_pretrained`: a folder, or a hub's name."""
    from huggingface_hub import hf_hub_download

    file = "model_index.json"
    path = Path(name, file) if Path(name).is_dir() else Path(hf_hub_download(name, file, **arguments))
    try:
        return read_json(path, ModelIndex)
    except InputError as error:
        raise ValueError(str(error)) from None  # `pretrained` says how to name another


def library_class(diffusers: ModuleType, name: str) -> Any:
    """The class of this name. Raises InputError where the library that is installed has none."""
    if not hasattr(diffusers, name):
        raise InputError(f"diffusers {diffusers.__version__} has no {name}: pip install --upgrade diffusers")
    return getattr(diffusers, name)


def editing_class(diffusers: ModuleType, kind: Any, model: str) -> Any:
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


def number(value: Any, name: str, least: float, most: float) -> float:
    """The argument `name` as a number. Raises InputError where it is none, or out of range."""
    if not is_number(value) or not least <= value <= most:
        raise InputError(f"--set {name}={value}: must be a number from {least:g} to {most:g}")
    return float(value)


def whole_number(value: Any, name: str, least: int) -> int:
    """The argument `name` as a whole number. Raises InputError where it is none, or less than `least`."""
    if type(value) is not int or value < least:  # a bool is none
        raise InputError(f"--set {name}={value}: must be a whole number, at least {least}")
    return value


def parameters(kind: Any) -> list[str]:
    """Names of the arguments that a pipeline class is called with."""
    parameters = inspect.signature(kind.__call__).parameters.values()
    return [p.name for p in parameters if p.name != "self" and p.kind is not p.VAR_KEYWORD]


def argument_name(given: str | None, usual: Sequence[str], takes: Sequence[str], kind: Any, what: str) -> str:
    name = given or next((name for name in usual if name in takes), None)
    if name is None or name not in takes:
        raise InputError(f"{kind.__name__} takes no {name or what}, but {', '.join(takes)}: mend {what} in the preset")
    return name


def native_side(pipeline: Any) -> int:
    """Side in pixels of the images that its model was trained on; 512 where it does not say."""
    latent = getattr(pipeline, "default_sample_size", None)
    if latent is None and hasattr(pipeline, "unet"):
        latent = pipeline.unet.config.sample_size
    return int(latent * pipeline.vae_scale_factor) if isinstance(latent, int) else 512


def side_multiple(pipeline: Any) -> int:
    """What both sides must be multiples of: 8, or what the pipeline's own preprocessing rounds to."""
    processor = getattr(pipeline, "image_processor", None)
    return math.lcm(8, int(processor.config.vae_scale_factor)) if processor is not None else 8


def fitted_size(height: int, width: int, side: int, step: int, area: int | None) -> tuple[int, int]:
    """Height and width with the shorter one at side, or of at most area pixels, the aspect kept up to whole steps."""
    scale, whole = side / min(height, width), round
    if area and (most := math.sqrt(area / (height * width))) < scale:
        scale, whole = most, math.floor
    height, width = (max(1, whole(length * scale / step)) * step for length in (height, width))
    return height, width


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


def move_to_device(pipeline: Any, device: torch.device, offload: str) -> None:
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


def set_scheduler(diffusers: ModuleType, pipeline: Any, preset: Preset) -> None:
    """The preset's scheduler, or its numbers, in place of the pipeline's own. Raises InputError for unknown ones."""
    name, arguments = preset.scheduler, preset.scheduler_arguments
    if not name and not arguments:
        return
    kind = library_class(diffusers, name) if name else type(pipeline.scheduler)
    takes = inspect.signature(kind).parameters
    if unknown := [key for key in arguments if key not in takes]:
        raise InputError(
            f"{preset.name}: {kind.__name__} takes no {', '.join(unknown)}, but {', '.join(takes)}: mend "
            "scheduler_arguments in the preset"
        )
    pipeline.scheduler = kind.from_config(pipeline.scheduler.config, **arguments)


def download_note(preset: Preset, missing: Sequence[str], whole: bool) -> str:
    """What the hub is asked for: names, or NAME@REVISION; whole: that it is all that the preset needs, as it stands."""
    checkpoint = f"{preset.checkpoint}@{preset.revision}" if preset.revision else preset.checkpoint
    licensed = {checkpoint, preset.lora, *map(str, preset.arguments.values())} if preset.licence else set()
    names = {source: source.partition("@")[0] for source in missing}
    about = (
        [f"about {preset.download_gb:g} GB"] if preset.download_gb and whole and licensed.issuperset(missing) else []
    )
    if licensed.intersection(missing):
        about.append(f"licence {', '.join(filter(None, (preset.licence, preset.licence_url)))}")
    for source, name in names.items():
        if source not in licensed:
            of = "" if len(names) == 1 else f"{name}: "
            about.append(f"{of}its licence is on its page: https://huggingface.co/{name}")
    verb = "is" if len(names) == 1 else "are"
    return f"{', '.join(names.values())} {verb} not in the cache: asking the hub ({'; '.join(about)})"


def cut_words(pipeline: Any, prompt: str) -> str | None:
    """A line that says how much of a prompt goes unread; None where it is read, or the pipeline is not CLIP's alone."""
    parts = pipeline.components.items()
    tokenizers = [part for name, part in parts if name.startswith("tokenizer") and part is not None]
    if any(not type(t).__name__.startswith("CLIPTokenizer") or t.model_max_length != CLIP_READS for t in tokenizers):
        return None
    pieces = max((len(tokenizer(prompt)["input_ids"]) for tokenizer in tokenizers), default=0)
    if pieces <= CLIP_READS:
        return None
    return f"the prompt has {pieces - 2} word pieces, and the text encoder reads the first {CLIP_READS - 2}: shorten it"
