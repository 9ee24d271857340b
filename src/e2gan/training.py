"""The step and the loop that all trainings share: base, adapter, scratch (Sec. 5.1, Eq. 1)."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from e2gan.config import TrainingConfig
from e2gan.data import Batch, TrainingData
from e2gan.device import autocast, resolve_device
from e2gan.errors import InputError
from e2gan.files import State, claim, finish, partial_of, plain, read_tensors, write_bytes, write_tensors
from e2gan.losses import discriminator_loss, generator_adversarial_loss, l1_loss, r1_penalty
from e2gan.meter import Meter

__all__ = ["Trainer", "TrainingResult", "check_fit", "run"]

CHECKPOINT = "checkpoint.safetensors"
METRICS = "metrics.jsonl"
R1_EVERY = 16  # steps; StyleGAN2's lazy regularisation
NO_MATTER = ("save_every", "tensorboard")  # settings that leave a run the same one
LOG_EVERY = 10  # steps; checkpoints fall on the same steps, so that a resumed run logs the same means


@dataclass(frozen=True)
class TrainingResult:
    """What a training came to. l1 is the mean of the last logged steps, in 8-bit levels; None without pairs."""

    steps: int
    seconds: float
    l1: float | None
    already_done: bool = False


class Trainer:
    """Generator, discriminator and their optimisers: everything that a step changes, and a checkpoint holds.

    generator: photo, tokens, mask → edit; its trainable parameters are trained, the others are left as they are.
    discriminator: photo, edit → logits. heads: what else the generator's optimiser trains.
    """

    def __init__(
        self, generator: nn.Module, discriminator: nn.Module, config: TrainingConfig, heads: nn.Module | None = None
    ) -> None:
        self.generator, self.discriminator, self.config = generator, discriminator, config
        self.device = next(generator.parameters()).device
        self.trained = {n: p for n, p in generator.named_parameters() if p.requires_grad}
        if heads is not None:
            self.trained |= {f"heads.{n}": p for n, p in heads.named_parameters()}
        adam = {"lr": config.lr, "betas": config.betas, "fused": self.device.type in ("cpu", "cuda")}
        self.optimizer_g: torch.optim.Optimizer = torch.optim.Adam(self.trained.values(), **adam)
        self.optimizer_d: torch.optim.Optimizer = torch.optim.Adam(discriminator.parameters(), **adam)
        self.average = {n: p.detach().clone() for n, p in self.trained.items()} if config.ema else {}

    def step(self, batch: Batch, number: int = 0) -> dict[str, Tensor]:
        """Step `number` of a run: one update of D, then one of G (Eq. 1). Returns the losses, scalars on the device."""
        config, losses = self.config, {}
        with autocast(self.device, config.precision):
            edit = self.generator(batch.photo, batch.tokens, batch.mask)

        if config.gan:
            self.discriminator.requires_grad_(True)
            with autocast(self.device, config.precision):
                real, fake = self._judge(batch, edit.detach())
            losses["d"] = discriminator_loss(real, fake)
            total = losses["d"]
            if config.r1 and number % R1_EVERY == 0:
                total = total + R1_EVERY * r1_penalty(self.discriminator, batch.photo, batch.target, config.r1)
            self.optimizer_d.zero_grad(set_to_none=True)
            total.backward()
            self.optimizer_d.step()

        total = self.content(batch, edit, losses)
        if config.gan:
            # Frozen, so that D's next update sees no gradient of G's.
            self.discriminator.requires_grad_(False)
            self.optimizer_d.zero_grad(set_to_none=True)
            with autocast(self.device, config.precision):
                logits = self.discriminator(batch.photo, edit)
            losses["g"] = generator_adversarial_loss(logits)
            total = total + config.gan * losses["g"]
        self.optimizer_g.zero_grad(set_to_none=True)
        total.backward()
        if config.clip is not None:
            nn.utils.clip_grad_norm_(list(self.trained.values()), config.clip)
        self.optimizer_g.step()

        for name, mean in self.average.items():
            mean.lerp_(self.trained[name].detach(), 1 - config.ema)
        return {k: v.detach() for k, v in losses.items()}

    def _judge(self, batch: Batch, edit: Tensor) -> Sequence[Tensor]:
        """D's logits of the teacher's edits and of ours: in one call, unless it compares the images of a batch."""
        if getattr(self.discriminator, "compares_batch", False):
            return [self.discriminator(batch.photo, seen) for seen in (batch.target, edit)]
        return self.discriminator(batch.photo.repeat(2, 1, 1, 1), torch.cat([batch.target, edit])).chunk(2)

    def content(self, batch: Batch, edit: Tensor, losses: dict[str, Tensor]) -> Tensor:
        """What holds the edit to its target: λ·L1 of Eq. 1. Adds its parts to `losses`."""
        losses["l1"] = l1_loss(edit, batch.target)
        return self.config.l1 * losses["l1"]

    def set_learning_rate(self, done: float, step: int = 0) -> None:
        """Learning rate of a step, when this fraction of the run, 0 to 1, is done."""
        factor = 1.0
        if self.config.schedule == "linear":
            factor = min(1.0, 2 * (1 - done))
        elif self.config.schedule == "cosine":
            factor = (1 + math.cos(math.pi * done)) / 2
        if step < self.config.warmup:
            factor *= (step + 1) / self.config.warmup
        for optimizer in (self.optimizer_g, self.optimizer_d):
            optimizer.param_groups[0]["lr"] = self.config.lr * factor

    def use_average(self) -> None:
        """Put the moving average in the generator's place."""
        with torch.no_grad():
            for name, mean in self.average.items():
                self.trained[name].copy_(mean)

    def state(self) -> dict[str, Tensor]:
        """All tensors that a step changes, by name."""
        buffers = dict(self.generator.named_buffers())
        state = {f"generator.{n}": t for n, t in (self.trained | buffers).items()}
        state |= {f"discriminator.{n}": t for n, t in self.discriminator.state_dict().items()}
        state |= {f"average.{n}": t for n, t in self.average.items()}
        for part, optimizer in (("g", self.optimizer_g), ("d", self.optimizer_d)):
            for i, moments in optimizer.state_dict()["state"].items():
                state |= {f"adam_{part}.{i}.{n}": t for n, t in moments.items()}
        return state

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take back what `state` gave. Raises KeyError where a tensor is missing."""
        with torch.no_grad():
            for name, tensor in (self.trained | dict(self.generator.named_buffers())).items():
                tensor.copy_(state[f"generator.{name}"])
            for name, tensor in self.discriminator.state_dict().items():
                tensor.copy_(state[f"discriminator.{name}"])
            for name, tensor in self.average.items():
                tensor.copy_(state[f"average.{name}"])
        for part, optimizer in (("g", self.optimizer_g), ("d", self.optimizer_d)):
            moments: dict[int, dict[str, Tensor]] = {}
            for key, tensor in state.items():
                if key.startswith(f"adam_{part}."):
                    _, i, name = key.split(".")
                    moments.setdefault(int(i), {})[name] = tensor
            optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})

    def finite(self) -> bool:
        return all(bool(t.isfinite().all()) for t in self.trained.values())


def rows_of(step: int, count: int, batch: int, seed: int) -> Tensor:
    """The rows of a step: a permutation an epoch. A function of seed and step alone: a resume needs no state."""
    per_epoch = max(1, count // batch)
    epoch, place = divmod(step, per_epoch)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch))
    return order[place * batch : (place + 1) * batch]


def batches(data: TrainingData, config: TrainingConfig, start: int) -> Iterator[Batch]:
    """The batches from a step on, without end. All chance of a step comes from (seed, step)."""
    step = start
    while True:
        rng = torch.Generator().manual_seed((config.seed * 1_000_003 + step) * 2 + 1)
        torch.manual_seed(int(torch.randint(2**62, (1,), generator=rng)))  # z, where it is dropout
        yield data.batch(rows_of(step, len(data), config.batch, config.seed).to(data.photos.device), config, rng)
        step += 1


def train(trainer: Trainer, data: TrainingData, folder: Path) -> TrainingResult:
    """Train to the end of the settings, from the checkpoint in `folder` where there is one.

    Writes `metrics.jsonl` and `checkpoint.safetensors` into `folder`. Raises InputError where a loss is no longer
    finite; the last good checkpoint stays.
    """
    config = trainer.config
    total = config.steps or config.epochs * max(1, len(data) // config.batch)
    step, seconds = resume(trainer, folder)
    with autocast(trainer.device, config.precision):
        pass  # "auto" is measured here, not in the first step's time
    begun = saved = time.monotonic()
    before, sums, l1 = seconds, {}, None

    def done() -> float:
        return min(1.0, seconds / (60 * config.minutes) if config.minutes else step / total)

    log = Log(folder, step, tensorboard=config.tensorboard)
    with closing(log), Meter("training", photos_a_step=config.batch) as meter:
        meter.begin(step, done(), seconds)
        for batch in batches(data, config, step):
            if done() >= 1:
                break
            trainer.set_learning_rate(done(), step)
            for name, loss in trainer.step(batch, step).items():
                sums[name] = sums.get(name, 0) + loss
            step += 1
            seconds = before + time.monotonic() - begun
            if step % LOG_EVERY and done() < 1:
                meter.update(step, done(), seconds)
                continue
            count = step % LOG_EVERY or LOG_EVERY
            losses = {name: float(value) / count for name, value in sums.items()}
            if not all(map(math.isfinite, losses.values())):
                raise InputError(_diverged(step, folder))
            sums = {}
            log.write(step, seconds, losses)
            if "l1" in losses:
                l1 = losses["l1"] = losses["l1"] * 127.5
            meter.update(step, done(), seconds, **losses)
            if time.monotonic() - saved >= config.save_every and done() < 1:
                if not trainer.finite():
                    raise InputError(_diverged(step, folder))
                save(trainer, folder, step, seconds)
                saved = time.monotonic()
    if not trainer.finite():
        raise InputError(_diverged(step, folder))
    return TrainingResult(steps=step, seconds=round(seconds, 3), l1=None if l1 is None else round(l1, 3))


def _diverged(step: int, folder: Path) -> str:
    kept = f"the last good checkpoint is kept in {folder}" if (folder / CHECKPOINT).exists() else "no checkpoint yet"
    return f"training diverged at step {step}: a loss is not finite; lower --lr and use another --out ({kept})"


def save(trainer: Trainer, folder: Path, step: int, seconds: float) -> None:
    write_tensors(folder / CHECKPOINT, trainer.state(), {"step": str(step), "seconds": repr(seconds)})


def resume(trainer: Trainer, folder: Path) -> tuple[int, float]:
    """Step and seconds of the checkpoint, loaded into the trainer; (0, 0.0) without one."""
    if not (folder / CHECKPOINT).exists():
        return 0, 0.0
    state, header = read_tensors(folder / CHECKPOINT)
    trainer.load_state(state)
    return int(header["step"]), float(header["seconds"])


class Log:
    """metrics.jsonl, cut back to the step that a run goes on from; and TensorBoard events where asked for."""

    def __init__(self, folder: Path, step: int, *, tensorboard: bool) -> None:
        path = folder / METRICS
        lines = path.read_text("utf-8").splitlines(keepends=True) if path.exists() else []
        kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
        write_bytes(path, "".join(kept).encode())
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


def settings_of(config: Any, data: TrainingData, extra: dict[str, Any]) -> dict[str, Any]:
    """The settings that make two runs the same one; how often to save, or where to log, does not count."""
    settings = plain(config)
    settings["training"] = {k: v for k, v in settings["training"].items() if k not in NO_MATTER}
    return settings | {"size": data.size, "pairs_total": len(data)} | extra


def run(
    stage: str,
    config: Any,
    out: Path,
    make: Callable[[torch.device], Trainer],
    data: TrainingData,
    write: Callable[[Path, Trainer, TrainingResult], None],
    extra: dict[str, Any],
) -> TrainingResult:
    """One training as a stage: claim the output, train or go on, write the result, rename it when whole.

    `make` gives the trainer with its networks on a device, in training mode; `write` puts what was trained into the
    partial folder.
    """
    training: TrainingConfig = config.training
    check_fit(training, data.size, len(data))
    device = resolve_device(training.device)
    if claim(out, stage, settings_of(config, data, extra)) is State.DONE:
        return TrainingResult(steps=0, seconds=0.0, l1=None, already_done=True)
    partial = partial_of(out)
    torch.manual_seed(training.seed)
    trainer = make(device)
    try:
        result = train(trainer, data.to(device), partial)
        trainer.use_average()
        trainer.generator.eval()
        write(partial, trainer, result)
    except Exception:
        if not (partial / CHECKPOINT).exists():
            shutil.rmtree(partial, ignore_errors=True)  # nothing to go on from
        raise
    (partial / CHECKPOINT).unlink(missing_ok=True)
    finish(out)
    return result


def check_fit(training: TrainingConfig, size: int, count: int) -> None:
    """Raises InputError where settings ask for more than `count` pairs of `size` pixels, or the installation has."""
    if training.crop is not None and training.crop > size:
        raise InputError(f"--crop {training.crop}: the pairs have only {size} pixels")
    if training.batch > count:
        raise InputError(f"--batch {training.batch}: there are only {count} training pairs")
    if training.tensorboard:
        _need_tensorboard()


def _need_tensorboard() -> None:
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError:
        raise InputError("--tensorboard needs the package tensorboard: pip install 'e2gan[tensorboard]'") from None


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
