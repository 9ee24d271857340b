"""The card of a repository: a head that hubs read, and below what people ask first."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from e2gan.core.files import read_json, sha256, write_json
from e2gan.networks.folders import MODEL, shipped_adapters, shipped_bases
from e2gan.sharing.model_card import Shown, adapter_card, model_card
from tests.conftest import Project

GOLDEN, FULL = shipped_adapters()["golden"], shipped_bases()["full"]


def head(card: str) -> dict[str, Any]:
    found = re.match(r"---\n(.*?)\n---\n", card, re.DOTALL)
    assert found is not None
    return yaml.safe_load(found[1])


def test_an_adapters_card_says_what_a_hub_asks() -> None:
    card = adapter_card(GOLDEN, Shown(repository="me/golden", base=FULL))
    told = head(card)
    assert told["library_name"] == "e2gan"
    assert told["pipeline_tag"] == "image-to-image"
    assert (told["license"], told["license_name"]) == ("other", "research-use")  # its base's
    assert told["license_link"] == "base.md"
    assert told["instance_prompt"] == "make it golden hour"
    assert {"e2gan", "lora"} <= {*told["tags"]}
    assert "base_model" not in told  # it is on no hub
    base = sha256(FULL / MODEL)[:16]
    for fact in ("# golden", "89,877 parameters", "`full`, which ships", "256 pixels", base):
        assert fact in card
    named = adapter_card(GOLDEN, Shown(repository="me/golden", base=FULL, base_repository="me/base"))
    assert head(named)["base_model"] == "me/base"


def test_a_base_without_a_licence_states_none(project: Project) -> None:
    card = adapter_card(project.adapter, Shown(repository="me/look", base=project.base, inside=True))
    assert "license" not in head(card)
    assert "licence: not stated" in card
    assert "lies in `base/`" in card


def test_a_strange_prompt_stays_in_its_line(tmp_path: Path, project: Project) -> None:
    look = tmp_path / "look"
    shutil.copytree(project.adapter, look)
    prompt = 'a: "b"\n---\n# <script>*c*|d'
    write_json(look / "e2gan.json", read_json(look / "e2gan.json") | {"prompt": prompt})
    card = adapter_card(look, Shown(repository="me/look", base=project.base))
    assert head(card)["instance_prompt"] == " ".join(prompt.split())
    assert "<script>" not in card.split("---\n", 2)[2].replace("\\<script\\>", "")


def test_figures_of_an_evaluation_are_in_the_card(tmp_path: Path, project: Project) -> None:
    look = tmp_path / "look"
    shutil.copytree(project.adapter, look)
    assert "| | edit |" not in adapter_card(look, Shown(repository="me/look", base=project.base))
    write_json(look / "metrics.json", {"model": {"l1": 3.25, "n": None}, "photo": {"l1": 20.5}})
    card = adapter_card(look, Shown(repository="me/look", base=project.base, sheet=True))
    assert "| l1 | 3.25 | 20.5 |" in card
    assert "](sheet.png)" in card


def test_a_bases_own_card_is_kept_with_its_licence(tmp_path: Path, project: Project) -> None:
    card = model_card(FULL, Shown(repository="me/base"))
    assert head(card)["license"] == "other"
    assert "## What it is good at, and where it fails" in card
    assert card.count("---\n") >= 2
    assert 'from_pretrained("me/base", prompt="make it autumn")' in card
    without = tmp_path / "base"
    shutil.copytree(project.base, without)
    (without / "README.md").unlink()
    assert "- prompts: " in model_card(without, Shown(repository="me/base"))
    assert "- prompt: " in model_card(project.model, Shown(repository="me/model"))


def test_the_lines_that_tell_how_to_use_it_run(tmp_path: Path, monkeypatch: Any) -> None:
    Image.fromarray(np.full((40, 48, 3), 128, np.uint8)).save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    card = adapter_card(GOLDEN, Shown(repository="me/golden", base=FULL))
    lines = re.findall(r"```python\n(.*?)```", card, re.DOTALL)[0]
    exec(lines.replace("me/golden", "golden"))
    with Image.open("edited.jpg") as edited:
        assert edited.size == (48, 40)


def test_an_adapters_own_licence_and_text_are_kept(tmp_path: Path, project: Project) -> None:
    base = Path(shutil.copytree(project.base, tmp_path / "base"))
    look = Path(shutil.copytree(project.adapter, tmp_path / "look"))
    (base / "README.md").write_text("---\nlicense: mit\n---\n")
    (look / "README.md").write_text("\ufeff---\nlicense: CC-BY-NC-4.0\n---\nMade on holiday.\n")
    card = adapter_card(look, Shown(repository="me/look", base=base, inside=True))
    assert head(card)["license"] == "cc-by-nc-4.0"
    assert "Made on holiday." in card


def test_where_a_models_licence_is_stays(tmp_path: Path, project: Project) -> None:
    base = Path(shutil.copytree(project.base, tmp_path / "base"))
    told = {"license": "other", "license_name": "mine", "license_link": "https://example.org/mine"}
    (base / "README.md").write_text(f"---\n{yaml.safe_dump(told)}---\n# Mine\n")
    assert told.items() <= head(model_card(base, Shown(repository="me/base"))).items()
