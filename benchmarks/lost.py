"""No training lost: how many trainings of each kind fail, over presets, learning rates, concepts and seeds.

    python benchmarks/lost.py --pairs PAIRS … --out lost --presets residual device --bases BASE … [--jobs 2]

Adapters are trained on each base, which belongs to the preset that its generator is of; all weights from nothing for
each preset (kind `scratch`), or from each base (kind `finetune`). Settings are the recipe's, with --steps for its
minutes. A run is lost where the guard ended it, a loss was not finite, or its edits of the test photos are further
from the teacher's than the photos are; that the guard went back and saved it is counted apart, and so is a lost one
that did not say so. Run again, the command goes on where it was stopped. Writes OUT/lost.md, OUT/results.json and a
file a run in OUT/runs. The figures in docs/log.md come from here.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tyro

from e2gan import (
    PRESETS,
    RECIPES,
    AdaptConfig,
    GeneratorConfig,
    InputError,
    Model,
    PairSet,
    Predictor,
    ScratchConfig,
    TrainingConfig,
)
from e2gan.config import FinetuneConfig
from e2gan.config.checks import at_least, need
from e2gan.config.schemas import BASE
from e2gan.core.errors import LostTrainingError
from e2gan.core.files import read_jsonl, sha256, write_bytes, write_json
from e2gan.core.names import slug
from e2gan.core.outputs import make_folder, partial_of, read_settings, versions
from e2gan.core.progress import note
from e2gan.measure.metrics import MetricScorer, NetworkOptions
from e2gan.networks.folders import MODEL, base_folder, generator_config
from e2gan.research.comparison import load_sets
from e2gan.train.loop import METRICS

sys.path[:0] = [str(Path(__file__).resolve().parent)]
from runs import exit_status, in_processes, markdown, once  # noqa: E402 (scripts beside this one, found by the line above)
from trainings import Stage, pairs_of, settings_of, train  # noqa: E402

Kind = Literal["adapter", "scratch", "finetune"]
KINDS: dict[Kind, str] = {"adapter": "adapter", "scratch": "all weights", "finetune": "all weights, from the base"}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Count the trainings that are lost."""

    pairs: tuple[Path, ...]
    """Pair sets of concepts that the bases have not learned."""
    out: Path
    """Folder to write."""
    presets: tuple[str, ...] = ()
    """Generators: of e2gan.config.PRESETS."""
    width: int | None = None
    """Channels of the presets' first convolution instead of theirs."""
    bases: tuple[Path, ...] = ()
    """Bases to adapt: one a preset; one of another generator stands under its folder's name."""
    kinds: tuple[Kind, ...] = ("adapter", "scratch")
    """What is trained: adapters, all weights from nothing, all weights from the base."""
    recipe: str = "quick"
    """Whose settings hold where no option says another."""
    steps: int = 2000
    """Steps of each training, instead of the recipe's minutes or epochs."""
    adapter_lr: tuple[float, ...] = (5e-3,)
    """Learning rates of the adapters."""
    lr: tuple[float, ...] = (1e-3,)
    """Learning rates where all weights are trained."""
    seeds: int = 5
    """Runs of each kind, rate and concept."""
    batch: int | None = None
    """Pairs a step."""
    crop: int | None = None
    """Side of random crops to train on."""
    perceptual: float | None = None
    """Weight of the perceptual loss."""
    schedule: Literal["constant", "linear", "cosine"] | None = None
    """Learning rate over the run."""
    jobs: int = 1
    """Trainings at a time, each in a process of one thread."""
    keep: bool = False
    """Keep the trained weights: some 40 MB for each run of all weights."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""

    def check(self) -> None:
        need(bool(self.presets or self.bases), "name --presets, or --bases, or both")
        for text in self.presets:
            need(text in PRESETS, f"--presets {text}: there are {', '.join(PRESETS)}")
        need(self.recipe in RECIPES, f"--recipe {self.recipe}: there are {', '.join(RECIPES)}")
        of_base = [kind for kind in ("adapter", "finetune") if kind in self.kinds]
        need(bool(self.bases) or not of_base, f"--kinds {' '.join(of_base)}: name --bases, or --kinds scratch alone")
        for name in ("steps", "seeds", "jobs", "width"):
            at_least(name, getattr(self, name), 1)

    def training(self, kind: Kind, lr: float, seed: int) -> TrainingConfig:
        chosen = {name: getattr(self, name) for name in ("batch", "crop", "perceptual", "schedule")}
        chosen = {name: value for name, value in chosen.items() if value is not None}
        of_recipe = RECIPES[self.recipe].training["adapt" if kind == "adapter" else "scratch"]
        return replace(of_recipe, minutes=None, steps=self.steps, lr=lr, seed=seed, device=self.device, **chosen)


@dataclass(frozen=True)
class Subject:
    """A generator under its name, and its base where there is one."""

    name: str
    generator: GeneratorConfig
    text: str = "hashed"
    base: Path | None = None


@dataclass(frozen=True)
class Run:
    """One training: its cell of the table, its seed, and its stage's settings."""

    out: Path
    subject: Subject
    kind: Kind
    lr: float
    pair_set: PairSet
    seed: int
    stage: Stage
    keep: bool

    @property
    def name(self) -> str:
        return "/".join([*map(slug, (self.subject.name, self.kind, f"{self.lr:g}", self.concept)), str(self.seed)])

    @property
    def concept(self) -> str:
        return self.pair_set.folder.name

    @property
    def cell(self) -> tuple[str, str, str, str]:
        return self.subject.name, KINDS[self.kind], f"{self.lr:g}", self.concept

    @property
    def record(self) -> Path:
        return self.out / "runs" / f"{self.name}.json"

    def key(self) -> dict[str, Any]:
        """What makes it the same run: settings and inputs, wherever they lie."""
        base = None if self.subject.base is None or self.kind == "scratch" else sha256(self.subject.base / MODEL)
        return settings_of(self.stage) | pairs_of(self.pair_set) | {"base_sha256": base}


