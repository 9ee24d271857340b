"""InstructDiffusion's guidance, against its formula."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tests.conftest import refused
from tests.teachers.diffusion.tiny_teachers import ASK, photos, teacher


def test_instruct_diffusion_has_the_guidance_of_its_authors(pix2pix: Path) -> None:
    """One step against its formula, from the UNet of InstructPix2Pix asked three times."""
    one = teacher("instruct-diffusion", pix2pix, num_inference_steps=1)
    one.load()
    pipeline, taken = one._pipeline, []
    step = pipeline.scheduler.step

    def watched(noise: torch.Tensor, t: torch.Tensor, latents: torch.Tensor, **more: Any) -> Any:
        taken.append((noise, t, latents))
        return step(noise, t, latents, **more)

    pipeline.scheduler.step = watched
    one.edit(photos(1, 32, 32), ASK, [1])
    [(noise, t, latents)] = taken

    plain = teacher("instruct-pix2pix", pix2pix)
    plain.load()
    unet, vae = plain._pipeline.unet, plain._pipeline.vae
    texts, empty, _ = plain._pipeline._encode_prompt(ASK.prompt, "cpu", 1, True).chunk(3)
    x = torch.from_numpy(photos(1, 32, 32)[0]).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        image = vae.encode(x).latent_dist.mode()
        scaled = latents / (pipeline.scheduler.sigmas[0] ** 2 + 1) ** 0.5

        def predict(text: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
            return unet(torch.cat([scaled, condition], dim=1), t, encoder_hidden_states=text).sample

        both, no_text, no_image = predict(texts, image), predict(empty, image), predict(texts, torch.zeros_like(image))
    expected = (no_text + no_image) / 2 + 5.0 * (both - no_text) + 1.25 * (both - no_image)
    torch.testing.assert_close(noise, expected, rtol=1e-3, atol=1e-4)


def test_instruct_diffusion_needs_both_guidances(pix2pix: Path) -> None:
    for override in ({"guidance_scale": 1.0}, {"image_guidance_scale": 0.5}, {"guidance_scale": "x"}):
        assert "above 1, and at least 1" in refused(teacher("instruct-diffusion", pix2pix, None, **override).load)
