"""What each setting of a short training gives: one changed at a time, all for equal time.

    python benchmarks/variants.py --pairs PAIRS … --out variants [--base small] [--recipe quick] [--minutes 1 5]
                                  [--only "batch 1" "batch 4" …] [--jobs 2]

An adapter's training by the recipe, and the same with one setting of it changed, on each pair set. Time is equal by
steps, as in quality.py: that of one step of each is measured first, in turns and in one thread's own time. Run again,
the command goes on where it was stopped, and tries those that were lost again. Writes OUT/variants.md,
OUT/variants.json and a picture of each concept and length in OUT/sheets. The figures in docs/log.md come from here.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from e2gan import RECIPES, AdaptConfig, PairSet, Ranks, ScratchConfig, TrainingConfig
from e2gan.config import Init
from e2gan.config.checks import at_least, need
from e2gan.core.files import write_bytes, write_json
from e2gan.core.names import slug
from e2gan.core.outputs import make_folder, versions
from e2gan.core.progress import note
from e2gan.measure.metrics import NetworkOptions
from e2gan.research.comparison import Comparison, load_sets

sys.path[:0] = [str(Path(__file__).resolve().parent)]
from equal_time import Timed, step_seconds  # noqa: E402 (scripts beside this one, found by the line above)
from quality import SHOWN  # noqa: E402
from quality_jobs import Base, Job, Settings, job_of, prepare  # noqa: E402
from quality_scores import distances, measured, scores_of_photos  # noqa: E402
from quality_tables import difference, values  # noqa: E402
from runs import exit_status, in_processes, markdown  # noqa: E402

AS_IT_IS = "the recipe"


@dataclass(frozen=True)
class Variant:
    """The recipe's training of an adapter, with other settings. scratch: of all weights from nothing instead."""

    changes: dict[str, Any] = field(default_factory=dict)
    times: dict[str, float] = field(default_factory=dict)  # settings that are the recipe's own, times this
    init: Init | None = None
    scratch: bool = False

    def training(self, recipe: str) -> TrainingConfig:
        own = RECIPES[recipe].training["scratch" if self.scratch else "adapt"]
        return replace(own, **self.changes, **{name: getattr(own, name) * x for name, x in self.times.items()})


ADVERSARIAL = {"gan": 1.0}
VARIANTS: dict[str, Variant] = {
    AS_IT_IS: Variant(),
    "adversarial": Variant(ADVERSARIAL),
    "adversarial, D's rate 5e-4": Variant(ADVERSARIAL | {"lr_d": 5e-4}),
    "adversarial, feature matching": Variant(ADVERSARIAL | {"feature_matching": 10.0}),
    "no perceptual loss": Variant({"perceptual": 0.0}),
    "perceptual loss of 20": Variant({"perceptual": 20.0}),
    "Gram matrices of 40": Variant({"gram": 40.0}),
    "batch 1": Variant({"batch": 1}),
    "batch 4": Variant({"batch": 4}),
    "half the rate": Variant(times={"lr": 0.5}),
    "twice the rate": Variant(times={"lr": 2.0}),
    "constant rate": Variant({"schedule": "constant"}),
    "mirrored pairs": Variant({"flip": True}),
    "A at random": Variant(init="random"),
    "from nothing": Variant(scratch=True),
    # Texler et al. (2020) train on patches, from nothing, with these weights, SqueezeNet in VGG's place.
    "patches from nothing, as Texler et al.": Variant(
        {"crop": 32, "batch": 40, "l1": 4.0, "perceptual": 6.0, "gan": 0.5, "lr": 4e-4}, scratch=True
    ),
}


def chosen(options: argparse.Namespace) -> dict[str, Variant]:
    """Those of --only, and the recipe itself. Raises InputError for one that is unknown."""
    for name in options.only or ():
        need(name in VARIANTS, f"--only '{name}': there are {', '.join(VARIANTS)}")
    return {name: v for name, v in VARIANTS.items() if not options.only or name in (AS_IT_IS, *options.only)}


