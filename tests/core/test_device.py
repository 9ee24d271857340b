from __future__ import annotations

import pytest
import torch

from e2gan.core.device import autocast, resolve_device
from e2gan.core.errors import InputError


def test_a_device_that_is_not_there_is_told_in_one_line() -> None:
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device("auto").type in ("cpu", "cuda", "mps")
    for name in ("cuda:99",):
        with pytest.raises(InputError, match=f"--device {name}: not on this machine") as caught:
            resolve_device(name)
        assert "\n" not in str(caught.value)


def test_precision_is_as_asked() -> None:
    x = torch.ones(2, 2)
    with autocast(torch.device("cpu"), "bf16"):
        assert (x @ x).dtype == torch.bfloat16
    with autocast(torch.device("cpu"), "fp32"):
        assert (x @ x).dtype == torch.float32


@pytest.mark.parametrize("name", ["meta", "xpu", "cpu:x", "", "vulkan", "tpu", "meet"])
def test_another_kind_of_device_is_refused(name: str) -> None:
    with pytest.raises(InputError) as caught:
        resolve_device(name)
    assert str(caught.value) == f"--device {name}: must be auto, cpu, cuda, cuda:N or mps"
