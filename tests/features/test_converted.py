from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from e2gan.core.errors import InputError, NotFiniteError
from e2gan.features.clip import ClipModel
from e2gan.features.converted import converted_folder, published_weights
from tests.tiny_clip import write_clip


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_pickle_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.pth"
    shared = torch.arange(6.0)
    torch.save({"a": shared, "b": shared[2:4], "n.num_batches_tracked": torch.tensor(3)}, path)
    first = published_weights(path, "weights", 10**6)
    kept = load_file(converted_folder(path) / "model.safetensors")
    monkeypatch.setattr(torch, "load", None)  # a second call would fail
    second = published_weights(path, "weights", 10**6)
    for tensors in (first, kept, second):
        assert sorted(tensors) == ["a", "b", "n.num_batches_tracked"]
        assert torch.equal(tensors["b"], shared[2:4])


def test_another_file_under_the_name_is_converted_anew(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    for value in (1.0, 2.0):
        torch.save({"a": torch.tensor([value])}, path)
        assert published_weights(path, "weights", 10**6)["a"].item() == value


@pytest.mark.parametrize("content", [{"a": 1}, [torch.zeros(2)], Path("code")])
def test_what_holds_more_than_tensors_is_refused_and_not_kept(tmp_path: Path, own_cache: Path, content: object) -> None:
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(InputError, match="weights"):
        published_weights(tmp_path / "weights.pth", "name the weights", 10**6)
    assert not list(own_cache.rglob("*.safetensors"))
    with pytest.raises(InputError, match="missing"):
        published_weights(tmp_path / "none.pth", "name the weights", 10**6)


@pytest.mark.slow
def test_a_clip_of_a_bin_alone_is_converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_clip(tmp_path / "clip")
    expected = ClipModel(str(folder), "cpu").texts(["a red car"])
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(tensors, folder / "pytorch_model.bin")
    assert ClipModel(str(folder), "cpu").texts(["a red car"]) == pytest.approx(expected)
    monkeypatch.setattr(torch, "load", None)
    assert ClipModel(str(folder), "cpu").texts(["a red car"]) == pytest.approx(expected)
    monkeypatch.undo()
    tensors[next(iter(tensors))].view(-1)[0] = float("nan")
    torch.save(tensors, folder / "pytorch_model.bin")
    with pytest.raises(NotFiniteError):
        ClipModel(str(folder), "cpu")


@pytest.mark.slow
def test_a_damaged_safetensors_is_not_replaced_by_a_bin_beside_it(tmp_path: Path) -> None:
    folder = write_clip(tmp_path / "clip")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(InputError, match="clip"):
        ClipModel(str(folder), "cpu")