def costs(training: TrainingConfig) -> TrainingConfig:
    """Of a training what its step's time depends on: trainings that are alike in it are timed once."""
    losses = {name: float(getattr(training, name) > 0) for name in ("perceptual", "gram", "gan", "feature_matching")}
    own = TrainingConfig()
    alike = {name: getattr(own, name) for name in ("lr", "lr_d", "schedule", "betas", "l1", "flip", "warmup")}
    return replace(training, **alike, **losses)


def step_times(options: argparse.Namespace, timed: dict[str, Timed], size: int) -> dict[str, float]:
    """Seconds of a step of each variant."""
    first: dict[Timed, str] = {}
    for name, one in timed.items():
        first.setdefault(replace(one, training=costs(one.training)), name)
    found = step_seconds(options.out / "step-times.json", {name: timed[name] for name in first.values()}, size, 9)
    return {name: found[first[replace(one, training=costs(one.training))]] for name, one in timed.items()}


def jobs_of(
    options: argparse.Namespace,
    base: Base,
    sets: Sequence[PairSet],
    wanted: tuple[str, ...],
    networks: NetworkOptions,
) -> list[Job]:
    """Every variant of every concept and length, the same time each."""
    recipe, variants = RECIPES[options.recipe], chosen(options)
    trainings = {name: replace(v.training(options.recipe), device="cpu") for name, v in variants.items()}
    ranks: Ranks = recipe.ranks(base.generator)
    timed = {
        name: Timed(base.generator, training, None if variants[name].scratch else ranks)
        for name, training in trainings.items()
    }
    times = step_times(options, timed, sets[0].size)
    found = []
    for minutes in options.minutes:
        for pair_set in sets:
            place = options.out / "models" / slug(pair_set.folder.name) / f"{minutes:g}min"
            for name, variant in variants.items():
                steps = max(1, round(60 * minutes / times[name]))
                training = replace(trainings[name], minutes=None, steps=steps, seed=options.seed)
                common: dict[str, Any] = {"pairs": pair_set.folder, "out": place / slug(name), "training": training}
                if variant.scratch:
                    stage = ScratchConfig(model="e2gan", generator=base.generator, text=base.text, **common)
                else:
                    own = recipe.settings("adapt", base.generator)
                    own |= {} if variant.init is None else {"init": variant.init}
                    stage = AdaptConfig(base=base.folder, **own | common)
                facts = {"recipe": options.recipe, "length": minutes, "base": base.name, "trained": name}
                facts |= {"steps": steps, "seconds": steps * times[name], "wanted": wanted}
                found.append(job_of(stage, pair_set=pair_set, networks=networks, **facts))
    return found


def table(
    variants: Sequence[str], cells: dict[str, list[tuple[Job, Any]]], photos: Sequence[Any], columns: Sequence[str]
) -> list[str]:
    """A row a variant, means over the concepts; on how many of them it is ahead of the recipe and behind it in L1 and
    in fd-efficientnet, by 95 % intervals over the photos."""
    told = [name for name in ("L1", "fd-efficientnet") if name in columns]
    rows = [["the photo as it is", "", *values([p["mean"] for p in photos], columns), *[""] * len(told)]]
    ours = [cell for _, cell in cells[AS_IT_IS]]
    for name in variants:
        found = [cell for _, cell in cells[name]]
        standing = [_standing(ours, found, column) if name != AS_IT_IS else "" for column in told]
        steps = f"{cells[name][0][0].steps:,}"
        rows.append([name, steps, *values([cell and cell["mean"] for cell in found], columns), *standing])
    heads = [f"{column}: ahead, equal, behind" for column in told]
    return markdown(["", "steps", *columns, *heads], rows)


