"""The paper's teachers through diffusers' own pipelines, on models of random weights a few kilobytes large."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from e2gan.config import TeachConfig
from e2gan.core.errors import InputError
from e2gan.core.images import Pixels
from e2gan.features.hub import pretrained
from e2gan.teachers.diffusion.normals import DepthEstimator, normal_image, normals
from e2gan.teachers.diffusion.pipelines import quiet
from e2gan.teachers.diffusion.presets import find_preset
from e2gan.teachers.diffusion.registry import make_teacher
from e2gan.teachers.diffusion.teacher import MAX_BATCH, DiffusionTeacher
from e2gan.teachers.teacher import Ask, Failed
from tests.teachers.diffusion.tiny_diffusion import (
    tiny_controlnet,
    tiny_text,
    tiny_unet,
    write_depth,
    write_stable_diffusion,
)

ASK = Ask("make it autumn")
SMALL: dict[str, Any] = {"side": 32, "num_inference_steps": 3}
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


# ------------------------------------------------------------------------------------------------------------ folders


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


def photos(count: int = 3, height: int = 40, width: int = 40) -> list[Pixels]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(count)]


def teacher(name: str, model: Path | None, teach: TeachConfig | None = None, **overrides: Any) -> DiffusionTeacher:
    found = make_teacher(name, str(model) if model else None, SMALL | overrides, teach)
    assert isinstance(found, DiffusionTeacher)
    return found


def pixels(edits: Sequence[Pixels | Failed]) -> NDArray[np.int64]:
    """All edits as one array, for differences."""
    assert not [edit for edit in edits if isinstance(edit, Failed)]
    return np.stack([edit for edit in edits if not isinstance(edit, Failed)]).astype(np.int64)


def refused(work: Callable[[], object]) -> str:
    with pytest.raises(InputError) as error:
        work()
    message = str(error.value)
    assert "\n" not in message
    return message


def set_class(folder: Path, name: object) -> Path:
    """Another pipeline in a folder's model_index.json."""
    path = folder / "model_index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"_class_name": name}))
    return folder


# ------------------------------------------------------------------------------------------------------- what is edited


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


def test_controlnet_clips_no_latents(sd: Path, control: dict[str, Any]) -> None:
    one = teacher("controlnet-normal", sd, **control)
    one.load()
    scheduler = one._pipeline.scheduler
    assert not scheduler.config.clip_sample
    assert scheduler.final_alpha_cumprod == scheduler.alphas_cumprod[0] < 1


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


# ------------------------------------------------------------------------------------------------------- what fails


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


def test_a_prompt_that_is_cut_is_told_once(sd: Path, capfd: pytest.CaptureFixture[str]) -> None:
    one = teacher("sd-img2img", sd)
    for _ in range(2):
        one.edit(photos(1), Ask("a " * 80), [1])
    said = " ".join(capfd.readouterr().err.split())
    assert said == ("sd-img2img: the prompt has 80 word pieces, and the text encoder reads the first 75: shorten it")


def test_an_instruction_model_is_not_a_text_to_image_model(sd: Path) -> None:
    message = refused(teacher("instruct-pix2pix", sd).load)
    assert "its UNet takes 4 channels, an InstructPix2Pix's 8" in message
    assert "--model" in message


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
        make_teacher("sd-img2img", str(sd), SMALL, device="cuda:77").load()


# ------------------------------------------------------------------------------------------------- broken checkpoints


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


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("x"), RuntimeError("CUDA: out of memory")])
def test_a_full_memory_is_no_broken_checkpoint(copy: Path, error: Exception) -> None:
    def load(_: str) -> None:
        raise error

    with pytest.raises(type(error)) as raised:
        pretrained(load, str(copy), "--model")
    assert raised.value is error


def test_a_reason_that_is_cut_has_no_open_parenthesis(copy: Path) -> None:
    def load(_: str) -> None:
        raise OSError("it broke (in a place that takes " + "many words " * 20 + ")")

    assert "(it broke): " in refused(lambda: pretrained(load, str(copy), "--model"))


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


def test_every_part_is_announced_before_any_is_loaded(events: list[str]) -> None:
    preset = find_preset("controlnet-normal")
    refused(make_teacher("controlnet-normal").load)
    told, loaded = events
    assert loaded == "lllyasviel/sd-controlnet-normal"
    for fact in (loaded, preset.checkpoint, "Intel/dpt-hybrid-midas", "about 7.4 GB", preset.licence):
        assert fact in told
    assert "@" not in told


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


def test_where_the_hub_has_none_the_line_says_how_to_convert() -> None:
    message = refused(lambda: make_teacher("instruct-diffusion").settings(ASK))
    assert "--model" in message
    assert "python scripts/convert_original_stable_diffusion_to_diffusers.py --checkpoint_path " in message
    assert "--dump_path FOLDER" in message


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


# ------------------------------------------------------------------------------------------------------ any pipeline


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


# ------------------------------------------------------------------------------------------------------------- LoRA


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


# ------------------------------------------------------------------------------------------------- InstructDiffusion


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


# -------------------------------------------------------------------------------------------------------- normal maps


