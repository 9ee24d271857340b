"""A training that is lost, known by what its edits are, goes back to its last good state at a lower rate.

Three ways in which it is lost: edits without variation (one colour: the output's gradient is gone), edits that have
become the photo (every ReLU of the body is dead), and an L1 that stays above that of the photo as it is. Each is told
only of a run that had been better before: generators without `skip` begin as one colour, those with it as the photo.
At the end a run is asked once more (`verdict`): one that has become worse than the photo is no success, however slowly
it did, nor is one whose edits are the photo still, or whose last good state is its beginning.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from e2gan.config.schemas import CourseRecord
from e2gan.core.errors import LostTrainingError
from e2gan.core.files import parse_json
from e2gan.core.progress import note
from e2gan.core.schemas import known
from e2gan.train.step import SIGNS, Trainer

GOOD_EVERY = 50  # steps at least between two good states, the older of which is gone back to
WORSE = 1.15  # times the lowest level that a run had: from there on its states are none to go back to
OLDEST = 500  # steps, after which a state is kept all the same: of noise a run may look so for long
HALF_LIFE = 50  # steps, of the mean that is a level
LONG = 100  # steps
SLOWER = 0.25  # of the learning rate, each time
TRIES = 2
FAR = 1.1  # times the photo's own L1: further from the teacher's edit than batches vary by
VISIBLE = 2 / 127.5  # two 8-bit levels: what an L1 must be above the photo's own by, since a faint edit's is small
JUDGED_FROM = 2 * LONG  # steps: a shorter run is a trial


def too_far(photo_l1: float) -> float:
    """The L1 from which on edits are further from the teacher's than the photos are, whose own is given."""
    return max(FAR * photo_l1, photo_l1 + VISIBLE)


@dataclass
class Course:
    """What a run was, as a checkpoint keeps it. best: its lowest L1. level: the mean of its last steps' L1 in parts of
    that of their photos, `photo_l1`; least: the lowest level. varied, changed: whether its edits ever were. worse:
    steps since when its L1 is too high. slower: factor of the learning rate. lost: how often it was."""

    best: float = float("inf")
    level: float | None = None
    least: float | None = None
    photo_l1: float | None = None
    varied: bool = False
    changed: bool = False
    worse: int = 0
    slower: float = 1.0
    lost: int = 0


