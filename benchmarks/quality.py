"""What each recipe reaches on a base: its adapter; the same generator from nothing, the colour table, the photo itself.

    python benchmarks/quality.py --pairs PAIRS … --out quality --base BASE --recipe quick best [--jobs 2]
    python benchmarks/quality.py --pairs PAIRS … --out quality --base BASE --recipe quick --curve 1 5 30

Time is equal by steps: that of one step of each training is measured first, in one thread's own time, which other work
on the machine leaves alone; a recipe's minutes on --cores cores are then so many of its steps, and from nothing as many
steps as take the adapter's time, times --scratch-factors. Run again, the command goes on where it was stopped; delete
OUT/step-times.json only with OUT/models. Writes OUT/quality.md, the table of docs/quality.md, OUT/results.json, and a
picture for each concept, recipe and length in OUT/sheets.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro

from e2gan import (
    RECIPES,
    AdaptConfig,
    GeneratorConfig,
    InputError,
    PairSet,
    Predictor,
    ScratchConfig,
    TrainingConfig,
    adapt,
    train_scratch,
)
from e2gan.config import Ranks
from e2gan.config.checks import at_least, need, positive
from e2gan.config.schemas import BASE
from e2gan.core.errors import LostTrainingError
from e2gan.core.files import read_json, sha256, write_bytes, write_json
from e2gan.core.images import Pixels
from e2gan.core.names import slug
from e2gan.core.outputs import CONTENT, make_folder, read_settings, versions
from e2gan.core.progress import note
from e2gan.data.pair_set import ROWS
from e2gan.measure.evaluate import metrics
from e2gan.measure.metrics import METRICS, NetworkOptions
from e2gan.networks.folders import MODEL, base_folder, generator_config
from e2gan.research.comparison import Comparison, TrainedModel, load_sets

sys.path[:0] = [str(Path(__file__).resolve().parent)]
from runs import exit_status, in_processes, markdown, once  # noqa: E402 (scripts beside this one, found by the line above)
from step import milliseconds, steady_clock  # noqa: E402

SHOWN = 6  # test photos on a sheet
DISTANCES = ("fd-squeezenet", "fd-efficientnet", "swd")
PHOTO, TABLE = "the photo as it is", "colour table"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Measure what each recipe reaches."""

    pairs: tuple[Path, ...]
    """Pair sets of concepts that the base has not learned."""
    out: Path
    """Folder to write."""
    base: Path | None = None
    """Base to adapt (default: the one that ships)."""
    recipe: tuple[str, ...] = ("quick",)
    """Of e2gan.config.RECIPES."""
    scratch_factors: tuple[float, ...] = (1.0, 3.0)
    """Time of the same generator from nothing, in that of the adapter."""
    minutes: float | None = None
    """Time of an adapter (default: the recipe's minutes, or its epochs)."""
    curve: tuple[float, ...] = ()
    """Several times instead, in minutes: a table for each."""
    cores: float = 1.0
    """Cores of the machine whose minutes these are."""
    repeat: int = 9
    """Steps of each training that are timed, of which the median counts."""
    features: Path | None = None
    """SqueezeNet 1.1 weights (default: those that ship)."""
    efficientnet: str = "auto"
    """EfficientNet-Lite0's weights; auto: those of the installed package, without which the column is left out."""
    jobs: int = 1
    """Trainings at a time, each in a process of one thread."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    seed: int = 0

    def check(self) -> None:
        for text in self.recipe:
            need(text in RECIPES, f"--recipe {text}: there are {', '.join(RECIPES)}")
        need(bool(self.recipe), "--recipe is empty")
        need(self.minutes is None or not self.curve, "--minutes and --curve exclude each other")
        for name in ("minutes", "cores"):
            positive(name, getattr(self, name))
        for name in ("curve", "scratch_factors"):
            need(all(value > 0 for value in getattr(self, name)), f"--{name.replace('_', '-')}: each must be positive")
        for name in ("repeat", "jobs"):
            at_least(name, getattr(self, name), 1)

    @property
    def networks(self) -> NetworkOptions:
        return NetworkOptions(features=self.features, efficientnet=self.efficientnet, device=self.device)


@dataclass(frozen=True)
class Base:
    folder: Path
    generator: GeneratorConfig
    text: str

    @classmethod
    def load(cls, folder: Path | None) -> Base:
        where = base_folder(folder)
        settings = read_settings(where, BASE, "base")
        return cls(where, generator_config(settings), settings["text"])


@dataclass(frozen=True)
class Job:
    """One model of one concept. length: its adapter's minutes; None: the recipe's own, or it has none."""

    pair_set: PairSet
    recipe: str
    length: float | None
    trained: str
    stage: AdaptConfig | ScratchConfig
    steps: int
    seconds: float
    wanted: tuple[str, ...]
    networks: NetworkOptions

    @property
    def base(self) -> Path | None:
        return self.stage.base if isinstance(self.stage, AdaptConfig) else None

    @property
    def model(self) -> TrainedModel:
        return TrainedModel(self.stage.out, 0, self.base)


# ------------------------------------------------------------------------------------------------------ equal time


def step_seconds(
    generator: GeneratorConfig, training: TrainingConfig, size: int, repeat: int, ranks: Ranks | None
) -> float:
    """The median time of a training step as these settings have it. ranks: an adapter's; None trains all weights."""
    torch.manual_seed(0)
    side = min(training.crop or size, size)
    times = {"size": side, "repeat": repeat, "clock": steady_clock()}
    return milliseconds(generator, training, ranks=ranks, **times) * training.batch / 1000


