"""What all diffusion teachers are: a pipeline of the library diffusers, checked, loaded and called."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from e2gan.config import TeachConfig
from e2gan.core.errors import InputError
from e2gan.core.images import Pixels, resize
from e2gan.core.memory import give_back_memory
from e2gan.core.progress import note
from e2gan.features.hub import brief, cached, pretrained
from e2gan.teachers.diffusion import pipelines
from e2gan.teachers.diffusion.presets import Preset
from e2gan.teachers.diffusion.vision_language import give_token_types, image_text_processors
from e2gan.teachers.teacher import Ask, Failed

if TYPE_CHECKING:
    import torch


BATCHABLE = ("StableDiffusionImg2ImgPipeline", "StableDiffusionXLImg2ImgPipeline")
BATCHABLE += ("StableDiffusionInstructPix2PixPipeline", "StableDiffusionControlNetPipeline")
BATCHABLE += ("FluxKontextPipeline", "SanaSprintImg2ImgPipeline")
SET_HERE = ("generator", "output_type", "return_dict", "num_images_per_prompt", "height", "width")
NOT_TEXT = ("callback", "embeds", "ip_adapter", "latents", "attention_kwargs")  # parts of names of tensors and code
MAX_BATCH = 8  # photos a call on a GPU: more are hardly faster
DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}  # --precision → torch's name


class DiffusionTeacher:
    """A pipeline of diffusers that edits photos by a prompt, as a preset says.

    model: in place of the preset's checkpoint, a hub name or a folder (--model). overrides: in place of, or beside,
    the preset's call arguments (--set NAME=VALUE); `side` among them is the working side in pixels. teach: how the
    model is held and run: batch, precision, compile, offload and attention. device: auto, cpu, cuda, …
    """

    def __init__(
        self,
        preset: Preset,
        model: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        teach: TeachConfig | None = None,
        device: str = "auto",
    ) -> None:
        self.preset, self.name, self.deterministic = preset, preset.name, preset.deterministic
        self.model = model or preset.checkpoint
        self.teach, self.device = teach or TeachConfig(), device
        self.arguments = {**preset.arguments, **(overrides or {})}
        self.side: int | None = self.arguments.pop("side", preset.side)
        if self.side is not None and not (isinstance(self.side, int) and self.side >= 8):
            raise InputError(f"--set side={self.side}: the working side is a whole number of pixels, at least 8")
        scale = self.arguments.get("true_cfg_scale", 0)
        if pipelines.is_number(scale) and scale > 1:
            self.arguments.setdefault("negative_prompt", " ")  # without one, pipelines leave this guidance out
        self._pipeline: Any = None
        self._succeeded = False  # whether a call has
        self._prompts: set[str] = set()  # whose length was looked at
        self._announced = False
        self._validate()

    def _validate(self) -> None:
        """What a kind of teacher wants of its settings. Raises InputError."""

    @property
    def batch(self) -> int:
        """Photos a call: as asked for; else one, or on a GPU what its memory holds beside the weights.

        Estimated at 10⁹ bytes for each photo of 512×512 pixels, guidance included; the caller halves what is too many.
        """
        if self.teach.batch or self._one_by_one() or self._device().type != "cuda":
            return self.teach.batch or 1
        import torch

        memory = torch.cuda.get_device_properties(self._device()).total_memory / 1e9
        photo = ((self.side or 512) / 512) ** 2
        return max(1, min(MAX_BATCH, int((memory - self.preset.memory_gb) / photo)))

    def settings(self, ask: Ask) -> dict[str, Any]:  # noqa: ARG002 (the prompt is the caller's to write down)
        """What decides the edits. Raises InputError for arguments that the pipeline does not take."""
        diffusers = pipelines.need_diffusers(self.name)
        self.checkpoint()
        self._check(self._class(diffusers))
        return {
            "preset": self.name,
            "checkpoint": self.model,
            "revision": self._revision(),
            "pipeline": self.preset.pipeline,
            "arguments": self.arguments,
            "scheduler": self.preset.scheduler,
            "scheduler_arguments": dict(self.preset.scheduler_arguments),
            "side": self.side,
            "precision": self._precision(),
            "lora": self.preset.lora,
            "lora_file": self.preset.lora_file,
            **({"area": self.preset.area} if self.preset.area else {}),
            **({} if self.preset.pass_size else {"pass_size": False}),
        }

    def _device(self) -> torch.device:
        from e2gan.core.device import resolve_device

        return resolve_device(self.device)

    def _precision(self) -> str:
        """Raises InputError for a precision that the device does not have."""
        import torch

        device, asked = self._device(), self.teach.precision
        has_bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        if asked == "auto":
            return "fp32" if device.type == "cpu" else "bf16" if has_bf16 else "fp16"
        if asked == "fp16" and device.type == "cpu":
            raise InputError("--precision fp16 is for GPUs: take bf16 or fp32 on the CPU")
        if asked == "bf16" and device.type == "cuda" and not has_bf16:
            raise InputError("--precision bf16: this GPU has none: take fp16 or fp32")
        return asked

    def _class(self, diffusers: ModuleType) -> Any:
        """The pipeline's class: the preset's, else by the checkpoint's model_index.json."""
        if self.preset.pipeline:
            return pipelines.library_class(diffusers, self.preset.pipeline)
        index = pretrained(self._announcing(pipelines.model_index), self.checkpoint(), "--model")
        name = index.get("_class_name")
        if not isinstance(name, str):
            raise InputError(f"{self.model}: its pipeline is code of its own, which is never run: name another --model")
        return pipelines.editing_class(diffusers, pipelines.library_class(diffusers, name), self.model)

    def checkpoint(self) -> str:
        """Its hub name or folder. Raises InputError where the preset has none and none was named."""
        if not self.model:
            raise InputError(
                f"{self.name} has no checkpoint on the hub: name a folder with --model ({self.preset.obtain})"
            )
        return self.model

    def _revision(self) -> str | None:
        return self.preset.revision if self.model == self.preset.checkpoint else None

    def sources(self) -> list[str]:
        """All that it loads: folders, and the hub's names, or NAME@REVISION."""
        branch = self._revision()
        model = f"{self.model}@{branch}" if branch else self.model
        return [model, self.preset.lora] if self.preset.lora else [model]

    def _announce(self, missing: Sequence[str]) -> None:
        """Once: what the hub is about to be asked for, and its licences."""
        from huggingface_hub import constants

        if missing and not self._announced and not constants.HF_HUB_OFFLINE:
            self._announced = True
            note(pipelines.download_note(self.preset, missing, len(missing) == len(self.sources())))

    def _announcing(self, load: Callable[..., Any]) -> Callable[..., Any]:
        """`load` that says so before it asks the hub for what is in the cache in part, which `load` itself finds."""

        def announcing(name: str, **arguments: Any) -> Any:
            if not (arguments.get("local_files_only") or Path(name).is_dir()):
                self._announce([source for source in self.sources() if source.partition("@")[0] == name])
            with pipelines.quiet():
                return load(name, **arguments)

        return announcing

    def _check(self, pipeline: Any) -> tuple[str, str]:
        """Names of the prompt's and the image's arguments. Raises InputError for call arguments that cannot be."""
        takes = pipelines.parameters(pipeline)
        prompt = pipelines.argument_name(self.preset.prompt, pipelines.PROMPTS, takes, pipeline, "prompt")
        image = pipelines.argument_name(self.preset.image, pipelines.IMAGES, takes, pipeline, "image")
        others = (prompt, image, *SET_HERE)
        settable = [name for name in takes if name not in others and not any(part in name for part in NOT_TEXT)]
        arguments = self._call_arguments()
        if unknown := [name for name in arguments if name not in settable]:
            raise InputError(
                f"--set {', '.join(unknown)}: {pipeline.__name__} takes no such argument, but {', '.join(settable)}"
            )
        steps = pipelines.whole_number(arguments.get("num_inference_steps", 1), "num_inference_steps", 1)
        strength = arguments.get("strength", 1)
        if pipelines.is_number(strength) and "num_inference_steps" in arguments and 0 <= steps * strength < 1:
            raise InputError(f"--set strength={strength}: of {steps} steps that leaves none: raise one of the two")
        return prompt, image

    def _call_arguments(self) -> dict[str, Any]:
        """Those of `arguments` that are the pipeline's."""
        return dict(self.arguments)

    @pipelines.quiet()
    def load(self) -> None:
        """The pipeline from a folder, the cache or the hub, ready on the device. Raises InputError."""
        if self._pipeline is not None:
            return
        import torch

        diffusers = pipelines.need_diffusers(self.name)
        device, precision = self._device(), self._precision()
        dtype = getattr(torch, DTYPES[precision])
        if self.teach.offload != "none" and device.type == "cpu":
            raise InputError(f"--offload {self.teach.offload} is for GPUs: leave it out on the CPU")
        self.checkpoint()
        self._announce([source for source in self.sources() if not cached(source)])
        kind = self._class(diffusers)
        self._names = self._check(kind)
        revision = {"revision": branch} if (branch := self._revision()) else {}
        parts = revision | image_text_processors(kind, self.checkpoint(), **revision)
        parts |= self._components(diffusers, dtype)
        load = self._announcing(partial(kind.from_pretrained, trust_remote_code=False, dtype=dtype))
        pipeline = pretrained(load, self.checkpoint(), "--model", use_safetensors=True, **parts)
        pipelines.check_whole(pipeline, self.model)
        pipeline.set_progress_bar_config(disable=True)
        pipelines.set_scheduler(diffusers, pipeline, self.preset)
        if self.preset.lora:
            self._add_lora(pipeline, self.preset.lora)
        give_token_types(pipeline)
        self._prepare(pipeline)
        if self.teach.attention:
            self._attention(pipeline)  # raises here what it would else with the first photo
        if self.teach.compile:
            for denoiser in pipelines.denoisers(pipeline):
                denoiser.compile()
        pipelines.move_to_device(pipeline, device, self.teach.offload)
        self._pipeline = pipeline

    def _prepare(self, pipeline: Any) -> None:
        """What else a kind of teacher changes in a pipeline that was loaded."""

    def _add_lora(self, pipeline: Any, lora: str) -> None:
        file = {"weight_name": self.preset.lora_file} if self.preset.lora_file else {}
        load = getattr(pipeline, "load_lora_weights", None)
        if load is None:
            raise InputError(f"{self.name}: {type(pipeline).__name__} takes no LoRA: leave lora out of the preset")
        pretrained(self._announcing(load), lora, "lora in the preset", use_safetensors=True, **file)
        if not pipeline.get_active_adapters():
            raise InputError(f"{lora}: none of its layers are in {self.model}: name another lora in the preset")

    def _attention(self, pipeline: Any) -> AbstractContextManager[Any]:
        """In which the denoiser uses the attention asked for. Raises InputError where it, or the machine, cannot."""
        if not (name := self.teach.attention):
            return nullcontext()
        from diffusers.models.attention_dispatch import attention_backend

        models = [model for model in pipelines.denoisers(pipeline) if pipelines.chooses_attention(model)]
        if not models:
            raise InputError(
                f"--attention {name}: {type(pipeline).__name__}'s denoiser has one kind only: leave it out"
            )
        try:
            with attention_backend(name):
                pass  # it looks for the packages and the hardware that it needs
        except (ValueError, RuntimeError, ImportError) as error:
            raise InputError(f"--attention {name}: {brief(error)}") from None
        return attention_backend(name)

    def _components(self, diffusers: ModuleType, dtype: torch.dtype) -> dict[str, Any]:  # noqa: ARG002
        """Parts of the pipeline that do not lie in its checkpoint."""
        return {}

    def close(self) -> None:
        """See `Teacher.close`."""
        self._pipeline = None
        give_back_memory()

    def edit(self, photos: Sequence[Pixels], ask: Ask, seeds: Sequence[int]) -> list[Pixels | Failed]:
        """Edits at the working side, uint8 (H, W, 3) RGB, in the photos' order; see `Teacher.edit`."""
        self.load()
        sizes: dict[tuple[int, int], list[int]] = defaultdict(list)  # one call has images of one size
        for i, photo in enumerate(photos):
            sizes[self._size(photo)].append(i)
        edits: dict[int, Pixels | Failed] = {}
        for size, rows in sizes.items():
            together = 1 if self._one_by_one() else len(rows)
            for start in range(0, len(rows), together):
                batch = rows[start : start + together]
                made = self._call([photos[i] for i in batch], size, ask, [seeds[i] for i in batch])
                edits |= dict(zip(batch, made, strict=True))
        return [edits[i] for i in range(len(photos))]

    def _one_by_one(self) -> bool:
        if self.preset.one_by_one is not None:
            return self.preset.one_by_one
        return (self.preset.pipeline or type(self._pipeline).__name__) not in BATCHABLE

    def _size(self, photo: Pixels) -> tuple[int, int]:
        """(height, width) that the pipeline works at: the photo's aspect, both sides multiples of what it needs."""
        side, step = self.side or pipelines.native_side(self._pipeline), pipelines.side_multiple(self._pipeline)
        return pipelines.fitted_size(photo.shape[0], photo.shape[1], side, step, self.preset.area)

    def _inputs(self, photos: Sequence[Pixels], size: tuple[int, int]) -> list[Image.Image]:
        """What the pipeline's image argument gets for the photos."""
        return [Image.fromarray(resize(photo, size)) for photo in photos]

    @pipelines.quiet()
    def _call(
        self, photos: Sequence[Pixels], size: tuple[int, int], ask: Ask, seeds: Sequence[int]
    ) -> list[Pixels | Failed]:
        import torch

        pipeline, (prompt, image) = self._pipeline, self._names
        if ask.prompt not in self._prompts and (cut := pipelines.cut_words(pipeline, ask.prompt)):
            note(f"{self.name}: {cut}")
        self._prompts.add(ask.prompt)
        images = self._inputs(photos, size)
        # On the CPU: the same noise on every device, and for a photo whatever its neighbours are.
        generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        single = self._one_by_one()
        arguments = self._call_arguments()
        if not single:  # a pipeline that gets a list of prompts wants lists of all texts
            texts = {name for name, value in arguments.items() if "prompt" in name and isinstance(value, str)}
            arguments |= {name: [arguments[name]] * len(images) for name in texts}
        arguments |= {
            prompt: ask.prompt if single else [ask.prompt] * len(images),
            image: images[0] if single else images,
            "generator": generators[0] if single else generators,
            "output_type": "np",
        }
        takes = pipelines.parameters(type(pipeline))
        if self.preset.pass_size and "height" in takes and "width" in takes:
            arguments |= {"height": size[0], "width": size[1]}
        try:
            # Half precision may overflow: the pixels tell, not NumPy's warnings.
            with self._attention(pipeline), np.errstate(invalid="ignore"):
                output = pipeline(**arguments)
        except (ValueError, TypeError, ArithmeticError, LookupError) as error:
            if self._succeeded:  # so the settings are right, and it is the photo
                raise
            raise InputError(f"{type(pipeline).__name__}: {brief(error)}: change it with --set or --model") from error
        self._succeeded = True
        flagged = getattr(output, "nsfw_content_detected", None) or [False] * len(images)
        if len(output.images) != len(images):
            raise InputError(f"{type(pipeline).__name__} made {len(output.images)} images of {len(images)} photos")
        return [_pixels(x, bad) for x, bad in zip(output.images, flagged, strict=True)]


def _pixels(image_HWC: np.ndarray, flagged: bool) -> Pixels | Failed:
    """Floats in 0..1 to uint8 (H, W, 3)."""
    if flagged:
        return Failed("flagged by the safety checker")
    if not np.isfinite(image_HWC).all():
        return Failed("not a number (NaN) among its pixels; --precision fp32 may mend it")
    return (image_HWC.clip(0, 1) * 255 + 0.5).astype(np.uint8)
