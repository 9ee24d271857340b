"""The paper's teachers through diffusers' own pipelines, on models of random weights a few kilobytes large."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from e2gan.config import TeachConfig
from e2gan.core.errors import InputError
from e2gan.teachers.diffusion.presets import find_preset
from e2gan.teachers.diffusion.registry import make_teacher
from e2gan.teachers.diffusion.teacher import MAX_BATCH, DiffusionTeacher
from e2gan.teachers.teacher import Ask, Failed
from tests.conftest import refused
from tests.teachers.diffusion.tiny_diffusion import write_stable_diffusion
from tests.teachers.diffusion.tiny_teachers import ASK, photos, pixels, teacher

WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


@pytest.mark.parametrize("name", ["sd-img2img", "instruct-pix2pix", "instruct-diffusion", "controlnet-normal"])
@pytest.mark.slow
def test_an_edit_hangs_on_photo_prompt_and_seed_and_on_no_neighbour(
    name: str, sd: Path, pix2pix: Path, control: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    model = pix2pix if name.startswith("instruct") else sd
    one = teacher(name, model, **(control if name == "controlnet-normal" else {}))
    together = pixels(one.edit(photos(), ASK, [1, 2, 3]))
    assert together.shape == (3, 32, 32, 3)
    alone = [one.edit([photo], ASK, [seed])[0] for photo, seed in zip(photos(), (1, 2, 3), strict=True)]
    assert np.abs(pixels(alone) - together).max() <= 1  # sums in another order
    again = teacher(name, model, **(control if name == "controlnet-normal" else {}))
    assert np.array_equal(pixels(again.edit(photos(), ASK, [1, 2, 3])), together)
    for other in (
        one.edit(photos(), Ask("a dog"), [1, 2, 3]),
        one.edit(photos(), ASK, [4, 5, 6]),
        one.edit([np.full_like(photo, 128) for photo in photos()], ASK, [1, 2, 3]),
    ):
        assert np.abs(pixels(other) - together).max() > 8
    assert capfd.readouterr() == ("", "")  # no bars, no warnings


def test_the_aspect_is_kept_and_the_order_where_sizes_differ(sd: Path) -> None:
    mixed = [*photos(1, 40, 40), *photos(1, 40, 61), *photos(1, 100, 50), *photos(1, 40, 40)[:1]]
    one = teacher("sd-img2img", sd)
    edits = one.edit(mixed, ASK, [1, 2, 3, 4])
    assert [edit.shape for edit in edits if not isinstance(edit, Failed)] == [
        (32, 32, 3),
        (32, 48, 3),  # 32×48.8
        (64, 32, 3),
        (32, 32, 3),
    ]
    assert np.abs(pixels(one.edit(mixed[1:2], ASK, [2])) - pixels(edits[1:2])).max() <= 1
    assert np.abs(pixels(one.edit(mixed[3:], ASK, [4])) - pixels(edits[3:])).max() <= 1


def test_strength_nearly_zero_gives_the_photo_through_the_autoencoder(sd: Path) -> None:
    """The photo goes in upright, in RGB, in 0..1: what the pipeline's own VAE makes of it comes back."""
    from e2gan.core.images import resize

    one = teacher("sd-img2img", sd, strength=0.001, num_inference_steps=1000)
    [photo] = photos(1)
    edit = pixels(one.edit([photo], ASK, [1]))[0]
    vae = one._pipeline.vae
    x = torch.from_numpy(resize(photo, (32, 32))).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        y = vae.decode(vae.encode(x).latent_dist.sample(torch.Generator().manual_seed(1))).sample[0]
    through = (y.permute(1, 2, 0).numpy() / 2 + 0.5).clip(0, 1) * 255
    flat = np.abs(through - through.mean()).mean()
    assert np.abs(edit - through).mean() < 0.5 * flat


def test_settings_are_what_decides_the_edits(sd: Path) -> None:
    one = teacher("sd-img2img", sd, strength=0.5)
    assert one.settings(ASK) == {
        "preset": "sd-img2img",
        "checkpoint": str(sd),
        "revision": None,
        "pipeline": "StableDiffusionImg2ImgPipeline",
        "arguments": {"strength": 0.5, "guidance_scale": 7.5, "num_inference_steps": 3},
        "scheduler": None,
        "scheduler_arguments": {},
        "side": 32,
        "precision": "fp32",
        "lora": None,
        "lora_file": None,
    }
    assert one._pipeline is None  # nothing heavy before `load`
    assert json.dumps(one.settings(ASK))
    assert (one.name, one.batch, one.deterministic) == ("sd-img2img", 1, False)
    assert teacher("sd-img2img", sd, TeachConfig(batch=5)).batch == 5


