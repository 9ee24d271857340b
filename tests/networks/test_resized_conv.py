from __future__ import annotations

import pytest
import torch

from e2gan.networks.resized_conv import ResizedConv2d, folds


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 3, 16, 16), (2, 5, 24, 17)])
def test_a_folded_convolution_is_that_of_the_enlarged_map(shape: tuple[int, ...], *, bias: bool) -> None:
    torch.manual_seed(0)
    conv = ResizedConv2d(shape[1], 4, 3, padding=1, bias=bias).double()
    found = []
    for run in (conv, lambda x: torch.nn.Conv2d.forward(conv, torch.nn.Upsample(scale_factor=2)(x))):
        x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_(True)
        out = run(x)
        assert out.shape == (shape[0], 4, 2 * shape[2], 2 * shape[3])
        found.append((out, *torch.autograd.grad(out.square().sum(), [x, *conv.parameters()])))
    assert folds(x)
    assert not torch.equal(found[0][0], found[1][0])  # two ways, not one
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_what_is_not_faster_or_leaves_the_machine_is_not_folded() -> None:
    assert not folds(torch.empty(1, 8, 8, 8))
    assert not folds(torch.empty(1, 8, 64, 64, device="meta"))
