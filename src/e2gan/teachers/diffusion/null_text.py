"""Null-text inversion (Mokady et al. 2022, arXiv 2211.09794) and prompt-to-prompt edits of real photos.

A photo is followed back to noise along the DDIM path of a prompt that describes it; then the embedding of the empty
prompt is optimised, step by step, until sampling with guidance returns along that path; and the edit is sampled from
the same noise with the target prompt, its attention tied to the source's. One of the teachers of E²GAN, Sec. B.1.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from e2gan.core.errors import InputError
from e2gan.core.images import Pixels, resize
from e2gan.teachers.diffusion import prompt_to_prompt as p2p
from e2gan.teachers.diffusion.pipelines import need_diffusers, number, whole_number
from e2gan.teachers.diffusion.teacher import DTYPES, DiffusionTeacher
from e2gan.teachers.teacher import Ask, Failed

RANGES = {"guidance_scale": (1, 1000), "early_stop": (0, 1000), "self_replace": (0, 1), "cross_replace": (0, 1)}


@dataclass(frozen=True, kw_only=True)
class NullTextOptions:
    """The numbers of E²GAN, Sec. B.1; inner_steps and early_stop are those of null-text inversion."""

    num_inference_steps: int = 50
    guidance_scale: float = 7.5
    self_replace: float = 0.5
    """Share of the steps, the first ones, in which self-attention is the source's. Sec. B.1 has 0.5 to 0.8: the lower
    end lets textures and styles change, the upper keeps the layout closer."""
    cross_replace: float = 0.8
    """The same for the cross-attention maps of the words that both prompts have."""
    amplify: p2p.Amplify = 2.0
    """Factor of the attention to the words that the prompt adds to the source prompt, or words and theirs, as in
    "autumn=5,red=2", in cross_replace's share of the steps. Sec. B.1 has 2 or 5."""
    inner_steps: int = 10
    """Steps of Adam at each step of the path, at most."""
    early_stop: float = 1e-5
    """Mean squared error of the latent below which they end, at the path's first step; it rises towards 101 times that
    along the path, since each step begins with the errors of those before. 0: never."""


def encode(pipeline: Any, photo: Pixels) -> Tensor:
    """A photo, uint8 (H, W, 3) RGB with sides that are multiples of 8, as latent (1, 4, H/8, W/8) float32.

    The mean of what the VAE's encoder gives: nothing is drawn.
    """
    image = torch.from_numpy(photo).to(pipeline._execution_device).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        return pipeline.vae.encode(image).latent_dist.mean * pipeline.vae.config.scaling_factor


def decode(pipeline: Any, latent: Tensor) -> Tensor:
    """A latent (1, 4, h, w) as image (1, 3, 8h, 8w) float32 in -1..1."""
    with torch.no_grad():
        return pipeline.vae.decode(latent / pipeline.vae.config.scaling_factor).sample.clamp(-1, 1)


def _tokens(pipeline: Any, prompt: str) -> p2p.Tokens:
    return p2p.tokenize(prompt, pipeline.tokenizer, pipeline.text_encoder.config.max_position_embeddings)


def _embed(pipeline: Any, prompt: str) -> Tensor:
    """(1, L, D) float32."""
    ids = torch.tensor([_tokens(pipeline, prompt).ids], device=pipeline._execution_device)
    with torch.no_grad():
        return pipeline.text_encoder(ids)[0]


def _ddim(pipeline: Any, steps: int) -> tuple[Any, Any, list[int]]:
    """DDIM's scheduler, the inverse one whose steps undo its steps, and the timesteps from noise to photo."""
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler
    from diffusers.schedulers.scheduling_ddim_inverse import DDIMInverseScheduler

    # Clipping cannot be undone, and latents are not within -1..1.
    settings = {"clip_sample": False, "timestep_spacing": "leading"}
    forward: Any = DDIMScheduler.from_config(pipeline.scheduler.config, thresholding=False, **settings)
    inverse: Any = DDIMInverseScheduler.from_config(pipeline.scheduler.config, **settings)
    trained = len(forward.alphas_cumprod)
    if steps <= trained:
        forward.set_timesteps(steps)
        inverse.set_timesteps(steps)
    if steps > trained or int(forward.timesteps.max()) >= trained:
        raise InputError(f"--set num_inference_steps={steps}: the model was trained with {trained} steps: take fewer")
    return forward, inverse, forward.timesteps.tolist()


def _guided(unprompted: Tensor, prompted: Tensor, guidance: float) -> Tensor:
    """Classifier-free guidance."""
    return unprompted + guidance * (prompted - unprompted)