def test_overrides_reach_the_pipeline(sd: Path) -> None:
    plain = pixels(teacher("sd-img2img", sd).edit(photos(), ASK, [1, 2, 3]))
    overrides: list[dict[str, Any]] = [{"guidance_scale": 1.5}, {"strength": 1.0}, {"negative_prompt": "a dog"}]
    for override in overrides:
        assert np.abs(pixels(teacher("sd-img2img", sd, **override).edit(photos(), ASK, [1, 2, 3])) - plain).max() > 1


def test_half_precision_on_the_cpu_is_close(sd: Path) -> None:
    exact = pixels(teacher("sd-img2img", sd).edit(photos(1), ASK, [1]))
    half = teacher("sd-img2img", sd, TeachConfig(precision="bf16"))
    assert half.settings(ASK)["precision"] == "bf16"
    rounded = pixels(half.edit(photos(1), ASK, [1]))
    assert half._pipeline.unet.dtype == torch.bfloat16
    assert not np.array_equal(rounded, exact)
    # The noise is drawn in bf16 too, from the same generator; the picture stays the same one.
    assert np.corrcoef(rounded.ravel(), exact.ravel())[0, 1] > 0.5


@pytest.mark.slow
def test_a_compiled_model_edits_the_same(sd: Path) -> None:
    """The denoiser is compiled, and nothing else; that the code made for it is right is torch's own to test."""
    eager = pixels(teacher("sd-img2img", sd).edit(photos(1), ASK, [1]))
    one = teacher("sd-img2img", sd, TeachConfig(compile=True))
    with torch.compiler.set_stance("force_eager"):  # a minute of compilation on one core otherwise
        compiled = pixels(one.edit(photos(1), ASK, [1]))
    assert one._pipeline.unet._compiled_call_impl is not None
    assert one._pipeline.vae._compiled_call_impl is None
    assert np.array_equal(compiled, eager)


def test_closing_gives_back_and_the_next_edit_loads_again(sd: Path) -> None:
    one = teacher("sd-img2img", sd)
    first = pixels(one.edit(photos(1), ASK, [1]))
    one.close()
    assert one._pipeline is None
    assert np.array_equal(pixels(one.edit(photos(1), ASK, [1])), first)


def test_what_the_safety_checker_flags_has_failed(root: Path) -> None:
    flags = write_stable_diffusion(root / "flags", safety="flags")
    assert teacher("sd-img2img", flags).edit(photos(2), ASK, [1, 2]) == [Failed("flagged by the safety checker")] * 2
    passes = write_stable_diffusion(root / "passes", safety="passes")
    assert pixels(teacher("sd-img2img", passes).edit(photos(2), ASK, [1, 2])).shape == (2, 32, 32, 3)


