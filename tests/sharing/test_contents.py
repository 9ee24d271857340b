"""What goes to a hub of a folder: enough to load it, and nothing that says where it was made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from e2gan import Model
from e2gan.core.files import read_json, write_json
from e2gan.networks.folders import shipped_adapters, shipped_bases
from e2gan.sharing.contents import (
    Contents,
    adapter_contents,
    check_whole,
    inner_base,
    model_contents,
    public_config,
)
from tests.conftest import Project, refused


def written(files: Contents, folder: Path) -> Path:
    for name, file in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(file if isinstance(file, bytes) else file.read_bytes())
    return folder


def test_an_adapters_folder_loads_again_and_names_its_base(tmp_path: Path) -> None:
    golden = shipped_adapters()["golden"]
    files = adapter_contents(golden, ("owner/base", "a" * 40))
    config = json.loads(bytes(files["adapter_config.json"]))  # pyright: ignore[reportArgumentType]
    assert (config["base_model_name_or_path"], config["revision"]) == ("owner/base", "a" * 40)
    again = Model.load(adapter=written(files, tmp_path / "look"))
    assert again.prompt == Model.load(adapter=golden).prompt


def test_a_path_that_peft_has_written_does_not_go(tmp_path: Path, project: Project) -> None:
    look = written(adapter_contents(project.adapter, None), tmp_path / "look")
    config = read_json(look / "adapter_config.json") | {"base_model_name_or_path": str(project.base)}
    write_json(look / "adapter_config.json", config)
    write_json(look / "e2gan.json", read_json(look / "e2gan.json") | {"made_in": str(tmp_path)})
    files = adapter_contents(look, None)
    assert not any(str(tmp_path).encode() in file for file in files.values() if isinstance(file, bytes))


def test_a_base_goes_with_what_it_is_used_for(tmp_path: Path, project: Project) -> None:
    assert {*model_contents(project.base)} == {"config.json", "model.safetensors", "discriminator.safetensors"}
    assert {*model_contents(shipped_bases()["small"])} == {"config.json", "model.safetensors"}
    assert {*inner_base(project.base)} == {"base/config.json", "base/model.safetensors"}
    expected = Model.load(base=project.base, adapter=project.adapter).plain().state_dict()
    folder = written(inner_base(project.base) | adapter_contents(project.adapter, None), tmp_path / "look")
    found = Model.load(base=folder / "base", adapter=folder).plain().state_dict()
    assert all(value.equal(found[name]) for name, value in expected.items())


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("hashed", "hashed"),
        ("clip", "clip"),
        ("clip:openai/clip-vit-base-patch32", "clip:openai/clip-vit-base-patch32"),
        ("clip:/home/jane/clip", "clip:clip"),
        ("clip:~/models/clip", "clip:clip"),
        ("clip:../clip", "clip:clip"),
        ("clip:C:\\Users\\jane\\clip", "clip:clip"),
    ],
)
def test_the_text_encoders_folder_is_not_told(text: str, public: str) -> None:
    config: dict[str, Any] = {"stage": "base", "settings": {"text": text, "pairs": ["/home/jane/x"]}, "place": "../.."}
    assert public_config(config) == {"stage": "base", "settings": {"text": public}}


def test_whole_is_what_was_written(tmp_path: Path, project: Project) -> None:
    check_whole(project.adapter)
    check_whole(shipped_adapters()["golden"])  # which has no record
    look = tmp_path / "look"
    look.mkdir()
    for file in project.adapter.iterdir():
        (look / file.name).write_bytes(file.read_bytes())
    (look / "metrics.jsonl").write_text("")  # a log, which stays here
    (look / "notes.txt").write_text("mine")
    check_whole(look)
    config = read_json(look / "config.json")
    write_json(look / "config.json", config | {"stage": "adapt "})
    assert "config.json has been changed" in refused(lambda: check_whole(look))
    write_json(look / "config.json", {name: value for name, value in config.items() if name != "files"})
    assert "is not whole" in refused(lambda: check_whole(look))
