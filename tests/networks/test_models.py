"""Models as they load: in another process, mixed, and on the wrong base."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from e2gan.config import BaseConfig
from e2gan.core.errors import InputError
from e2gan.core.files import CONFIG, read_json, write_json
from e2gan.networks.folders import ABOUT
from e2gan.networks.models import Model, load_discriminator, load_generator
from e2gan.train.base import train_base
from tests.conftest import Project, refused


@pytest.mark.slow
def test_a_new_process_gives_the_same_output(project: Project, tmp_path: Path) -> None:
    code = (
        "import sys, numpy, torch; from pathlib import Path; from e2gan import Model; torch.set_num_threads(1)\n"
        "m = Model.load(base=Path(sys.argv[1]), adapter=(Path(sys.argv[2]),))\n"
        "x = torch.linspace(-1, 1, 3 * 32 * 32).reshape(1, 3, 32, 32)\n"
        "numpy.save(sys.argv[3], m.generator(x, m.tokens).detach().numpy())"
    )
    outs = []
    for name in ("a.npy", "b.npy"):
        subprocess.run([sys.executable, "-c", code, project.base, project.adapter, tmp_path / name], check=True)
        outs.append(np.load(tmp_path / name))
    assert np.array_equal(*outs)
    model = Model.load(base=project.base, adapter=(project.adapter,))
    here = model.generator(torch.linspace(-1, 1, 3072).reshape(1, 3, 32, 32), model.tokens).detach().numpy()
    np.testing.assert_allclose(here, outs[0], atol=1e-5)
    bare = Model.load(base=project.base, prompt="as a sepia photo")
    assert not np.allclose(bare.generator(torch.zeros(1, 3, 32, 32), bare.tokens).detach(), here, atol=1e-3)


def test_an_adapter_of_another_base_is_refused(project: Project, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(project.base, other)
    tensors = load_file(other / "model.safetensors")
    next(iter(tensors.values())).add_(1)
    from safetensors.torch import save_file

    save_file(tensors, other / "model.safetensors")
    with pytest.raises(InputError, match="belongs to another base"):
        Model.load(base=other, adapter=(project.adapter,))
    with pytest.raises(InputError, match="is an adapter, which has a prompt of its own: leave prompt out"):
        Model.load(base=project.base, adapter=(project.adapter,), prompt="as a sepia photo")


def test_two_adapters_are_mixed(project: Project) -> None:
    photo = torch.rand(1, 3, 32, 32) * 2 - 1
    one = Model.load(base=project.base, adapter=(project.adapter,))
    both = Model.load(base=project.base, adapter=(project.adapter, project.adapter), weights=(0.25, 0.75))
    torch.testing.assert_close(both.generator(photo, both.tokens), one.generator(photo, one.tokens), atol=1e-5, rtol=0)
    assert both.prompt == "as a sepia photo + as a sepia photo"


def test_the_strongest_adapter_says_how_and_at_which_side_edits_are_made(project: Project, tmp_path: Path) -> None:
    """What its e2gan.json records; an earlier one without a word of it means the photo's own detail."""
    for name, changes in {"paint": {"detail": "none", "size": 48}, "old": {"detail": None}}.items():
        shutil.copytree(project.adapter, tmp_path / name)
        about = read_json(tmp_path / name / ABOUT)
        write_json(tmp_path / name / ABOUT, {k: v for k, v in (about | changes).items() if v is not None})
    paint, old = tmp_path / "paint", tmp_path / "old"

    def recorded(*adapters: Path, weights: tuple[float, ...] | None = None) -> tuple[str, int]:
        found = Model.load(base=project.base, adapter=adapters, weights=weights)
        return found.detail, found.size

    assert read_json(project.adapter / ABOUT)["detail"] == "guided"  # sepia, by its pairs
    assert recorded(project.adapter) == recorded(old) == ("guided", 32)
    assert recorded(paint) == ("none", 48)
    assert recorded(old, paint, weights=(0.4, 0.6)) == ("none", 48)
    assert recorded(old, paint, weights=(0.6, 0.4)) == ("guided", 32)
    write_json(paint / ABOUT, read_json(paint / ABOUT) | {"detail": "sharp"})
    assert "at detail: invalid enum value 'sharp'" in refused(lambda: recorded(paint))


def test_a_model_from_scratch_says_it_in_its_config(project: Project, tmp_path: Path) -> None:
    assert read_json(project.model / CONFIG)["detail"] == "guided"
    shutil.copytree(project.model, tmp_path / "m")
    write_json(tmp_path / "m" / CONFIG, read_json(project.model / CONFIG) | {"detail": "none"})
    assert Model.load(model=tmp_path / "m").detail == "none"


@pytest.mark.parametrize("text", ["clip:someone/else", "clip:openai/clip-vit-base-patch32x", "clip:.", "clip:/etc"])
def test_a_folder_names_no_text_encoder_that_its_user_did_not(project: Project, tmp_path: Path, text: str) -> None:
    """Neither a base alone, nor a model, nor a base to start from; and what its user names is looked for."""
    folders = {name: shutil.copytree(getattr(project, name), tmp_path / name) for name in ("base", "model")}
    for folder in folders.values():
        config = read_json(folder / CONFIG)
        write_json(folder / CONFIG, config | {"settings": config["settings"] | {"text": text}})
    loads: tuple[Callable[..., Model], ...] = (
        partial(Model.load, base=folders["base"], prompt="dusk"),
        partial(Model.load, model=folders["model"]),
    )
    for load in loads:
        assert f"name it: --text {text}" in refused(load)
        assert "name it" not in refused(partial(load, text="clip:no/such/folder"))
    Model.load(base=folders["base"], adapter=(project.adapter,))  # the adapter has its tokens
    start = BaseConfig(pairs=(project.dusk,), out=tmp_path / "next", start=folders["base"])
    assert f"name it: --text {text}" in refused(lambda: train_base(start))


def test_settings_that_lie_ask_for_no_memory(project: Project, tmp_path: Path) -> None:
    base = shutil.copytree(project.base, tmp_path / "base")
    config = read_json(base / CONFIG)
    for name, value in (("width", 4096), ("width", 10**9), ("blocks", 10**12), ("text_width", 60_000), ("heads", 0)):
        generator = config["settings"]["generator"] | {name: value}
        write_json(base / CONFIG, config | {"settings": config["settings"] | {"generator": generator}})
        refused(lambda: load_generator(base))


def test_a_base_that_was_trained_without_a_discriminator_may_ship_without_and_no_other(
    project: Project, tmp_path: Path
) -> None:
    shutil.copytree(project.base, base := tmp_path / "base")
    (base / "discriminator.safetensors").unlink()
    config = read_json(base / CONFIG)
    config["settings"]["training"]["gan"] = 1.0
    write_json(base / CONFIG, config)
    with pytest.raises(InputError, match=r"discriminator\.safetensors"):
        load_discriminator(base)
    config["settings"]["training"]["gan"] = 0.0
    write_json(base / CONFIG, config)
    assert load_discriminator(base)(torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 32, 32)).shape == (1, 1, 2, 2)
