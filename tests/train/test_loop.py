from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from e2gan.core.errors import InputError
from e2gan.networks.pixels import from_pixels
from e2gan.train.loop import METRICS, batches, resume, rows_of, save, train
from tests.train.tiny_training import QUICK, SMALL, data, rows, trainer


@pytest.mark.slow
def test_training_learns_two_concepts_by_their_prompts(tmp_path: Path) -> None:
    config = replace(QUICK, steps=150, lr=2e-3, batch=4)
    t = trainer(config)
    pairs = data()
    train(t, pairs, tmp_path)
    g = t.generator.eval()
    photo = from_pixels(pairs.photos)
    for concept in (0, 1):
        target = from_pixels(pairs.edits[pairs.concept_of == concept])
        edits = [
            g(photo, pairs.tokens[c : c + 1].expand(6, -1, -1), pairs.mask[c : c + 1].expand(6, -1)) for c in (0, 1)
        ]
        own, other = ((e - target).abs().mean().item() for e in (edits[concept], edits[1 - concept]))
        assert own < 0.5 * other
        assert own < 0.5 * (photo - target).abs().mean().item()


def test_losses_are_pinned(tmp_path: Path) -> None:
    """A refactoring that changes nothing gives these losses; fp32, tolerance for other machines' rounding."""
    train(trainer(), data(), tmp_path)
    found = rows(tmp_path)
    assert [r["step"] for r in found] == [10, 20]
    assert [r["l1"] for r in found] == pytest.approx([GOLDEN_L1_10, GOLDEN_L1_20], rel=2e-3)
    assert [r["d"] for r in found] == pytest.approx([GOLDEN_D_10, GOLDEN_D_20], rel=2e-3)


GOLDEN_L1_10, GOLDEN_L1_20 = 0.374242, 0.225322
GOLDEN_D_10, GOLDEN_D_20 = 0.686917, 0.652251


@pytest.mark.parametrize("variant", [{}, {"ema": 0.9}, {"schedule": "cosine"}, {"gan": 0.0}])
@pytest.mark.slow
def test_a_resumed_run_ends_as_an_unbroken_one(tmp_path: Path, variant: dict) -> None:
    config = replace(QUICK, **variant)
    network = replace(SMALL, z=0.2, norm="batch")
    (whole := tmp_path / "whole").mkdir()
    (broken := tmp_path / "broken").mkdir()
    unbroken = trainer(config, network)
    train(unbroken, data(), whole)

    first = trainer(config, network)
    for step, batch in zip(range(10), batches(data(), config, 0), strict=False):
        first.set_learning_rate(step / 20)
        first.step(batch)
    save(first, broken, 10, 1.5)
    # rows logged after the checkpoint, and half a row, are what a kill leaves
    (broken / METRICS).write_text((whole / METRICS).read_text() + '{"step": 3')
    second = trainer(config, network)
    train(second, data(), broken)

    a, b = unbroken.state(), second.state()
    assert a.keys() == b.keys()
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert [{k: v for k, v in r.items() if k != "seconds"} for r in rows(broken)] == [
        {k: v for k, v in r.items() if k != "seconds"} for r in rows(whole)
    ]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights_and_another_does_not(tmp_path: Path) -> None:
    states = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        (folder := tmp_path / name).mkdir()
        t = trainer(replace(QUICK, seed=seed))
        train(t, data(), folder)
        states.append(t.state())
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])
    assert any(not torch.equal(states[0][k], states[2][k]) for k in states[0])


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    config = replace(QUICK, steps=400, lr=1e30, schedule="constant", batch=1)
    fine = trainer(config)
    save(fine, tmp_path, 0, 0.0)
    with pytest.raises(InputError, match="lower --lr"):
        train(trainer(config), data(), tmp_path)
    again = trainer(config)
    resume(again, tmp_path)
    assert again.finite()


def test_every_pair_once_an_epoch() -> None:
    seen = torch.cat([rows_of(step, 12, 3, seed=5) for step in range(4)])
    assert sorted(seen.tolist()) == list(range(12))
    assert not torch.equal(rows_of(0, 12, 12, seed=5), rows_of(1, 12, 12, seed=5))
