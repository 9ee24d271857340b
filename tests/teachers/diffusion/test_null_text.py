"""Null-text inversion, and the edits that it makes, on a Stable Diffusion of random weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
from torch import Tensor

from e2gan.config import TeachConfig
from e2gan.core.errors import InputError
from e2gan.core.images import Pixels, resize
from e2gan.teachers.diffusion import null_text
from e2gan.teachers.diffusion.null_text import (
    Inversion,
    NullTextOptions,
    NullTextTeacher,
    ddim_invert,
    decode,
    encode,
)
from e2gan.teachers.diffusion.presets import Preset, find_preset
from e2gan.teachers.diffusion.prompt_to_prompt import (
    AttentionControl,
)
from e2gan.teachers.diffusion.registry import make_teacher
from e2gan.teachers.teacher import Ask, Failed
from tests.teachers.diffusion.tiny_diffusion import (
    write_stable_diffusion,
)

SOURCE = "a photo of a landscape"
AUTUMN = "a photo of a landscape in autumn"
STEPS = 4


@pytest.fixture(scope="module")
def photo() -> Pixels:
    return resize(skimage.data.astronaut(), (32, 32))


@pytest.fixture(scope="module")
def latent(pipeline: Any, photo: Pixels) -> Tensor:
    return encode(pipeline, photo)


@pytest.fixture(scope="module")
def inversion(pipeline: Any, photo: Pixels) -> Inversion:
    return invert(pipeline, photo, SOURCE, steps=STEPS)


def invert(pipeline: Any, photo: Pixels, prompt: str, steps: int, **options: Any) -> Inversion:
    return null_text.invert(pipeline, photo, prompt, NullTextOptions(num_inference_steps=steps, **options))


def edit(pipeline: Any, inversion: Inversion, prompt: str, **options: Any) -> Tensor:
    return null_text.edit(pipeline, inversion, prompt, NullTextOptions(**options))


@torch.no_grad()
def sample(
    pipeline: Any, noise: Tensor, prompt: str, *, steps: int, guidance: float = 7.5, nulls: Tensor | None = None
) -> Tensor:
    """DDIM sampling, from noise (1, 4, h, w) to a latent of the same shape.

    nulls: those of an Inversion, (S, L, D); None: the empty prompt's own embedding at every step, plain sampling.
    """
    scheduler, _, times = null_text._ddim(pipeline, steps)
    text, empty, latent = null_text._embed(pipeline, prompt), null_text._embed(pipeline, ""), noise
    for i, t in enumerate(times):
        null = empty if nulls is None else nulls[i : i + 1]
        unprompted = pipeline.unet(latent, t, encoder_hidden_states=null).sample
        prompted = pipeline.unet(latent, t, encoder_hidden_states=text).sample
        latent = scheduler.step(unprompted + guidance * (prompted - unprompted), t, latent).prev_sample
    return latent


@contextmanager
def counted(network: torch.nn.Module) -> Iterator[list[int]]:
    """The number of the network's evaluations inside, in a list."""
    evaluations = [0]

    def count(*_: object) -> None:
        evaluations[0] += 1

    hook = network.register_forward_hook(count)
    yield evaluations
    hook.remove()


def mse(a: Tensor, b: Tensor) -> float:
    return (a - b).square().mean().item()


@pytest.mark.slow
def test_ddim_inversion_and_sampling_with_guidance_1_return(pipeline: Any, latent: Tensor) -> None:
    errors = []
    for steps in (12, 48):
        path = ddim_invert(pipeline, latent, SOURCE, steps)
        assert path.shape == (steps + 1, *latent.shape[1:])
        assert torch.equal(path[:1], latent)
        errors.append(mse(sample(pipeline, path[-1:], SOURCE, steps=steps, guidance=1), latent))
    assert errors[0] < 0.02 * latent.var().item()
    assert errors[1] < errors[0] / 2


@pytest.mark.slow
def test_null_text_returns_where_guidance_alone_does_not(
    pipeline: Any, photo: Pixels, latent: Tensor, inversion: Inversion
) -> None:
    plain = mse(sample(pipeline, inversion.latents[-1:], SOURCE, steps=STEPS), latent)
    optimised = mse(inversion.reconstruction[:1], latent)
    assert optimised < 0.7 * plain
    longer = invert(pipeline, photo, SOURCE, steps=STEPS, inner_steps=30)
    assert mse(longer.reconstruction[:1], latent) < 0.7 * optimised


