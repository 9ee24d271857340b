"""Today's editors: every preset of today.toml through its own pipeline, on models of random weights."""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from e2gan.config import TeachConfig
from e2gan.core.errors import InputError
from e2gan.teachers.diffusion.pipelines import need_diffusers
from e2gan.teachers.diffusion.presets import SHIPPED
from e2gan.teachers.diffusion.registry import make_teacher
from e2gan.teachers.diffusion.teacher import DiffusionTeacher
from e2gan.teachers.teacher import Ask
from tests.teachers.diffusion.tiny_editors import BUILDERS, write_lora
from tests.teachers.diffusion.tiny_presets import PRESETS, SMALL, photo, teacher
from tests.teachers.diffusion.tiny_teachers import ASK

pytestmark = pytest.mark.usefixtures("small")


@pytest.fixture(scope="session")
def lora(tmp_path_factory: pytest.TempPathFactory, folder: Callable[[str], Path]) -> Path:
    """A LoRA for the tiny Qwen-Image-Edit, under the name of the published one's file."""
    return write_lora(folder("qwen-edit"), tmp_path_factory.mktemp("lora"), PRESETS["qwen-edit-lightning"].lora_file)


@pytest.mark.parametrize("name", PRESETS)
def test_the_installed_diffusers_takes_every_argument(name: str) -> None:
    preset, diffusers = PRESETS[name], need_diffusers("this test")
    kind = getattr(diffusers, preset.pipeline or "")
    takes = set(inspect.signature(kind.__call__).parameters)
    if hasattr(kind, "invert"):  # LEDITS++ takes the photo in a call before
        takes |= set(inspect.signature(kind.invert).parameters)
    assert {preset.prompt, preset.image, *preset.arguments} <= takes
    assert make_teacher(name).settings(ASK)["checkpoint"] == preset.checkpoint  # nothing is loaded for that


@pytest.mark.parametrize("name", PRESETS)
def test_an_argument_that_the_pipeline_lacks_is_named_with_those_it_has(name: str) -> None:
    with pytest.raises(InputError, match=r"--set stregnth: .* takes no such argument, but "):
        make_teacher(name, overrides={"stregnth": 0.5}).settings(ASK)


def test_every_editor_is_run_here() -> None:
    assert set(PRESETS) == set(BUILDERS) == set(SMALL)


@pytest.mark.parametrize("name", [name for name in PRESETS if name != "qwen-edit-lightning"])
@pytest.mark.slow
def test_it_edits_a_photo_by_prompt_and_seed(name: str, folder: Callable[[str], Path]) -> None:
    editor, shot = teacher(name, folder(name)), photo(name)
    edits = [
        editor.edit([picture], Ask(prompt), [seed])[0]
        for picture, prompt, seed in (
            (shot, "make it autumn", 1),
            (shot, "make it autumn", 1),
            (shot, "in deep snow", 1),
            (shot, "make it autumn", 2),
            (photo(name, "coffee"), "make it autumn", 1),
        )
    ]
    edit = edits[0]
    assert edit.dtype == np.uint8
    height, width, channels = edit.shape
    assert channels == 3
    assert min(height, width) >= 64
    assert width / height == pytest.approx(shot.shape[1] / shot.shape[0], rel=0.02)
    assert np.array_equal(edit, edits[1]), "the same seed gave another edit"
    for other, what in zip(edits[2:], ("prompt", "seed", "photo"), strict=True):
        assert not np.array_equal(edit, other), f"the {what} changed nothing"


@pytest.mark.parametrize("name", [name for name, preset in PRESETS.items() if not preset.one_by_one])
def test_a_batch_is_the_same_as_photo_by_photo(name: str, folder: Callable[[str], Path]) -> None:
    editor = teacher(name, folder(name))
    shots = [photo(name), photo(name, "coffee")]
    together = editor.edit(shots, ASK, [1, 2])
    alone = [editor.edit([shot], ASK, [seed])[0] for shot, seed in zip(shots, (1, 2), strict=True)]
    assert not np.array_equal(together[0], together[1])
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one.astype(int), other.astype(int), atol=2)  # rounding differs with a batch


