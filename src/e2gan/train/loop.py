"""The loop that all trainings share: base, adapter, scratch (Sec. 5.1)."""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, TypedDict

import torch
from torch import Tensor

from e2gan.config import GeneratorConfig, TrainingConfig
from e2gan.config.schemas import LogRow
from e2gan.core.device import autocast
from e2gan.core.errors import InputError, NotFiniteError
from e2gan.core.files import CONFIG, parse_json, plain, read_json, read_jsonl, read_lines, sha256, write_bytes
from e2gan.core.group import ALONE, Group
from e2gan.core.identity import Reads
from e2gan.core.outputs import State, discard, finish, partial_of
from e2gan.core.progress import Meter, in_threads, note
from e2gan.core.record import add_facts
from e2gan.core.schemas import StageConfig
from e2gan.core.tensors import read_tensors, write_tensors
from e2gan.data.pair_set import ROWS, PairSet
from e2gan.train.batches import Batch, TrainingData
from e2gan.train.compiled import compiled_step
from e2gan.train.guard import Guard
from e2gan.train.step import Trainer
from e2gan.train.together import check_same, claim_together, precision_of_all, start_together

CHECKPOINT = "checkpoint.safetensors"
METRICS = "metrics.jsonl"
NOT_DECISIVE = ("save_every", "tensorboard", "memory_share", "compile")  # settings that leave a run the same one
LOST = "lost"  # in config.json, beside the settings
AHEAD = 3  # batches that are begun before one is given, where they come from a disk or over a bus
PATIENCE = 5  # times --save-every that a run on its way up goes without a checkpoint
LOG_EVERY = 10  # steps; checkpoints fall on the same steps, so that a resumed run logs the same means


@dataclass(frozen=True)
class TrainingResult:
    """The result of a training. l1 is the mean of the last logged steps, in 8-bit levels; None without pairs. lost: why
    it is no success, where it is none; its weights are written all the same."""

    steps: int
    seconds: float
    l1: float | None
    already_done: bool = False
    lost: str | None = None


def rows_of(step: int, count: int, batch: int, seed: int) -> Tensor:
    """The rows of a step: a permutation an epoch. A function of seed and step alone: a resume needs no state."""
    per_epoch = max(1, count // batch)
    epoch, place = divmod(step, per_epoch)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch))
    return order[place * batch : (place + 1) * batch]


def batches(data: TrainingData, config: TrainingConfig, start: int, part: slice = slice(None)) -> Iterator[Batch]:
    """The batches from a step on, or these rows of each, without end. All chance of a step comes from (seed, step)."""

    def make(step: int) -> tuple[int, Batch]:
        rng = torch.Generator().manual_seed((config.seed * 1_000_003 + step) * 2 + 1)
        seed = int(torch.randint(2**62, (1,), generator=rng))
        return seed, data.batch(rows_of(step, len(data), config.batch, config.seed), config, rng, part)

    steps = count(start)
    for seed, batch in in_threads(make, steps, workers=1, ahead=AHEAD) if data.streams else map(make, steps):
        torch.manual_seed(seed)  # z, where it is dropout
        yield batch


