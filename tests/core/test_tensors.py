from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from e2gan.core.errors import InputError, NotFiniteError
from e2gan.core.tensors import read_tensors, write_tensors


def test_tensors_and_their_header_come_back(tmp_path: Path) -> None:
    tensors = {"a": torch.arange(6.0).reshape(2, 3).T, "b": torch.ones(2, dtype=torch.bfloat16)}
    write_tensors(tmp_path / "t.safetensors", tensors, {"title": "é"})
    found, header = read_tensors(tmp_path / "t.safetensors")
    assert header == {"title": "é"}
    assert all(torch.equal(found[k], tensors[k]) for k in tensors)


WRONG = {
    "nan": torch.tensor([1.0, float("nan")]),
    "infinite": torch.tensor([float("inf"), 1.0]),
    "too large for half precision": torch.tensor([1.0, 70_000.0]).half(),
    "too large for float32": torch.tensor([1.0, 1e300], dtype=torch.float64),
    "complex": torch.ones(2, dtype=torch.complex64),
    "integers": torch.ones(2, dtype=torch.int64),
    "eight bits": torch.ones(2).to(torch.float8_e4m3fn),
    "truth": torch.ones(2, dtype=torch.bool),
}


@pytest.mark.parametrize("kind", list(WRONG))
def test_what_is_no_weight_is_neither_written_nor_read(tmp_path: Path, kind: str) -> None:
    tensors = {"fine": torch.zeros(3), "layer.weight": WRONG[kind]}
    error = NotFiniteError if WRONG[kind].dtype.is_floating_point and kind != "eight bits" else InputError
    with pytest.raises(error, match=r"w\.safetensors: 'layer\.weight' ") as caught:
        write_tensors(tmp_path / "w.safetensors", tensors)
    assert type(caught.value) is error
    assert not list(tmp_path.iterdir())
    save_file(tensors, tmp_path / "r.safetensors")
    with pytest.raises(error, match=r"r\.safetensors: 'layer\.weight' ") as caught:
        read_tensors(tmp_path / "r.safetensors")
    assert "\n" not in str(caught.value)


def test_every_precision_of_weights_and_the_count_of_batches_are_read(tmp_path: Path) -> None:
    kinds = torch.float16, torch.bfloat16, torch.float32, torch.float64
    tensors = {str(kind): torch.ones(2, dtype=kind) for kind in kinds}
    tensors["norm.num_batches_tracked"] = torch.tensor(3)
    write_tensors(tmp_path / "t.safetensors", tensors)
    assert read_tensors(tmp_path / "t.safetensors")[0].keys() == tensors.keys()