def test_pixels_that_are_no_numbers_have_failed(copy: Path) -> None:
    weights = load_file(copy / WEIGHTS)
    weights["conv_out.bias"][:] = float("nan")
    save_file(weights, copy / WEIGHTS, metadata={"format": "pt"})
    [edit] = teacher("sd-img2img", copy).edit(photos(1), ASK, [1])
    assert isinstance(edit, Failed)
    assert "NaN" in edit.reason


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            {"strenght": 0.3},
            "--set strenght: StableDiffusionImg2ImgPipeline takes no such argument, but strength, num_",
        ),
        ({"callback_on_step_end": "x"}, "--set callback_on_step_end: .* takes no such argument"),
        ({"generator": 1}, "--set generator: .* takes no such argument"),
        ({"num_inference_steps": 0}, "num_inference_steps=0: must be a whole number, at least 1"),
        ({"num_inference_steps": "many"}, "num_inference_steps=many: must be"),
        ({"strength": 0.1}, "strength=0.1: of 3 steps that leaves none"),
        ({"side": 4}, "side=4: the working side"),
        ({"side": "big"}, "side=big: the working side"),
    ],
)
def test_arguments_that_cannot_be_are_refused_before_anything_is_loaded(
    sd: Path, overrides: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        teacher("sd-img2img", sd, **overrides).settings(ASK)


@pytest.mark.parametrize("overrides", [{"strength": 3}, {"strength": "all"}, {"guidance_scale": "x"}])
def test_what_the_pipeline_itself_refuses_is_one_line(sd: Path, overrides: dict[str, Any]) -> None:
    message = refused(lambda: teacher("sd-img2img", sd, **overrides).edit(photos(1), ASK, [1]))
    assert message.startswith("StableDiffusionImg2ImgPipeline: ")
    assert message.endswith("change it with --set or --model")


@pytest.mark.parametrize("error", [ValueError("odd"), IndexError("odd"), KeyError("odd")])
def test_once_a_call_has_succeeded_an_error_is_the_photos_own(
    sd: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    one = teacher("sd-img2img", sd)
    one.load()
    kind = type(one._pipeline)
    with monkeypatch.context() as broken:
        broken.setattr(kind, "check_inputs", fail)
        assert "odd" in refused(lambda: one.edit(photos(1), ASK, [1]))
    one.edit(photos(1), ASK, [1])
    monkeypatch.setattr(kind, "check_inputs", fail)
    with pytest.raises(type(error)) as raised:
        one.edit(photos(1), ASK, [1])
    assert raised.value is error


@pytest.mark.parametrize(
    ("teach", "message"),
    [
        (TeachConfig(precision="fp16"), "--precision fp16 is for GPUs"),
        (TeachConfig(offload="model"), "--offload model is for GPUs"),
        (TeachConfig(offload="sequential"), "--offload sequential is for GPUs"),
        (TeachConfig(attention="flash"), "--attention flash: .*denoiser has one kind only"),
    ],
)
def test_what_the_machine_or_the_model_cannot_is_refused(sd: Path, teach: TeachConfig, message: str) -> None:
    with pytest.raises(InputError, match=message):
        teacher("sd-img2img", sd, teach).load()


def test_a_device_that_is_not_there_is_refused(sd: Path) -> None:
    with pytest.raises(InputError, match="--device cuda:77: not on this machine"):
        make_teacher("sd-img2img", str(sd), device="cuda:77").load()


def spoil_pickle(folder: Path) -> None:
    torch.save(load_file(folder / WEIGHTS), folder / "unet/diffusion_pytorch_model.bin")
    (folder / WEIGHTS).unlink()


def spoil_tensor(folder: Path) -> None:
    weights = load_file(folder / WEIGHTS)
    del weights["conv_in.weight"]
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})


def spoil_text(file: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / file).write_text(text)


def spoil_steps(folder: Path) -> None:
    path = folder / "scheduler/scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"num_train_timesteps": "x"}))


def spoil_shape(folder: Path) -> None:
    path = folder / "unet/config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"cross_attention_dim": 24}))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_pickle, r"no file named diffusion_pytorch_model\.safetensors"),  # a pickle is never opened
        (spoil_tensor, r"its unet is not whole \(conv_in\.weight is missing\)"),
        (spoil_shape, "its weights have other shapes than its config.json says"),
        (lambda f: (f / WEIGHTS).write_bytes((f / WEIGHTS).read_bytes()[:5000]), "Unable to load weights"),
        (lambda f: (f / "model_index.json").unlink(), r"no file named model_index\.json"),
        (lambda f: (f / "tokenizer/tokenizer.json").unlink(), "its tokenizer has no vocabulary"),
        (spoil_text("tokenizer/tokenizer.json", "{}"), "cannot load"),
        (spoil_text("model_index.json", "[]"), "cannot load"),
        (spoil_text("text_encoder/config.json", "[]"), "cannot load"),
        (spoil_steps, "cannot load"),
        (shutil.rmtree, "there is no such folder"),
    ],
)
def test_a_folder_that_is_not_whole(copy: Path, spoil: Callable[[Path], object], message: str) -> None:
    spoil(copy)
    with pytest.raises(InputError, match=message) as error:
        teacher("sd-img2img", copy).load()
    assert str(copy) in str(error.value)
    assert "--model" in str(error.value)
    assert "\n" not in str(error.value)


def test_checkpoints_that_name_a_class_of_older_libraries_load(copy: Path) -> None:
    path = copy / "model_index.json"
    index = json.loads(path.read_text()) | {"feature_extractor": ["transformers", "CLIPFeatureExtractor"]}
    path.write_text(json.dumps(index))
    assert len(teacher("sd-img2img", copy).edit(photos(1), ASK, [1])) == 1


