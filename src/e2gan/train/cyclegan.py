"""CycleGAN (Zhu et al. 2017), a baseline of Tab. 9: what comes back from the other kind of image should be the photo.

G, back: gan·[(D(G(x)) - 1)² + (D'(back(y)) - 1)²] + 10·[|back(G(x)) - x| + |G(back(y)) - y|]
         + 5·[|G(y) - y| + |back(x) - x|]
D:       ½·[(D(y) - 1)² + D(G(x))²]                        D': ½·[(D'(x) - 1)² + D'(back(y))²]
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from e2gan.config import TrainingConfig
from e2gan.core.device import autocast
from e2gan.train.batches import Batch
from e2gan.train.losses import l1_loss, r1_penalty
from e2gan.train.step import R1_EVERY, Trainer

CYCLE = 10.0  # λ
IDENTITY = 0.5 * CYCLE
HISTORY = 50  # edits


def least_squares_generator_loss(logits_fake: Tensor) -> Tensor:
    """(D(fake) - 1)², mean over patches, in fp32."""
    return (logits_fake.float() - 1).square().mean()


def least_squares_discriminator_loss(logits_real: Tensor, logits_fake: Tensor) -> Tensor:
    """Half of (D(real) - 1)² + D(fake)², mean over patches, in fp32."""
    return ((logits_real.float() - 1).square().mean() + logits_fake.float().square().mean()) / 2


class EditHistory:
    """Earlier edits, half of which a discriminator sees in place of new ones (Shrivastava et al. 2017).

    Holds at most `capacity` of them, in memory that is taken once, on the device of the first.
    """

    def __init__(self, capacity: int = HISTORY) -> None:
        self.capacity, self.count = capacity, 0
        self.images = torch.empty(0)

    def exchange(self, edits: Tensor, rng: torch.Generator) -> Tensor:
        """Edits (B, 3, H, W), each kept and given back while there is room; then half of them in exchange for old ones.

        rng: on the CPU. Nothing is learned through what is returned.
        """
        shown = []
        for edit in edits.detach():
            place = self.count
            if place < self.capacity:
                self.count += 1
                shown.append(edit)
            elif torch.rand((), generator=rng) < 0.5:
                place = int(torch.randint(self.capacity, (), generator=rng))
                shown.append(self.images[place].clone())
            else:
                shown.append(edit)
                continue
            self._put(place, edit)
        return torch.stack(shown)

    def _put(self, place: int, edit: Tensor) -> None:
        if not len(self.images):
            self.images = edit.new_zeros(self.capacity, *edit.shape)
        self.images[place] = edit

    def state(self) -> Tensor:
        """The edits held, (count, 3, H, W)."""
        return self.images[: self.count]

    def load_state(self, images: Tensor, device: torch.device) -> None:
        self.count, self.images = 0, torch.empty(0)
        for image in images.to(device):
            self._put(self.count, image)
            self.count += 1


class CycleGANTrainer(Trainer):
    """Two generators, there and back, and a discriminator of each kind of image, which sees one image alone.

    generator: photo → edit; what is written in the end. judge: of the target's kind, edit → logits. back, back_judge:
    the same the other way around. None of them takes a prompt. The target of a batch need not belong to its photo.
    """

    def __init__(
        self, generator: nn.Module, judge: nn.Module, back: nn.Module, back_judge: nn.Module, config: TrainingConfig
    ) -> None:
        both = nn.ModuleDict({"target": judge, "photo": back_judge})
        super().__init__(generator, both, config, heads=back)
        self.judge, self.back, self.back_judge = judge, back, back_judge
        self.histories = {"target": EditHistory(), "photo": EditHistory()}

    def step(self, batch: Batch, number: int = 0) -> dict[str, Tensor]:
        """Step `number` of a run: one update of both generators, then one of both discriminators, as published.

        Returns the losses without their weights, those of the way back by names that end in `_back`.
        """
        losses: dict[str, Tensor] = {}
        edit, back_edit = self._update_generators(batch, losses)
        if self.config.gan:
            self._update_discriminators(batch, edit, back_edit, number, losses)
        return {k: v.detach() for k, v in losses.items()}

    def _update_generators(self, batch: Batch, losses: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Returns the edits of the photos and, by `back`, of the targets."""
        photo, target, config = batch.photo, batch.target, self.config
        with autocast(self.device, config.precision):
            edit, same = self.generator(torch.cat([photo, target])).chunk(2)
            back_edit, back_same = self.back(torch.cat([target, photo])).chunk(2)
            returned, back_returned = self.back(edit), self.generator(back_edit)
        losses |= {"cycle": l1_loss(returned, photo), "cycle_back": l1_loss(back_returned, target)}
        losses |= {"identity": l1_loss(same, target), "identity_back": l1_loss(back_same, photo)}
        total = CYCLE * (losses["cycle"] + losses["cycle_back"])
        total = total + IDENTITY * (losses["identity"] + losses["identity_back"])
        if config.gan:
            # Frozen, so that the update of the discriminators sees no gradient of this one.
            self.discriminator.requires_grad_(False)
            with autocast(self.device, config.precision):
                logits, back_logits = self.judge(photo, edit), self.back_judge(target, back_edit)
            losses["g"] = least_squares_generator_loss(logits)
            losses["g_back"] = least_squares_generator_loss(back_logits)
            total = total + config.gan * (losses["g"] + losses["g_back"])
        self.update_generator(total)
        return edit.detach(), back_edit.detach()

    def _update_discriminators(
        self, batch: Batch, edit: Tensor, back_edit: Tensor, number: int, losses: dict[str, Tensor]
    ) -> None:
        config = self.config
        # The step's own chance, which a resumed run repeats.
        rng = torch.Generator().manual_seed(int(torch.randint(2**62, (1,))))
        self.discriminator.requires_grad_(True)
        total = torch.zeros((), device=self.device)
        ways = (
            ("d", "target", self.judge, batch.photo, batch.target, edit),
            ("d_back", "photo", self.back_judge, batch.target, batch.photo, back_edit),
        )
        for name, kind, judge, source, real, fake in ways:
            seen = torch.cat([real, self.histories[kind].exchange(fake, rng)])
            with autocast(self.device, config.precision):
                logits = judge(source.repeat(2, 1, 1, 1), seen).chunk(2)
            losses[name] = least_squares_discriminator_loss(*logits)
            total = total + losses[name]
            if config.r1 and number % R1_EVERY == 0:
                total = total + R1_EVERY * r1_penalty(judge, source, real, config.r1)
        self.optimizer_d.zero_grad(set_to_none=True)
        total.backward()
        self.optimizer_d.step()
        self.optimizer_d.zero_grad(set_to_none=True)

    def state(self) -> dict[str, Tensor]:
        held = {f"history.{kind}": history.state() for kind, history in self.histories.items() if history.count}
        return super().state() | held

    def load_state(self, state: dict[str, Tensor]) -> None:
        super().load_state(state)
        for kind, history in self.histories.items():
            history.load_state(state.get(f"history.{kind}", torch.empty(0)), self.device)
