"""How the cost of an adapter's training grows: seconds a step and peak memory by pairs, size, ranks and width.

    python benchmarks/growth.py [--out growth.json] [--plot docs/growth.png] [--threads 2] [--rounds 5] [--seconds 3]
                                [--quick]

One setting is changed at a time, from an adapter of the full generator by the recipe `quick` on 400 pairs of 128
pixels. The rows of a setting take turns, each in a process of its own, as in training.py: random pairs in memory, a
batch of them cut out and trained on. The time is for a step of the recipe's two photos. --quick: the same at its
smallest.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from e2gan.config import PRESETS, RECIPES, Ranks
from e2gan.config.checks import need
from e2gan.core.files import write_bytes, write_json
from e2gan.core.plots import COLOURS
from e2gan.core.progress import track
from e2gan.measure.cost import step_flops
from e2gan.train.batches import TrainingData
from e2gan.train.loop import batches

sys.path[:0] = [str(Path(__file__).resolve().parent)]
import turns  # noqa: E402 (scripts beside this one, found by the line above)
from runs import exit_status  # noqa: E402
from training import Training, trainer  # noqa: E402

LABELS = {"pairs": "training pairs", "size": "pixels a side", "ranks": "times the paper's ranks", "width": "width"}


@dataclass(frozen=True)
class Row:
    """An adapter's training. ranks: times the paper's. width: of the generator; 64 is the full one's."""

    pairs: int = 400
    size: int = 128
    ranks: int = 1
    width: int = 64
    threads: int = 2


def rows(threads: int, quick: bool) -> dict[str, list[Row]]:
    """By the setting that is changed, from few to many."""
    start = Row(8, 32, 1, 8, threads) if quick else Row(threads=threads)
    values = {"pairs": (100, 400, 1600, 6400), "size": (64, 128, 256, 512)}
    values |= {"ranks": (1, 2, 4, 8), "width": (16, 32, 48, 64, 96)}
    if quick:
        values = {"pairs": (8, 32), "size": (32, 64), "ranks": (1, 2), "width": (8, 16)}
    return {name: [replace(start, **{name: value}) for value in of] for name, of in values.items()}


def training(row: Row) -> Training:
    generator = replace(PRESETS["device"], width=row.width)
    return Training(generator, RECIPES["quick"].training["adapt"], row.pairs, 100, ranks=Ranks().times(row.ranks))


def serve(row: Row) -> None:
    torch.set_num_threads(row.threads)
    of, settings = trainer(training(row)), training(row)
    shape = row.pairs, 3, row.size, row.size
    photos, edits = (torch.randint(256, shape, dtype=torch.uint8) for _ in range(2))
    tokens, mask = torch.randn(1, 8, settings.generator.text_width), torch.ones(1, 8, dtype=torch.bool)
    concept = torch.zeros(row.pairs, dtype=torch.int64)
    data = TrainingData(photos, edits, torch.arange(row.pairs), concept, tokens, mask)
    given = batches(data, settings.config, 0)
    turns.serve(lambda: of.step(next(given), 1))


def measure(name: str, group: list[Row], rounds: int, seconds: float) -> list[dict[str, Any]]:
    """Settings and figures of the rows of a setting."""
    start = {str(getattr(row, name)): partial(turns.Served, __file__, row, row.threads) for row in group}
    found = turns.take_turns(start, group[0].threads, rounds, seconds)
    told = []
    for row in group:
        flops = step_flops(trainer(training(row)), row.size).total
        facts = found[str(getattr(row, name))].facts()
        told.append({"setting": name, "gflop_a_photo": flops / 1e9} | asdict(row) | facts)
    return told


def table(told: Sequence[dict[str, Any]]) -> str:
    """In Markdown; every factor is against the first row of the setting."""
    heads = ["", "", "s a step", "times", "operations, times", "MB", "times"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for name, label in LABELS.items():
        group = [row for row in told if row["setting"] == name]
        for i, row in enumerate(group):
            cells = [label if i == 0 else "", str(row[name])]
            if "ms" not in row:
                lines.append("| " + " | ".join([*cells, f"does not run: {row['error']}"]) + " |")
                continue
            noisy = "" if row["quiet"] else " (never quiet)"
            keys = ("ms", "gflop_a_photo", "peak_megabytes")
            times = [f"{row[key] / group[0][key]:.2f}" if "ms" in group[0] else "" for key in keys]
            cells += [f"{row['ms'] / 1000:.3f}{noisy}", *times[:2], str(row["peak_megabytes"]), times[2]]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plot(told: Sequence[dict[str, Any]], path: Path) -> None:
    """Seconds above, memory below, a column for each setting."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5), layout="constrained")
    cells = figure.subplots(2, len(LABELS), sharex="col", sharey="row")
    for column, (name, label) in enumerate(LABELS.items()):
        group = [row for row in told if row["setting"] == name and "ms" in row]
        x = [row[name] for row in group]
        seconds, memory = [row["ms"] / 1000 for row in group], [row["peak_megabytes"] for row in group]
        for line, y in enumerate((seconds, memory)):
            axes = cells[line][column]
            axes.plot(x, y, marker="o", markersize=4, color=COLOURS[line])
            axes.set_xscale("log", base=2)
            axes.set_yscale("log", base=2)
            axes.grid(visible=True, alpha=0.3)
            axes.spines[["top", "right"]].set_visible(False)
            axes.xaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_major_formatter("{x:g}")
            axes.set_xticks(x, [f"{value:g}" for value in x], minor=False)
            axes.minorticks_off()
        cells[1][column].set_xlabel(label)
    cells[0][0].set_ylabel("seconds a step")
    cells[1][0].set_ylabel("peak memory, MB")
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=80, metadata={"Software": None})
    write_bytes(path, data.getvalue())


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--plot", type=Path, help="PNG")
    made.add_argument("--quick", action="store_true")
    turns.add_options(made, None, None)
    return made


def work(options: argparse.Namespace) -> None:
    turns.check_options(options)
    if options.plot is not None:
        need(not options.plot.is_dir(), f"--plot {options.plot} is a folder: name a file")
    rounds = options.rounds if options.rounds is not None else (1 if options.quick else 5)
    seconds = options.seconds if options.seconds is not None else (0.0 if options.quick else 3.0)
    told: list[dict[str, Any]] = []
    for name, group in track(list(rows(options.threads, options.quick).items()), "settings"):
        told += measure(name, group, rounds, seconds)
        if options.out:  # anew after each: what is measured is kept
            write_json(options.out, {"torch": torch.__version__, "rows": told})
    print(table(told))
    if options.plot:
        plot(told, options.plot)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    if options.serve:
        serve(Row(**json.loads(options.serve)))
        return 0
    return exit_status(lambda: work(options), goes_on=False)


if __name__ == "__main__":
    sys.exit(main())
