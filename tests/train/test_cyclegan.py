"""CycleGAN: its losses, its histories of edits, what a step changes, and that it resumes bit for bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from e2gan.config import PIX2PIX, GeneratorConfig, TrainingConfig
from e2gan.networks.discriminator import UnpairedDiscriminator
from e2gan.networks.generator import Generator
from e2gan.networks.pixels import from_pixels
from e2gan.train import loop
from e2gan.train.batches import Batch, TrainingData
from e2gan.train.cyclegan import (
    CycleGANTrainer,
    EditHistory,
    least_squares_discriminator_loss,
    least_squares_generator_loss,
)
from tests.train.tiny_training import QUICK, data, rows

SMALL = replace(PIX2PIX, width=8, blocks=1)
LOSSES = {"d", "g", "cycle", "identity"}


def trainer(config: TrainingConfig = QUICK, generator: GeneratorConfig = SMALL) -> CycleGANTrainer:
    torch.manual_seed(config.seed)
    there, judge = Generator(generator).train(), UnpairedDiscriminator(8).train()
    back, back_judge = Generator(generator).train(), UnpairedDiscriminator(8).train()
    return CycleGANTrainer(there, judge, back, back_judge, config)


def unpaired() -> TrainingData:
    return replace(data(), paired=False)


def first_batch(config: TrainingConfig = QUICK) -> Batch:
    return next(loop.batches(unpaired(), config, 0))


def of_seed(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def numbered(*numbers: int) -> Tensor:
    """Images of 2×2 pixels, each of one number."""
    return torch.tensor(numbers, dtype=torch.float32)[:, None, None, None].expand(-1, 3, 2, 2)


def numbers(images: Tensor) -> list[int]:
    assert images.shape[1:] == (3, 2, 2)
    return [int(image.mean()) for image in images]


def test_the_least_squares_losses_are_those_computed_by_hand() -> None:
    real, fake = torch.tensor([[[[1.0, 0.5]]]]), torch.tensor([[[[0.0, 2.0]]]])
    assert least_squares_generator_loss(fake).item() == pytest.approx((1 + 1) / 2)
    assert least_squares_discriminator_loss(real, fake).item() == pytest.approx((0.25 / 2 + 4 / 2) / 2)
    coarse = least_squares_generator_loss(fake.bfloat16())
    assert coarse.dtype == torch.float32


def test_a_history_is_filled_first_and_gives_back_what_it_is_given() -> None:
    history = EditHistory(4)
    assert numbers(history.exchange(numbered(0, 1, 2), of_seed(0))) == [0, 1, 2]
    assert numbers(history.state()) == [0, 1, 2]
    assert numbers(history.exchange(numbered(3), of_seed(0))) == [3]
    assert numbers(history.state()) == [0, 1, 2, 3]


def test_a_full_history_exchanges_half_of_the_edits_for_older_ones_and_loses_none() -> None:
    history, rng = EditHistory(10), of_seed(0)
    history.exchange(numbered(*range(10)), rng)
    shown = [numbers(history.exchange(numbered(i), rng))[0] for i in range(10, 1010)]
    older = [number for i, number in enumerate(shown, 10) if number != i]
    assert 430 < len(older) < 570  # 4.4 standard deviations
    assert all(number < i for i, number in enumerate(shown, 10) if number != i)
    held = numbers(history.state())
    assert len(held) == 10
    assert sorted(held + shown) == list(range(1010))  # each is shown once, unless it is still held
    assert history.images.shape == (10, 3, 2, 2)


def test_a_history_keeps_copies_without_a_gradient() -> None:
    history = EditHistory(2)
    edits = numbered(1, 2).clone().requires_grad_()
    shown = history.exchange(edits * 1, of_seed(0))
    assert not shown.requires_grad
    with torch.no_grad():
        edits.zero_()
    assert numbers(history.state()) == [1, 2]


def test_a_step_changes_all_four_networks_and_logs_each_loss_of_both_ways() -> None:
    t = trainer()
    before = {k: v.clone() for k, v in t.state().items() if k.startswith(("generator", "discriminator"))}
    losses = t.step(first_batch())
    assert set(losses) == LOSSES | {f"{name}_back" for name in LOSSES}
    assert all(loss.item() > 0 for loss in losses.values())
    after = t.state()
    for part in ("generator.level", "generator.heads.", "discriminator.target.", "discriminator.photo."):
        assert any(not torch.equal(v, after[k]) for k, v in before.items() if k.startswith(part)), part


class Shift(nn.Module):
    """Adds one trainable number to each image."""

    def __init__(self, amount: float) -> None:
        super().__init__()
        self.amount = nn.Parameter(torch.tensor(amount))

    def forward(self, images: Tensor) -> Tensor:
        return images + self.amount


class Mean(nn.Module):
    """Judges an image by its mean, times one trainable number."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(1.0))

    def forward(self, photo: Tensor, edit: Tensor) -> Tensor:  # noqa: ARG002
        return self.factor * edit.mean((1, 2, 3), keepdim=True)


