from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from e2gan.train.loop import batches
from e2gan.train.losses import LOSSES, Loss, r1_penalty
from tests.networks.baselines.tiny_baselines import pairs, small_discriminator
from tests.train.tiny_training import QUICK, data, trainer


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


def test_a_new_loss_is_one_entry_and_is_summed_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    squared = Loss(of=lambda edit, target: (edit - target).square().mean(), weight=lambda config: 3 * config.l1)
    monkeypatch.setitem(LOSSES, "squared", squared)
    t, batch = trainer(replace(QUICK, gan=0)), next(batches(data(), QUICK, 0))
    losses: dict[str, torch.Tensor] = {}
    edit = t.generator(batch.photo, batch.tokens, batch.mask)
    total = t.content(batch, edit, losses)
    assert torch.allclose(total, 100 * losses["l1"] + 300 * (edit - batch.target).square().mean())
    assert set(t.step(batch)) == {"l1", "squared"}