@torch.no_grad()
def ddim_invert(pipeline: Any, latent: Tensor, prompt: str, steps: int = 50) -> Tensor:
    """DDIM inversion with guidance 1: a latent (1, 4, h, w) to (S+1, 4, h, w), from the latent itself to noise."""
    _, inverse, times = _ddim(pipeline, steps)
    text, path = _embed(pipeline, prompt), [latent]
    for t in reversed(times):
        noise = pipeline.unet(path[-1], t, encoder_hidden_states=text).sample
        path.append(inverse.step(noise, t, path[-1]).prev_sample)
    return torch.cat(path)


@dataclass(frozen=True)
class Inversion:
    """A photo's way to noise, and the null embeddings with which guided sampling returns along it, in S steps, float32.

    latents: (S+1, 4, h, w), the DDIM inversion, from photo to noise. nulls: (S, L, D), in the order of sampling, from
    noise to photo. reconstruction: (S+1, 4, h, w), what guided sampling goes through, in the order of latents, so that
    reconstruction[0] is the photo's.
    """

    prompt: str
    guidance: float
    latents: Tensor
    nulls: Tensor
    reconstruction: Tensor


def invert(pipeline: Any, photo: Pixels, prompt: str, options: NullTextOptions) -> Inversion:
    """Null-text inversion of a photo, uint8 (H, W, 3) RGB with sides that are multiples of 8.

    pipeline: a StableDiffusionPipeline of version 1 or 2, float32, its networks frozen (gradients go through the UNet).
    prompt: what the photo shows. One inversion serves many edits. The null embeddings are optimised along the path of
    `ddim_invert` (Algorithm 1): each step begins with the embedding of the step before, and Adam anew, at a rate that
    falls from 0.01 by half. Raises InputError for a prompt that is too long, or more steps than the model was trained
    with.
    """
    steps = options.num_inference_steps
    latents = ddim_invert(pipeline, encode(pipeline, photo), prompt, steps)
    forward, _, times = _ddim(pipeline, steps)
    text, null = _embed(pipeline, prompt), _embed(pipeline, "")
    path, nulls = [latents[-1:]], []
    for i, t in enumerate(times):
        here, pivot = path[-1], latents[steps - i - 1 : steps - i]
        enough = options.early_stop * (1 + 100 * i / steps)
        null = null.detach().clone().requires_grad_()
        adam = torch.optim.Adam([null], lr=0.01 * (1 - 0.5 * i / steps))
        with torch.no_grad():
            prompted = pipeline.unet(here, t, encoder_hidden_states=text).sample
        left = options.inner_steps
        while True:
            with torch.set_grad_enabled(left > 0):
                unprompted = pipeline.unet(here, t, encoder_hidden_states=null).sample
                there = forward.step(_guided(unprompted, prompted, options.guidance_scale), t, here).prev_sample
                error = F.mse_loss(there, pivot)
            if left == 0 or error.item() < enough:
                break
            (null.grad,) = torch.autograd.grad(error, null)
            adam.step()
            left -= 1
        path.append(there.detach())
        nulls.append(null.detach())
    return Inversion(prompt, options.guidance_scale, latents, torch.cat(nulls), torch.cat(path[::-1]))


@torch.no_grad()
def edit(pipeline: Any, inversion: Inversion, prompt: str, options: NullTextOptions) -> Tensor:
    """The edited latent (1, 4, h, w) float32, for `decode`, in as many steps as the inversion has.

    The source's branch stands on the path of the reconstruction, so that it needs no guidance: one evaluation a step,
    for its attention maps. Raises InputError for a prompt that is too long, or lacks a word to amplify.
    """
    steps = len(inversion.nulls)
    forward, _, times = _ddim(pipeline, steps)
    words = _tokens(pipeline, prompt)
    height, width = inversion.latents.shape[2:]
    control = p2p.AttentionControl(
        p2p.map_tokens(_tokens(pipeline, inversion.prompt), words),
        p2p.token_factors(words, p2p.amplified(options.amplify, inversion.prompt, prompt)),
        cross_steps=round(options.cross_replace * steps),
        self_steps=round(options.self_replace * steps),
        # 32×32 of 64×64, as null_text_w_ptp.ipynb has it (pixels <= 32**2): all levels but the finest, whose halving
        # the UNet's convolutions round up.
        self_limit=math.ceil(height / 2) * math.ceil(width / 2),
    )
    texts = torch.cat([_embed(pipeline, inversion.prompt), _embed(pipeline, prompt)])
    latent = inversion.reconstruction[-1:]
    with p2p.controlled(pipeline.unet, control):
        for control.step, t in enumerate(times):
            source = inversion.reconstruction[steps - control.step][None]
            null = inversion.nulls[control.step][None]
            batch, embeddings = torch.cat([latent, source, latent]), torch.cat([null, texts])
            noise = pipeline.unet(batch, t, encoder_hidden_states=embeddings).sample.float()
            unprompted, _, prompted = noise.chunk(3)
            latent = forward.step(_guided(unprompted, prompted, inversion.guidance), t, latent).prev_sample
    return latent


