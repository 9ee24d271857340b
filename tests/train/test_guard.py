"""A training that is lost is known by what its edits are, goes back, and is never told as success."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import count, pairwise
from pathlib import Path

import pytest
import torch
from torch import nn

from e2gan.cli import main
from e2gan.core.errors import LostTrainingError
from e2gan.core.record import against_record
from e2gan.networks.generator import Generator
from e2gan.train.guard import SLOWER, Guard
from e2gan.train.loop import batches, train
from e2gan.train.step import Trainer, signs_of
from tests.conftest import Project
from tests.train.tiny_training import QUICK, data, rows, trainer

CONFIG = replace(QUICK, steps=240, lr=2e-3, schedule="constant", gan=0.0, save_every=1e9)


def one_colour(generator: nn.Module) -> None:
    """The output saturates: no gradient comes through its tanh."""
    assert isinstance(generator, Generator)
    last_bias(generator).fill_(20.0)


def dead_body(generator: nn.Module) -> None:
    """Every last ReLU is negative, and the convolution after them adds nothing: the edit is the photo."""
    assert isinstance(generator, Generator)
    with torch.no_grad():
        for part in (generator.level1_in, generator.level2_up):
            for module in part.modules():
                if isinstance(module, nn.Conv2d) and module.bias is not None:
                    module.bias.fill_(-1e4)
    last_bias(generator).zero_()


def last_bias(generator: Generator) -> torch.Tensor:
    last = [m for m in generator.level1_out.modules() if isinstance(m, nn.Conv2d)][-1]
    assert last.bias is not None
    return last.bias.data


def collapse_at(t: Trainer, injured: Callable[[nn.Module], None], *steps: int) -> Trainer:
    """The trainer, whose network is injured before these steps."""
    real = t.step

    def step(batch: object, number: int = 0) -> dict[str, torch.Tensor]:
        if number in steps:
            injured(t.generator)
        return real(batch, number)  # type: ignore[arg-type]

    t.step = step  # type: ignore[method-assign]
    return t


@pytest.mark.slow
@pytest.mark.parametrize(
    ("injured", "sign"),
    [(one_colour, "have become one colour"), (dead_body, "have become the photo itself")],
)
def test_a_collapse_is_seen_within_ten_steps_and_gone_back_from(
    injured: Callable[[nn.Module], None], sign: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    t = collapse_at(trainer(CONFIG), injured, 150)
    result = train(t, data(), tmp_path)
    assert sign in capsys.readouterr().err
    log = rows(tmp_path)
    (back,) = [row for row in log if "back_to" in row]
    assert back["step"] == 160
    assert 50 <= back["back_to"] <= 150
    assert t.slower == SLOWER
    before = next(row["l1"] for row in log if row["step"] == back["back_to"])
    assert result.l1 is not None
    assert result.l1 < 1.5 * before * 127.5
    batch = next(batches(data(), CONFIG, 0))
    assert signs_of(batch.photo, batch.target, t.generator(batch.photo, batch.tokens, batch.mask))[0] > 0.1


def _inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    batch = next(batches(data(), CONFIG, 0))
    return batch.photo, batch.tokens, batch.mask


def seen(l1: float, photo_l1: float = 0.4) -> torch.Tensor:
    """The signs of edits with variation that differ from the photo."""
    return torch.tensor([0.5, 0.5, 0.3, 0.4, l1, photo_l1])


def test_edits_that_stay_worse_than_the_photo_are_gone_back_from(capsys: pytest.CaptureFixture) -> None:
    guard = Guard(trainer(), 0)
    assert [guard.look(step, 10, seen(0.1)) for step in range(10, 110, 10)] == [None] * 10
    assert [guard.look(step, 10, seen(0.5)) for step in range(110, 200, 10)] == [None] * 9
    assert guard.look(200, 10, seen(0.5)) == 50
    assert "its L1 has been above that of the photo as it is for 100 steps" in capsys.readouterr().err


def test_states_on_the_way_up_are_none_to_go_back_to() -> None:
    """As a base's training on a GPU was lost: 200 steps upwards before it was worse than the photo as it is."""
    guard = Guard(trainer(), 0)
    assert [guard.look(step, 10, seen(0.13)) for step in range(10, 1010, 10)] == [None] * 100
    upwards = [0.13 * 1.05**k for k in range(1, 26)]  # to 0.44, one tenth above the photo's
    for k, l1 in enumerate(upwards):
        assert guard.look(1010 + 10 * k, 10, seen(l1)) is None
    back = [guard.look(1260 + 10 * k, 10, seen(0.9)) for k in range(10)]
    (step,) = [found for found in back if found is not None]
    assert 950 <= step <= 1050