def test_the_losses_and_their_weights_are_those_of_the_objective() -> None:
    """Photos are 0, targets 0.5; there adds 0.3, back subtracts 0.1, so that every term is a number known by hand."""
    shape = (1, 3, 2, 2)
    batch = Batch(torch.zeros(shape), torch.full(shape, 0.5), torch.zeros(1, 1, 1), torch.ones(1, 1, dtype=torch.bool))
    there, back = Shift(0.3), Shift(-0.1)
    t = CycleGANTrainer(there, Mean(), back, Mean(), replace(QUICK, gan=2.0))
    gradients = {}
    t.optimizer_g.register_step_pre_hook(
        lambda *_: gradients.update(there=float(there.amount.grad), back=float(back.amount.grad))  # pyright: ignore
    )
    losses = {name: loss.item() for name, loss in t.step(batch).items()}
    assert losses == pytest.approx(
        {
            "cycle": 0.2,  # 0 + 0.3 - 0.1
            "cycle_back": 0.2,
            "identity": 0.3,
            "identity_back": 0.1,
            "g": (0.3 - 1) ** 2,
            "g_back": (0.4 - 1) ** 2,
            "d": ((0.5 - 1) ** 2 + 0.3**2) / 2,
            "d_back": ((0 - 1) ** 2 + 0.4**2) / 2,
        }
    )
    assert gradients == pytest.approx(
        {"there": 10 + 10 + 5 + 2 * 2 * (0.3 - 1), "back": 10 + 10 - 5 + 2 * 2 * (0.4 - 1)}, rel=1e-5
    )


@pytest.mark.parametrize("r1", [0.0, 1.0])
def test_neither_side_sees_a_gradient_of_the_others_update(r1: float) -> None:
    t = trainer(replace(QUICK, r1=r1))
    seen: dict[str, list[Tensor | None]] = {}

    def note(name: str) -> None:
        seen[f"{name}: d"] = [p.grad for p in t.discriminator.parameters()]
        seen[f"{name}: g"] = [None if p.grad is None else p.grad.clone() for p in t.trained.values()]

    t.optimizer_g.register_step_pre_hook(lambda *_: note("update of g"))
    t.optimizer_d.register_step_pre_hook(lambda *_: note("update of d"))
    for number, batch in zip(range(2), loop.batches(unpaired(), QUICK, 0), strict=False):
        t.step(batch, number)
        assert all(grad is None for grad in seen["update of g: d"])
        assert all(grad is not None for grad in seen["update of d: d"])
        pairs = list(zip(seen["update of g: g"], seen["update of d: g"], strict=True))
        assert all(a is not None and b is not None and torch.equal(a, b) for a, b in pairs)


def test_the_discriminators_see_the_edits_of_before_the_generators_update() -> None:
    t, batch = trainer(), first_batch()
    with torch.no_grad():
        edit, back_edit = t.generator(batch.photo), t.back(batch.target)
    t.step(batch)
    assert torch.allclose(t.histories["target"].state(), edit, atol=1e-6)
    assert torch.allclose(t.histories["photo"].state(), back_edit, atol=1e-6)