def subjects(config: Settings) -> list[Subject]:
    """The presets, each with the base of its generator; and the bases that are of none of them."""
    width = {} if config.width is None else {"width": config.width}
    found = {}
    for text in dict.fromkeys(config.presets):
        name = text if config.width is None else f"{text}, width {config.width}"
        found[name] = Subject(name, replace(PRESETS[text], **width))
    for folder in map(base_folder, config.bases):
        settings = read_settings(folder, BASE, "base")
        generator = generator_config(settings)
        same = (s.name for s in found.values() if replace(s.generator, text_width=generator.text_width) == generator)
        name = next(same, folder.name)
        need(name not in found or found[name].base is None, f"--bases {folder}: there is a base of {name} already")
        found[name] = Subject(name, generator, settings["text"], folder)
    return list(found.values())


def runs(config: Settings) -> list[Run]:
    """All trainings. A seed of all cells before the next one's, so that a table of a part is of all of them."""
    sets, whom = load_sets(config.pairs), subjects(config)
    if config.presets and "adapter" in config.kinds and (without := [s.name for s in whom if s.base is None]):
        note(f"no adapters of {', '.join(without)}: none of --bases is of it")
    cells: list[tuple[Subject, Kind, float, PairSet]] = [
        (subject, kind, lr, pair_set)
        for subject in whom
        for kind in dict.fromkeys(config.kinds)
        for lr in (config.adapter_lr if kind == "adapter" else config.lr)
        for pair_set in sets
        if kind == "scratch" or subject.base is not None
    ]
    return [run_of(config, *cell, seed) for seed in range(config.seeds) for cell in cells]


def run_of(config: Settings, subject: Subject, kind: Kind, lr: float, pair_set: PairSet, seed: int) -> Run:
    of = (subject.name, kind, f"{lr:g}", pair_set.folder.name)
    out = config.out.joinpath("models", *map(slug, of), str(seed))
    common: dict[str, Any] = {"pairs": pair_set.folder, "out": out, "training": config.training(kind, lr, seed)}
    if kind == "adapter":
        stage = AdaptConfig(base=subject.base, **RECIPES[config.recipe].settings("adapt", subject.generator) | common)
    elif kind == "scratch":
        stage = ScratchConfig(model="e2gan", generator=subject.generator, text=subject.text, **common)
    else:
        stage = FinetuneConfig(base=subject.base, **common)
    return Run(config.out, subject, kind, lr, pair_set, seed, stage, config.keep)


# ---------------------------------------------------------------------------------------------------------- one run


def measured(run: Run) -> dict[str, Any]:
    """What became of a run, trained where it is not yet."""
    result = once(run.record, run.key(), partial(outcome, run))
    if not run.keep:
        for folder in (run.stage.out, partial_of(run.stage.out)):
            shutil.rmtree(folder, ignore_errors=True)
    return result


def outcome(run: Run) -> dict[str, Any]:
    """Train and measure: how the run ended, how often the guard went back, the test L1 and the photo's own, of 255."""
    photos, targets, photo_l1 = tests_of(run.pair_set.folder)
    ended, l1, told = "trained", None, None
    try:
        told = train(run.stage).result.lost
    except LostTrainingError as error:
        ended = str(error)
    except InputError as error:
        if not str(error).startswith("training diverged"):  # a loss that is not finite; the others are mistakes
            raise
        ended = str(error)
    # A run that ended without a checkpoint has left nothing.
    log = next((f / METRICS for f in (run.stage.out, partial_of(run.stage.out)) if (f / METRICS).exists()), None)
    rows = [] if log is None else read_jsonl(log)
    back = [row["step"] for row in rows if "back_to" in row]
    if ended == "trained":
        if run.kind == "adapter":
            model = Model.load(base=run.subject.base, adapter=(run.stage.out,))
        else:
            model = Model.load(model=run.stage.out, prompt=run.pair_set.prompt)
        edits = Predictor(model, run.stage.training.device).batch(photos)
        l1 = MetricScorer("l1", NetworkOptions())(edits, targets).value
    return {
        "ended": told or ended,
        "back": None if log is None else len(back),
        "back_at": back,
        "l1": l1,
        "photo_l1": photo_l1,
        "train_l1": [round(row["l1"] * 127.5, 2) for row in rows[9::10] if "l1" in row],
        "seconds": rows[-1]["seconds"] if rows else None,
    }