@pytest.mark.usefixtures("offline")
def test_without_network_and_weights_one_line_says_what_to_do(capfd: pytest.CaptureFixture[str]) -> None:
    message = refused(make_teacher("sd-img2img").load)
    assert "stable-diffusion-v1-5/stable-diffusion-v1-5" in message
    assert "--model" in message
    assert "connect to the hub once" in message
    assert "(no network, and not in the cache)" in message
    assert "--model" in refused(make_teacher("diffusers:owner/model").load)
    assert capfd.readouterr() == ("", "")


def test_what_is_in_the_cache_in_part_is_announced_when_the_hub_is_asked(
    sd: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    asked: list[dict[str, Any]] = []
    load = DiffusionTeacher(find_preset("sd-img2img"))._announcing(lambda _, **arguments: asked.append(arguments))
    load("stable-diffusion-v1-5/stable-diffusion-v1-5", local_files_only=True)
    load(str(sd))
    assert capfd.readouterr().err == ""
    load("stable-diffusion-v1-5/stable-diffusion-v1-5")
    assert "CreativeML Open RAIL-M" in " ".join(capfd.readouterr().err.split())
    assert len(asked) == 3


def test_every_part_is_announced_before_any_is_loaded(events: list[str]) -> None:
    preset = find_preset("controlnet-normal")
    refused(make_teacher("controlnet-normal").load)
    told, loaded = events
    assert loaded == "lllyasviel/sd-controlnet-normal"
    for fact in (loaded, preset.checkpoint, "Intel/dpt-hybrid-midas", "about 7.4 GB", preset.licence):
        assert fact in told
    assert "@" not in told


def test_where_the_hub_has_none_the_line_says_how_to_convert() -> None:
    message = refused(lambda: make_teacher("instruct-diffusion").settings(ASK))
    assert "--model" in message
    assert "python scripts/convert_original_stable_diffusion_to_diffusers.py --checkpoint_path " in message
    assert "--dump_path FOLDER" in message


def write_lora(sd: Path, folder: Path) -> None:
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
    from peft import LoraConfig, get_peft_model_state_dict

    unet: Any = UNet2DConditionModel.from_pretrained(sd, subfolder="unet")
    unet.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights=False))
    layers: Any = get_peft_model_state_dict(unet)
    StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=layers)


def preset_with_lora(tmp_path: Path, sd: Path, lora: Path) -> Path:
    path = tmp_path / "lora.toml"
    path.write_text(
        f'[styled]\ncheckpoint = "{sd}"\npipeline = "StableDiffusionImg2ImgPipeline"\nside = 32\nlora = "{lora}"\n'
        'lora_file = "pytorch_lora_weights.safetensors"\narguments = { num_inference_steps = 3, strength = 0.68 }\n'
    )
    return path


def test_a_lora_of_the_preset_changes_the_edits(sd: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    write_lora(sd, tmp_path / "lora")
    styled = make_teacher("styled", teach=TeachConfig(presets=preset_with_lora(tmp_path, sd, tmp_path / "lora")))
    assert styled.settings(ASK)["lora"] == str(tmp_path / "lora")
    plain = pixels(teacher("sd-img2img", sd).edit(photos(1), ASK, [1]))
    assert np.abs(pixels(styled.edit(photos(1), ASK, [1])) - plain).max() > 1


def test_a_lora_of_another_model_is_refused(sd: Path, tmp_path: Path) -> None:
    (tmp_path / "lora").mkdir()
    weights = {f"transformer.blocks.0.to_q.lora_{part}.weight": torch.ones(2, 2) for part in "AB"}
    save_file(weights, tmp_path / "lora/pytorch_lora_weights.safetensors")
    styled = make_teacher("styled", teach=TeachConfig(presets=preset_with_lora(tmp_path, sd, tmp_path / "lora")))
    message = refused(styled.load)
    assert str(tmp_path / "lora") in message
    assert "lora in the preset" in message


def test_on_a_gpu_the_batch_follows_its_memory(sd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a GPU says of itself, without one: 5, 24 and 80 GB beside weights of 2.7 GB."""
    one = teacher("sd-img2img", sd)
    monkeypatch.setattr(one, "_device", lambda: torch.device("cuda"))
    for memory, side, batch in ((5, 512, 2), (24, 512, 8), (80, 512, 8), (24, 1024, 5), (2, 512, 1)):
        one.side = side
        monkeypatch.setattr(
            torch.cuda, "get_device_properties", lambda _, m=memory: type("GPU", (), {"total_memory": m * 1e9})
        )
        assert one.batch == batch
    assert MAX_BATCH == 8