def test_without_the_adversarial_loss_the_discriminators_are_not_touched() -> None:
    t = trainer(replace(QUICK, gan=0))
    before = {k: v.clone() for k, v in t.discriminator.state_dict().items()}
    assert set(t.step(first_batch())) == {"cycle", "cycle_back", "identity", "identity_back"}
    assert all(torch.equal(v, before[k]) for k, v in t.discriminator.state_dict().items())
    assert not t.histories["target"].count


def test_clipping_and_the_moving_average_take_both_generators() -> None:
    t = trainer(replace(QUICK, clip=1e-3, ema=0.5))
    norms = []
    t.optimizer_g.register_step_pre_hook(
        lambda *_: norms.append(torch.stack([p.grad.norm() for p in t.trained.values() if p.grad is not None]).norm())
    )
    before = {k: v.clone() for k, v in t.trained.items()}
    t.step(first_batch())
    assert norms[0].item() == pytest.approx(1e-3, rel=1e-3)
    for name in ("level1_out.1.weight", "heads.level1_out.1.weight"):
        assert torch.allclose(t.average[name], (before[name] + t.trained[name].detach()) / 2, atol=1e-7)


def test_bf16_gives_nearly_the_same_losses_and_keeps_the_history_in_fp32() -> None:
    exact, coarse = trainer(), trainer(replace(QUICK, precision="bf16"))
    one, two = exact.step(first_batch()), coarse.step(first_batch())
    for name, loss in one.items():
        assert two[name].item() == pytest.approx(loss.item(), rel=0.05), name
    assert coarse.histories["target"].images.dtype == torch.float32


@pytest.mark.parametrize("variant", [{}, {"ema": 0.9, "clip": 1.0}])
@pytest.mark.slow
def test_a_killed_run_ends_as_an_unbroken_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variant: dict) -> None:
    """Killed at step 20, when the histories are full and edits were exchanged."""
    config = replace(QUICK, steps=30, batch=3, **variant)
    (whole := tmp_path / "whole").mkdir()
    (broken := tmp_path / "broken").mkdir()
    unbroken = trainer(config)
    loop.train(unbroken, unpaired(), whole)
    assert unbroken.histories["target"].count == 50
    save = loop.save

    def killed(t: CycleGANTrainer, folder: Path, step: int, *more: Any) -> None:
        save(t, folder, step, *more)
        if step == 20:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            loop.train(trainer(config), unpaired(), broken)
    resumed = trainer(config)
    loop.train(resumed, unpaired(), broken)

    a, b = unbroken.state(), resumed.state()
    assert a.keys() == b.keys()
    assert {"history.target", "history.photo"} <= a.keys()
    assert all(torch.equal(a[k], b[k]) for k in a)
    logs = [[{k: v for k, v in row.items() if k != "seconds"} for row in rows(folder)] for folder in (whole, broken)]
    assert logs[0] == logs[1]


@pytest.mark.slow
def test_it_learns_to_brighten_dark_images_and_to_darken_them_back(tmp_path: Path) -> None:
    """Textures of 32 pixels about -0.5 and +0.5, none of the one kind belonging to one of the other."""
    rng = torch.Generator().manual_seed(0)
    coarse = torch.rand(24, 3, 8, 8, generator=rng)
    texture = nn.functional.interpolate(coarse, size=32, mode="bilinear") * 60
    dark, bright = (texture[:12] + 34).byte(), (texture[12:] + 161).byte()
    none = torch.zeros(12, dtype=torch.long)
    tokens, mask = torch.zeros(1, 1, 16), torch.ones(1, 1, dtype=torch.bool)
    kinds = TrainingData(dark, bright, torch.arange(12), none, tokens, mask, paired=False)
    t = trainer(TrainingConfig(steps=150, batch=1, lr=2e-3, precision="fp32"))
    loop.train(t, kinds, tmp_path)
    photo, target = from_pixels(dark), from_pixels(bright)
    t.generator.eval()
    t.back.eval()
    with torch.no_grad():
        edit, back_edit = t.generator(photo), t.back(target)
    assert edit.mean() == pytest.approx(target.mean().item(), abs=0.15)
    assert back_edit.mean() == pytest.approx(photo.mean().item(), abs=0.15)
    found = rows(tmp_path)
    for name in ("cycle", "cycle_back"):
        assert found[-1][name] < 0.5 * found[0][name], name
