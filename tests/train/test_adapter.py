"""A base whose prompts CLIP encodes: what it records, what it refuses, and what needs no encoder."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from e2gan import AdaptConfig, BaseConfig, GeneratorConfig, Model, TrainingConfig, adapt, train_base
from e2gan.core.errors import InputError
from e2gan.core.files import read_json
from e2gan.networks import text as text_module
from tests.conftest import TINY, Project
from tests.tiny_clip import WIDTH, write_clip

QUICK = TrainingConfig(steps=2, batch=4, precision="fp32")


def test_the_bases_encoder_is_recorded_followed_and_no_other_taken(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = write_clip(tmp_path / "clip")
    generator = replace(GeneratorConfig(**TINY), text_width=99)
    train_base(
        BaseConfig(
            pairs=(project.dusk,), out=tmp_path / "base", text=f"clip:{clip}", generator=generator, training=QUICK
        )
    )
    settings = read_json(tmp_path / "base/config.json")["settings"]
    assert settings["text"] == f"clip:{clip}"
    assert settings["generator"]["text_width"] == WIDTH
    assert f"clip:{clip}" in (tmp_path / "base/README.md").read_text()

    config = AdaptConfig(pairs=project.sepia, out=tmp_path / "a", base=tmp_path / "base", training=QUICK)
    other = write_clip(tmp_path / "other", seed=1)
    with pytest.raises(InputError, match="another encoder than the base's"):
        adapt(replace(config, text=f"clip:{other}"))
    with pytest.raises(InputError, match="another encoder than the base's"):
        adapt(replace(config, text="hashed"))
    copy = shutil.copytree(clip, tmp_path / "copy")
    adapt(replace(config, text=f"clip:{copy}"))

    monkeypatch.setattr(text_module, "_known", {})
    shutil.rmtree(clip)
    loaded = Model.load(base=tmp_path / "base", adapter=(tmp_path / "a",))  # its tokens lie beside it
    assert loaded.tokens is not None
    assert loaded.tokens.shape[-1] == WIDTH
    with pytest.raises(InputError, match="clip"):
        Model.load(base=tmp_path / "base", prompt="as a sepia photo")