def test_the_level_goes_with_the_state_that_is_gone_back_to_and_with_the_checkpoint() -> None:
    t = trainer()
    guard = Guard(t, 0)
    for step in range(10, 110, 10):
        guard.look(step, 10, seen(0.1))
    level = guard.course.level
    assert level == pytest.approx(0.25)
    resumed = Guard(t, 100, guard.keep())
    assert (resumed.course.level, resumed.course.least) == (level, guard.course.least)
    for step in range(110, 210, 10):
        guard.look(step, 10, seen(0.6))
    assert guard.course.lost == 1
    assert guard.course.level == level


def test_a_state_is_kept_in_the_end_of_a_run_that_only_looks_as_if_it_rose() -> None:
    guard = Guard(trainer(), 0)
    for step in range(10, 210, 10):
        guard.look(step, 10, seen(0.1))
    kept, rose = guard.good[-1][0], []
    for step in range(210, 910, 10):
        guard.look(step, 10, seen(0.13))
        rose.append(guard.rising)
    assert rose[10:] == [True] * 60
    assert guard.good[-1][0] - kept >= 500


def test_the_end_goes_back_to_the_better_of_its_states() -> None:
    guard = Guard(trainer(), 0)
    for step in range(10, 210, 10):
        guard.look(step, 10, seen(0.1 if step <= 150 else 0.105))
    assert [step for step, *_ in guard.good] == [150, 200]
    guard.look(210, 10, seen(0.6))
    assert guard.end(215) == 150


def ended(guard: Guard, *l1s: float, photo_l1: float = 0.4) -> str | None:
    """The verdict on a run whose steps had this L1, ten by ten."""
    for step, l1 in enumerate(l1s, 1):
        guard.look(10 * step, 10, seen(l1, photo_l1))
    guard.end(10 * len(l1s))
    return guard.verdict(10 * len(l1s))


def test_an_end_that_is_worse_than_the_photo_and_was_better_is_no_success() -> None:
    """As at a rate of 1e-2, where L1 was 57 and the photo's own 48: too little above it for the sign on the way."""
    worse = ended(Guard(trainer(), 0), *[0.38] * 5, *[0.475] * 35)
    assert worse is not None
    assert worse.startswith(
        "after 400 steps its edits are further from the teacher's than the photos as they are (L1 60."
    )
    assert "the photos' 51.0), and than they were; a lower --lr" in worse


@pytest.mark.parametrize("l1s", [[1.0 - 0.01 * k for k in range(40)], [0.52] * 20 + [0.64] * 20])
def test_an_end_that_is_on_its_way_is_told_and_kept(l1s: list[float], capsys: pytest.CaptureFixture) -> None:
    """The paper's generator after too few steps: worse than the photo, and never nearer to it than a tenth."""
    assert ended(Guard(trainer(), 0), *l1s) is None
    told = " ".join(capsys.readouterr().err.split())
    assert "step 400: its edits are further from the teacher's than the photos as they are" in told
    assert "train it longer" in told


@pytest.mark.parametrize(
    ("l1s", "photo_l1"),
    [
        ((0.1,) * 40, 0.4),
        ((0.38,) * 5 + (0.42,) * 35, 0.4),  # within what batches vary by
        ((0.003,) * 5 + (0.009,) * 35, 0.003),  # faint: thrice the photo's own, and under one level
        ((0.38,) * 5 + (0.475,) * 5, 0.4),  # a hundred steps
    ],
)
def test_other_ends_are_left_alone(l1s: tuple[float, ...], photo_l1: float, capsys: pytest.CaptureFixture) -> None:
    assert ended(Guard(trainer(), 0), *l1s, photo_l1=photo_l1) is None
    assert not capsys.readouterr().err


@pytest.mark.parametrize("settings", [{"l1": 0.0, "gan": 1.0}, {"l1": 4.0, "perceptual": 6.0}, {"ema": 0.9}])
def test_an_end_is_not_judged_by_what_it_is_not_held_to_or_what_is_not_written(settings: dict) -> None:
    guard = Guard(trainer(replace(QUICK, **settings)), 0)
    assert ended(guard, *[0.38] * 5, *[0.475] * 35) is None


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
def test_pairs_of_which_few_are_edited_are_no_loss(share: float) -> None:
    """Imported retouching: nine photos of ten are as they were. An L1 in parts of such a photo's own is any number."""
    for seed in range(10):
        rng, guard = random.Random(seed), Guard(trainer(), 0)
        for step in range(10, 610, 10):
            edited = [rng.random() < share for _ in range(10)]
            l1, own = (sum(b if x else c for x in edited) / 10 for b, c in ((0.1, 0.01), (0.4, 0.002)))
            assert guard.look(step, 10, seen(l1, own)) is None
        guard.end(600)
        assert guard.verdict(600) is None
        assert guard.course.level is not None
        assert guard.course.level < 0.9


