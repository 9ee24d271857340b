from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from e2gan.core.errors import InputError
from e2gan.networks.baselines.unet import UNet, UNetConfig
from e2gan.train.step import parameters
from tests.networks.baselines.tiny_baselines import UNET, bf16_is_near, chance_is_for_training_only, fit, pairs


@pytest.mark.parametrize(("size", "levels"), [(32, 5), (64, 6), (96, 5), (128, 7), (256, 8), (512, 8), (72, 3)])
def test_the_unet_takes_as_many_levels_as_the_size_has(size: int, levels: int) -> None:
    config = UNetConfig(size=size, width=2)
    assert config.depth == levels
    photo = torch.rand(1, 3, size, size) * 2 - 1
    for mode in (True, False):
        edit = UNet(config).train(mode)(photo, None, None)
        assert edit.shape == photo.shape
        assert edit.abs().max() <= 1


def test_the_unet_takes_other_sizes_that_it_can_halve() -> None:
    network = UNet(replace(UNET, size=24)).eval()
    assert network(torch.zeros(1, 3, 40, 24)).shape == (1, 3, 40, 24)
    with pytest.raises(InputError, match=r"30×32 does not fit the U-Net.* multiples of 8"):
        network(torch.zeros(1, 3, 32, 30))


@pytest.mark.parametrize("config", [UNET, replace(UNET, size=24)])
def test_the_unet_learns(config: UNetConfig) -> None:
    torch.manual_seed(0)
    first, last = fit(UNet(config).train(), steps=30, lr=5e-3)
    assert last < 0.6 * first


def test_the_unets_batch_norm_is_at_test_time_what_it_was_at_batch_1() -> None:
    torch.manual_seed(0)
    network, photo = UNet(replace(UNET, dropout=0.0)), pairs(1)[0]
    assert torch.allclose(network.train()(photo), network.eval()(photo), atol=1e-5)
    assert not any("running" in name for name in network.state_dict())


def test_parameter_counts_are_the_published_ones() -> None:
    with torch.device("meta"):
        assert parameters(UNet(UNetConfig())) == 54_413_955  # pix2pix's unet_256: 54.414 M


def test_a_size_that_cannot_be_halved_is_told_in_one_line() -> None:
    with pytest.raises(InputError, match="--size 30: must be a multiple of 4") as caught:
        UNetConfig(size=30).check()
    assert "\n" not in str(caught.value)


def test_the_unet_in_bf16_is_near_fp32() -> None:
    torch.manual_seed(0)
    bf16_is_near(UNet(UNET))


def test_the_unets_chance_is_for_training_only() -> None:
    torch.manual_seed(0)
    chance_is_for_training_only(UNet(UNetConfig(size=64, width=4)), pairs(4, 64)[0])
