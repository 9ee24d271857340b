"""Editors whose text encoder sees the photo too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from e2gan.core.errors import InputError
from tests.teachers.diffusion.tiny_editors import write_editor
from tests.teachers.diffusion.tiny_presets import photo, teacher
from tests.teachers.diffusion.tiny_teachers import ASK

pytestmark = pytest.mark.usefixtures("small")


@pytest.mark.parametrize(("name", "component"), [("qwen-edit", "processor"), ("longcat-edit", "text_processor")])
def test_the_text_encoder_knows_which_tokens_are_the_photos(
    name: str, component: str, folder: Callable[[str], Path]
) -> None:
    editor = teacher(name, folder(name))
    editor.load()
    encoder = editor._pipeline.text_encoder
    seen: list[Mapping[str, Any]] = []
    encoder.model.register_forward_pre_hook(lambda _, __, named: seen.append(named), with_kwargs=True)
    editor.edit([photo(name)], ASK, [1])
    for named in seen:
        ids = named["input_ids"].tolist()
        expected = getattr(editor._pipeline, component).create_mm_token_type_ids(ids)
        assert named["mm_token_type_ids"].tolist() == [list(row) for row in expected]
        assert named["mm_token_type_ids"].sum() == named["image_grid_thw"].prod() // 4  # 2×2 patches are one token


def test_a_processor_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    model = write_editor("qwen-edit", tmp_path / "model")
    (model / "processor" / "preprocessor_config.json").unlink()
    with pytest.raises(InputError, match=r"^cannot load .*: the folder is not whole, or of another kind.*--model$"):
        teacher("qwen-edit", model).load()