def test_edits_that_never_were_other_than_the_photo_are_no_success() -> None:
    """A body that is dead from its first steps on."""
    guard = Guard(trainer(), 0)
    for step in range(10, 410, 10):
        guard.look(step, 10, torch.tensor([0.5, 0.5, 0.001, 0.4, 0.4, 0.4]))
    assert guard.end(400) is None
    assert "after 400 steps its edits are the photos themselves" in (guard.verdict(400) or "")


def test_a_run_whose_only_good_state_is_its_beginning_is_no_success() -> None:
    guard = Guard(trainer(), 0)
    for step in range(10, 210, 10):
        guard.look(step, 10, seen(0.38 if step < 20 else 0.6))
    assert [step for step, *_ in guard.good] == [0]
    guard.end(210)
    assert "nothing came of it that was better than its beginning" in (guard.verdict(210) or "")


def test_a_checkpoint_without_a_level_is_no_beginning() -> None:
    """Of 2026-11-26: the run was good for 1,000 steps, and its last steps are lost."""
    guard = Guard(
        trainer(),
        1000,
        json.dumps({"best": 0.1, "varied": True, "changed": True, "worse": 0, "slower": 1.0, "lost": 0}),
    )
    guard.look(1010, 10, seen(0.1))
    guard.look(1020, 10, seen(0.9))
    assert guard.end(1020) == 1000
    assert guard.verdict(1020) is None


def test_a_first_look_that_was_lucky_is_no_measure() -> None:
    assert ended(Guard(trainer(), 0), 0.30, *[0.445] * 100) is None


def test_an_end_that_goes_back_to_a_good_state_is_one() -> None:
    guard = Guard(trainer(), 0)
    for step in range(10, 410, 10):
        guard.look(step, 10, seen(0.1))
    for step in range(410, 500, 10):
        guard.look(step, 10, seen(0.9))
    assert guard.course.level is not None
    assert guard.course.level > 1.2
    assert guard.end(495) == 350  # as good as 400
    assert guard.verdict(495) is None


def tiny_scratch(project: Project, out: Path, *, steps: int, lr: str) -> list[str]:
    command = f"scratch --model e2gan --pairs {project.sepia} --out {out} --steps {steps} --batch 2 --precision fp32 "
    return (command + f"--lr {lr} --width 8 --blocks 1 --transformers 1 --heads 2 --text-width 16").split()


