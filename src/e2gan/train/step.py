"""The training step that base, adapter and scratch share (Sec. 5.1, Eq. 1)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from e2gan.config import TrainingConfig
from e2gan.core.device import Precision, autocast, uses_bf16
from e2gan.core.group import ALONE
from e2gan.networks.discriminator import Discriminator
from e2gan.train.batches import Batch
from e2gan.train.losses import (
    content_loss,
    discriminator_loss,
    feature_matching_loss,
    generator_adversarial_loss,
    r1_penalty,
)

R1_EVERY = 16  # steps; StyleGAN2's lazy regularisation
SIGNS: tuple[str, ...] = ("variation", "target_variation", "change", "target_change", "l1", "photo_l1")


def signs_of(photo: Tensor, target: Tensor, edit: Tensor) -> Tensor:
    """(6,) float32, the means of a batch by the names of SIGNS; photo, target, edit: (B, 3, H, W) in [-1, 1].

    variation: standard deviation over an image's pixels, of edit and target. change: that of its difference to the
    photo before the tanh, which is zero where the generator's body is dead and its last bias alone is left. l1: of the
    edit against the target, and of the photo as it is.
    """
    with torch.no_grad():
        images = edit.detach().float(), target, photo
        ours, theirs, before = (image.clamp(-0.995, 0.995).atanh().flatten(2) for image in images)
        varied = [image.flatten(1).std(1).mean() for image in images[:2]]
        changed = [(image - before).std(2).mean() for image in (ours, theirs)]
        l1 = [(image - target).abs().mean() for image in (images[0], photo)]
        return torch.stack([*varied, *changed, *l1])


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
        self.signs: Tensor | None = None  # summed over steps for a guard; None where none watches
        self.group = ALONE  # of the processes that each have their rows of a batch
        self.slower = 1.0  # a factor of the learning rate, which a guard lowers
        self.average = {n: p.detach().clone() for n, p in self.trained.items()} if config.ema else {}

    def step(self, batch: Batch, number: int = 0) -> dict[str, Tensor]:
        """Step `number` of a run: one update of D, then one of G (Eq. 1). Returns the losses, scalars on the device."""
        config, losses = self.config, {}
        precision: Precision = "bf16" if uses_bf16(self.device, config.precision) else "fp32"  # no clock is compiled
        edit, total, parts, signs = self.edit_and_content(batch, precision, watched=self.signs is not None)

        if config.gan:
            self.discriminator.requires_grad_(True)
            with autocast(self.device, config.precision):
                real, fake = self._judge(batch, edit.detach())
            losses["d"] = discriminator_loss(real, fake)
            of_d = losses["d"]
            if config.r1 and number % R1_EVERY == 0:
                of_d = of_d + R1_EVERY * r1_penalty(self.discriminator, batch.photo, batch.target, config.r1)
            self.optimizer_d.zero_grad(set_to_none=True)
            of_d.backward()
            self._average_gradients(self.discriminator.parameters())
            self.optimizer_d.step()

        losses |= parts
        if config.gan:
            # Frozen, so that D's next update sees no gradient of G's.
            self.discriminator.requires_grad_(False)
            self.optimizer_d.zero_grad(set_to_none=True)
            total = total + self._adversarial(batch, edit, losses)
        self.update_generator(total)
        if self.signs is not None and signs is not None:
            self.signs += signs
        return {k: v.detach() for k, v in losses.items()}

    def edit_and_content(
        self, batch: Batch, precision: Precision, *, watched: bool
    ) -> tuple[Tensor, Tensor, dict[str, Tensor], Tensor | None]:
        """What is compiled in one piece: the edit, what holds it to its target, summed and by name, and its signs where
        a guard watches."""
        with autocast(self.device, precision):
            edit = self.generator(batch.photo, batch.tokens, batch.mask, batch.place)
        losses: dict[str, Tensor] = {}
        total = self.content(batch, edit, losses)
        signs = signs_of(batch.photo, batch.target, edit) if watched else None
        # Detached where no gradient comes back: a compiled backward would be given zeros for it.
        kept = edit if self.config.gan else edit.detach()
        return kept, total, {name: loss.detach() for name, loss in losses.items()}, signs

    def _adversarial(self, batch: Batch, edit: Tensor, losses: dict[str, Tensor]) -> Tensor:
        """What D thinks of the edit, and how its features of edit and target differ. Adds its parts to `losses`."""
        config = self.config
        with autocast(self.device, config.precision):
            if not config.feature_matching:
                losses["g"] = generator_adversarial_loss(self.discriminator(batch.photo, edit))
                return config.gan * losses["g"]
            assert isinstance(self.discriminator, Discriminator)
            *maps, logits = self.discriminator.maps(batch.photo, edit)
            with torch.no_grad():
                theirs = self.discriminator.maps(batch.photo, batch.target)[:-1]
        losses["g"], losses["matching"] = generator_adversarial_loss(logits), feature_matching_loss(maps, theirs)
        return config.gan * losses["g"] + config.feature_matching * losses["matching"]

    def update_generator(self, total: Tensor) -> None:
        """One step of the generator's optimiser down this loss; its gradient clipped, the moving average after it."""
        self.optimizer_g.zero_grad(set_to_none=True)
        total.backward()
        self._average_gradients(self.trained.values())
        if self.config.clip is not None:
            nn.utils.clip_grad_norm_(list(self.trained.values()), self.config.clip)
        self.optimizer_g.step()
        for name, mean in self.average.items():
            mean.lerp_(self.trained[name].detach(), 1 - self.config.ema)

    def _average_gradients(self, of: Iterable[Tensor]) -> None:
        """The whole batch's, where each process has that of its rows: every loss is a mean over the batch."""
        if self.group.size > 1:
            self.group.mean_([p.grad for p in of if p.grad is not None])

    def _judge(self, batch: Batch, edit: Tensor) -> Sequence[Tensor]:
        """D's logits of the teacher's edits and of ours: in one call, unless it compares the images of a batch."""
        if getattr(self.discriminator, "compares_batch", False):
            return [self.discriminator(batch.photo, seen) for seen in (batch.target, edit)]
        return self.discriminator(batch.photo.repeat(2, 1, 1, 1), torch.cat([batch.target, edit])).chunk(2)

    def content(self, batch: Batch, edit: Tensor, losses: dict[str, Tensor]) -> Tensor:
        """What holds the edit to its target: λ·L1 of Eq. 1, and what else `LOSSES` has. Adds its parts to `losses`."""
        return content_loss(edit, batch.target, self.config, losses)

    def set_learning_rate(self, done: float, step: int = 0) -> None:
        """Learning rate of a step, when this fraction of the run, 0 to 1, is done."""
        factor = 1.0
        if self.config.schedule == "linear":
            factor = min(1.0, 2 * (1 - done))
        elif self.config.schedule == "cosine":
            factor = (1 + math.cos(math.pi * done)) / 2
        if step < self.config.warmup:
            factor *= (step + 1) / self.config.warmup
        lr, lr_d = self.config.lr, self.config.lr_d
        for optimizer, rate in ((self.optimizer_g, lr), (self.optimizer_d, lr if lr_d is None else lr_d)):
            optimizer.param_groups[0]["lr"] = rate * factor * self.slower

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
        """Take back what `state` gave. Raises KeyError where a tensor is missing, ValueError for one of another shape,
        and RuntimeError for what cannot be taken."""
        with torch.no_grad():
            for name, tensor in (self.trained | dict(self.generator.named_buffers())).items():
                _take(tensor, state, f"generator.{name}")
            for name, tensor in self.discriminator.state_dict().items():
                _take(tensor, state, f"discriminator.{name}")
            for name, tensor in self.average.items():
                _take(tensor, state, f"average.{name}")
        for part, optimizer in (("g", self.optimizer_g), ("d", self.optimizer_d)):
            moments: dict[int, dict[str, Tensor]] = {}
            for key, tensor in state.items():
                if key.startswith(f"adam_{part}."):
                    _, i, name = key.split(".")
                    moments.setdefault(int(i), {})[name] = tensor
            of = [p for group in optimizer.param_groups for p in group["params"]]
            _check_moments(moments, of)
            for i, group in moments.items():  # in the parameter's own layout, which fused Adam wants
                moments[i] = group | {n: torch.empty_like(of[i]).copy_(group[n]) for n in ("exp_avg", "exp_avg_sq")}
            optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})

    def finite(self) -> bool:
        return all(bool(t.isfinite().all()) for t in self.trained.values())


