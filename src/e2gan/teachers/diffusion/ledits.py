"""LEDITS++ (Brack et al., CVPR 2024) as a teacher: the photo is inverted first, then edited from its own noise."""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any

from e2gan.core.errors import InputError
from e2gan.core.images import Pixels
from e2gan.teachers.diffusion.teacher import DiffusionTeacher

MULTIPLE = 32  # of both sides: the masks are made at a quarter of the latents, which are an eighth of the photo


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
        def __call__(
            self,
            image: Any,
            editing_prompt: str,
            num_inversion_steps: int = 30,
            skip: float = 0.15,
            source_prompt: str = "",
            source_guidance_scale: float = 3.5,
            edit_guidance_scale: float = 5.0,
            edit_threshold: float = 0.9,
            edit_warmup_steps: int = 0,
            edit_cooldown_steps: int | None = None,
            reverse_editing_direction: bool = False,
            negative_prompt: str | None = None,
            use_cross_attn_mask: bool = False,
            use_intersect_mask: bool = True,
            guidance_rescale: float = 0.0,
            clip_skip: int | None = None,
            generator: Any = None,
            output_type: str = "pil",
        ) -> Any:
            self.invert(
                image,
                source_prompt=source_prompt,
                source_guidance_scale=source_guidance_scale,
                num_inversion_steps=num_inversion_steps,
                skip=skip,
                generator=generator,
                clip_skip=clip_skip,
            )
            return super().__call__(
                editing_prompt=editing_prompt,
                edit_guidance_scale=edit_guidance_scale,
                edit_threshold=edit_threshold,
                edit_warmup_steps=edit_warmup_steps,
                edit_cooldown_steps=edit_cooldown_steps,
                reverse_editing_direction=reverse_editing_direction,
                negative_prompt=negative_prompt,
                use_cross_attn_mask=use_cross_attn_mask,
                use_intersect_mask=use_intersect_mask,
                guidance_rescale=guidance_rescale,
                clip_skip=clip_skip,
                generator=generator,
                output_type=output_type,
            )

    return InvertingPipeline