class Guard:
    """Watches a trainer's run. `look` after some steps; it may put the trainer back to a state of before."""

    def __init__(self, trainer: Trainer, step: int, kept: str | None = None) -> None:
        """kept: what `keep` gave for the checkpoint that the trainer goes on from at `step`."""
        self.trainer = trainer
        self.course = Course()
        if kept:
            record = parse_json(kept, CourseRecord, "the checkpoint's course", finite=False)
            self.course = Course(**known(Course, record))
        self.well = True
        self.seen: dict[str, float] = {}
        self.good = [(step, self.course.level, self._copy())]
        self.kept: int | None = None
        trainer.slower = self.course.slower
        trainer.signs = torch.zeros(len(SIGNS), device=trainer.device)

    def signs(self, steps: int) -> Tensor:
        """The mean signs of the last `steps` steps, which are taken from the trainer."""
        total, self.trainer.signs = self.trainer.signs, torch.zeros(len(SIGNS), device=self.trainer.device)
        assert total is not None
        return total / steps

    def keep(self) -> str:
        return json.dumps(asdict(self.course))

    def look(self, step: int, steps: int, signs: Tensor) -> int | None:
        """After `steps` more steps, whose mean signs are given: the step of the state that was gone back to, if any.

        Raises LostTrainingError where the run is lost for the third time.
        """
        seen = self.seen = dict(zip(SIGNS, signs.tolist(), strict=True))
        if sign := self._sign(seen, steps):
            return self._go_back(step, sign)
        self._follow(step, steps, seen)
        age = step - self.good[-1][0]
        if self.well and age >= (OLDEST if self.rising else GOOD_EVERY):
            self.good = [self.good[-1], (step, self.course.level, self._copy())]
        return None

    @property
    def rising(self) -> bool:
        """Whether the run is on its way up: by hundreds of steps, some are lost before a sign says so (docs/log.md)."""
        level, least = self.course.level, self.course.least
        return level is not None and least is not None and level > WORSE * least

    def _follow(self, step: int, steps: int, seen: dict[str, float]) -> None:
        """Take the last `steps` steps into the level: a mean in parts of a mean, since single photos may be edited
        hardly at all."""
        course, l1, photo_l1 = self.course, seen["l1"], seen["photo_l1"]
        if course.level is not None:
            before = photo_l1 if course.photo_l1 is None else course.photo_l1
            new = (1 - 0.5 ** (steps / HALF_LIFE)) / (1 - 0.5 ** (step / HALF_LIFE))  # the first steps count as others
            l1 = (1 - new) * course.level * before + new * l1
            photo_l1 = (1 - new) * before + new * photo_l1
        photo_l1 = max(photo_l1, 1e-6)
        level = l1 / photo_l1
        course.photo_l1, course.level = photo_l1, level
        if step >= HALF_LIFE:  # the first few photos say little
            course.least = level if course.least is None else min(course.least, level)

    def end(self, step: int) -> int | None:
        """At a run's end: the step of the last good state, which is gone back to where the present one is none."""
        if self.well:
            return None
        good, level, state = min(self.good, key=lambda kept: math.inf if kept[1] is None else kept[1])
        self.trainer.load_state(state)
        self.course.level, self.kept = level, good
        note(f"step {step}: the last steps made it worse than the photo as it is: the state of step {good} is kept")
        return good

    def verdict(self, step: int) -> str | None:
        """After `end`: why the run is no success; None where it is one, or was too short to be told. One whose edits
        are further from the teacher's than the photos, but never were much nearer, is told to be on its way.

        Where other losses weigh more, L1 is not what it is held to; and a moving average, which is what is written
        then, is not what was seen.
        """
        course, seen, config = self.course, self.seen, self.trainer.config
        by_l1 = config.l1 > config.perceptual + config.gram + config.gan + config.feature_matching
        if step < JUDGED_FROM or not seen or not by_l1 or config.ema:
            return None
        if self.kept == 0:
            return f"in {step} steps nothing came of it that was better than its beginning; a lower --lr may keep it"
        if self.kept is None and not course.changed and seen["change"] < 0.02 * seen["target_change"]:
            return f"after {step} steps its edits are the photos themselves; another --lr, or a longer run, may help"
        if course.level is None or course.photo_l1 is None:
            return None
        l1 = course.level * course.photo_l1
        if l1 < too_far(course.photo_l1):
            return None
        far = "its edits are further from the teacher's than the photos as they are"
        far += f" (L1 {l1 * 127.5:.1f}, the photos' {course.photo_l1 * 127.5:.1f})"
        if course.least is not None and course.least < FAR and course.level > WORSE * course.least:
            return f"after {step} steps {far}, and than they were; a lower --lr may keep it"
        note(f"step {step}: {far}: train it longer, or at another --lr")
        return None

    def _sign(self, seen: dict[str, float], steps: int) -> str | None:
        """How the run is lost, if it is; takes note of how it goes."""
        course = self.course
        flat = seen["variation"] < 0.05 * seen["target_variation"]
        same = seen["change"] < 0.02 * seen["target_change"]
        high = seen["l1"] > too_far(seen["photo_l1"]) and seen["l1"] > 1.5 * course.best
        self.well = not ((course.varied and flat) or (course.changed and same) or high)
        course.best = min(course.best, seen["l1"])
        course.varied |= seen["variation"] > 0.2 * seen["target_variation"]
        course.changed |= seen["change"] > 0.2 * seen["target_change"]
        course.worse = course.worse + steps if high else 0
        if course.varied and flat:
            return "its edits have become one colour"
        if course.changed and same:
            return "its edits have become the photo itself, or it and a tint"
        if course.worse >= LONG:
            return f"its L1 has been above that of the photo as it is for {course.worse} steps"
        return None

    def _go_back(self, step: int, sign: str) -> int:
        course, (good, level, state) = self.course, self.good[0]
        course.lost += 1
        if course.lost > TRIES:
            raise LostTrainingError(
                f"the training was lost at step {step}, for the {TRIES + 1}rd time: {sign}; a lower --lr, or more "
                "--warmup, and another --out may keep it"
            )
        course.slower *= SLOWER
        course.worse, course.level = 0, level
        self.trainer.load_state({name: tensor.clone() for name, tensor in state.items()})
        self.trainer.slower = course.slower
        self.good = [(good, level, state)]
        lr = self.trainer.config.lr * course.slower
        note(f"step {step}: {sign}; back to the state of step {good}, and on at a learning rate of {lr:.1e}")
        return good

    def _copy(self) -> dict[str, Tensor]:
        return {name: tensor.detach().clone() for name, tensor in self.trainer.state().items()}
