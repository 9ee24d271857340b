from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from e2gan.core.errors import InputError
from e2gan.networks.baselines.comodgan import (
    ComodganConfig,
    ComodganDiscriminator,
    ComodganGenerator,
    Conv,
    Dense,
    ModulatedConv,
    SynthesisLayer,
    fir_blur,
    fir_down,
    fir_up,
    minibatch_deviation,
)
from e2gan.train.losses import discriminator_loss, generator_adversarial_loss, l1_loss, r1_penalty
from e2gan.train.step import parameters
from tests.networks.baselines.tiny_baselines import (
    COMODGAN,
    bf16_is_near,
    chance_is_for_training_only,
    fit,
    pairs,
    small_discriminator,
)


def test_parameter_counts_are_the_published_ones() -> None:
    with torch.device("meta"):
        assert parameters(ComodganDiscriminator(ComodganConfig())) == 28_864_513  # StyleGAN2's, and 3 input channels
    comodgan = ComodganGenerator(ComodganConfig())
    assert parameters(comodgan) == 79_177_250  # Tab. 1: 79.2 M
    assert parameters(comodgan.encoder) == 31_841_408
    assert parameters(comodgan.mapping) == 2_101_248


@pytest.mark.parametrize("size", [32, 64, 128])
def test_comodgan_works_at_powers_of_two(size: int) -> None:
    config = replace(COMODGAN, size=size)
    photo = torch.rand(2, 3, size, size) * 2 - 1
    edit = ComodganGenerator(config).eval()(photo, None, None)
    assert edit.shape == photo.shape
    assert edit.abs().max() <= 1
    assert ComodganDiscriminator(config)(photo, edit).shape == (2, 1)


def test_comodgan_refuses_another_size() -> None:
    with pytest.raises(InputError, match="64×32 does not fit this Co-Mod-GAN, which is made for 32×32"):
        ComodganGenerator(COMODGAN).eval()(torch.zeros(1, 3, 32, 64))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: replace(COMODGAN, size=48).check(), "--size 48: must be a power of two"),
        (lambda: replace(COMODGAN, size=2048).check(), "--size 2048: must be a power of two"),
    ],
)
def test_wrong_settings_are_told_in_one_line(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_comodgan_learns() -> None:
    torch.manual_seed(0)
    first, last = fit(ComodganGenerator(COMODGAN).train(), steps=30, lr=5e-3)
    assert last < 0.4 * first


@pytest.mark.slow
def test_comodgan_learns_against_its_discriminator() -> None:
    torch.manual_seed(0)
    photo, target = pairs()
    generator, discriminator = ComodganGenerator(COMODGAN).train(), small_discriminator()
    adam_g, adam_d = (torch.optim.Adam(n.parameters(), lr=2e-3, betas=(0.0, 0.99)) for n in (generator, discriminator))

    def error() -> float:
        with torch.no_grad():
            return float(l1_loss(generator.eval()(photo), target))

    before = error()
    generator.train()
    for step in range(30):
        edit = generator(photo)
        loss = discriminator_loss(discriminator(photo, target), discriminator(photo, edit.detach()))
        if step % 16 == 0:
            loss = loss + 16 * r1_penalty(discriminator, photo, target, 5.0)
        adam_d.zero_grad()
        loss.backward()
        adam_d.step()
        loss = 10 * l1_loss(edit, target) + generator_adversarial_loss(discriminator(photo, edit))
        adam_g.zero_grad()
        loss.backward()
        adam_g.step()
    assert error() < 0.5 * before


def test_every_parameter_of_comodgan_is_trained() -> None:
    torch.manual_seed(0)
    generator, discriminator = ComodganGenerator(COMODGAN).train(), small_discriminator()
    photo, target = pairs()
    discriminator(photo, generator(photo)).sum().backward()
    r1_penalty(discriminator, photo, target, 5.0).backward()
    for network in (generator, discriminator):
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().max() > 0, name


def test_comodgan_trains_in_bf16() -> None:
    """Under autocast the edits are near those of fp32, and the losses fall."""
    torch.manual_seed(0)
    bf16_is_near(ComodganGenerator(COMODGAN))
    photo, target = pairs()
    generator = ComodganGenerator(replace(COMODGAN, channel_base=512, channel_max=16)).train()
    discriminator = small_discriminator().requires_grad_(False)
    optimizer = torch.optim.Adam(generator.parameters(), lr=1e-2)
    losses = []
    for _ in range(8):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            edit = generator(photo)
            logits = discriminator(photo, edit)
        loss = l1_loss(edit, target) + 0.01 * generator_adversarial_loss(logits)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0]


def test_comodgans_chance_is_for_training_only() -> None:
    torch.manual_seed(0)
    chance_is_for_training_only(ComodganGenerator(COMODGAN), pairs()[0])


def test_comodgan_gives_the_same_edit_after_loading() -> None:
    torch.manual_seed(0)
    first, photo = ComodganGenerator(COMODGAN).eval(), pairs()[0]
    second = ComodganGenerator(COMODGAN).eval()
    with torch.no_grad():
        first.fixed_z.normal_()  # as one drawn by another version might be
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(photo), second(photo))


