from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from e2gan.train.loop import batches
from tests.train.tiny_training import QUICK, data, trainer


def test_a_step_changes_both_networks_and_leaves_no_gradient_of_gs_in_d() -> None:
    t = trainer()
    before = {k: v.clone() for k, v in t.state().items() if k.startswith(("generator", "discriminator"))}
    losses = t.step(next(batches(data(), QUICK, 0)))
    assert set(losses) == {"d", "l1", "g"}
    assert all(p.grad is None for p in t.discriminator.parameters())
    assert all(p.grad is not None for p in t.trained.values())
    after = t.state()
    for part in ("generator", "discriminator"):
        assert any(not torch.equal(v, after[k]) for k, v in before.items() if k.startswith(part))


def test_ds_update_does_not_depend_on_what_g_did_before() -> None:
    """D's gradient in the second step is the same whether or not G's phase of the first step ran through D."""
    one, two = trainer(), trainer()
    first = next(batches(data(), QUICK, 0))
    one.step(first)
    for p in one.discriminator.parameters():
        assert p.grad is None
    two.load_state({k: v.clone() for k, v in one.state().items()})
    second = next(batches(data(), QUICK, 1))
    assert torch.equal(one.step(second)["d"], two.step(second)["d"])
    for a, b in zip(one.discriminator.parameters(), two.discriminator.parameters(), strict=True):
        assert torch.equal(a, b)


def test_without_the_adversarial_loss_d_is_not_touched() -> None:
    t = trainer(replace(QUICK, gan=0))
    before = {k: v.clone() for k, v in t.discriminator.state_dict().items()}
    assert set(t.step(next(batches(data(), QUICK, 0)))) == {"l1"}
    assert all(torch.equal(v, before[k]) for k, v in t.discriminator.state_dict().items())


def test_the_learning_rate_follows_the_schedule() -> None:
    def at(schedule: str, done: float) -> float:
        t = trainer(replace(QUICK, schedule=schedule, lr=1.0))  # pyright: ignore[reportArgumentType]
        t.set_learning_rate(done)
        return t.optimizer_g.param_groups[0]["lr"]

    assert [at("linear", d) for d in (0, 0.5, 0.75, 1)] == pytest.approx([1, 1, 0.5, 0])
    assert [at("cosine", d) for d in (0, 0.5, 1)] == pytest.approx([1, 0.5, 0])
    assert [at("constant", d) for d in (0, 1)] == [1, 1]


def test_the_discriminator_may_have_a_rate_of_its_own() -> None:
    for lr_d, expected in ((None, 1.0), (0.1, 0.1)):
        t = trainer(replace(QUICK, schedule="cosine", lr=1.0, lr_d=lr_d))
        t.slower = 0.25
        t.set_learning_rate(0.5)
        assert t.optimizer_g.param_groups[0]["lr"] == pytest.approx(0.125)
        assert t.optimizer_d.param_groups[0]["lr"] == pytest.approx(0.125 * expected)


def test_feature_matching_draws_the_discriminators_maps_of_edit_and_target_together() -> None:
    config = replace(QUICK, feature_matching=10.0, gan=1e-9, l1=0.0, lr_d=1e-12, lr=3e-3, steps=30)
    t, seen = trainer(config), []
    for number, batch in zip(range(30), batches(data(), config, 0), strict=False):
        losses = t.step(batch, number)
        assert set(losses) == {"d", "l1", "g", "matching"}
        assert all(p.grad is None for p in t.discriminator.parameters())
        seen.append(float(losses["matching"]))
    assert sum(seen[-5:]) < 0.8 * sum(seen[:5])
