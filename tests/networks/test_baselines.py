from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import skimage.data
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from e2gan.config import PIX2PIX, GeneratorConfig
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
from e2gan.networks.baselines.patchnce import PatchNCE, UnpairedDiscriminator, channels_of, contrastive_loss, features
from e2gan.networks.baselines.unet import UNet, UNetConfig
from e2gan.networks.generator import Generator
from e2gan.train.losses import discriminator_loss, generator_adversarial_loss, l1_loss, r1_penalty
from e2gan.train.step import parameters

UNET = UNetConfig(size=32, width=8)
COMODGAN = ComodganConfig(
    size=32, channel_base=1024, channel_max=32, code=64, z_dim=16, w_dim=32, mapping_layers=2, dropout=0.0
)
SMALL = GeneratorConfig(width=8, blocks=2, transformers=(0, 1), heads=2, text_width=16)


def pairs(count: int = 4, size: int = 32) -> tuple[Tensor, Tensor]:
    """Crops of real photographs and their sepia edits: (count, 3, size, size) in [-1, 1] each."""
    pictures = [skimage.data.astronaut(), skimage.data.coffee(), skimage.data.chelsea()]
    crops = [pictures[i % 3][8 + 8 * i :, 60 + 8 * i :][: 4 * size : 4, : 4 * size : 4] for i in range(count)]
    photo = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 127.5 - 1
    mixing = torch.tensor([[0.39, 0.77, 0.19], [0.35, 0.69, 0.17], [0.27, 0.53, 0.13]])
    edit = torch.einsum("oc,bchw->bohw", mixing, (photo + 1) / 2).clamp(0, 1) * 2 - 1
    return photo, edit


def small_discriminator() -> ComodganDiscriminator:
    torch.manual_seed(0)
    return ComodganDiscriminator(COMODGAN)


# ------------------------------------------------------------------------------------------------------------- sizes