def test_z_changes_comodgans_edit() -> None:
    torch.manual_seed(0)
    network, photo = ComodganGenerator(COMODGAN).eval(), pairs(1)[0]
    one, other = (network.synthesise(photo, network.style(torch.randn(1, 16))) for _ in range(2))
    assert (one - other).abs().mean() > 1e-3


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("demodulate", [False, True])
def test_modulation_equals_each_samples_own_weights(up: bool, demodulate: bool) -> None:
    torch.manual_seed(0)
    layer = ModulatedConv(6, 5, 3, 7, up=up, demodulate=demodulate)
    x, style = torch.randn(3, 6, 8, 8), torch.randn(3, 7)
    found = layer(x, style)
    scales = style @ layer.to_scale.weight.T / math.sqrt(7) + 1
    for i in range(3):
        weight = layer.weight / math.sqrt(6 * 9) * scales[i][None, :, None, None]
        if demodulate:
            weight = weight / weight.square().sum(dim=(1, 2, 3), keepdim=True).add(1e-8).sqrt()
            assert torch.allclose(weight.square().sum(dim=(1, 2, 3)), torch.ones(5), atol=1e-4)
        if up:
            grown = F.conv_transpose2d(x[i : i + 1], weight.transpose(0, 1), stride=2)
            expected = fir_blur(grown, padding=1, gain=4.0)
        else:
            expected = F.conv2d(x[i : i + 1], weight, padding=1)
        assert torch.allclose(found[i : i + 1], expected, atol=1e-5)


def test_demodulation_forgets_the_size_of_a_style() -> None:
    torch.manual_seed(0)
    layer, x = ModulatedConv(6, 5, 3, 7), torch.randn(1, 6, 8, 8)
    with torch.no_grad():
        layer.to_scale.bias.zero_()
        style = torch.randn(1, 7)
        assert torch.allclose(layer(x, style), layer(x, 100 * style), atol=1e-4)


def test_filters_keep_a_constant_image() -> None:
    image = torch.tensor([0.25, -0.5, 1.0])[None, :, None, None].expand(2, 3, 16, 16)
    up, back = fir_up(image), fir_down(fir_up(image))
    assert up.shape == (2, 3, 32, 32)
    assert back.shape == image.shape
    inside = (..., slice(2, -2), slice(2, -2))  # zeros lie beyond the border
    assert torch.allclose(up[inside], image[..., :1, :1].expand_as(up[inside]), atol=1e-6)
    assert torch.allclose(back[inside], image[inside], atol=1e-6)
    assert torch.allclose(fir_blur(image, padding=2)[inside][..., :12, :12], image[..., :12, :12], atol=1e-6)


def test_upsampling_interpolates_without_a_shift() -> None:
    """A ramp stays a ramp of half the slope, half a pixel in from where nearest neighbours would put it."""
    ramp = torch.arange(16.0).expand(1, 1, 16, 16)
    expected = (torch.arange(32.0) - 0.5) / 2
    assert torch.allclose(fir_up(ramp)[0, 0, 16, 2:-2], expected[2:-2], atol=1e-5)
    assert torch.allclose(fir_down(ramp)[0, 0, 4, 1:-1], 2 * torch.arange(8.0)[1:-1] + 0.5, atol=1e-5)


def test_the_filter_removes_what_half_the_size_cannot_hold() -> None:
    checks = (torch.arange(16)[:, None] + torch.arange(16)) % 2 * 2.0 - 1
    assert fir_down(checks[None, None])[..., 1:-1, 1:-1].abs().max() < 1e-6


def test_minibatch_deviation_tells_a_collapsed_batch() -> None:
    torch.manual_seed(0)
    x = torch.randn(8, 3, 4, 4)
    varied = minibatch_deviation(x)
    assert varied.shape == (8, 1, 4, 4)
    assert varied[0, 0, 0, 0] == pytest.approx(float(x[:4].std(dim=0, correction=0).mean()), rel=1e-4)
    assert varied[7, 0, 0, 0] == pytest.approx(float(x[4:].std(dim=0, correction=0).mean()), rel=1e-4)
    assert minibatch_deviation(x[:1].expand(8, -1, -1, -1)).max() < 1e-3
    assert minibatch_deviation(x[:1]).max() < 1e-3
    assert minibatch_deviation(x[:6]).shape == (6, 1, 4, 4)  # in groups of 3


def test_equalised_layers_keep_the_variance() -> None:
    torch.manual_seed(0)
    x = torch.randn(16, 64, 16, 16)
    with torch.no_grad():
        for layer, given in [(Conv(64, 64, 3), x), (Dense(256, 128), x[:, 0].flatten(1))]:
            assert float(layer(given).square().mean()) == pytest.approx(1, rel=0.15)
        modulated = SynthesisLayer(64, 64, 8).eval()(x, torch.randn(16, 8))
        assert float(modulated.square().mean()) == pytest.approx(1, rel=0.15)
        slow = Dense(256, 128, rate=0.01)
        assert float(slow(x[:, 0].flatten(1)).square().mean()) == pytest.approx(1, rel=0.15)
        assert float(slow.weight.std()) == pytest.approx(100, rel=0.05)  # so that an equal step changes it less