@pytest.mark.slow
def test_the_command_ends_with_status_1_where_the_end_is_worse_than_the_photo(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """Real steps, of which the last half are told to be a little too far from the teacher's edits."""
    looked = Guard.look

    def look(self: Guard, step: int, steps: int, signs: torch.Tensor) -> int | None:
        signs = signs.clone()
        signs[4] = signs[5] * (0.9 if step <= 60 else 1.2)
        return looked(self, step, steps, signs)

    monkeypatch.setattr(Guard, "look", look)
    command = tiny_scratch(project, tmp_path / "m", steps=300, lr="1e-4")
    assert main(command) == 1
    last = capsys.readouterr().out.strip().splitlines()[-1]
    assert last.startswith("the training was lost: after 300 steps its edits are further from the teacher's than")
    assert last.endswith("a lower --lr may keep it")
    assert (tmp_path / "m/model.safetensors").exists()  # what came of it is kept
    assert not against_record(tmp_path / "m").changed
    assert main(command) == 1  # and told again
    out = capsys.readouterr().out
    assert "is trained already, nothing to do" in out
    assert out.strip().splitlines()[-1] == last


def test_a_run_on_its_way_up_waits_with_its_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a run which is stopped there does not go on from a state that it would not go back to."""
    waits: dict[bool, list[int]] = {}
    for rising in (False, True):
        saved = waits[rising] = []
        clock = count()
        monkeypatch.setattr("e2gan.train.loop.time.monotonic", partial(next, clock))
        monkeypatch.setattr("e2gan.train.loop.save", lambda _t, _f, step, *_, saved=saved: saved.append(step))
        monkeypatch.setattr(Guard, "rising", rising)
        folder = tmp_path / str(rising)
        folder.mkdir()
        train(trainer(replace(CONFIG, save_every=45.0)), data(), folder)
    assert len(waits[False]) >= 3
    assert waits[True][0] >= 3 * waits[False][0]


@pytest.mark.parametrize("noise", [0.0, 0.25])
def test_noise_is_no_way_up(noise: float) -> None:
    """Batches of two: their L1 goes up and down by a quarter, and a run at its end still has states to go back to."""
    rng, guard, kept = random.Random(0), Guard(trainer(), 0), []
    for step in range(10, 3010, 10):
        assert guard.look(step, 10, seen(0.1 * (1 + rng.gauss(0, noise / 10**0.5)))) is None  # the mean of ten steps
        kept.append(guard.good[0][0])
    assert kept[-1] >= 2800
    assert max(b - a for a, b in pairwise(kept)) <= 150


def test_a_run_that_begins_worse_than_the_photo_is_given_its_time() -> None:
    """The paper's generator, which begins as one colour and needs thousands of steps to be as near as the photo."""
    guard = Guard(trainer(), 0)
    for step, l1 in enumerate((1.0, 0.9, 0.8, 0.9, 0.7, 0.9) * 10):
        assert guard.look(10 * step + 10, 10, torch.tensor([0.001, 0.5, 0.9, 0.4, l1, 0.4])) is None


@pytest.mark.slow
def test_the_third_loss_ends_the_run(tmp_path: Path) -> None:
    t = collapse_at(trainer(CONFIG), one_colour, 100, 120, 140)
    with pytest.raises(
        LostTrainingError, match="lost at step 150, for the 3rd time: its edits have become one colour"
    ) as lost:
        train(t, data(), tmp_path)
    assert "\n" not in str(lost.value)
    assert [row["step"] for row in rows(tmp_path) if "back_to" in row] == [110, 130]


@pytest.mark.slow
def test_the_command_line_ends_with_status_1_and_one_line(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    real = Trainer.step

    def step(self: Trainer, batch: object, number: int = 0) -> dict[str, torch.Tensor]:
        if number >= 60:
            one_colour(self.generator)
        return real(self, batch, number)  # type: ignore[arg-type]

    monkeypatch.setattr(Trainer, "step", step)
    command = tiny_scratch(project, tmp_path / "m", steps=200, lr="1e-3")
    assert main(command) == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("e2gan: the training was lost at step")
    assert not (tmp_path / "m").exists()


def test_a_run_that_is_lost_in_its_last_steps_keeps_its_last_good_state(capsys: pytest.CaptureFixture) -> None:
    t = trainer()
    guard = Guard(t, 0)
    guard.look(60, 60, seen(0.1))
    good = {name: tensor.clone() for name, tensor in t.state().items()}
    one_colour(t.generator)
    guard.look(70, 10, seen(0.5))
    assert guard.end(75) == 60
    assert all((t.state()[name] == tensor).all() for name, tensor in good.items())
    assert "the state of step 60 is kept" in capsys.readouterr().err.replace("\n", " ").replace("  ", " ")
    assert Guard(t, 0).end(5) is None


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["residual", "paper"])
def test_a_run_that_goes_well_is_left_alone(preset: str, tmp_path: Path) -> None:
    from e2gan.config import PAPER
    from tests.train.tiny_training import SMALL

    paper = replace(SMALL, skip=False, norm="instance", upsample=PAPER.upsample)
    train(trainer(replace(CONFIG, gan=1.0, lr=2e-4), paper if preset == "paper" else SMALL), data(), tmp_path)
    assert not [row for row in rows(tmp_path) if "back_to" in row]


def test_what_it_knows_of_a_run_is_kept_with_a_checkpoint() -> None:
    guard = Guard(trainer(), 0)
    assert guard.look(10, 10, seen(0.1)) is None
    kept = guard.keep()
    assert json.loads(kept) == {
        "best": pytest.approx(0.1),
        "level": pytest.approx(0.25),
        "least": None,  # of ten steps
        "photo_l1": pytest.approx(0.4),
        "varied": True,
        "changed": True,
        "worse": 0,
        "slower": 1.0,
        "lost": 0,
    }
    again = Guard(trainer(), 10, kept)
    assert again.look(20, 10, torch.tensor([0.001, 0.5, 0.3, 0.4, 0.9, 0.4])) == 10
    assert again.trainer.slower == SLOWER
    new = ("level", "least", "photo_l1")
    of_before = {name: value for name, value in json.loads(again.keep()).items() if name not in new}
    third = Guard(trainer(), 20, json.dumps(of_before))
    assert third.trainer.slower == SLOWER
    third.trainer.set_learning_rate(0.0, 5)
    assert third.trainer.optimizer_g.param_groups[0]["lr"] == pytest.approx(third.trainer.config.lr * SLOWER)
