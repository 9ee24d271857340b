from __future__ import annotations

from pathlib import Path

import pytest

from e2gan.core.errors import InputError
from e2gan.teachers.diffusion.presets import find_preset, load_presets

GOOD = """
[mine]
checkpoint = "someone/model"
side = 640
memory_gb = 3
arguments = { num_inference_steps = 8, negative_prompt = "blurry", sigmas = [1.0, 0.5] }
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, "utf-8")
    return path


def refused(path: Path) -> str:
    with pytest.raises(InputError) as error:
        load_presets(path)
    message = str(error.value)
    assert str(path) in message
    assert "\n" not in message
    return message


# ------------------------------------------------------------------------------------------------------- the paper's


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("sd-img2img", {"strength": 0.68, "guidance_scale": 7.5, "num_inference_steps": 50}),
        ("instruct-pix2pix", {"num_inference_steps": 100, "guidance_scale": 7.5, "image_guidance_scale": 1.5}),
        ("controlnet-normal", {"num_inference_steps": 20, "guidance_scale": 9.0, "background": 0.4}),
        ("controlnet-normal", {"controlnet_conditioning_scale": 1.0}),
        ("instruct-diffusion", {"num_inference_steps": 100, "guidance_scale": 5.0, "image_guidance_scale": 1.25}),
        ("null-text", {"num_inference_steps": 50, "guidance_scale": 7.5, "cross_replace": 0.8}),
    ],
)
def test_the_papers_teachers_have_its_settings(name: str, arguments: dict[str, float]) -> None:
    """E²GAN, Sec. B.1."""
    preset = find_preset(name)
    assert {key: preset.arguments[key] for key in arguments} == arguments
    assert preset.source.startswith("E²GAN, Sec. B.1")
    assert preset.side == 512


def test_whoever_downloads_is_told_the_licence() -> None:
    for preset in load_presets().values():
        assert preset.licence, preset.name
        assert preset.licence_url.startswith("https://"), preset.name
        assert preset.suits, preset.name
        assert preset.checkpoint or preset.obtain, preset.name
        assert (preset.memory_gb > 0) == bool(preset.memory_note), preset.name


def test_a_scheduler_of_another_class_says_what_it_would_get_wrong_by_itself() -> None:
    """DDIMScheduler clips latents to -1..1, as if they were pixels."""
    for preset in load_presets().values():
        if preset.scheduler == "DDIMScheduler":
            assert not preset.scheduler_arguments["clip_sample"], preset.name


# ---------------------------------------------------------------------------------------------------- finding a preset


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r'"sd-img2image"; did you mean sd-img2img.*There are: .*instruct-pix2pix'):
        find_preset("sd-img2image")
    with pytest.raises(InputError, match=r'"zzz"\. There are: .*diffusers:MODEL'):
        find_preset("zzz")


def test_any_model_of_diffusers_is_a_preset_with_nothing_set() -> None:
    preset = find_preset("diffusers:owner/some-model")
    assert (preset.kind, preset.checkpoint, preset.pipeline) == ("diffusers", "owner/some-model", None)
    assert dict(preset.arguments) == {}
    assert preset.name == "diffusers:some-model"  # it stands in file names
    assert find_preset("diffusers:/data/models/mine/").name == "diffusers:mine"
    with pytest.raises(InputError, match="names no model"):
        find_preset("diffusers: ")


# ------------------------------------------------------------------------------------------------------ a user's own


def test_a_users_file_adds_and_replaces(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD + '[sd-img2img]\ncheckpoint = "mine/sd"\n')
    presets = load_presets(path)
    assert presets["mine"].arguments["sigmas"] == [1.0, 0.5]
    assert presets["mine"].memory_gb == 3.0
    assert find_preset("sd-img2img", path).checkpoint == "mine/sd"
    assert dict(presets["sd-img2img"].arguments) == {}  # replaced, not mixed
    assert "instruct-pix2pix" in presets
    assert find_preset("sd-img2img").checkpoint != "mine/sd"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[a]\nchekpoint = "x"', r"\[a\]: unknown key chekpoint; did you mean checkpoint\?"),
        ('[a]\nqqqqq = "x"', r"\[a\]: unknown key qqqqq; a preset has: kind, pipeline"),
        ('[a]\ncheckpoint = "x"\nside = "512"', r"\[a\]: side = '512' is not a whole number"),
        ('[a]\ncheckpoint = "x"\nside = true', "side = True is not a whole number"),
        ('[a]\ncheckpoint = "x"\nside = 4', "side = 4 is below 8 pixels"),
        ('[a]\ncheckpoint = "x"\narea = 40', "area = 40 is below 64 pixels"),
        ('[a]\ncheckpoint = "x"\nmemory_gb = "2"', "is not a number"),
        ('[a]\ncheckpoint = "x"\none_by_one = 1', "one_by_one = 1 is not true or false"),
        ('[a]\ncheckpoint = "x"\narguments = 3', "arguments = 3 is not a table"),
        ('[a]\ncheckpoint = "x"\npipeline = 3', "pipeline = 3 is not text"),
        ('[a]\ncheckpoint = "x"\nkind = "gan"', "kind = 'gan' is not diffusers or controlnet-normal or"),
        ('[a]\ncheckpoint = "x"\nlora_file = "x.safetensors"', "lora_file without lora"),
        ("[a]\nside = 512", r"\[a\]: has no checkpoint"),
        ('checkpoint = "x"', "stands outside a table"),
        ('["diffusers:a"]\ncheckpoint = "x"', "is no name for a preset"),
        ("[a", "is not TOML: "),
    ],
)
def test_what_a_preset_cannot_have_is_named_with_file_and_table(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_presets(write(tmp_path, text))
    refused(tmp_path / "mine.toml")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    assert "is missing" in refused(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    assert "line 1: is not UTF-8" in refused(tmp_path / "binary.toml")
