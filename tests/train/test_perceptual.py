"""The perceptual loss, on photographs that ship with scikit-image and the network that ships with the package."""

from __future__ import annotations

from dataclasses import replace

import pytest
import skimage.data
import torch
from torch import Tensor

from e2gan.train.batches import Batch
from e2gan.train.losses import content_loss
from e2gan.train.perceptual import LAYERS, NETWORK, gram, gram_loss, perceptual_loss, perceptual_maps
from tests.train.tiny_training import QUICK, trainer


def photographs(size: int = 64) -> Tensor:
    """A cat, a cup and an astronaut (3, 3, size, size) in [-1, 1]."""
    squares = [getattr(skimage.data, name)()[:300, 100:400] for name in ("chelsea", "coffee", "astronaut")]
    stack = torch.stack([torch.from_numpy(square.copy()).permute(2, 0, 1).float() for square in squares])
    return torch.nn.functional.interpolate(stack, size=(size, size), mode="area") / 127.5 - 1


def of(loss, one: Tensor, other: Tensor) -> float:
    return float(loss(perceptual_maps(one), perceptual_maps(other)))


def test_maps_have_the_networks_sizes_and_gram_matrices_a_trace_of_one() -> None:
    maps = perceptual_maps(photographs(64))
    assert [tuple(x.shape) for x in maps] == [(3, 64, 31, 31), (3, 128, 15, 15), (3, 256, 7, 7), (3, 384, 3, 3)]
    for x in maps:
        assert torch.allclose(torch.einsum("bii->b", gram(x)), torch.ones(3), atol=1e-4)
    assert len(perceptual_maps(photographs(32))) == len(LAYERS)  # the smallest side that a training has


def test_it_is_the_squared_distance_of_vectors_of_unit_length_and_so_is_its_gradient() -> None:
    rng = torch.Generator().manual_seed(0)
    edit, target = (torch.rand(2, 5, 4, 3, generator=rng) for _ in range(2))
    edit[0, :, 0, 0] = 0  # as where no channel fires
    edit[1, :, 1, 1] = target[1, :, 1, 1] = 0
    edit.requires_grad_()
    loss = perceptual_loss([edit], [target])
    (gradient,) = torch.autograd.grad(loss, edit)
    units = [torch.nn.functional.normalize(x, dim=1, eps=1e-6) for x in (edit, target)]
    right = (units[0] - units[1]).square().sum(1).mean()
    (wanted,) = torch.autograd.grad(right, edit)
    assert float(loss.detach()) == pytest.approx(float(right.detach()), rel=1e-6)
    alive = edit.detach().square().sum(1, keepdim=True) > 0
    assert torch.allclose(gradient * alive, wanted * alive, atol=1e-6)
    assert gradient.isfinite().all()


def test_the_same_image_costs_nothing_and_another_one_much() -> None:
    photos = photographs()
    for loss in (perceptual_loss, gram_loss):
        assert of(loss, photos, photos) == pytest.approx(0, abs=1e-6)
    assert 1 < of(perceptual_loss, photos, photos.roll(1, 0)) < 8


def test_it_minds_structure_where_l1_minds_brightness() -> None:
    """A little darker costs more L1 and less of this than a blur does."""
    photos = photographs()
    darker = photos - 0.15
    blurred = torch.nn.functional.avg_pool2d(photos, 5, 1, 2, count_include_pad=False)
    assert (photos - darker).abs().mean() > (photos - blurred).abs().mean()
    assert of(perceptual_loss, darker, photos) < 0.5 * of(perceptual_loss, blurred, photos)


def test_gram_matrices_do_not_mind_where_things_are() -> None:
    """A picture shifted by half its width: the places differ, what occurs hardly does."""
    photos = photographs()
    shifted = photos.roll(32, 3)
    others = photos.roll(1, 0)
    ratio = of(gram_loss, shifted, photos) / of(gram_loss, others, photos)
    assert ratio < 0.4
    assert ratio < 0.5 * of(perceptual_loss, shifted, photos) / of(perceptual_loss, others, photos)


def test_a_training_weighs_it_beside_l1_and_tells_its_parts() -> None:
    photos = photographs(32)
    edit, target = photos.clone().requires_grad_(), photos.flip(0)
    losses: dict[str, Tensor] = {}
    total = content_loss(edit, target, replace(QUICK, perceptual=20, gram=40), losses)
    assert set(losses) == {"l1", "perceptual", "gram"}
    expected = 100 * losses["l1"] + 20 * losses["perceptual"] + 40 * losses["gram"]
    assert float(total.detach()) == pytest.approx(float(expected.detach()))
    total.backward()
    assert edit.grad is not None
    assert edit.grad.abs().sum() > 0
    losses.clear()
    content_loss(edit, target, QUICK, losses)
    assert set(losses) == {"l1"}


def test_a_training_may_follow_what_was_measured_in_inference_mode() -> None:
    NETWORK.clear()
    with torch.inference_mode():
        perceptual_maps(photographs(32))
    edit = photographs(32).requires_grad_()
    perceptual_loss(perceptual_maps(edit), perceptual_maps(photographs(32).flip(0))).backward()
    assert edit.grad is not None


def test_a_generator_learns_by_it_alone() -> None:
    t = trainer(replace(QUICK, l1=0, gan=0, perceptual=20, lr=2e-3))
    photos = photographs(32)
    tokens, mask = torch.randn(3, 4, 16, generator=torch.Generator().manual_seed(0)), torch.ones(3, 4, dtype=torch.bool)
    batch = Batch(photo=photos, target=-photos, tokens=tokens, mask=mask)
    values = [float(t.step(batch, i)["perceptual"]) for i in range(30)]
    assert values[-1] < 0.8 * values[0]
