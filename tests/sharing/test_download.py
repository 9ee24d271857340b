"""Models by name: what is downloaded, what is refused in one line, and what works without a network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from e2gan import InputError, Predictor
from e2gan.networks.folders import shipped_adapters, shipped_bases
from e2gan.sharing.download import base_of, find_model, kind_of, model_folder
from tests.conftest import Project, refused
from tests.editing.tiny_model import noise
from tests.sharing.hub_server import Hub

GOLDEN = shipped_adapters()["golden"]
FILES = {path.name: path.read_bytes() for path in GOLDEN.iterdir()}
NEEDED = {"e2gan.json", "adapter_config.json", "adapter_model.safetensors", "concept.safetensors"}
PHOTO = noise(32, 48)


def load(name: str = "me/look", **given: Any) -> np.ndarray:
    return Predictor.from_pretrained(name, device="cpu", **given).edit(PHOTO)


def test_folders_and_names_that_ship_need_no_hub(hub: Hub, project: Project) -> None:
    assert find_model("golden") == find_model(GOLDEN) == {
        "base": shipped_bases()["full"], "adapter": (GOLDEN,), "model": None
    }  # fmt: skip
    assert find_model("small")["base"] == shipped_bases()["small"]
    assert find_model(project.model)["model"] == project.model
    assert [kind_of(path) for path in (project.adapter, project.base, project.model)] == ["adapter", "base", "model"]
    assert base_of(project.adapter, project.base) == project.base
    assert hub.asked == []


def test_only_what_is_needed_is_downloaded_and_never_a_pickle(hub: Hub) -> None:
    others = {"pytorch_model.bin": b"\x80", "optimizer.pt": b"\x80", "photos/me.png": b"", "README.md": b"# look"}
    inner = {f"base/{name}": (shipped_bases()["full"] / name).read_bytes() for name in ("config.json",)}
    hub.add("me/look", FILES | others | inner | {"base/model.safetensors": b"a base that ships is not loaded"})
    assert np.array_equal(load(), load("golden"))
    cache = model_folder("me/look")
    assert {path.relative_to(cache).as_posix() for path in cache.rglob("*") if path.is_file()} == NEEDED
    assert not any("photos" in line or ".bin" in line or ".pt" in line for line in hub.asked)


def test_a_revision_is_a_branch_or_a_commit(hub: Hub) -> None:
    repository = hub.add("me/look", {"README.md": b"to come"})
    first = repository.commit(FILES, branch="trial")
    assert "holds no e2gan model" in refused(load)
    for revision in ("trial", first):
        assert np.array_equal(load(revision=revision), load("golden"))
    assert "me/look has no revision later" in refused(lambda: load(revision="later"))
    assert "has no revision main" in refused(lambda: load(str(GOLDEN), revision="main"))


def test_what_was_loaded_once_needs_no_network(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("me/look", FILES)
    expected = load()
    asked = len(hub.asked)
    hub.down = True
    assert np.array_equal(load(), expected)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert np.array_equal(load(), expected)
    commit = hub.repositories["me/look"].branches["main"]
    assert np.array_equal(load(revision=commit), expected)
    assert len(hub.asked) == asked + 1  # offline, nothing is asked
    assert "no network to its hub, and it is not in the cache" in refused(lambda: load("me/other"))


def test_no_network_at_all_is_told_in_a_line(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")  # where nothing listens
    assert "no network to its hub, and it is not in the cache" in refused(load)
    assert hub.asked == []


def test_a_copy_in_the_cache_that_is_not_whole_is_told(hub: Hub) -> None:
    hub.add("me/look", FILES)
    load()
    (model_folder("me/look") / "concept.safetensors").unlink()
    hub.down = True
    assert "it has no concept.safetensors in the cache" in refused(load)
    hub.down = False
    assert np.array_equal(load(), load("golden"))


def test_missing_private_and_gated_repositories_are_told_apart(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("me/private", FILES, private=True)
    hub.add("me/gated", FILES, gated=True)
    for name in ("me/private", "me/gated"):
        assert np.array_equal(load(name), load("golden"))  # the owner's
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("HF_TOKEN", "hf_of_a_stranger")
    for name in ("me/private", "me/nothing"):
        assert "has no such repository, or a private one" in refused(lambda name=name: load(name))
    assert "is gated: ask for access on" in refused(lambda: load("me/gated"))
    assert not (tmp_path / "elsewhere/models--me--gated/snapshots").exists()


def without(name: str) -> dict[str, bytes]:
    return {key: data for key, data in FILES.items() if key != name}


def told(**changes: object) -> dict[str, bytes]:
    return FILES | {"e2gan.json": json.dumps(json.loads(FILES["e2gan.json"]) | changes).encode()}


BASE = {path.name: path.read_bytes() for path in shipped_bases()["small"].iterdir() if path.suffix == ".json"}
WRONG: dict[str, tuple[dict[str, bytes], str]] = {
    "nothing": ({}, "holds no e2gan model"),
    "another program's": ({"config.json": b'{"model_type": "clip"}', "model.safetensors": b"0"}, "output of 'None'"),
    "a pickle": ({"config.json": BASE["config.json"], "pytorch_model.bin": b"\x80"}, "holds no e2gan model"),
    "another stage's": ({"config.json": b'{"stage": "pairs", "settings": {}}', "model.safetensors": b""}, "'pairs'"),
    "weights that are none": (FILES | {"adapter_model.safetensors": b"\x80\x04" * 9}, "adapter_model.safetensors"),
    "weights that end": (
        FILES | {"adapter_model.safetensors": FILES["adapter_model.safetensors"][:-9]}, "adapter_model.safetensors"
    ),
    "no prompt": (without("concept.safetensors"), "me/look is not whole: it has no concept.safetensors"),
    "no weights": (without("adapter_model.safetensors"), "it has no adapter_model.safetensors"),
    "facts that are none": (FILES | {"e2gan.json": b"[1]"}, "e2gan.json"),
    "a base that nobody has": (told(base_sha256="0" * 64), "its base (000000000000…) neither ships nor lies in it"),
    "a base inside that is another": (
        told(base_sha256="0" * 64)
        | BASE
        | {f"base/{p.name}": p.read_bytes() for p in shipped_bases()["small"].iterdir()},
        "belongs to another base",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", list(WRONG))
def test_what_is_no_model_is_refused_in_a_line(hub: Hub, kind: str) -> None:
    files, said = WRONG[kind]
    hub.add("me/look", files)
    assert said in refused(load)


def test_a_file_that_claims_too_much_is_not_downloaded(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("e2gan.sharing.download.MOST_WEIGHTS", 100_000)
    hub.add("me/look", FILES)
    assert "up to 100,000 are loaded" in refused(load)
    assert "adapter_model.safetensors" not in hub.downloaded()


def test_a_wrong_base_is_told(hub: Hub) -> None:
    hub.add("me/look", FILES)
    assert "belongs to another base" in refused(lambda: load(base="small"))
    assert "is no base" in refused(lambda: load(base="winter"))
    assert "leave base out" in refused(lambda: load("small", base="full"))


@pytest.mark.parametrize(
    "name", ["nosuch", "./me/look", "a/b/c", "/nothing/here", "", "me//look", "me/lo ok", "~nobody/x"]
)
def test_what_is_no_name_is_told_without_asking(hub: Hub, name: str) -> None:
    assert "OWNER/NAME" in refused(lambda: load(name))
    assert hub.asked == []


def test_a_file_is_no_repository(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "look").mkdir()
    (tmp_path / "look" / "adapter_model.safetensors").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    for name in ("look/adapter_model.safetensors", Path("look/adapter_model.safetensors")):
        assert "is a file, not a model's folder" in refused(lambda name=name: Predictor.from_pretrained(name))
        assert "is a file, not a model's folder" in refused(lambda name=name: load("golden", base=name))
    assert hub.asked == []


def test_an_adapter_has_its_own_prompt() -> None:
    assert refused(lambda: load("golden", prompt="make it rain")) == (
        "golden is an adapter, which has a prompt of its own: leave prompt out"
    )


@pytest.mark.parametrize("wrong", [{"name": 5}, {"name": None}, {"revision": 5}, {"base": 5}, {"prompt": 5}])
def test_wrong_types_are_refused(wrong: dict[str, Any]) -> None:
    given: dict[str, Any] = {"name": "golden"} | wrong
    with pytest.raises(InputError) as caught:
        Predictor.from_pretrained(given.pop("name"), **given)
    assert isinstance(caught.value, TypeError)
