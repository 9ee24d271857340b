"""What each lever of the training step is worth: the step without it, against the step as it is.

    python benchmarks/levers.py [--out levers.json] [--training "adapter, full, quick with Eq. 1"] [--size 128]
                                [--threads 2] [--rounds 5] [--seconds 2] [--compiled]

Rows take turns, each in a process of its own, as in training.py, whose trainings these are; the default has the
adversarial loss, which has levers of its own. "times" is a step without the lever over the step as it is, above 1 where
the lever pays; of what is not done, below 1 where it would pay. The losses of the first step are compared with those of
the step as it is: a lever that changes them by more than rounding is told.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from e2gan.config.checks import need, side
from e2gan.core.files import write_json
from e2gan.networks.discriminator import Discriminator
from e2gan.train.batches import Batch
from e2gan.train.compiled import compiled_step
from e2gan.train.step import Trainer

sys.path[:0] = [str(Path(__file__).resolve().parent)]
import turns  # noqa: E402 (scripts beside this one, found by the line above)
from runs import exit_status, markdown  # noqa: E402
from training import Training, crop_side, network, random_pairs, trainer, trainings  # noqa: E402

AS_IT_IS = "as it is"


def in_fp32(training: Training) -> Trainer:
    return trainer(replace(training, config=replace(training.config, precision="fp32")))


def with_branches(training: Training) -> Trainer:
    """PEFT's own way: a branch beside each layer, in place of W + BA as its weight."""
    return Trainer(network(training).train(), Discriminator(), training.config)


def with_plain_adam(training: Training) -> Trainer:
    """PyTorch's loop over the tensors."""
    of = trainer(training)
    config = of.config
    for name, trained in (("optimizer_g", of.trained.values()), ("optimizer_d", of.discriminator.parameters())):
        setattr(of, name, torch.optim.Adam(trained, lr=config.lr, betas=config.betas, fused=False, foreach=False))
    return of


def with_halves_apart(training: Training) -> Trainer:
    """The discriminator sees the teacher's edits and ours in two calls."""
    of = trainer(training)
    of.discriminator.compares_batch = True  # pyright: ignore[reportArgumentType]
    return of


def with_losses_read(training: Training) -> Trainer:
    """As a log of every step would; on a GPU, which it keeps waiting, more than here."""

    class Reader(Trainer):
        def step(self, batch: Batch, number: int = 0) -> dict[str, torch.Tensor]:
            return {name: torch.tensor(float(loss)) for name, loss in super().step(batch, number).items()}

    of = trainer(training)
    of.__class__ = Reader
    return of


class _Changed(Trainer):
    """Steps on another batch than it is given."""

    change: Callable[[Batch], Batch]

    def step(self, batch: Batch, number: int = 0) -> dict[str, torch.Tensor]:
        return super().step(self.change(batch), number)


def _with_batch(training: Training, change: Callable[[Batch], Batch]) -> Trainer:
    of = trainer(training)
    of.__class__ = _Changed
    of.change = change  # pyright: ignore[reportAttributeAccessIssue]
    return of


def with_one_prompt(training: Training) -> Trainer:
    """No lever of the step as it is: an adapter's keys and values made once for the batch, not for each photo."""
    return _with_batch(training, lambda batch: replace(batch, tokens=batch.tokens[:1], mask=batch.mask[:1]))


def with_gradient_to_the_photo(training: Training) -> Trainer:
    """As where the layers before the first trained one were told of a gradient too."""
    return _with_batch(training, lambda batch: replace(batch, photo=batch.photo.detach().requires_grad_()))


def with_compiled(training: Training) -> Trainer:
    """As `--compile` does."""
    of = trainer(training)
    of.step = compiled_step(of)  # pyright: ignore[reportAttributeAccessIssue]
    return of


LEVERS: dict[str, Callable[[Training], Trainer]] = {
    AS_IT_IS: trainer,
    "in fp32": in_fp32,
    "branches beside the layers": with_branches,
    "Adam tensor by tensor": with_plain_adam,
    "real and fake in two calls of D": with_halves_apart,
    "losses read after each step": with_losses_read,
    "gradient to the photo": with_gradient_to_the_photo,
    "keys and values once (not done)": with_one_prompt,
}
COMPILED = {"compiled (--compile)": with_compiled}  # takes minutes to begin


@dataclass(frozen=True)
class Row:
    training: str
    without: str
    size: int
    threads: int


def of_row(row: Row) -> tuple[Trainer, Any]:
    training = trainings()[row.training]
    of = (LEVERS | COMPILED)[row.without](training)
    torch.manual_seed(1)
    return of, random_pairs(of, training, crop_side(training, row.size))


def serve(row: Row) -> None:
    torch.set_num_threads(row.threads)
    of, pairs = of_row(row)
    turns.serve(lambda: of.step(pairs, 1))


def first_losses(row: Row) -> dict[str, float]:
    of, pairs = of_row(row)
    return {name: float(loss) for name, loss in of.step(pairs, 1).items()}


def table(rows: Sequence[dict[str, Any]]) -> str:
    heads = ["", "ms a step", "times", "MB", "first losses, farthest from those of the step as it is"]
    lines = []
    for row in rows:
        if "ms" not in row:
            lines.append([row["without"], f"does not run: {row['error']}", "", "", ""])
            continue
        quiet = "" if row["quiet"] else " (never quiet)"
        times = f"{row['ms'] / rows[0]['ms']:.3f}" if "ms" in rows[0] else ""
        far = max(abs(loss / rows[0]["losses"][name] - 1) for name, loss in row["losses"].items())
        lines.append([row["without"], f"{row['ms']:.0f}{quiet}", times, str(row["peak_megabytes"]), f"{far:.1e}"])
    return "\n".join(markdown(heads, lines)) + "\n"


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument(
        "--training", default="adapter, full, quick with Eq. 1", help="of benchmarks/training.py, by its name"
    )
    made.add_argument("--size", type=int, default=128)
    made.add_argument("--compiled", action="store_true", help="also what torch.compile would give")
    turns.add_options(made, 5, 2.0)
    return made


def run(options: argparse.Namespace) -> str:
    known = trainings()
    need(options.training in known, f"--training {options.training!r}: there are {'; '.join(known)}")
    side("size", options.size)
    turns.check_options(options)
    shown = LEVERS | (COMPILED if options.compiled else {})
    rows = {name: Row(options.training, name, options.size, options.threads) for name in shown}
    start = {name: partial(turns.Served, __file__, row, options.threads) for name, row in rows.items()}
    found = turns.take_turns(start, options.threads, options.rounds, options.seconds)
    told = [{"without": name, "losses": first_losses(row)} | found[name].facts() for name, row in rows.items()]
    if options.out:
        write_json(options.out, {"options": {k: str(v) for k, v in vars(options).items()}, "rows": told})
    return table(told)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    if options.serve:
        serve(Row(**json.loads(options.serve)))
        return 0
    return exit_status(lambda: print(run(options), end=""), goes_on=False)


if __name__ == "__main__":
    sys.exit(main())