def _take(tensor: Tensor, state: dict[str, Tensor], name: str) -> None:
    if state[name].shape != tensor.shape:
        raise ValueError(f"{name} is {tuple(state[name].shape)}, not {tuple(tensor.shape)}")
    if state[name].dtype != tensor.dtype:
        raise ValueError(f"{name} is {state[name].dtype}, not {tensor.dtype}")
    tensor.copy_(state[name])


def _check_moments(moments: dict[int, dict[str, Tensor]], of: Sequence[Tensor]) -> None:
    """Raises ValueError where Adam's moments are not those of its parameters: it would fail with the next step."""
    kept = {tuple(sorted(group)) for group in moments.values()}
    if kept - {("exp_avg", "exp_avg_sq", "step")} or not moments.keys() <= set(range(len(of))):
        raise ValueError("the optimizer's state is not whole")
    for i, group in moments.items():
        for name in ("exp_avg", "exp_avg_sq"):
            if group[name].shape != of[i].shape:
                raise ValueError(f"{name} of parameter {i} is {tuple(group[name].shape)}, not {tuple(of[i].shape)}")
        if group["step"].numel() != 1:
            raise ValueError(f"step of parameter {i} is {tuple(group['step'].shape)}")
        if not all(tensor.is_floating_point() for tensor in group.values()):
            raise ValueError(f"the optimizer's state of parameter {i} is of whole numbers")


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
