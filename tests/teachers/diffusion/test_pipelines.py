"""Pipelines of diffusers: which edits a photo, its scheduler, its words, and what the hub is asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from e2gan.config import TeachConfig
from e2gan.core.errors import InputError
from e2gan.teachers.diffusion.pipelines import quiet
from e2gan.teachers.diffusion.registry import make_teacher
from e2gan.teachers.teacher import Ask, Failed
from tests.conftest import refused
from tests.teachers.diffusion.tiny_diffusion import tiny_text, tiny_unet
from tests.teachers.diffusion.tiny_teachers import ASK, photos, pixels, teacher


def set_class(folder: Path, name: object) -> Path:
    """Another pipeline in a folder's model_index.json."""
    path = folder / "model_index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"_class_name": name}))
    return folder


def test_a_preset_may_choose_the_scheduler(pix2pix: Path, sd: Path) -> None:
    one = teacher("instruct-pix2pix", pix2pix)
    one.load()
    assert type(one._pipeline.scheduler).__name__ == "EulerAncestralDiscreteScheduler"
    assert one._pipeline.scheduler.config.beta_start == 0.00085  # the checkpoint's own numbers
    two = teacher("sd-img2img", sd)
    two.load()
    assert type(two._pipeline.scheduler).__name__ == "PNDMScheduler"


def test_a_preset_may_change_the_schedulers_numbers(sd: Path, tmp_path: Path) -> None:
    text = f'[mine]\ncheckpoint = "{sd}"\npipeline = "StableDiffusionImg2ImgPipeline"\n'
    path = tmp_path / "mine.toml"
    path.write_text(text + "scheduler_arguments = { beta_end = 0.02 }\n")
    mine: Any = make_teacher("mine", teach=TeachConfig(presets=path))
    mine.load()
    config = mine._pipeline.scheduler.config
    assert (config.beta_end, config.beta_start) == (0.02, 0.00085)
    path.write_text(text + "scheduler_arguments = { betaend = 0.02 }\n")
    assert "PNDMScheduler takes no betaend, but num_train_timesteps" in refused(
        make_teacher("mine", teach=TeachConfig(presets=path)).load
    )


@pytest.mark.parametrize("name", ["instruct-pix2pix", "instruct-diffusion"])
def test_instructions_are_sampled_at_the_times_of_the_authors(name: str, pix2pix: Path) -> None:
    """k-diffusion's get_sigmas: evenly from 999 to 0, whatever spacing the checkpoint has."""
    one = teacher(name, pix2pix)
    one.load()
    scheduler = one._pipeline.scheduler
    with quiet():
        scheduler.set_timesteps(4)
    assert scheduler.timesteps.tolist() == [999, 666, 333, 0]


def test_an_instruction_model_is_not_a_text_to_image_model(sd: Path) -> None:
    message = refused(teacher("instruct-pix2pix", sd).load)
    assert "its UNet takes 4 channels, an InstructPix2Pix's 8" in message
    assert "--model" in message


def test_a_prompt_that_is_cut_is_told_once(sd: Path, capfd: pytest.CaptureFixture[str]) -> None:
    one = teacher("sd-img2img", sd)
    for _ in range(2):
        one.edit(photos(1), Ask("a " * 80), [1])
    said = " ".join(capfd.readouterr().err.split())
    assert said == ("sd-img2img: the prompt has 80 word pieces, and the text encoder reads the first 75: shorten it")


def test_a_download_is_announced_with_licence_and_size(events: list[str]) -> None:
    one = make_teacher("sd-img2img")
    for _ in range(2):  # told once
        assert refused(one.load) == "no hub here"
    told, *loaded = events
    assert loaded == ["stable-diffusion-v1-5/stable-diffusion-v1-5"] * 2
    assert told == (
        "stable-diffusion-v1-5/stable-diffusion-v1-5 is not in the cache: asking the hub (about 5.5 GB; licence "
        "CreativeML Open RAIL-M, https://huggingface.co/spaces/CompVis/stable-diffusion-license)"
    )


def test_the_licence_of_another_model_is_on_its_page(events: list[str], sd: Path) -> None:
    refused(make_teacher("sd-img2img", "owner/model").load)
    assert events[0] == (
        "owner/model is not in the cache: asking the hub (its licence is on its page: https://huggingface.co/owner/model)"
    )
    events.clear()
    refused(make_teacher("controlnet-normal", str(sd), {"depth": "owner/depth"}).load)
    assert "owner/depth: its licence is on its page: https://huggingface.co/owner/depth" in events[0]
    assert "OpenRAIL (ControlNet)" in events[0]  # still the preset's
    assert " GB" not in events[0]  # of which the whole is not loaded
    assert str(sd) not in events[0]


def test_without_the_library_the_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "diffusers", None)
    message = refused(lambda: make_teacher("sd-img2img").settings(ASK))
    assert "pip install 'e2gan[teachers]'" in message