def test_inversion_keeps_what_sampling_needs(pipeline: Any, inversion: Inversion) -> None:
    noise = inversion.reconstruction[-1:]
    assert torch.equal(noise, inversion.latents[-1:])
    again = sample(pipeline, noise, SOURCE, steps=STEPS, nulls=inversion.nulls)
    torch.testing.assert_close(again, inversion.reconstruction[:1], rtol=0, atol=1e-4)
    assert inversion.nulls.shape == (STEPS, 77, 16)
    assert not inversion.nulls.requires_grad


def test_early_stop_spares_steps_and_no_inner_step_is_plain_sampling(pipeline: Any, photo: Pixels) -> None:
    with counted(pipeline.unet) as whole:
        invert(pipeline, photo, SOURCE, steps=STEPS)
    assert whole == [STEPS * (1 + 1 + 11)]  # there; with the prompt; without it, the last to check
    with counted(pipeline.unet) as early:
        invert(pipeline, photo, SOURCE, steps=STEPS, early_stop=1.0)
    assert early < whole
    none = invert(pipeline, photo, SOURCE, steps=STEPS, inner_steps=0)
    plain = sample(pipeline, none.latents[-1:], SOURCE, steps=STEPS)
    torch.testing.assert_close(none.reconstruction[:1], plain, rtol=0, atol=1e-4)