def _standing(recipe: Sequence[Any], variant: Sequence[Any], column: str) -> str:
    counts = {"ahead": 0, "equal": 0, "behind": 0}
    for ours, theirs in zip(recipe, variant, strict=True):
        if ours is None or theirs is None:  # one that was lost
            standing = "equal" if ours is theirs else "ahead" if ours is None else "behind"
        else:
            found = difference(theirs, ours, column)
            assert found is not None  # `table` asks for what was measured
            standing = found.standing
        counts[standing] += 1
    return ", ".join(map(str, counts.values()))


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--pairs", type=Path, nargs="+", required=True, help="pair sets of one size")
    made.add_argument("--out", type=Path, required=True)
    made.add_argument("--base", type=Path, help="full, small or a folder (default: the one that ships)")
    made.add_argument("--recipe", default="quick", choices=list(RECIPES))
    made.add_argument("--minutes", type=float, nargs="+", default=[1.0, 5.0], help="of one core, of each training")
    made.add_argument("--only", nargs="*", metavar="VARIANT", help=f"of: {'; '.join(VARIANTS)}")
    made.add_argument("--efficientnet", default="auto", help="EfficientNet-Lite0's weights")
    made.add_argument("--jobs", type=int, default=1, help="trainings at a time, each in a process of one thread")
    made.add_argument("--seed", type=int, default=0)
    return made


def run(options: argparse.Namespace) -> str:
    """Raises InputError for bad settings, and where there is no such base."""
    need(all(minutes > 0 for minutes in options.minutes), "--minutes: each must be positive")
    need(len(set(options.minutes)) == len(options.minutes), "--minutes names one twice")
    at_least("jobs", options.jobs, 1)
    variants = chosen(options)
    base, sets = Base.load(options.base), load_sets(options.pairs)
    need(len({s.size for s in sets}) == 1, "--pairs: the sets differ in size, and so would the time of a step")
    judges = Settings(pairs=(), out=options.out, efficientnet=options.efficientnet, device="cpu")
    wanted, notes = distances(judges)
    torch.set_num_threads(1)
    make_folder(options.out)
    jobs = jobs_of(options, base, sets, wanted, judges.networks)
    prepare(jobs)
    found: dict[tuple[float, str], list[tuple[Job, Any]]] = {}
    for job, cell in zip(jobs, in_processes(measured, jobs, options.jobs), strict=True):
        assert job.length is not None
        found.setdefault((job.length, job.trained), []).append((job, cell))
        mean = "lost" if cell is None else cell["mean"]
        note(f"{job.length:g} minutes, {job.pair_set.folder.name}, {job.trained}: {mean}")
    photos = [scores_of_photos(next(job for job in jobs if job.pair_set is pair_set)) for pair_set in sets]
    columns, lines = ["L1", "SSIM", *wanted], []
    for minutes in options.minutes:
        cells = {name: found[minutes, name] for name in variants}
        lines += [f"## {minutes:g} minutes", "", *table(list(variants), cells, photos, columns), ""]
        if len(sets) > 1:
            for k, pair_set in enumerate(sets):
                own = {name: [of_sets[k]] for name, of_sets in cells.items()}
                lines += [pair_set.prompt, "", *table(list(variants), own, [photos[k]], columns), ""]
        sheets(options.out, sets, [job for of_sets in cells.values() for job, _ in of_sets], judges.networks)
    text = "\n".join([*lines, *notes]).rstrip() + "\n"
    write_bytes(options.out / "variants.md", text.encode())
    rows = [
        {"minutes": minutes, "variant": name, "concept": job.pair_set.folder.name, "steps": job.steps}
        | {"mean": cell and cell["mean"]}
        for (minutes, name), of_sets in found.items()
        for job, cell in of_sets
    ]
    settings = {"base": base.name, "recipe": options.recipe, "seed": options.seed}
    write_json(options.out / "variants.json", {"settings": settings, "versions": versions(), "rows": rows})
    return text


def sheets(out: Path, sets: Sequence[PairSet], jobs: Sequence[Job], networks: NetworkOptions) -> None:
    """A picture of each concept: a few test photos, the teacher's edits, and each variant's."""
    comparison = Comparison(out, "l1", networks)
    make_folder(out / "sheets")
    for pair_set in sets:
        own = [job for job in jobs if job.pair_set is pair_set and job.model.weights.exists()]
        path = out / "sheets" / f"{slug(pair_set.folder.name)}-{jobs[0].length:g}min.png"
        comparison.sheet(path, pair_set, [(job.trained, job.model) for job in own], SHOWN)


def main(arguments: Sequence[str] | None = None) -> int:
    return exit_status(lambda: print(run(parser().parse_args(arguments)), end=""))


if __name__ == "__main__":
    sys.exit(main())