def test_a_pipeline_that_this_version_lacks(tmp_path: Path, sd: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f'[mine]\ncheckpoint = "{sd}"\npipeline = "TomorrowPipeline"\n')
    message = refused(lambda: make_teacher("mine", teach=TeachConfig(presets=path)).settings(ASK))
    assert "has no TomorrowPipeline" in message
    assert "diffusers 0." in message


def test_any_text_to_image_folder_edits_through_its_counterpart(sd: Path) -> None:
    generic = teacher(f"diffusers:{sd}", None)
    edits = generic.edit(photos(), ASK, [1, 2, 3])
    assert type(generic._pipeline).__name__ == "StableDiffusionImg2ImgPipeline"
    by_name = teacher("sd-img2img", sd, strength=0.8, guidance_scale=7.5)  # the pipeline's own defaults
    assert np.array_equal(pixels(edits), pixels(by_name.edit(photos(), ASK, [1, 2, 3])))
    assert generic.name == "diffusers:sd"


def test_an_instruction_editing_folder_is_used_as_it_is(pix2pix: Path) -> None:
    generic = teacher(f"diffusers:{pix2pix}", None)
    assert pixels(generic.edit(photos(2), ASK, [1, 2])).shape == (2, 32, 32, 3)
    assert type(generic._pipeline).__name__ == "StableDiffusionInstructPix2PixPipeline"


def test_the_side_is_the_models_own_where_nobody_says_it(sd: Path) -> None:
    generic = make_teacher(f"diffusers:{sd}", None, {"num_inference_steps": 2})
    [edit] = generic.edit(photos(1), ASK, [1])
    assert not isinstance(edit, Failed)
    assert edit.shape == (32, 32, 3)  # the UNet's 16 latents, of 2 pixels each


def test_sdxl_has_two_tokenizers_and_edits_too(root: Path) -> None:
    from diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl import StableDiffusionXLPipeline
    from transformers import CLIPTextModelWithProjection

    from tests.teachers.diffusion.tiny_diffusion import tiny_scheduler, tiny_vae

    torch.manual_seed(0)
    first, second = tiny_text(root / "words-1"), tiny_text(root / "words-2")
    unet = tiny_unet(
        cross_attention_dim=32,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=16 + 6 * 8,
    )
    StableDiffusionXLPipeline(
        vae=tiny_vae(),
        unet=unet,
        scheduler=tiny_scheduler(),
        **first,
        text_encoder_2=CLIPTextModelWithProjection(second["text_encoder"].config),
        tokenizer_2=second["tokenizer"],
        add_watermarker=False,
    ).save_pretrained(root / "xl")
    generic = teacher(f"diffusers:{root / 'xl'}", None)
    together = pixels(generic.edit(photos(), ASK, [1, 2, 3]))
    alone = [generic.edit([photo], ASK, [seed])[0] for photo, seed in zip(photos(), (1, 2, 3), strict=True)]
    assert np.abs(pixels(alone) - together).max() <= 1
    assert type(generic._pipeline).__name__ == "StableDiffusionXLImg2ImgPipeline"


def test_a_folder_without_an_index_is_no_pipeline(copy: Path) -> None:
    (copy / "model_index.json").unlink()
    message = refused(lambda: teacher(f"diffusers:{copy}", None).settings(ASK))
    assert "model_index.json" in message
    assert "--model" in message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("DDPMPipeline", "DDPMPipeline does not take a photo and a prompt"),
        ("StableDiffusionInpaintPipeline", "StableDiffusionInpaintPipeline needs mask_image"),
        ("StableDiffusionControlNetPipeline", "StableDiffusionControlNetImg2ImgPipeline needs control_image"),
        ("TomorrowPipeline", "has no TomorrowPipeline: pip install --upgrade diffusers"),
        (["pipeline", "MyPipeline"], "code of its own, which is never run"),
    ],
)
def test_pipelines_that_do_not_edit_by_a_prompt_are_refused(copy: Path, name: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        teacher(f"diffusers:{set_class(copy, name)}", None).settings(ASK)


def test_a_users_preset_names_the_arguments_itself(tmp_path: Path, sd: Path) -> None:
    path = tmp_path / "mine.toml"
    text = f'[mine]\ncheckpoint = "{sd}"\npipeline = "StableDiffusionImg2ImgPipeline"\nside = 32\n'
    path.write_text(text + 'image = "photo"\n')
    message = refused(lambda: make_teacher("mine", teach=TeachConfig(presets=path)).settings(ASK))
    assert "takes no photo, but prompt, image" in message
    path.write_text(text + "one_by_one = true\narguments = { num_inference_steps = 3, strength = 0.68 }\n")
    mine = make_teacher("mine", teach=TeachConfig(presets=path))
    edits = pixels(mine.edit(photos(), ASK, [1, 2, 3]))
    together = pixels(teacher("sd-img2img", sd).edit(photos(), ASK, [1, 2, 3]))
    assert np.abs(edits - together).max() <= 1
    assert mine.batch == 1