def step_times(config: Settings, base: Base, size: int) -> dict[str, dict[str, float]]:
    """Recipe → seconds of a step of its adapter, and from nothing. Measured once, so that a rerun has as many steps."""
    path = config.out / "step-times.json"
    found: dict[str, dict[str, float]] = read_json(path) if path.exists() else {}
    for name in config.recipe:
        if name in found:
            continue
        note(f"the time of a step of {name}")
        found[name] = {
            stage: step_seconds(base.generator, trained(config, name, stage), size, config.repeat, ranks)
            for stage, ranks in (("adapt", recipe_ranks(name, base.generator)), ("scratch", None))
        }
        write_json(path, found)
    return found


def recipe_ranks(recipe: str, generator: GeneratorConfig) -> Ranks:
    return RECIPES[recipe].settings("adapt", generator).get("ranks", Ranks())


def trained(config: Settings, recipe: str, stage: Any, steps: int | None = None) -> TrainingConfig:
    own = replace(RECIPES[recipe].training[stage], device=config.device, seed=config.seed)
    return own if steps is None else replace(own, minutes=None, steps=steps)


def adapter_steps(config: Settings, recipe: str, length: float | None, step: float, pairs: int) -> int:
    """So many steps as `length` minutes hold, or the recipe's minutes or epochs."""
    training = RECIPES[recipe].training["adapt"]
    minutes = training.minutes if length is None else length
    if minutes is not None:
        return max(1, round(60 * minutes * config.cores / step))
    return training.steps or training.epochs * max(1, pairs // training.batch)


# ------------------------------------------------------------------------------------------------------------ the jobs


def jobs_of(config: Settings, base: Base, sets: Sequence[PairSet], wanted: tuple[str, ...]) -> list[Job]:
    """Every model; concept by concept within a recipe and length."""
    times, found = step_times(config, base, sets[0].size), []
    common = {"wanted": wanted, "networks": config.networks}
    for pair_set in sets:
        stage = ScratchConfig(pairs=pair_set.folder, out=place(config, pair_set, "colour-table"), model="lut")
        found.append(Job(pair_set, "", None, TABLE, stage, 0, 0.0, **common))
    for length in config.curve or (config.minutes,):
        for name in config.recipe:
            for pair_set in sets:
                found += recipe_jobs(config, base, name, length, pair_set, times[name], common)
    return found


def place(config: Settings, pair_set: PairSet, *parts: str) -> Path:
    return config.out.joinpath("models", slug(pair_set.folder.name), *parts)


def recipe_jobs(
    config: Settings,
    base: Base,
    name: str,
    length: float | None,
    pair_set: PairSet,
    step: dict[str, float],
    common: dict[str, Any],
) -> list[Job]:
    """The recipe's adapter, and the same generator from nothing."""
    steps = adapter_steps(config, name, length, step["adapt"], len(pair_set.files("train")[0]))
    where = f"{slug(name)}-{'own' if length is None else f'{length:g}min'}"
    settings: dict[str, Any] = RECIPES[name].settings("adapt", base.generator)
    settings["training"] = trained(config, name, "adapt", steps)
    out = place(config, pair_set, where, "adapter")
    adapter = AdaptConfig(base=base.folder, pairs=pair_set.folder, out=out, **settings)
    seconds = steps * step["adapt"]
    found = [Job(pair_set, name, length, "adapter", adapter, steps, seconds / config.cores, **common)]
    for factor in config.scratch_factors:
        steps = max(1, round(factor * seconds / step["scratch"]))
        scratch = ScratchConfig(
            pairs=pair_set.folder,
            out=place(config, pair_set, where, f"from-nothing-{factor:g}"),
            model="e2gan",
            generator=base.generator,
            text=base.text,
            training=trained(config, name, "scratch", steps),
        )
        title = "from nothing" if factor == 1 else f"from nothing, {factor:g}× the time"
        taken = steps * step["scratch"] / config.cores
        found.append(Job(pair_set, name, length, title, scratch, steps, taken, **common))
    return found


def measured(job: Job) -> dict[str, float] | None:
    """Train, where it is not yet, and measure on the test photos; None for a training that was lost."""
    try:
        adapt(job.stage) if isinstance(job.stage, AdaptConfig) else train_scratch(job.stage)
    except LostTrainingError as error:
        note(f"{job.stage.out}: {error}")
        return None
    key = {"weights_sha256": sha256(job.model.weights), "pairs_sha256": sha256(job.pair_set.folder / ROWS)}
    key |= {CONTENT: {"pairs": job.pair_set.content()}}

    def work() -> dict[str, float]:
        photos, targets, _ = job.pair_set.arrays("test")
        return scores(Predictor(job.model.load(), job.networks.device).batch(photos), targets, job)

    return once(job.stage.out / f"{'-'.join(('scores', *job.wanted))}.json", key, work)


def scores(edits_NHWC: Pixels, targets_NHWC: Pixels, job: Job) -> dict[str, float]:
    """By the columns' names."""
    kinds = [METRICS[name] for name in job.wanted]
    found = metrics(edits_NHWC, targets_NHWC, {kind.key: kind.load(job.networks) for kind in kinds})
    return {"L1": found.l1, "SSIM": found.ssim} | {kind.name: getattr(found, kind.key).value for kind in kinds}


def distances(config: Settings) -> tuple[tuple[str, ...], list[str]]:
    """The distances whose networks are at hand, and a line on each that is not. Raises InputError for a wrong file."""
    found, missing = [], []
    for name in DISTANCES:
        try:
            METRICS[name].load(config.networks)
            found.append(name)
        except InputError as error:
            if name != "fd-efficientnet" or config.efficientnet != "auto":
                raise
            missing.append(f"Without {name}: {error}")
    return tuple(found), missing


# ---------------------------------------------------------------------------------------------------------- the tables


@dataclass(frozen=True)
class Table:
    """What is measured: of each job, and of the photos as they are by concept."""

    config: Settings
    sets: Sequence[PairSet]
    wanted: tuple[str, ...]
    notes: Sequence[str]
    photos: dict[str, dict[str, float]]
    found: list[tuple[Job, dict[str, float] | None]]

    def markdown(self) -> str:
        lines: list[str] = []
        lengths = self.config.curve or (self.config.minutes,)
        for length in lengths:
            lines += [] if length is None else [f"## {length:g} minutes", ""]
            many = len(self.sets) > 1
            lines += [*(["Mean of the concepts", ""] if many else []), *self.of(length, self.sets), ""]
            for pair_set in self.sets if many else ():
                lines += [f"{pair_set.prompt[:1].upper()}{pair_set.prompt[1:]}", "", *self.of(length, [pair_set]), ""]
        return "\n".join([*lines, *(f"{text}  " for text in self.notes)]).rstrip() + "\n"

    def of(self, length: float | None, sets: Sequence[PairSet]) -> list[str]:
        """The rows of one length: means over these concepts, where all of them are measured."""
        columns = ["L1", "SSIM", *self.wanted]
        by_row: dict[tuple[str, str], list[tuple[Job, dict[str, float] | None]]] = {}
        folders = [pair_set.folder for pair_set in sets]
        for job, cell in self.found:
            if job.pair_set.folder in folders and (job.trained == TABLE or job.length == length):
                by_row.setdefault((job.recipe, job.trained), []).append((job, cell))
        rows = [["", PHOTO, "", "", *values([self.photos[s.folder.name] for s in sets], columns)]]
        for (recipe, title), own in by_row.items():
            if len(own) == len(sets):
                taken = ["", ""] if title == TABLE else [span(j.steps for j, _ in own), span(j.seconds for j, _ in own)]
                rows.append([recipe, title, *taken, *values([cell for _, cell in own], columns)])
        return markdown(["recipe", "", "steps", "seconds", *columns], rows)

    def write(self) -> str:
        text = self.markdown()
        rows = [
            {
                "concept": job.pair_set.folder.name,
                "recipe": job.recipe,
                "minutes": job.length,
                "trained": job.trained,
                "steps": job.steps,
                "seconds": job.seconds,
                "folder": job.stage.out,
                "scores": cell,
            }
            for job, cell in self.found
        ]
        write_json(
            self.config.out / "results.json",
            {"settings": self.config, "versions": versions(), "photos": self.photos, "models": rows},
        )
        write_bytes(self.config.out / "quality.md", text.encode())
        return text


def span(numbers: Iterable[float]) -> str:
    found = list(numbers)
    low, high = min(found), max(found)
    return f"{low:,.0f}" if round(low) == round(high) else f"{low:,.0f} to {high:,.0f}"


def values(cells: Sequence[dict[str, float] | None], columns: Sequence[str]) -> list[str]:
    """Means over the concepts, or that some trainings were lost."""
    known = [cell for cell in cells if cell is not None]
    if len(known) < len(cells):
        return [f"{len(cells) - len(known)} lost"] + [""] * (len(columns) - 1)
    digits = {"L1": ".2f", "SSIM": ".3f"}
    return [format(float(np.mean([cell[name] for cell in known])), digits.get(name, ".3g")) for name in columns]


def draw(config: Settings, comparison: Comparison, jobs: Sequence[Job]) -> None:
    """photo | teacher | table | adapter | from nothing, for each concept, recipe and length."""
    tables = {job.pair_set.folder: job for job in jobs if job.trained == TABLE}
    groups: dict[tuple[Path, str, float | None], list[Job]] = {}
    for job in jobs:
        if job.trained != TABLE and job.model.weights.exists():
            groups.setdefault((job.pair_set.folder, job.recipe, job.length), []).append(job)
    make_folder(config.out / "sheets")
    for (folder, recipe, length), own in groups.items():
        shown = [tables[folder], *own]
        time = "" if length is None else f"-{length:g}min"
        path = config.out / "sheets" / f"{slug(folder.name)}-{slug(recipe)}{time}.png"
        if not path.exists() or any(path.stat().st_mtime < job.model.weights.stat().st_mtime for job in shown):
            comparison.sheet(path, own[0].pair_set, [(job.trained, job.model) for job in shown], SHOWN)


def run_all(config: Settings) -> str:
    """All models that are not there yet. Returns the tables. Raises InputError for bad settings or folders."""
    config.check()
    torch.set_num_threads(1)  # whose own time is that of a step
    base, sets = Base.load(config.base), load_sets(config.pairs)
    need(len({s.size for s in sets}) == 1, "--pairs: the sets differ in size, and so would the time of a step")
    wanted, notes = distances(config)
    make_folder(config.out)
    key = {"base_sha256": sha256(base.folder / MODEL), "size": sets[0].size, "cores": config.cores, "seed": config.seed}
    once(config.out / "settings.json", key, dict)
    jobs = jobs_of(config, base, sets, wanted)
    for job in jobs:
        job.stage.check()
        make_folder(job.stage.out.parent)
    photos = {}
    for job in jobs[: len(sets)]:
        before, targets, _ = job.pair_set.arrays("test")
        photos[job.pair_set.folder.name] = scores(before, targets, job)
    table = Table(config, sets, wanted, notes, photos, [])
    for job, cell in zip(jobs, in_processes(measured, jobs, config.jobs), strict=True):
        table.found.append((job, cell))
        note(f"{len(table.found)} of {len(jobs)}: {job.stage.out}")
        table.write()
    draw(config, Comparison(config.out, "l1", config.networks), jobs)
    return table.write()


def main(arguments: Sequence[str] | None = None) -> int:
    return exit_status(lambda: print(run_all(tyro.cli(Settings, args=arguments, description=__doc__)), end=""))


if __name__ == "__main__":
    sys.exit(main())