def test_parameter_counts_are_the_published_ones() -> None:
    with torch.device("meta"):
        assert parameters(UNet(UNetConfig())) == 54_413_955  # pix2pix's unet_256: 54.414 M
        assert parameters(UNet(UNetConfig(norm="instance"))) == 54_409_603
        assert parameters(UnpairedDiscriminator()) == 2_764_737  # 2.76 M
        assert parameters(ComodganDiscriminator(ComodganConfig())) == 28_864_513  # StyleGAN2's, and 3 input channels
        assert parameters(PatchNCE(channels_of(PIX2PIX))) == 576_000
    comodgan = ComodganGenerator(ComodganConfig())
    assert parameters(comodgan) == 79_177_250  # Tab. 1: 79.2 M
    assert parameters(comodgan.encoder) == 31_841_408
    assert parameters(comodgan.mapping) == 2_101_248


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
        (lambda: replace(COMODGAN, channel_base=16).check(), "--channel-base 16"),
        (lambda: replace(COMODGAN, mapping_layers=0).check(), "--mapping-layers 0"),
        (lambda: replace(COMODGAN, dropout=1.0).check(), "--dropout 1.0"),
        (lambda: UNetConfig(size=30).check(), "--size 30: must be a multiple of 4"),
        (lambda: UNetConfig(size=64, levels=7).check(), "--size 64: must be a multiple of 128"),
        (lambda: UNetConfig(levels=1).check(), "--levels 1"),
        (lambda: UNetConfig(dropout=-0.1).check(), "--dropout -0.1"),
        (lambda: channels_of(SMALL, ("level2_up",)), "--layers level2_up: no such part.* level1_in, level2_down"),
    ],
)
def test_wrong_settings_are_told_in_one_line(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------------------------------------------------- learning


def fit(generator: nn.Module, steps: int, lr: float) -> tuple[float, float]:
    """L1 to the sepia edits before and after so many steps of L1 alone, in training mode."""
    photo, target = pairs()
    optimizer = torch.optim.Adam(generator.parameters(), lr=lr)
    losses = []
    for _ in range(steps + 1):
        loss = l1_loss(generator(photo), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses[0], losses[-1]


@pytest.mark.parametrize(
    "config", [UNET, replace(UNET, norm="instance"), replace(UNET, statistics="running"), replace(UNET, levels=3)]
)
def test_the_unet_learns(config: UNetConfig) -> None:
    torch.manual_seed(0)
    first, last = fit(UNet(config).train(), steps=30, lr=5e-3)
    assert last < 0.6 * first


def test_comodgan_learns() -> None:
    torch.manual_seed(0)
    first, last = fit(ComodganGenerator(COMODGAN).train(), steps=30, lr=5e-3)
    assert last < 0.4 * first


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


def test_both_networks_train_in_bf16() -> None:
    """Under autocast the edits are near those of fp32, and the losses fall."""
    torch.manual_seed(0)
    photo, target = pairs()
    for network in (UNet(UNET).eval(), ComodganGenerator(COMODGAN).eval()):
        exact = network(photo)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            coarse = network(photo)
        assert coarse.dtype == torch.float32
        assert (coarse - exact).abs().mean() < 0.01
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


# ------------------------------------------------------------------------------------------- training and evaluation


@pytest.mark.parametrize(
    ("make", "size"),
    [(lambda: UNet(UNetConfig(size=64, width=4)), 64), (lambda: ComodganGenerator(COMODGAN), 32)],
    ids=["unet", "comodgan"],
)
def test_chance_is_for_training_only(make: Callable[[], nn.Module], size: int) -> None:
    torch.manual_seed(0)
    network, photo = make(), pairs(4, size)[0]
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("noise"):
                parameter.fill_(0.5)
        network.eval()
        edit = network(photo)
        assert torch.equal(edit, network(photo))
        assert torch.allclose(edit[:1], network(photo[:1]), atol=1e-5)  # whatever else is in the batch
        network.train()
        assert (network(photo) - network(photo)).abs().max() > 1e-3  # z


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


# ----------------------------------------------------------------------------------------------- StyleGAN2's layers


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


# ------------------------------------------------------------------------------------------------------------ losses


def test_r1_is_the_gradients_norm_by_finite_differences() -> None:
    discriminator, (photo, target) = small_discriminator(), pairs(1)
    penalty = r1_penalty(discriminator, photo, target, 10.0)
    squared = float(penalty.detach()) / 5
    probe = target.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(discriminator(photo, probe).sum(), probe)
    exact = discriminator.double()
    photo, target, gradient = photo.double(), target.double(), gradient.double()

    def slope(direction: Tensor) -> float:
        step = 1e-3 * direction
        with torch.no_grad():
            return float(exact(photo, target + step) - exact(photo, target - step)) / 2e-3

    # Along the gradient the slope is its norm, and along anything at right angles to it there is none.
    along = gradient / gradient.norm()
    assert slope(along) == pytest.approx(math.sqrt(squared), rel=0.02)
    torch.manual_seed(1)
    across = torch.randn_like(along)
    across = across - (across * along).sum() * along
    assert abs(slope(across / across.norm())) < 0.05 * math.sqrt(squared)


def test_r1_can_be_trained_on() -> None:
    discriminator, (photo, target) = small_discriminator(), pairs()
    optimizer = torch.optim.Adam(discriminator.parameters(), lr=1e-3)
    values = []
    for _ in range(10):
        penalty = r1_penalty(discriminator, photo, target, 10.0)
        optimizer.zero_grad()
        penalty.backward()
        optimizer.step()
        values.append(float(penalty.detach()))
    assert values[-1] < 0.5 * values[0]


# --------------------------------------------------------------------------------------------- training without pairs


def test_features_are_what_the_generator_itself_computes() -> None:
    torch.manual_seed(0)
    generator = Generator(SMALL).eval()
    layers = ("level1_in", "level2_down", "level3_down", "transformers.0", "blocks.0", "transformers.1", "blocks.1")
    seen: dict[str, Tensor] = {}
    for name in layers:
        generator.get_submodule(name).register_forward_hook(lambda _, __, out, name=name: seen.update({name: out}))
    photo, tokens = pairs(2)[0], torch.randn(2, 4, 16)
    mask = torch.tensor([[True, True, True, False], [True] * 4])
    generator(photo, tokens, mask)
    expected = dict(seen)
    found = features(generator, photo, tokens, mask, layers)
    assert [f.shape[1] for f in found] == channels_of(SMALL, layers)
    for name, feature in zip(layers, found, strict=True):
        assert torch.equal(feature, expected[name]), name


def test_features_run_no_further_than_asked() -> None:
    generator = Generator(SMALL).eval()
    ran = []
    for name, module in generator.named_children():
        module.register_forward_hook(lambda *_, name=name: ran.append(name))
    features(generator, pairs(1)[0], None, None, ("level2_down",))
    assert ran == ["level1_in", "level2_down"]


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_patchnce_is_least_for_the_same_places() -> None:
    torch.manual_seed(0)
    nce = PatchNCE([64, 128], locations=48)
    key = [torch.randn(2, 64, 8, 8), torch.randn(2, 128, 6, 6)]
    disturbed = [k + 0.3 * torch.randn_like(k) for k in key]
    shuffled = [k.flatten(2)[:, :, torch.randperm(k.shape[2] * k.shape[3])].reshape(k.shape) for k in key]
    strangers = [torch.randn_like(k) for k in key]
    losses = [float(nce.loss(query, key, rng()).detach()) for query in (key, disturbed, strangers, shuffled)]
    assert losses[0] < losses[1] < losses[2]
    assert losses[1] < losses[3]
    chance = (math.log(48) + math.log(36)) / 2  # all of the smaller map's 36 places
    assert losses[2] == pytest.approx(chance, rel=0.5)
    assert losses[2] > 0.8 * chance


def test_identical_features_are_the_minimum_where_places_are_at_right_angles() -> None:
    """With keys that have nothing in common, no other query is better: checked along many ways out."""
    nce = PatchNCE([16], width=16, locations=16)
    head = nce.heads[0]
    assert isinstance(head, nn.Sequential)
    for i in (0, 2):
        layer = head[i]
        assert isinstance(layer, nn.Linear)
        nn.init.eye_(layer.weight)
    key = torch.eye(16).reshape(1, 16, 4, 4)
    least = float(nce.loss([key], [key], rng()).detach())
    assert least == pytest.approx(math.log(1 + 15 * math.exp(-1 / 0.07)), abs=1e-6)
    torch.manual_seed(0)
    for _ in range(50):
        away = (key + 0.2 * torch.rand_like(key)).relu()
        assert float(nce.loss([away], [key], rng()).detach()) > least


def test_patchnce_teaches_the_query_and_the_heads_but_not_the_key() -> None:
    torch.manual_seed(0)
    nce = PatchNCE([8], locations=16)
    query, key = (torch.randn(1, 8, 6, 6, requires_grad=True) for _ in range(2))
    nce.loss([query], [key], rng()).backward()
    assert query.grad is not None
    assert query.grad.abs().max() > 0
    assert key.grad is None
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in nce.parameters())
    assert int((query.grad.abs().sum(dim=1) > 0).sum()) == 16  # the patches that were picked, and no others


def test_patchnce_picks_by_the_generator_it_is_given() -> None:
    torch.manual_seed(0)
    nce, query, key = PatchNCE([8], locations=8), [torch.randn(1, 8, 8, 8)], [torch.randn(1, 8, 8, 8)]
    losses = [nce.loss(query, key, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(losses[0], losses[1])
    assert not torch.equal(losses[0], losses[2])


def test_patchnce_is_the_same_in_bf16_autocast() -> None:
    torch.manual_seed(0)
    nce, key = PatchNCE([64]), [torch.randn(2, 64, 8, 8)]
    query = [k + 0.5 * torch.randn_like(k) for k in key]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        coarse = nce.loss(query, key, rng())
    assert torch.equal(coarse, nce.loss(query, key, rng()))


def test_training_without_pairs_learns_to_keep_the_places() -> None:
    """Generator and heads together lower the contrastive loss of photos and their edits."""
    torch.manual_seed(0)
    config = replace(SMALL, transformers=(), cross_attention=False, norm="instance", skip=False)
    layers = ("level1_in", "level3_down", "blocks.0")
    generator = Generator(config).train()
    nce = PatchNCE(channels_of(config, layers), locations=64)
    optimizer = torch.optim.Adam([*generator.parameters(), *nce.parameters()], lr=2e-3)
    photo = pairs(2)[0]
    losses = []
    for step in range(30):
        chance = torch.Generator().manual_seed(step)
        loss = contrastive_loss(generator, nce, photo, generator(photo), None, None, chance, layers)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


def test_the_unpaired_discriminator_sees_the_edit_alone() -> None:
    torch.manual_seed(0)
    discriminator = UnpairedDiscriminator(8)
    photo, edit = pairs(2)
    logits = discriminator(photo, edit)
    assert logits.shape == (2, 1, 2, 2)
    assert torch.equal(logits, discriminator(-photo, edit))
    assert not torch.allclose(logits, discriminator(photo, -edit), atol=1e-5)