def test_presets_that_take_one_photo_a_call_give_each_of_many_its_own_edit(folder: Callable[[str], Path]) -> None:
    editor = teacher("flux2-klein", folder("flux2-klein"))
    shots = [photo("flux2-klein"), photo("flux2-klein", "coffee")]
    together = editor.edit(shots, ASK, [1, 2])
    for shot, seed, edit in zip(shots, (1, 2), together, strict=True):
        assert np.array_equal(edit, editor.edit([shot], ASK, [seed])[0])


def test_a_users_preset_of_an_unknown_pipeline_takes_one_photo_a_call(
    tmp_path: Path, folder: Callable[[str], Path]
) -> None:
    """Several images in one call are several references of one output to it."""
    path = tmp_path / "mine.toml"
    path.write_text(
        f'[mine]\npipeline = "Flux2KleinPipeline"\ncheckpoint = {json.dumps(str(folder("flux2-klein")))}\nside = 64\n'
        "arguments = { num_inference_steps = 2, guidance_scale = 1.0 }\n"
    )
    mine: Any = make_teacher("mine", teach=TeachConfig(batch=2, presets=path), device="cpu")
    shots = [photo("flux2-klein"), photo("flux2-klein", "coffee")]
    together = mine.edit(shots, ASK, [1, 2])
    for shot, seed, edit in zip(shots, (1, 2), together, strict=True):
        assert np.array_equal(edit, mine.edit([shot], ASK, [seed])[0])


@pytest.mark.parametrize("name", ["flux2-klein", "sdxl-img2img"])
def test_half_precision_gives_nearly_the_same_edit(name: str, folder: Callable[[str], Path]) -> None:
    half: Any = make_teacher(name, str(folder(name)), SMALL[name], TeachConfig(precision="bf16"), "cpu")
    edits = [one.edit([photo(name)], ASK, [1])[0] for one in (teacher(name, folder(name)), half)]
    exact, rounded = (np.asarray(edit, float).ravel() for edit in edits)
    assert not np.array_equal(exact, rounded)
    assert np.corrcoef(exact, rounded)[0, 1] > 0.5


def test_attention_is_chosen_where_the_denoiser_is_a_transformer(folder: Callable[[str], Path]) -> None:
    name, shot = "flux2-klein", photo("flux2-klein")
    native: Any = make_teacher(name, str(folder(name)), SMALL[name], TeachConfig(attention="native"), "cpu")
    assert np.array_equal(native.edit([shot], ASK, [1])[0], teacher(name, folder(name)).edit([shot], ASK, [1])[0])


@pytest.mark.parametrize("name", ["qwen-edit", "qwen-edit-lightning"])
def test_qwen_paints_at_the_size_at_which_it_sees_the_photo(name: str, folder: Callable[[str], Path]) -> None:
    """Whatever the side: else the edit is zoomed, or shifted, against the photo."""
    editor = make_teacher(name, str(folder("qwen-edit")), {"side": 128, "num_inference_steps": 2}, device="cpu")
    assert isinstance(editor, DiffusionTeacher)
    editor = DiffusionTeacher(dataclasses.replace(editor.preset, lora=None), editor.model, editor.arguments)
    editor.load()
    seen: list[Mapping[str, Any]] = []
    editor._pipeline.transformer.register_forward_pre_hook(lambda _, __, named: seen.append(named), with_kwargs=True)
    edit = editor.edit([photo(name)], ASK, [1])[0]
    assert isinstance(edit, np.ndarray)
    assert edit.shape == (64, 96, 3)
    for named in seen:
        [[own, reference]] = named["img_shapes"]
        assert own == reference


