"""InstructDiffusion, one of the paper's teachers (B.1), through InstructPix2Pix's pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from e2gan.core.errors import InputError
from e2gan.teachers.diffusion.pipelines import is_number
from e2gan.teachers.diffusion.teacher import DiffusionTeacher

if TYPE_CHECKING:
    import torch


class InstructDiffusionTeacher(DiffusionTeacher):
    """InstructDiffusion (Geng et al. 2023): the network of InstructPix2Pix, with a guidance of its own.

    With ε(text, image) what the UNet predicts, ∅ for none, s for `guidance_scale` and i for `image_guidance_scale`:
    (ε(∅, I) + ε(T, ∅))/2 + s (ε(T, I) − ε(∅, I)) + i (ε(T, I) − ε(T, ∅)), from the authors' edit_cli.py.
    """

    def _prepare(self, pipeline: Any) -> None:
        def ask_for_text(
            _: Any, given: tuple[Any, ...], named: dict[str, Any]
        ) -> tuple[tuple[Any, ...], dict[str, Any]]:
            text, *_, none = named["encoder_hidden_states"].chunk(3)
            return given, named | {"encoder_hidden_states": torch.cat([text, none, text])}

        def for_the_pipelines_formula(_: Any, __: Any, out: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
            """ε(T, I), ε(∅, I), ε(T, ∅) to A, B, C, so that the pipeline's C + s (A − B) + i (B − C) is the above."""
            both, image, text = out[0].chunk(3)
            c = (image + text) / 2
            b = c + both - text
            return (torch.cat([b + both - image, b, c]),)

        import torch

        pipeline.unet.register_forward_pre_hook(ask_for_text, with_kwargs=True)
        pipeline.unet.register_forward_hook(for_the_pipelines_formula)

    def _check(self, pipeline: Any) -> tuple[str, str]:
        names = super()._check(pipeline)
        text, image = self.arguments.get("guidance_scale", 7.5), self.arguments.get("image_guidance_scale", 1.5)
        if not (is_number(text) and text > 1 and is_number(image) and image >= 1):
            raise InputError(
                f"--set guidance_scale={text}, image_guidance_scale={image}: {self.name} needs numbers above 1, and at "
                "least 1"
            )
        return names