def tests_of(folder: Path) -> tuple[np.ndarray, np.ndarray, float]:
    """Test photos, the teacher's edits, and the L1 of the photos as they are."""
    photos, targets, _ = PairSet.load(folder).arrays("test")
    return photos, targets, MetricScorer("l1", NetworkOptions())(photos, targets).value


# -------------------------------------------------------------------------------------------------------- the table


def is_lost(result: dict[str, Any]) -> bool:
    return result["l1"] is None or result["l1"] > result["photo_l1"]


def table(found: Sequence[tuple[Run, dict[str, Any]]]) -> list[str]:
    """A row a cell, and the sums of each kind and rate."""
    header = ["preset", "trained", "rate", "concept", "runs", "went back", "lost", "untold"]
    header += ["test L1, median", "worst", "photo"]
    by_cell: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for run, result in found:
        by_cell.setdefault(run.cell, []).append(result)
    rows = [[*cell, *counts(results), *l1s(results)] for cell, results in by_cell.items()]
    by_kind: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for cell, results in by_cell.items():
        by_kind.setdefault(cell[:3], []).extend(results)
    sums = [[*kind, *counts(results)] for kind, results in by_kind.items()]
    return [*markdown(header, rows), "", *markdown([*header[:3], *header[4:8]], sums)]


def counts(results: Sequence[dict[str, Any]]) -> list[str]:
    """Runs; those that the guard went back in and that are not lost; those that are lost; of these, told as success."""
    lost = [is_lost(result) for result in results]
    back = sum(bool(result["back"]) and not bad for result, bad in zip(results, lost, strict=True))
    untold = sum(bad and result["ended"] == "trained" for result, bad in zip(results, lost, strict=True))
    return [str(len(results)), str(back), str(sum(lost)), str(untold)]


def l1s(results: Sequence[dict[str, Any]]) -> list[str]:
    """Median and worst of those that ended; a run that did not is the worst. Then the photo's own."""
    values = [result["l1"] for result in results if result["l1"] is not None]
    median = f"{np.median(values):.2f}" if values else "–"
    worst = f"{max(values):.2f}" if len(values) == len(results) else "stopped"
    return [median, worst, f"{results[0]['photo_l1']:.2f}"]


def written(config: Settings, found: Sequence[tuple[Run, dict[str, Any]]], total: int) -> str:
    """The table of what is measured so far, in lost.md and results.json."""
    lines = table(found)
    if len(found) < total:
        lines += ["", f"{len(found)} of {total} runs."]
    names = ("preset", "trained", "rate", "concept")
    results = [
        dict(zip(names, run.cell, strict=True)) | {"seed": run.seed, "lost": is_lost(result)} | result
        for run, result in found
    ]
    write_json(config.out / "results.json", {"settings": config, "versions": versions(), "runs": results})
    text = "\n".join(lines) + "\n"
    write_bytes(config.out / "lost.md", text.encode())
    return text


def run_all(config: Settings) -> str:
    """All runs that are not there yet. Returns the table. Raises InputError for bad settings or folders."""
    config.check()
    jobs = runs(config)
    for job in jobs:
        job.stage.check()
        tests_of(job.pair_set.folder)
    make_folder(config.out)
    left = [job for job in jobs if not job.record.exists()]
    if left:
        note(f"{len(left)} of {len(jobs)} runs are to be trained")
    found: list[tuple[Run, dict[str, Any]]] = []
    for job, result in zip(jobs, in_processes(measured, jobs, config.jobs), strict=True):
        found.append((job, result))
        if job in left:
            l1 = "stopped" if result["l1"] is None else f"L1 {result['l1']:.2f}"
            back = "" if result["back"] is None else f", went back {result['back']} times"
            note(f"{len(found)} of {len(jobs)}: {job.name}, {l1}{back}")
            written(config, found, len(jobs))
    return written(config, found, len(jobs))


def main(arguments: Sequence[str] | None = None) -> int:
    return exit_status(lambda: print(run_all(tyro.cli(Settings, args=arguments, description=__doc__)), end=""))


if __name__ == "__main__":
    sys.exit(main())