def test_klein_paints_at_the_size_at_which_it_sees_a_large_photo(
    folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    class SizeIsKnownError(Exception):
        pass

    shot = photo("flux2-klein")
    editor = teacher("flux2-klein", folder("flux2-klein"), side=1024)
    editor.load()
    pipeline, seen = editor._pipeline, []

    def see(image: Any, **named: Any) -> Any:
        seen.append((named["height"], named["width"]))
        return preprocess(image, **named)

    def stop(_: Any, **named: Any) -> None:
        raise SizeIsKnownError(named["height"], named["width"])

    preprocess = pipeline.image_processor.preprocess
    monkeypatch.setattr(pipeline.image_processor, "preprocess", see)
    monkeypatch.setattr(type(pipeline), "prepare_latents", stop)
    with pytest.raises(SizeIsKnownError) as size:
        editor.edit([shot], ASK, [1])
    assert [size.value.args] == seen
    height, width = seen[0]
    assert 0.97 * 1024**2 < height * width <= 1024**2
    assert width / height == pytest.approx(1.5, rel=0.02)


def test_guidance_has_the_empty_negative_prompt_that_it_needs() -> None:
    guided = make_teacher("qwen-edit-lightning", overrides={"true_cfg_scale": 4}).settings(ASK)["arguments"]
    assert guided["negative_prompt"] == " "
    own = make_teacher("qwen-edit", overrides={"negative_prompt": "blurry"}).settings(ASK)["arguments"]
    assert own["negative_prompt"] == "blurry"
    assert "negative_prompt" not in make_teacher("qwen-edit-lightning").settings(ASK)["arguments"]


def test_the_lora_and_its_licence_are_told_before_anything_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("e2gan.teachers.diffusion.teacher.note", lambda text: events.append(text))

    def load(_: object, name: str, *__: object, **___: object) -> None:
        events.append(name)
        raise InputError("no hub here")

    for module in ("teacher", "vision_language"):
        monkeypatch.setattr(f"e2gan.teachers.diffusion.{module}.pretrained", load)
    editor = make_teacher("qwen-edit-lightning")
    with pytest.raises(InputError, match="no hub here"):
        editor.load()
    told, first = events
    assert first == "Qwen/Qwen-Image-Edit-2511"
    preset = PRESETS["qwen-edit-lightning"]
    for fact in (first, preset.lora, "about 58.6 GB", preset.licence, preset.licence_url):
        assert fact
        assert fact in told


def lightning(tmp_path: Path, folder: Path, lora: Path) -> DiffusionTeacher:
    """The preset as it ships, with the tiny model and LoRA in place of the hub's."""
    text = (SHIPPED / "today.toml").read_text("utf-8").partition("[qwen-edit-lightning]")[2].partition("\n[")[0]
    preset = PRESETS["qwen-edit-lightning"]
    path = tmp_path / "mine.toml"
    path.write_text("[qwen-edit-lightning]" + text.replace(f'"{preset.lora}"', json.dumps(str(lora))), "utf-8")
    made = make_teacher("qwen-edit-lightning", str(folder), {"side": 64}, TeachConfig(presets=path), "cpu")
    assert isinstance(made, DiffusionTeacher)
    return made


def test_lightning_runs_its_lora_on_its_own_schedule(tmp_path: Path, folder: Callable[[str], Path], lora: Path) -> None:
    editor, shot = lightning(tmp_path, folder("qwen-edit"), lora), photo("qwen-edit-lightning")
    edit = editor.edit([shot], ASK, [1])[0]
    assert isinstance(edit, np.ndarray)
    assert edit.shape == (64, 96, 3)
    # Sigmas of four even steps at the shift 3 of its distillation: 3σ / (1 + 2σ).
    sigmas = editor._pipeline.scheduler.sigmas
    assert sigmas.tolist() == pytest.approx([1, 0.9, 0.75, 0.5, 0])
    editor._pipeline.disable_lora()
    without = editor.edit([shot], ASK, [1])[0]
    assert isinstance(without, np.ndarray)
    assert not np.array_equal(edit, without)


def test_sana_sprint_keeps_more_of_the_photo_the_earlier_it_starts(folder: Callable[[str], Path]) -> None:
    """Its dial is intermediate_timesteps: the photo's share of what the one step starts from is the cosine."""
    editor = teacher("sana-sprint", folder("sana-sprint"))
    editor.load()
    pipeline, starts = editor._pipeline, []
    pipeline.transformer.register_forward_pre_hook(lambda _, given: starts.append(given[0].clone()))
    for angle, strength in ((0.0, 0.5), (0.3, 0.5), (1.3, 0.5), (1.3, 0.6)):
        editor.arguments |= {"intermediate_timesteps": angle, "strength": strength}
        editor.edit([photo("sana-sprint")], ASK, [1])
    clean, near, far, forgotten = starts[:4]
    alike = [float(torch.cosine_similarity(clean.flatten(), x.flatten(), 0)) for x in (near, far, forgotten)]
    assert alike[0] > 0.9
    assert alike[0] > alike[1] > abs(alike[2])


def test_steps_that_leave_sdxl_turbo_none_are_refused() -> None:
    with pytest.raises(InputError, match=r"strength=0\.4: of 2 steps that leaves none"):
        make_teacher("sdxl-turbo", overrides={"strength": 0.4}).settings(ASK)