def train(trainer: Trainer, data: TrainingData, folder: Path, group: Group = ALONE) -> TrainingResult:
    """Train to the end of the settings, from the checkpoint in `folder` where there is one.

    Writes `metrics.jsonl` and `checkpoint.safetensors` into `folder`. A run that is lost goes back to its last good
    state (guard.py). Raises LostTrainingError where that fails, and InputError where a loss is no longer finite; the
    last good checkpoint stays. Of a group, the first process alone reads and writes, and its clock counts; raises
    LostProcessError where another one is gone.
    """
    config = trainer.config = precision_of_all(group, trainer.config, trainer.device)
    total = config.steps or config.epochs * max(1, len(data) // config.batch)
    take_step = compiled_step(trainer) if config.compile else trainer.step
    step, seconds, kept = start_together(group, trainer, resume(trainer, folder) if group.first else None)
    guard = Guard(trainer, step, kept) if data.paired else None
    if config.flip and data.sided is not None and group.first:
        note("pairs of an edit that has a side are not mirrored")
    with autocast(trainer.device, config.precision):
        pass  # "auto" is measured here, not in the first step's time
    first, begun = step + 1, time.monotonic()
    saved = begun
    before, sums, l1, shown = seconds, {}, None, ""

    def done() -> float:
        return min(1.0, seconds / (60 * config.minutes) if config.minutes else step / total)

    log = Log(folder, step, tensorboard=config.tensorboard) if group.first else None
    start = (step * config.batch, done(), seconds)
    with closing(log) if log else nullcontext(), Meter("training", unit=" photos", start=start) as meter:
        for batch in batches(data, config, step, group.part(config.batch)):
            if done() >= 1:
                break
            trainer.set_learning_rate(done(), step)
            for name, loss in take_step(batch, step).items():
                sums[name] = sums.get(name, 0) + loss
            step += 1
            if config.compile and step == first:  # compiling is no training: --minutes counts none of it
                begun = time.monotonic()
            seconds = before + time.monotonic() - begun
            if config.minutes:
                seconds = group.same(seconds)
            meter.update(f"{done():4.0%}  step {step}{shown}", step * config.batch, done(), seconds)
            if step % LOG_EVERY and done() < 1:
                continue
            since = step % LOG_EVERY or LOG_EVERY
            signs = [] if guard is None else [guard.signs(since)]
            group.mean_([*sums.values(), *signs])  # so that all guards decide the same
            losses = {name: float(value) / since for name, value in sums.items()}
            if not all(map(math.isfinite, losses.values())):
                raise InputError(_diverged(step, folder))
            back = None if guard is None else guard.look(step, since, *signs)
            sums = {}
            if log is not None:
                log.write(step, seconds, losses | ({} if back is None else {"back_to": back}))
            if "l1" in losses:
                l1 = losses["l1"] = losses["l1"] * 127.5
            shown = "".join(f"  {name} {loss:.2f}" for name, loss in losses.items())
            # On its way up a run may be lost soon; one that only looks so wants its checkpoint in the end.
            patience = PATIENCE if guard is not None and guard.rising else 1
            due = group.first and time.monotonic() - saved >= patience * config.save_every
            if due and done() < 1 and (guard is None or guard.well):
                if not trainer.finite():
                    raise InputError(_diverged(step, folder))
                try:
                    save(trainer, folder, step, seconds, guard)
                except NotFiniteError as error:
                    raise InputError(_diverged(step, folder, error)) from None
                saved = time.monotonic()
    lost = None
    if guard is not None:
        guard.end(step)
        lost = guard.verdict(step)
    if not trainer.finite():
        raise InputError(_diverged(step, folder))
    return TrainingResult(steps=step, seconds=round(seconds, 3), l1=None if l1 is None else round(l1, 3), lost=lost)


def _diverged(step: int, folder: Path, error: NotFiniteError | None = None) -> str:
    what = "a loss is not finite" if error is None else f"what it would write is not finite ({error})"
    kept = f"the last good checkpoint is kept in {folder}" if (folder / CHECKPOINT).exists() else "no checkpoint yet"
    return f"training diverged at step {step}: {what}; lower --lr and use another --out ({kept})"


def save(trainer: Trainer, folder: Path, step: int, seconds: float, guard: Guard | None = None) -> None:
    header = {"step": str(step), "seconds": repr(seconds)}
    if guard is not None:
        header["course"] = guard.keep()
    write_tensors(folder / CHECKPOINT, trainer.state(), header)


def resume(trainer: Trainer, folder: Path) -> tuple[int, float, str | None]:
    """Step and seconds of the checkpoint, loaded into the trainer, and its guard's; (0, 0.0, None) without one."""
    if not (folder / CHECKPOINT).exists():
        return 0, 0.0, None
    held = sum(tensor.nbytes for tensor in trainer.state().values())
    state, header = read_tensors(folder / CHECKPOINT, most=4 * held + 2**24)  # Adam's moments come later
    try:
        trainer.load_state(state)
        step, seconds = int(header["step"]), float(header["seconds"])
        if step < 0 or not 0 <= seconds < math.inf:
            raise ValueError(f"step {step}, {seconds} seconds")
    except (KeyError, ValueError, RuntimeError, TypeError) as error:
        why = f"{type(error).__name__} {' '.join(str(error).split())[:160]}"
        raise InputError(f"{folder / CHECKPOINT} is no checkpoint of this training ({why}): delete {folder}") from error
    return step, seconds, header.get("course")


def read_log(folder: Path, losses: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The rows of a training's metrics.jsonl. Raises InputError where there is none, or one lacks any of the losses."""
    rows = read_jsonl(folder / METRICS, LogRow)
    if not rows:
        raise InputError(f"{folder / METRICS} is empty")
    for row in rows:
        for name in losses:
            if not isinstance(row.get(name), (int, float)):
                raise InputError(f"{folder / METRICS}: step {row['step']} has no {name}")
    return rows


class Log:
    """metrics.jsonl, cut back to the step that a run goes on from; and TensorBoard events where asked for."""

    def __init__(self, folder: Path, step: int, *, tensorboard: bool) -> None:
        path = folder / METRICS
        lines = list(read_lines(path)) if path.exists() else []
        whole = [line for line in lines if line.endswith(b"\n")]
        write_bytes(path, b"".join(x for x in whole if parse_json(x, LogRow, str(path))["step"] <= step))
        self.file = path.open("a", encoding="utf-8")
        self.events: Any = None
        if tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self.events = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def write(self, step: int, seconds: float, losses: dict[str, float]) -> None:
        row = {"step": step, "seconds": round(seconds, 3)} | {k: round(v, 6) for k, v in losses.items()}
        self.file.write(json.dumps(row) + "\n")
        self.file.flush()
        if self.events:
            for name, value in losses.items():
                self.events.add_scalar(f"loss/{name}", value, step)

    def close(self) -> None:
        self.file.close()
        if self.events:
            self.events.close()


def reads_of(pair_set: PairSet, selection: Path | None = None) -> dict[str, str | None]:
    """Hashes of what a training on a concept's pairs reads of them."""
    return {"pairs": pair_set.content(), "selection": None if selection is None else sha256(selection)}


def identity_of(pair_set: PairSet, selection: Path | None = None) -> dict[str, Any]:
    """What of a concept's pairs decides a training beside the pictures: the prompt, hashes of the set's rows and of a
    selection."""
    return {
        "prompt": pair_set.prompt,
        "pairs_sha256": sha256(pair_set.folder / ROWS),
        "selection_sha256": None if selection is None else sha256(selection),
    }


def settings_of(config: Any, size: int, pairs: int, extra: dict[str, Any]) -> dict[str, Any]:
    """The settings that make two runs the same one; how often to save, or where to log, does not count."""
    settings = plain(config)
    settings["training"] = {k: v for k, v in settings["training"].items() if k not in NOT_DECISIVE}
    return settings | {"size": size, "pairs_total": pairs} | extra


def run(
    stage: str,
    config: Any,
    out: Path,
    make: Callable[[torch.device], Trainer],
    data: TrainingData,
    write: Callable[[Path, Trainer, TrainingResult], None],
    extra: dict[str, Any],
    reads: Reads,
    group: Group = ALONE,
) -> TrainingResult:
    """One training as a stage: claim the output, train or go on, write the result, rename it when whole.

    `make` gives the trainer with its networks on a device, in training mode; `write` puts what was trained into the
    partial folder. Of a group, the first process alone does that, and all end when it is done. Raises what `train`
    does; a run that ended as no success has that in its result, and a rerun tells it again.
    """
    training: TrainingConfig = config.training
    check_fit(training, len(data))
    device = group.device(training.device)
    if training.flip and data.sided is not None:
        extra = extra | {"sided": data.concept_of[data.sided].unique().tolist()}  # the concepts that are not mirrored
    settings = settings_of(config, data.size, len(data), extra)
    check_same(group, settings, reads, device)
    with claim_together(group, out, stage, settings, reads) as state:
        if state is State.DONE:
            lost = None
            if group.first:  # the others may be on machines that have no such folder
                with suppress(OSError):  # of a run that was killed as it ended
                    (out / CHECKPOINT).unlink(missing_ok=True)
                lost = read_json(out / CONFIG, StageConfig).get(LOST)
            lost = lost if isinstance(lost, str) else None
            return TrainingResult(steps=0, seconds=0.0, l1=None, already_done=True, lost=lost)
        partial = partial_of(out)
        torch.manual_seed(training.seed)
        try:
            trainer = make(device)
            result = train(trainer, data.to(device), partial, group)
            if group.first:
                trainer.use_average()
                trainer.generator.eval()
                _write(write, partial, trainer, result)
                if result.lost is not None:
                    add_facts(partial, {LOST: result.lost})
        except Exception:
            if group.first and not (partial / CHECKPOINT).exists():
                discard(partial)  # nothing to go on from
            raise
        if group.first:
            finish(out, leave_out=(CHECKPOINT,))
            (out / CHECKPOINT).unlink(missing_ok=True)  # only now: what it could be made anew from is in its place
        group.wait()
        return result


def _write(
    write: Callable[[Path, Trainer, TrainingResult], None], partial: Path, trainer: Trainer, result: TrainingResult
) -> None:
    """Weights that were finite may not be in the precision that they are written in: then nothing of them stays."""
    before = set(partial.iterdir())
    try:
        write(partial, trainer, result)
    except NotFiniteError as error:
        for path in set(partial.iterdir()) - before:
            path.unlink()
        raise InputError(_diverged(result.steps, partial, error)) from None


class Room(TypedDict):
    """What `TrainingData.load` takes of the machine."""

    share: float
    place: Path


def room(config: Any, group: Group = ALONE) -> Room:
    """The part of the memory that a stage's pairs may take, and the folder on whose disk more of them lie.

    Processes of one machine share its memory, and each has pairs of its own. `--out` is the first process's: the others
    take its disk only where that folder is there.
    """
    place = config.out.absolute().parent
    if not group.first and not place.is_dir():
        place = Path(tempfile.gettempdir())
    while not place.is_dir():  # it is made when the stage claims it
        place = place.parent
    return {"share": config.training.memory_share / group.beside, "place": place}


def check_size(generator: GeneratorConfig, size: int, crop: int | None) -> None:
    """Raises InputError where pairs of `size` pixels, or crops of them, do not fit the generator."""
    multiple = generator.multiple
    if size % multiple:
        made = "e2gan photos and pairs with another --size"
        raise InputError(f"pairs of {size} pixels: this generator takes multiples of {multiple} (make them by {made})")
    if crop is not None and crop % multiple:
        raise InputError(f"--crop {crop}: this generator takes multiples of {multiple}")


def check_fit(training: TrainingConfig, count: int) -> None:
    """Raises InputError where settings ask for more than `count` pairs, or than the installation has."""
    if training.batch > count:
        raise InputError(f"--batch {training.batch}: there are only {count} training pairs")
    if training.tensorboard:
        _need_tensorboard()


def _need_tensorboard() -> None:
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError:
        raise InputError("--tensorboard needs the package tensorboard: pip install 'e2gan[tensorboard]'") from None


@dataclass(frozen=True)
class Trained:
    """A trained base, adapter or model: where it lies, its trained parameters, and how the training went."""

    folder: Path
    what: str
    parameters: int
    result: TrainingResult

    @property
    def status(self) -> int:
        """The command's."""
        return 0 if self.result.lost is None else 1

    def __str__(self) -> str:
        lost = self.result.lost
        return self._told() + ("" if lost is None else f"\nthe training was lost: {lost}")

    def _told(self) -> str:
        if self.result.already_done:
            return f"{self.folder}: this {self.what} is trained already, nothing to do"
        r = self.result
        l1 = "" if r.l1 is None else f", last training L1 {r.l1:.1f} of 255"
        if r.steps == 0:  # in closed form
            fitted = f"fitted in {r.seconds:.1f} s, training L1 {r.l1:.1f} of 255"
            return f"{self.what} with {self.parameters:,} parameters in {self.folder}\n{fitted}"
        return (
            f"{self.what} with {self.parameters:,} trained parameters in {self.folder}\n"
            f"{r.steps} steps, {r.seconds:.0f} s{l1}"
        )
