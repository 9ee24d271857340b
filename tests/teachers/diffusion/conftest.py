"""Diffusion models of random weights on disk, what spoils them, and what stands for the hub."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from e2gan.core.errors import InputError
from e2gan.teachers.diffusion.pipelines import need_diffusers
from tests.teachers.diffusion.tiny_diffusion import (
    tiny_controlnet,
    tiny_scheduler,
    tiny_text,
    tiny_unet,
    tiny_vae,
    write_depth,
    write_stable_diffusion,
)
from tests.teachers.diffusion.tiny_teachers import SMALL


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("diffusion")


@pytest.fixture(scope="session")
def sd(root: Path) -> Path:
    return write_stable_diffusion(root / "sd")


@pytest.fixture(scope="session")
def pix2pix(root: Path) -> Path:
    return write_stable_diffusion(root / "pix2pix", "StableDiffusionInstructPix2PixPipeline")


@pytest.fixture(scope="session")
def control(root: Path) -> dict[str, Any]:
    """What the ControlNet teacher takes beside Stable Diffusion, and fewer steps."""
    torch.manual_seed(0)
    tiny_controlnet().save_pretrained(root / "controlnet")
    depth = write_depth(root / "depth")
    return SMALL | {"controlnet": str(root / "controlnet"), "depth": str(depth), "depth_scale": 10_000.0}


@pytest.fixture
def copy(sd: Path, tmp_path: Path) -> Path:
    """A Stable Diffusion to spoil."""
    shutil.copytree(sd, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No network and an empty cache."""
    from huggingface_hub import constants

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What is told and what is loaded, in order, with an empty cache; in place of the hub, a line that ends it."""
    found: list[str] = []
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("e2gan.teachers.diffusion.teacher.note", lambda text: found.append(text))

    def load(_: object, name: str, *__: object, **___: object) -> None:
        found.append(name)
        raise InputError("no hub here")

    for module in ("teacher", "normals"):
        monkeypatch.setattr(f"e2gan.teachers.diffusion.{module}.pretrained", load)
    return found


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A preset's tiny model on disk, written once."""
    from tests.teachers.diffusion.tiny_editors import BUILDERS, write_editor

    root, written = tmp_path_factory.mktemp("editors"), {}

    def find(name: str) -> Path:
        kind = BUILDERS[name]
        if kind not in written:
            written[kind] = write_editor(name, root / name)
        return written[kind]

    return find


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Qwen-Image-Edit fits every photo into 1024² pixels, here into 64×96."""
    from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit_plus

    fit = pipeline_qwenimage_edit_plus.calculate_dimensions
    monkeypatch.setattr(pipeline_qwenimage_edit_plus, "calculate_dimensions", lambda _, ratio: fit(64 * 96, ratio))


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Attention at a half, a quarter and an eighth of the latent's side, and a prompt that matters."""
    diffusers = need_diffusers("this test")
    torch.manual_seed(0)
    unet = tiny_unet(
        block_out_channels=(8, 8, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    )
    vae = tiny_vae()
    vae.register_to_config(scaling_factor=4.0)  # random encoders give small latents: to unit variance
    with torch.no_grad():
        for name, weights in unet.named_parameters():
            if name.startswith("conv_out"):
                weights.mul_(0.1)  # noise that changes slowly along the path, as a trained network's does
            if "attn2.to_v" in name or "attn2.to_out.0.weight" in name:
                weights.mul_(3)
    pipeline = diffusers.StableDiffusionPipeline(
        vae=vae,
        unet=unet,
        scheduler=tiny_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
        **tiny_text(tmp_path_factory.mktemp("words")),
    )
    for network in (pipeline.unet, pipeline.vae, pipeline.text_encoder):
        network.eval().requires_grad_(False)
    return pipeline
