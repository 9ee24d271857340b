"""Resize and convolution as a transposed convolution, against the convolution of the enlarged map."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from e2gan.config import PRESETS
from e2gan.networks.lora import attach, merged, rank_of_layers
from e2gan.networks.resized_conv import ResizedConv2d, fix_kernels, transposed_kernel
from tests.networks.tiny_lora import RANKS, generator, inputs, touched

SHAPES = [(1, 3, 16, 16), (2, 5, 7, 24), (1, 2, 1, 1), (3, 4, 1, 5)]


def resized(channels: int, dtype: torch.dtype, *, bias: bool = True) -> ResizedConv2d:
    torch.manual_seed(0)
    return ResizedConv2d(channels, 4, 3, padding=1, bias=bias).to(dtype)


def by_definition(conv: ResizedConv2d, x: Tensor) -> Tensor:
    return nn.Conv2d.forward(conv, nn.Upsample(scale_factor=2)(x))


def noise(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(dtype)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_the_transposed_convolution_is_that_of_the_enlarged_map(
    shape: tuple[int, ...], dtype: torch.dtype, tolerance: float, *, bias: bool
) -> None:
    conv, found = resized(shape[1], dtype, bias=bias), []
    for run in (conv, lambda x: by_definition(conv, x)):
        x = noise(shape, dtype).requires_grad_(True)
        out = run(x)
        assert out.shape == (shape[0], 4, 2 * shape[2], 2 * shape[3])
        found.append((out, *torch.autograd.grad(out.square().mean(), [x, *conv.parameters()])))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("shape", SHAPES)
def test_half_precision_is_as_near_to_the_exact_result_as_the_enlarged_maps(shape: tuple[int, ...]) -> None:
    conv, x = resized(shape[1], torch.float32), noise(shape, torch.float32)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        one, other = conv(x), by_definition(conv, x)
    assert one.dtype == other.dtype == torch.bfloat16
    exact = by_definition(conv, x).detach()
    limit = 2.0**-7 * exact.abs().max()
    assert (one - exact).abs().max() < limit
    assert (other - exact).abs().max() < limit


def test_a_half_precision_kernel_stays_in_it() -> None:
    assert transposed_kernel(resized(3, torch.bfloat16).weight).dtype == torch.bfloat16


def test_a_branchs_second_part_is_an_ordinary_convolution() -> None:
    conv, x = ResizedConv2d(3, 4, 1), noise((1, 3, 5, 6), torch.float32)
    assert torch.equal(conv(x), nn.Conv2d.forward(conv, x))
    assert isinstance(fix_kernels(nn.Sequential(conv))[0], ResizedConv2d)  # pyright: ignore[reportIndexIssue]


@pytest.mark.parametrize("upsample", ["resize", "transpose"])
def test_fixed_kernels_change_no_output(upsample: str) -> None:
    config = replace(PRESETS["residual"], width=8, heads=2, text_width=16, upsample=upsample)  # pyright: ignore
    network, given = touched(generator(config)), inputs()
    with torch.no_grad():
        expected = network(*given)
        plain = merged(network)
        weights = {name: tensor.shape for name, tensor in plain.state_dict().items()}
        fixed = fix_kernels(plain)
        torch.testing.assert_close(fixed(*given), expected, atol=1e-5, rtol=0)
    assert not any(isinstance(module, ResizedConv2d) for module in fixed.modules())
    assert not any(parameter.requires_grad for parameter in fixed.parameters())
    # what is stored is the 3×3 kernel, whatever it is run as
    bare = generator(config)
    assert weights == {name: tensor.shape for name, tensor in bare.state_dict().items()}
    assert bare.get_submodule("level2_up")[-2 if upsample == "resize" else 0].weight.shape[2:] == (3, 3)  # pyright: ignore


def test_an_adapters_branch_is_one_too() -> None:
    network, given = generator(replace(PRESETS["device"], width=8, heads=2, text_width=16)), inputs()
    attach(network, rank_of_layers(network, RANKS))
    A = network.get_submodule("level2_up.1.lora_A.default")
    assert isinstance(A, ResizedConv2d)
    assert A.weight.shape == (RANKS.level2, 16, 3, 3)
    assert network.get_submodule("level2_up.1.lora_B.default").weight.shape == (8, RANKS.level2, 1, 1)
    network(*given).sum().backward()
    assert A.weight.grad is not None
