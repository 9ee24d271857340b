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
    network = UNet(replace(UNET, levels=3)).eval()
    assert network(torch.zeros(1, 3, 40, 24)).shape == (1, 3, 40, 24)
    with pytest.raises(InputError, match=r"30×32 does not fit the U-Net.* multiples of 8"):
        network(torch.zeros(1, 3, 32, 30))


@pytest.mark.parametrize(
    "config", [UNET, replace(UNET, norm="instance"), replace(UNET, statistics="running"), replace(UNET, levels=3)]
)
def test_the_unet_learns(config: UNetConfig) -> None:
    torch.manual_seed(0)
    first, last = fit(UNet(config).train(), steps=30, lr=5e-3)
    assert last < 0.6 * first


def test_the_unets_batch_norm_is_at_test_time_what_it_was_at_batch_1() -> None:
    torch.manual_seed(0)
    network, photo = UNet(replace(UNET, dropout=0.0)), pairs(1)[0]
    assert torch.allclose(network.train()(photo), network.eval()(photo), atol=1e-5)
    assert not any("running" in name for name in network.state_dict())


def test_running_statistics_make_batch_norm_an_affine_map_at_test_time() -> None:
    torch.manual_seed(0)
    network, photo = UNet(replace(UNET, dropout=0.0, statistics="running")), pairs()[0]
    with torch.no_grad():
        for _ in range(100):
            network.train()(photo)
        trained = network(photo)
        # The batch's own statistics, but for Bessel's correction, which counts on the smallest maps.
        assert (network.eval()(photo) - trained).abs().mean() < 0.02


def test_parameter_counts_are_the_published_ones() -> None:
    with torch.device("meta"):
        assert parameters(UNet(UNetConfig())) == 54_413_955  # pix2pix's unet_256: 54.414 M
        assert parameters(UNet(UNetConfig(norm="instance"))) == 54_409_603


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 30}, "--size 30: must be a multiple of 4"),
        ({"size": 64, "levels": 7}, "--size 64: must be a multiple of 128"),
        ({"levels": 1}, "--levels 1"),
        ({"dropout": -0.1}, "--dropout -0.1"),
    ],
)
def test_wrong_settings_are_told_in_one_line(settings: dict, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        UNetConfig(**settings).check()
    assert "\n" not in str(caught.value)


def test_the_unet_in_bf16_is_near_fp32() -> None:
    torch.manual_seed(0)
    bf16_is_near(UNet(UNET))


def test_the_unets_chance_is_for_training_only() -> None:
    torch.manual_seed(0)
    chance_is_for_training_only(UNet(UNetConfig(size=64, width=4)), pairs(4, 64)[0])
