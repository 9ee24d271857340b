"""LEDITS++ (Brack et al., CVPR 2024) as a teacher: the photo is inverted first, then edited from its own noise."""

from __future__ import annotations

import inspect
from functools import cache
from types import ModuleType
from typing import Any

from e2gan.core.errors import InputError
from e2gan.core.images import Pixels
from e2gan.teachers.diffusion.teacher import DiffusionTeacher

MULTIPLE = 32  # of both sides: the masks are made at a quarter of the latents, which are an eighth of the photo
OF_INVERT = ("num_inversion_steps", "skip", "source_prompt", "source_guidance_scale")
OF_THE_EDIT = ("editing_prompt", "edit_guidance_scale", "edit_threshold", "edit_warmup_steps", "edit_cooldown_steps")
OF_THE_EDIT += ("reverse_editing_direction", "negative_prompt", "use_cross_attn_mask", "use_intersect_mask")
OF_THE_EDIT += ("guidance_rescale", "output_type")
OF_BOTH = ("clip_skip", "generator")


class LeditsTeacher(DiffusionTeacher):
    """LEDITS++ with Stable Diffusion. The prompt names what shall be there ("autumn leaves"), it is no instruction.

    The arguments are those of the library's two calls, `invert` and the edit: num_inversion_steps, skip (0..1, the
    lower the stronger), edit_guidance_scale, edit_threshold (0..1, the part of the picture that stays), and others.
    """

    def _validate(self) -> None:
        if self.teach.offload != "none":  # the library's pipeline puts the photo where the weights rest, on the CPU
            raise InputError(f"--offload {self.teach.offload}: {self.name} needs its weights on the GPU")

    def _class(self, diffusers: ModuleType) -> Any:
        return _inverting(diffusers)

    def _size(self, photo: Pixels) -> tuple[int, int]:
        height, width = super()._size(photo)
        return max(1, round(height / MULTIPLE)) * MULTIPLE, max(1, round(width / MULTIPLE)) * MULTIPLE


@cache
def _inverting(diffusers: ModuleType) -> Any:
    """The library's pipeline with both calls in one; defaults are the library's own."""

    class InvertingPipeline(diffusers.LEditsPPPipelineStableDiffusion):
        def __call__(self, image: Any, **arguments: Any) -> Any:
            self.invert(image, **{name: value for name, value in arguments.items() if name not in OF_THE_EDIT})
            return super().__call__(**{name: value for name, value in arguments.items() if name not in OF_INVERT})

    # The teacher reads here what it may be given.
    names = ("self", "image", *OF_INVERT, *OF_THE_EDIT, *OF_BOTH)
    parameters = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in names]
    InvertingPipeline.__call__.__signature__ = inspect.Signature(parameters)
    return InvertingPipeline