def test_a_plane_has_one_normal() -> None:
    """Sobel's 3×3 filter gives 8 times the slope a pixel; z is 2π."""
    y, x = np.mgrid[:40, :50].astype(np.float32)
    found = normals(0.3 * x - 0.2 * y, background=0.0)[1:-1, 1:-1]
    expected = np.array([8 * 0.3, 8 * -0.2, 2 * np.pi])
    assert np.abs(found - expected / np.linalg.norm(expected)).max() < 1e-5


def test_a_sphere_leans_away_from_its_centre_on_all_sides() -> None:
    y, x = np.mgrid[-32:33, -32:33].astype(np.float32)
    depth = np.sqrt(np.maximum(28.0**2 - x**2 - y**2, 0))
    found = normals(depth, background=0.4)
    assert np.abs(np.linalg.norm(found, axis=2) - 1).max() < 1e-6
    assert np.allclose(found[32, 32], (0, 0, 1), atol=1e-6)
    assert found[32, 45, 0] < -0.5  # to the right of the centre it sinks to the right: as MiDaS's map has it
    assert found[45, 32, 1] < -0.5
    assert np.allclose(found[:, ::-1, 0], -found[:, :, 0], atol=1e-6)
    assert np.allclose(found.transpose(1, 0, 2)[:, :, 1], found[:, :, 0], atol=1e-6)
    background = depth / depth.max() < 0.4
    assert np.array_equal(np.unique(found[background], axis=0), [[0, 0, 1]])
    assert (found[~background][:, 2] < 1).sum() > 1000


def test_a_flat_scene_points_at_the_viewer() -> None:
    assert np.array_equal(normals(np.full((5, 6), 3.0, np.float32)), np.broadcast_to((0, 0, 1), (5, 6, 3)))


def test_the_picture_of_a_normal_has_the_networks_channels() -> None:
    """z, y, x: gradio_normal2image.py turns the map round before the network gets it."""
    assert normal_image(np.array([[[1, 0, -1]]], np.float32)).tolist() == [[[0, 127, 255]]]


@pytest.mark.parametrize(("kind", "shape"), [("dpt", (32, 56)), ("hybrid", (32, 48)), ("depth_anything", (28, 42))])
def test_depth_of_each_kind_of_network(kind: Any, shape: tuple[int, int], tmp_path: Path) -> None:
    """In multiples of the patches: 8, 16 and 14 pixels. A DPT sees a square and its map gets the aspect back."""
    estimate = DepthEstimator(str(write_depth(tmp_path / kind, kind)), torch.device("cpu"))
    [photo, other] = photos(2, 40, 66)
    depth = estimate(photo)
    assert (depth.shape, depth.dtype) == (shape, np.float32)
    assert depth.std() > 0
    assert not np.array_equal(estimate(other), depth)


def test_published_dpts_lack_a_layer_that_nothing_uses(tmp_path: Path) -> None:
    folder = write_depth(tmp_path / "dpt")
    [photo] = photos(1)
    before = DepthEstimator(str(folder), torch.device("cpu"))(photo)
    weights = load_file(folder / "model.safetensors")
    unused = [name for name in weights if name.startswith("neck.fusion_stage.layers.0.residual_layer1")]
    assert unused
    for name in unused:
        del weights[name]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert np.array_equal(DepthEstimator(str(folder), torch.device("cpu"))(photo), before)
    del weights["head.head.0.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    message = refused(lambda: DepthEstimator(str(folder), torch.device("cpu")))
    assert "head.head.0.weight is missing" in message
    assert "--set depth=FOLDER" in message


def test_depth_in_metres_is_refused(tmp_path: Path) -> None:
    folder = write_depth(tmp_path / "metric", "depth_anything")
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"depth_estimation_type": "metric"}))
    assert "in metres" in refused(lambda: DepthEstimator(str(folder), torch.device("cpu")))


def test_the_background_is_flat_in_what_the_controlnet_gets(sd: Path, control: dict[str, Any]) -> None:
    def shown(background: float) -> NDArray[np.uint8]:
        one: Any = make_teacher("controlnet-normal", str(sd), control | {"background": background})
        one.load()
        [image] = one._inputs(photos(1), (32, 48))
        assert image.size == (48, 32)
        return np.asarray(image)

    assert np.array_equal(np.unique(shown(1.0).reshape(-1, 3), axis=0)[-1], [255, 127, 127])
    assert len(np.unique(shown(0.0).reshape(-1, 3), axis=0)) > 20


def test_the_normal_teachers_own_settings(sd: Path, control: dict[str, Any], root: Path) -> None:
    one = make_teacher("controlnet-normal", str(sd), control)
    settings = one.settings(ASK)
    assert settings["arguments"]["background"] == 0.4
    assert settings["arguments"]["depth"] == control["depth"]
    assert settings["scheduler"] == "DDIMScheduler"
    for overrides, message in (
        ({"background": 2}, "--set background=2: must be a number from 0 to 1"),
        ({"depth_scale": "x"}, "--set depth_scale=x"),
        ({"depth": 3}, "--set depth=FOLDER"),
        ({"controlnet": str(root / "nowhere")}, "--set controlnet=FOLDER"),
        ({"depth": str(sd)}, "--set depth=FOLDER"),
        ({"strength": 0.5}, "takes no such argument"),
    ):
        assert message in refused(lambda o=overrides: make_teacher("controlnet-normal", str(sd), control | o).load())


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
