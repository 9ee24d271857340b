"""A folder goes to a hub and comes back: the same pixels; and nothing else of the folder has gone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from e2gan import EvaluateConfig, Model, Predictor, PushConfig, evaluate, push_to_hub
from e2gan.core.images import Pixels
from e2gan.networks.folders import DISCRIMINATOR, MODEL
from tests.conftest import Project, refused
from tests.editing.tiny_model import noise
from tests.sharing.hub_server import TOKEN, Hub, serving

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),  # huggingface_hub's own, as it uploads
]
PHOTO = noise(48, 64)
ADAPTER = {
    "adapter_config.json",
    "adapter_model.safetensors",
    "concept.safetensors",
    "e2gan.json",
    "README.md",
    "base.md",
}


def edited(name: str, **given: Any) -> Pixels:
    return Predictor.from_pretrained(name, device="cpu", **given).edit(PHOTO)


def own(base: Path, adapter: Path) -> Pixels:
    return Predictor(Model.load(base=base, adapter=adapter), "cpu").edit(PHOTO)


def push(folder: str | Path, repo: str = "me/look", **settings: Any) -> Any:
    return push_to_hub(PushConfig(folder=folder, repo=repo, **settings))  # pyright: ignore[reportArgumentType]


def gone(hub: Hub, repo: str = "me/look", branch: str = "main") -> set[str]:
    return hub.repositories[repo].tree(branch).keys() - {".gitattributes"}


def test_an_adapter_of_a_base_that_ships_comes_back_with_the_same_pixels(hub: Hub) -> None:
    pushed = push("golden")
    assert gone(hub) == {*pushed.files} == ADAPTER
    assert pushed.url == f"{hub.url}/me/look"
    assert pushed.commit == hub.repositories["me/look"].branches["main"]
    assert pushed.commit[:12] in str(pushed)
    assert np.array_equal(edited("me/look"), edited("golden"))
    assert hub.downloaded() <= ADAPTER


def test_an_adapter_takes_its_own_base_along(hub: Hub, project: Project) -> None:
    push(project.adapter, base=str(project.base))
    assert gone(hub) == ADAPTER | {"base/config.json", "base/model.safetensors"}
    assert np.array_equal(edited("me/look"), own(project.base, project.adapter))
    assert np.array_equal(edited("me/look", base=project.base), own(project.base, project.adapter))


def test_an_adapter_names_the_repository_of_its_base(hub: Hub, project: Project) -> None:
    first = push(project.base, "me/base")
    push(project.adapter, base="me/base")
    assert gone(hub) == ADAPTER
    told = json.loads(hub.repositories["me/look"].tree()["adapter_config.json"])
    assert (told["base_model_name_or_path"], told["revision"]) == ("me/base", first.commit)
    assert hub.repositories["me/look"].tree()["base.md"] == hub.repositories["me/base"].tree()["README.md"]
    hub.repositories["me/base"].commit({MODEL: b"of a later training"})
    assert np.array_equal(edited("me/look"), own(project.base, project.adapter))
    hub.down = True  # both are in the cache
    assert np.array_equal(edited("me/look"), own(project.base, project.adapter))


def test_a_base_and_a_model_come_back_whole(hub: Hub, project: Project) -> None:
    push(project.base, "me/base", private=True, message="the first")
    assert gone(hub, "me/base") == {"README.md", "config.json", MODEL, DISCRIMINATOR}
    assert hub.repositories["me/base"].private
    assert hub.repositories["me/base"].messages[-1] == "the first"
    prompt = "at dusk"
    assert np.array_equal(edited("me/base", prompt=prompt), edited(str(project.base), prompt=prompt))
    push(project.model, "me/model", revision="trial")
    assert gone(hub, "me/model") == set()
    assert gone(hub, "me/model", "trial") == {"README.md", "config.json", MODEL, DISCRIMINATOR}
    expected = Predictor(Model.load(model=project.model), "cpu").edit(PHOTO)
    assert np.array_equal(edited("me/model", revision="trial"), expected)
    assert np.array_equal(edited(str(project.model)), expected)


def test_no_photo_no_log_and_no_path_goes_with_it(hub: Hub, project: Project, tmp_path: Path) -> None:
    adapter = tmp_path / "sepia-look"
    shutil.copytree(project.adapter, adapter)
    evaluate(EvaluateConfig(pairs=project.sepia, base=project.base, adapter=adapter))
    (adapter / "holiday.png").write_bytes(b"private")
    assert (adapter / "sheet.png").is_file()
    for folder, repo in ((adapter, "me/look"), (project.base, "me/base"), (project.model, "me/model")):
        push(folder, repo, base=str(project.base) if folder == adapter else None)
        for name, data in hub.repositories[repo].tree().items():
            for path in (project.base.parent, tmp_path, Path.cwd(), Path.home()):
                assert str(path).encode() not in data, name
            assert project.sepia.name == "sepia" or b"pairs/" not in data
        config = json.loads(hub.repositories[repo].tree().get("config.json", b"{}"))
        assert not config.keys() & {"place", "files"}
        assert not config.get("settings", {}).keys() & {"pairs", "content", "start", "selection"}
    assert gone(hub) == ADAPTER | {"base/config.json", "base/model.safetensors"}
    card = hub.repositories["me/look"].tree()["README.md"].decode()
    assert "| l1 | " in card.lower()
    push(adapter, base=str(project.base), sheet=True)
    assert "sheet.png" in gone(hub)
    assert "(sheet.png)" in hub.repositories["me/look"].tree()["README.md"].decode()


def test_a_folder_that_is_not_whole_is_refused(hub: Hub, project: Project, tmp_path: Path) -> None:
    def copy(name: str, source: Path = project.adapter) -> Path:
        return Path(shutil.copytree(source, tmp_path / name))

    stopped = copy("look.partial")
    assert "stopped before its end" in refused(lambda: push(stopped, base=str(project.base)))
    changed = copy("changed")
    (changed / "e2gan.json").write_text((changed / "e2gan.json").read_text().replace("sepia", "sepio"))
    assert "e2gan.json has been changed" in refused(lambda: push(changed, base=str(project.base)))
    without = copy("without")
    (without / "concept.safetensors").unlink()
    assert "concept.safetensors is missing" in refused(lambda: push(without, base=str(project.base)))
    damaged = copy("damaged")
    (damaged / "config.json").unlink()  # no record to go by
    (damaged / "adapter_model.safetensors").write_bytes(b"\0" * 100)
    assert "adapter_model.safetensors" in refused(lambda: push(damaged, base=str(project.base)))
    told = copy("told", project.base)
    (told / "README.md").write_text("# mine\n")  # a card may be rewritten
    push(told, "me/base")
    assert "# mine" in hub.repositories["me/base"].tree()["README.md"].decode()
    assert "me/look" not in hub.repositories


def test_what_does_not_go_together_is_refused(hub: Hub, project: Project, tmp_path: Path) -> None:
    assert "neither ships nor lies in it" in refused(lambda: push(project.adapter))
    assert "belongs to another base" in refused(lambda: push("golden", base="small"))
    assert "has no base of its own" in refused(lambda: push(project.base, base="full"))
    assert "has no sheet.png" in refused(lambda: push("golden", sheet=True))
    assert "is no e2gan model" in refused(lambda: push(project.photos.parent))
    assert "there is no such folder" in refused(lambda: push(tmp_path / "nothing"))
    assert "no folder here" in refused(lambda: push("some/body"))
    for repo in ("look", "a/b/c", "/look", "me/", "me/a--b", "me/look me", "../look"):
        assert "OWNER/NAME" in refused(lambda repo=repo: push("golden", repo))
    assert hub.asked == []  # all of it before the hub is asked


def test_what_the_hub_refuses_is_told_in_a_line(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("me/open", {"README.md": b""})
    assert "is there, and public" in refused(lambda: push("golden", "me/open", private=True))
    assert gone(hub, "me/open") == {"README.md"}
    hub.down = True
    assert "nothing is uploaded" in refused(lambda: push("golden"))
    hub.down = False
    monkeypatch.setenv("HF_TOKEN", "hf_of_a_stranger")
    assert "hf auth login" in refused(lambda: push("golden"))


def test_the_command_pushes_where_hf_endpoint_says(tmp_path: Path) -> None:
    """In a process of its own, as a user has it."""
    with serving() as hub:
        environment = os.environ | {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(tmp_path)}

        def run(*words: str) -> str:
            command, settings = [sys.executable, *words], environment | {"HF_TOKEN": TOKEN}
            done = subprocess.run(command, env=settings, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            return done.stdout

        assert json.loads(run("-m", "e2gan", "push", "golden", "me/look", "--json"))["url"] == f"{hub.url}/me/look"
        code = "from e2gan import Predictor; print(Predictor.from_pretrained('me/look', device='cpu').size)"
        assert run("-c", code).strip() == "256"