def test_inversion_follows_a_model_that_predicts_velocity(
    pipeline: Any, latent: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = dict(pipeline.scheduler.config) | {"prediction_type": "v_prediction"}
    monkeypatch.setattr(pipeline, "scheduler", type(pipeline.scheduler).from_config(config))
    path = ddim_invert(pipeline, latent, SOURCE, 24)
    assert mse(sample(pipeline, path[-1:], SOURCE, steps=24, guidance=1), latent) < 0.02 * latent.var().item()


def test_the_same_prompt_gives_the_reconstruction(pipeline: Any, inversion: Inversion) -> None:
    for share in (0.0, 0.5, 1.0):
        same = edit(pipeline, inversion, SOURCE, self_replace=share, cross_replace=share)
        torch.testing.assert_close(same, inversion.reconstruction[:1], rtol=0, atol=1e-4)


def test_edits_follow_the_prompt_and_each_option(pipeline: Any, inversion: Inversion) -> None:
    free = {"self_replace": 0, "cross_replace": 0, "amplify": 1}
    edits = [
        edit(pipeline, inversion, AUTUMN, **free),
        edit(pipeline, inversion, "a photo of a desert", **free),
        edit(pipeline, inversion, AUTUMN, **free | {"self_replace": 1}),
        edit(pipeline, inversion, AUTUMN, **free | {"cross_replace": 0.5}),
        edit(pipeline, inversion, AUTUMN, **free | {"cross_replace": 1}),
        edit(pipeline, inversion, AUTUMN, **free | {"cross_replace": 1, "amplify": 5}),
        inversion.reconstruction[:1],
    ]
    for i, one in enumerate(edits):
        assert one.isfinite().all()
        for other in edits[:i]:
            assert (one - other).abs().max() > 1e-3
    for amplify in (1, 5):  # only in the steps of cross_replace, as the authors' code has it
        assert torch.equal(edits[0], edit(pipeline, inversion, AUTUMN, **free | {"amplify": amplify}))


@pytest.mark.parametrize(("sides", "pixels"), [((64, 64), 32 * 32), ((64, 97), 32 * 49), ((15, 16), 8 * 8)])
def test_self_attention_is_the_source_s_on_all_levels_but_the_finest(
    sides: tuple[int, int], pixels: int, pipeline: Any, inversion: Inversion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """null_text_w_ptp.ipynb replaces it over at most 32**2 pixels, of latents of 64×64."""
    seen: list[AttentionControl] = []

    class SeenError(Exception):
        pass

    def stop(_: Any, control: AttentionControl) -> None:
        seen.append(control)
        raise SeenError

    monkeypatch.setattr(null_text.p2p, "controlled", stop)
    path = torch.zeros(STEPS + 1, 4, *sides)
    with pytest.raises(SeenError):
        edit(pipeline, dataclasses.replace(inversion, latents=path, reconstruction=path), AUTUMN)
    assert seen[0].self_limit == pixels


def test_shared_words_keep_the_photo_nearer(pipeline: Any, inversion: Inversion) -> None:
    photo = inversion.reconstruction[:1]
    tied = edit(pipeline, inversion, AUTUMN, self_replace=1, cross_replace=1, amplify=1)
    free = edit(pipeline, inversion, AUTUMN, self_replace=0, cross_replace=0, amplify=1)
    assert mse(tied, photo) < mse(free, photo)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_stable_diffusion(tmp_path_factory.mktemp("sd") / "sd", safety="passes")


def teacher(folder: Path, teach: TeachConfig | None = None, **options: Any) -> NullTextTeacher:
    arguments = {"num_inference_steps": 2, "inner_steps": 1}
    preset = Preset(name="null-text", kind="null-text", checkpoint=str(folder), side=16, arguments=arguments)
    return NullTextTeacher(preset, overrides=options, teach=teach)


@pytest.mark.slow
def test_teacher_edits_each_photo_from_source_to_prompt(folder: Path) -> None:
    made = teacher(folder, TeachConfig(batch=8))
    assert (made.name, made.batch, made.deterministic) == ("null-text", 1, True)
    photos = [resize(skimage.data.astronaut(), (40, 60)), resize(skimage.data.coffee(), (33, 33))]
    ask = Ask("a photo of autumn", "a photo of a city")
    edits = made.edit(photos, ask, [0, 1])
    assert [e.shape for e in edits if not isinstance(e, Failed)] == [(16, 24, 3), (16, 16, 3)]
    assert all(isinstance(e, np.ndarray) and e.dtype == np.uint8 and e.std() > 1 for e in edits)
    alone = made.edit(photos[1:], ask, [7])  # neither the seed nor the batch plays a role
    np.testing.assert_array_equal(alone[0], edits[1])
    other = made.edit(photos[1:], Ask("a photo of autumn", "a face"), [1])
    assert not np.array_equal(np.asarray(other[0]), np.asarray(edits[1]))
    made.close()


def test_teacher_is_the_functions(folder: Path, photo: Pixels) -> None:
    made = teacher(folder, self_replace=0.8, amplify="autumn=5", guidance_scale=3)
    made.load()
    pipeline, small = made._pipeline, resize(photo, (16, 16))
    inversion = invert(pipeline, small, SOURCE, steps=2, guidance_scale=3, inner_steps=1)
    image = decode(pipeline, edit(pipeline, inversion, AUTUMN, self_replace=0.8, amplify={"autumn": 5}))
    expected = ((image[0].permute(1, 2, 0) + 1) * 127.5).numpy()
    (found,) = made.edit([photo], Ask(AUTUMN, SOURCE), [0])
    assert isinstance(found, np.ndarray)
    assert np.abs(found - expected).max() <= 0.51


def test_lower_precision_is_for_the_edit_alone(folder: Path, photo: Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Inversion] = []
    edit = null_text.edit
    monkeypatch.setattr(null_text, "edit", lambda p, inv, *more: (seen.append(inv), edit(p, inv, *more))[1])
    edits = []
    for precision in ("fp32", "bf16"):
        made = teacher(folder, TeachConfig(precision=precision), guidance_scale=2)
        assert made.settings(Ask(AUTUMN, SOURCE))["precision"] == precision
        edits += [np.asarray(e, int) for e in made.edit([photo], Ask(AUTUMN, SOURCE), [0])]
    assert torch.equal(seen[0].nulls, seen[1].nulls)
    assert seen[1].latents.dtype == torch.float32
    assert not np.array_equal(edits[0], edits[1])
    assert np.abs(edits[0] - edits[1]).mean() < 3


def test_teacher_refuses_flagged_and_broken_edits_for_good(folder: Path, photo: Pixels, tmp_path: Path) -> None:
    flags = teacher(write_stable_diffusion(tmp_path / "flags", safety="flags"))
    assert flags.edit([photo], Ask(AUTUMN, SOURCE), [0]) == [Failed("flagged by the safety checker", again=False)]
    broken = teacher(folder)
    broken.load()
    broken._pipeline.unet.conv_out.bias.data.fill_(float("nan"))
    (found,) = broken.edit([photo], Ask(AUTUMN, SOURCE), [0])
    assert isinstance(found, Failed)
    assert "not a number" in found.reason
    assert not found.again


def test_settings_tell_all_that_decides(folder: Path) -> None:
    settings = teacher(folder, cross_replace=1).settings(Ask(AUTUMN, SOURCE))
    assert settings["arguments"] == {
        "num_inference_steps": 2,
        "guidance_scale": 7.5,
        "self_replace": 0.5,
        "cross_replace": 1,
        "amplify": {"in": 2.0, "autumn": 2.0},
        "inner_steps": 1,
        "early_stop": 1e-5,
    }
    assert (settings["checkpoint"], settings["side"], settings["precision"]) == (str(folder), 16, "fp32")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strength": 1}, "--set strength: null-text takes no such argument, but num_inference_steps, guidance_scale"),
        ({"num_inference_steps": 0}, "num_inference_steps=0: must be a whole number, at least 1"),
        ({"num_inference_steps": 2.5}, "num_inference_steps=2.5"),
        ({"inner_steps": -1}, "inner_steps=-1"),
        ({"guidance_scale": 0.5}, "guidance_scale=0.5: must be a number from 1"),
        ({"guidance_scale": float("nan")}, "guidance_scale=nan"),
        ({"self_replace": 1.2}, "self_replace=1.2: must be a number from 0 to 1"),
        ({"cross_replace": True}, "cross_replace=True"),
        ({"early_stop": "soon"}, "early_stop=soon"),
        ({"amplify": "autumn"}, "--set amplify=autumn: must be a number, or words as in autumn=5,red=2"),
    ],
)
def test_wrong_options_are_told_in_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        teacher(Path("nowhere"), **options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_wrong_loading_and_prompts_are_told_in_one_line(folder: Path, photo: Pixels) -> None:
    with pytest.raises(InputError, match="--offload sequential: null-text needs gradients: take --offload model"):
        teacher(folder, TeachConfig(offload="sequential"))
    with pytest.raises(InputError, match="--compile: null-text changes the attention at every step"):
        teacher(folder, TeachConfig(compile=True))
    with pytest.raises(InputError, match="--attention: null-text changes the attention at every step"):
        teacher(folder, TeachConfig(attention="native"))
    with pytest.raises(InputError, match="is the source prompt too: say with --source"):
        teacher(folder).settings(Ask("A photo", "a photo"))
    assert teacher(folder, amplify="photo=5").settings(Ask("a photo", "a photo"))  # stronger, which is an edit
    with pytest.raises(InputError, match='no word "snow"'):
        teacher(folder, amplify="snow=5").settings(Ask(AUTUMN, SOURCE))
    with pytest.raises(InputError, match="word pieces, and the text encoder reads 75: shorten it"):
        teacher(folder).edit([photo], Ask("autumn " * 80, SOURCE), [0])


def test_wrong_models_are_told_in_one_line(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such folder"):
        teacher(tmp_path / "absent").load()
    with pytest.raises(InputError, match="the model was trained with 1000 steps: take fewer"):
        teacher(folder, num_inference_steps=1000).load()
    with pytest.raises(InputError, match="the model was trained with 1000 steps: take fewer"):
        teacher(folder, num_inference_steps=2000).load()
    editing = write_stable_diffusion(tmp_path / "editing", "StableDiffusionInstructPix2PixPipeline")
    with pytest.raises(InputError, match="is no text-to-image Stable Diffusion 1 or 2: name one with --model"):
        teacher(editing).load()


def test_the_shipped_preset_is_the_papers() -> None:
    made = make_teacher("null-text")
    assert isinstance(made, NullTextTeacher)
    assert made.model == find_preset("null-text").checkpoint == "CompVis/stable-diffusion-v1-4"
    options = dataclasses.asdict(made.options)
    assert (options["num_inference_steps"], options["guidance_scale"], options["cross_replace"]) == (50, 7.5, 0.8)
    assert 0.5 <= options["self_replace"] <= 0.8
    assert options["amplify"] in (2, 5)