class NullTextTeacher(DiffusionTeacher):
    """Null-text inversion and prompt-to-prompt, a photo at a time: from `ask.source` to `ask.prompt`.

    The overrides of DiffusionTeacher are NullTextOptions here. The inversion is float32, since the errors that it
    minimises are near the rounding of half precision; a lower one is for the edited pass alone.
    """

    options: NullTextOptions

    def _validate(self) -> None:
        self.options, self.deterministic = _options(self.arguments), True
        if self.teach.offload == "sequential":
            raise InputError(f"--offload sequential: {self.name} needs gradients: take --offload model")
        for option in ("compile", "attention"):
            if getattr(self.teach, option):
                raise InputError(f"--{option}: {self.name} changes the attention at every step: leave it out")

    @property
    def batch(self) -> int:
        """One, whatever was asked for: each photo has an optimisation of its own."""
        return 1

    def settings(self, ask: Ask) -> dict[str, Any]:
        """What decides the edits. Raises InputError where the prompts are one, or lack a word to amplify."""
        need_diffusers(self.name)
        self.checkpoint()
        words = p2p.amplified(self.options.amplify, ask.source, ask.prompt)
        if p2p.split_words(ask.source) == p2p.split_words(ask.prompt) and not words:
            raise InputError(
                f'{self.name}: "{ask.prompt}" is the source prompt too: say with --source what the photos show'
            )
        return {
            "preset": self.name,
            "checkpoint": self.model,
            "arguments": dataclasses.asdict(self.options) | {"amplify": words},
            "side": self.side,
            "precision": self._edit_precision(),
            "lora": self.preset.lora,
            "lora_file": self.preset.lora_file,
        }

    def _precision(self) -> str:
        return "fp32"

    def _edit_precision(self) -> str:
        return "fp32" if self.teach.precision == "auto" else super()._precision()

    def _class(self, diffusers: ModuleType) -> Any:
        return diffusers.StableDiffusionPipeline

    def _check(self, pipeline: Any) -> tuple[str, str]:  # noqa: ARG002
        return "prompt", "image"

    def _prepare(self, pipeline: Any) -> None:
        config = pipeline.unet.config
        if config.in_channels != pipeline.vae.config.latent_channels or config.addition_embed_type is not None:
            raise InputError(f"{self.model}: is no text-to-image Stable Diffusion 1 or 2: name one with --model")
        for network in (pipeline.unet, pipeline.vae, pipeline.text_encoder):
            network.eval().requires_grad_(False)
        _ddim(pipeline, self.options.num_inference_steps)

    def _call(
        self,
        photos: Sequence[Pixels],
        size: tuple[int, int],
        ask: Ask,
        seeds: Sequence[int],  # noqa: ARG002
    ) -> list[Pixels | Failed]:
        return [self._one(resize(photo, size), ask) for photo in photos]

    def _one(self, photo: Pixels, ask: Ask) -> Pixels | Failed:
        pipeline, options = self._pipeline, self.options
        inversion = invert(pipeline, photo, ask.source, options)
        dtype = getattr(torch, DTYPES[self._edit_precision()])
        with torch.autocast(self._device().type, dtype, enabled=dtype != torch.float32):
            latent = edit(pipeline, inversion, ask.prompt, options)
        image = decode(pipeline, latent)
        if not image.isfinite().all():
            return Failed("not a number (NaN) among its pixels", again=False)
        _, flagged = pipeline.run_safety_checker(image, image.device, image.dtype)
        if flagged and flagged[0]:
            return Failed("flagged by the safety checker", again=False)
        return (image[0].permute(1, 2, 0) * 127.5 + 128).clamp(0, 255).byte().cpu().numpy()


def _options(arguments: Mapping[str, Any]) -> NullTextOptions:
    """Raises InputError for an unknown name, or a value out of range."""
    known = [f.name for f in dataclasses.fields(NullTextOptions)]
    if unknown := [name for name in arguments if name not in known]:
        raise InputError(f"--set {', '.join(unknown)}: null-text takes no such argument, but {', '.join(known)}")
    options = NullTextOptions(**arguments)
    for name, least in (("num_inference_steps", 1), ("inner_steps", 0)):
        whole_number(getattr(options, name), name, least)
    for name, (least, most) in RANGES.items():
        number(getattr(options, name), name, least, most)
    p2p.read_factors(options.amplify)
    return options
