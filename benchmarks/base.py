"""What a base is worth: adapters on it, on concepts that it never saw, against networks that train longer from scratch.

    python benchmarks/base.py --base work/residual-128 --photos ../shared/photos --out measured \\
        --styles ../shared/teachers

Parts (--parts), each with its NAME.json, NAME.md and pictures in sheets/NAME:
- main: an adapter, pix2pix with 9 RBs and the base's own architecture from scratch, and the photo as it is.
- starts: what an adapter begins as: nothing, nothing along the gradient (`adapt --init gradient`), the mean of known
  adapters, the known adapter of the nearest concept.
- bases: the same adapters on other bases (--bases NAME=FOLDER …).
Run again, it goes on where it was stopped; what is trained stays trained. The figures in docs/log.md come from here.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
import tyro

from e2gan import (
    RECIPES,
    AdaptConfig,
    EvaluateConfig,
    GeneratorConfig,
    PairSet,
    ScratchConfig,
    TrainingConfig,
    adapt,
    evaluate,
    train_scratch,
)
from e2gan.config import PIX2PIX, Init, Ranks, as_published
from e2gan.config.checks import at_least, need
from e2gan.config.schemas import BASE
from e2gan.core.files import plain, read_json, read_jsonl, sha256, write_bytes, write_json
from e2gan.core.names import slug
from e2gan.core.outputs import make_folder, read_settings, versions
from e2gan.core.progress import note
from e2gan.data.photos import shuffled
from e2gan.features.embeddings import load_embedder
from e2gan.features.squeezenet import SqueezeNetFeatures
from e2gan.measure.metrics import NetworkOptions
from e2gan.networks.folders import MODEL, base_folder, generator_config
from e2gan.research.comparison import Comparison, TrainedModel
from e2gan.teachers.filters.filters import Kind
from e2gan.train.loop import METRICS, Trained

sys.path[:0] = [str(Path(__file__).resolve().parent)]
from base_tables import MEASURES, PHOTO, Cells, tables, verdict  # noqa: E402 (scripts beside this one)
from equal_time import Timed, step_seconds  # noqa: E402
from held_out import Concept, PairSets, all_filters, all_styles, concepts_of, pair_set  # noqa: E402
from runs import exit_status  # noqa: E402

Part = Literal["main", "starts", "bases"]
STYLES = 2  # neural styles among the concepts, where none is named
SAMPLED = 100  # edits whose mean embedding stands for a concept, as in `e2gan concepts`
SHARES = (0.25, 1.0)  # of --minutes, for the starts
# The training of `quick` but its losses: pix2pix is beside them, with its own. Ranks are the paper's, and the rate is
# what served best with both (docs/log.md).
ADAPTER = replace(as_published(RECIPES["quick"].training["adapt"]), lr=2e-3)
# With a shorter warm-up a network without norms is lost after some hundred steps (docs/log.md).
SCRATCH = replace(as_published(RECIPES["quick"].training["scratch"]), warmup=100)


@dataclass(frozen=True, kw_only=True)
class Benchmark(PairSets):
    """Measure what a base is worth."""

    base: Path | None = None
    """Base to measure (default: the one that ships)."""
    features: Path | None = None
    """SqueezeNet 1.1 weights, for fd-squeezenet and the nearest concept (default: those that ship)."""
    concepts: tuple[str, ...] = ()
    """Filters and styles to learn (default: of the filters that the base has not learned one of each kind, and two
    styles)."""
    parts: tuple[Part, ...] = ("main",)
    """What to measure."""
    bases: tuple[str, ...] = ()
    """Other bases, NAME=FOLDER, for the part bases."""
    known: int = 8
    """Concepts of the base whose adapters are there to start from, for the part starts."""
    minutes: float = 2.0
    """Training time of an adapter."""
    steps: int | None = None
    """Training steps of an adapter instead of --minutes: from scratch then as many as take --times as long, by the time
    of one step of each, which is measured first. For machines that do other things meanwhile."""
    times: float = 10.0
    """Training time from scratch, in that of an adapter."""
    batch: int = 8
    """Pairs a step of every training."""
    gan: float = 1.0
    """Weight of the adversarial loss in every training."""
    init: Init = "random"
    """What the adapters begin as, as in `e2gan adapt`; the part starts has both."""
    threads: int | None = None
    """CPU threads (default: PyTorch's choice)."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    seed: int = 0

    def check(self) -> None:
        super().check()
        for name, least in (("train", 2 * self.batch), ("batch", 1), ("known", 1)):
            at_least(name, getattr(self, name), least)
        need(self.minutes > 0 and self.times > 0, "--minutes and --times must be positive")
        need(self.threads is None or self.threads >= 1, f"--threads {self.threads}: must be at least 1")
        need(bool(self.parts), f"--parts is empty: name some of {', '.join(get_args(Part))}")
        need(("bases" in self.parts) == bool(self.bases), "--parts bases and --bases NAME=FOLDER belong together")

    def models(self, concept: Concept) -> Path:
        return self.out / "models" / concept.name

    def amount(self, share: float = 1.0) -> str:
        """How long, for the tables."""
        if self.steps is None:
            return f"{share * self.minutes:g} min"
        return f"time of {share * self.steps:g} adapter steps"

    def trained(self, training: TrainingConfig, share: float = 1.0, cost: float = 1.0) -> TrainingConfig:
        """share: of an adapter's time. cost: of a step, in an adapter's."""
        long = {"minutes": share * self.minutes}
        if self.steps is not None:
            long = {"minutes": None, "steps": max(1, round(share * self.steps / cost))}
        return replace(training, batch=self.batch, gan=self.gan, device=self.device, seed=self.seed, **long)


@dataclass(frozen=True)
class Base:
    """A base to adapt. learned: the prompts that it was trained on."""

    name: str
    folder: Path
    learned: frozenset[str]
    generator: GeneratorConfig
    text: str

    @classmethod
    def load(cls, name: str, folder: Path | None) -> Base:
        where = base_folder(folder)
        settings = read_settings(where, BASE, "base")
        return cls(name, where, frozenset(settings["concepts"]), generator_config(settings), settings["text"])


# ------------------------------------------------------------------------------------------------------- the concepts


def held_out(config: Benchmark, base: Base) -> list[Concept]:
    """The concepts that are named; else of the filters that the base has not learned one of each kind, and styles."""
    styles = all_styles(config)
    new = {name: c for name, c in (all_filters() | styles).items() if c.prompt not in base.learned}
    if not config.concepts:
        order = shuffled(new.keys() - styles.keys(), config.seed)
        firsts = [next((new[name] for name in order if new[name].kind == kind), None) for kind in get_args(Kind)]
        found = [first for first in firsts if first is not None]
        found += [new[name] for name in styles if name in new][:STYLES]
        need(bool(found), f"{base.folder} has learned every filter: name --styles")
        return found
    found = concepts_of(config)
    for concept in found:
        need(
            concept.name in new,
            f"--concepts {concept.name}: the base has learned it; new to it are {', '.join(new)}",
        )
    return found


def mean_edit(config: Benchmark, concept: Concept, pairs: Path) -> np.ndarray:
    """The mean embedding of a concept's edits (D,), as `e2gan concepts` compares them; computed once."""
    path = config.out / "means" / f"squeezenet-{concept.name}.npy"
    if not path.exists():
        edits = {row["photo"]: pairs / row["file_name"] for row in PairSet.load(pairs).rows if row["split"] == "train"}
        files = [edits[name] for name in shuffled(edits, config.seed)[:SAMPLED]]
        rows = load_embedder("squeezenet", features=config.features, device=config.device).files(files, config.size)
        data = io.BytesIO()
        np.save(data, rows.astype(np.float64).mean(0))
        make_folder(path.parent)
        write_bytes(path, data.getvalue())
    return np.load(path)


# ------------------------------------------------------------------------------------------------------ the trainings


@dataclass(frozen=True)
class Job:
    """One training. column: of the part's tables, that it fills; None where others only start from it. share: of
    an adapter's time. base: of an adapter."""

    concept: Concept
    column: str | None
    folder: Path
    share: float
    base: Path | None
    train: Callable[[], Trained]


def adapter_job(
    config: Benchmark,
    base: Base,
    concept: Concept,
    column: str | None,
    name: str = "adapter",
    share: float = 1.0,
    start: tuple[Path, ...] = (),
    init: Init | None = None,
) -> Job:
    out, training = config.models(concept) / name, config.trained(ADAPTER, share)
    settings = AdaptConfig(
        pairs=config.pairs(concept),
        out=out,
        base=base.folder,
        start=start,
        init=init or config.init,
        training=training,
    )
    return Job(concept, column, out, share, base.folder, partial(adapt, settings))


def scratch_job(
    config: Benchmark, base: Base, concept: Concept, column: str, model: Literal["pix2pix", "e2gan"]
) -> Job:
    cost = 1.0 if config.steps is None else step_costs(config, base)[model]
    settings = ScratchConfig(
        pairs=config.pairs(concept),
        out=config.models(concept) / model,
        model=model,
        text=base.text,
        generator=base.generator,
        training=config.trained(SCRATCH, config.times, cost),
    )
    return Job(concept, column, settings.out, config.times, None, partial(train_scratch, settings))


def step_costs(config: Benchmark, base: Base) -> dict[str, float]:
    """Time of a step of each model in that of an adapter's, measured once in a folder."""
    training = replace(config.trained(ADAPTER), precision="fp32", minutes=None, steps=None)
    trainings = {
        "pix2pix": Timed(PIX2PIX, training),
        "e2gan": Timed(base.generator, training),
        "adapter": Timed(base.generator, training, Ranks()),
    }
    found = step_seconds(config.out / "step-costs.json", trainings, config.size, 9)
    return {name: value / found["adapter"] for name, value in found.items()}


@dataclass(frozen=True)
class Plan:
    """A part: its trainings in their order, the bases that they adapt, and what else to know."""

    part: Part
    concepts: list[Concept]
    jobs: list[Job]
    bases: list[Base]
    notes: list[str] = field(default_factory=list)

    @property
    def columns(self) -> list[str]:
        return list(dict.fromkeys(job.column for job in self.jobs if job.column is not None))

    @property
    def learned(self) -> frozenset[str]:
        return frozenset().union(*(base.learned for base in self.bases))

    def own(self, concept: Concept) -> list[Job]:
        return [job for job in self.jobs if job.concept == concept and job.column is not None]


def plan_main(config: Benchmark, base: Base, concepts: list[Concept]) -> Plan:
    longer = f"from scratch, {config.amount(config.times)}"
    jobs = []
    for concept in concepts:
        jobs.append(adapter_job(config, base, concept, f"adapter, {config.amount()}"))
        jobs.append(scratch_job(config, base, concept, f"pix2pix {longer}", "pix2pix"))
        jobs.append(scratch_job(config, base, concept, f"this generator {longer}", "e2gan"))
    return Plan("main", concepts, jobs, [base])


def plan_starts(config: Benchmark, base: Base, concepts: list[Concept]) -> Plan:
    """The known adapters first; then for each concept the three starts, for each time."""
    learned = {name: concept for name, concept in all_filters().items() if concept.prompt in base.learned}
    need(bool(learned), f"--parts starts: {base.folder} has learned no built-in filter whose adapter could be known")
    known = [learned[name] for name in shuffled(learned, config.seed)[: config.known]]
    means = {concept: mean_edit(config, concept, pair_set(config, concept)) for concept in (*known, *concepts)}
    jobs = [adapter_job(config, base, concept, None) for concept in known]
    folders = {job.concept: job.folder for job in jobs}
    notes = [f"known: {', '.join(concept.name for concept in known)}"]
    for concept in concepts:
        nearest = min(known, key=lambda other: float(np.linalg.norm(means[other] - means[concept])))
        notes.append(f"nearest to {concept.name}: {nearest.name}")
        # A folder is named by what it started from: another --known makes another adapter.
        starts: dict[str, tuple[str, tuple[Path, ...], Init]] = {
            "nothing": ("nothing", (), "random"),
            "the gradient": ("gradient", (), "gradient"),
            f"mean of {len(known)}": (f"mean-of-{len(known)}", tuple(folders.values()), "random"),
            "nearest": (nearest.name, (folders[nearest],), "random"),
        }
        for share in SHARES:
            for start, (mark, others, init) in starts.items():
                whole = not others and init == config.init and share == 1  # trained once for all parts
                column = f"from {start}, {config.amount(share)}"
                name = "adapter" if whole else f"from-{mark}-{share:g}"
                jobs.append(adapter_job(config, base, concept, column, name, share, others, init))
    return Plan("starts", concepts, jobs, [base], notes)


def plan_bases(config: Benchmark, base: Base, concepts: list[Concept]) -> Plan:
    bases = [base]
    for text in config.bases:
        name, _, folder = text.partition("=")
        need(bool(name and folder), f"--bases {text}: must be NAME=FOLDER")
        need(slug(name) not in [slug(b.name) for b in bases], f"--bases {text}: there is a '{name}' already")
        bases.append(Base.load(name, Path(folder)))
    jobs = []
    for concept in concepts:
        jobs.append(adapter_job(config, base, concept, base.name))
        jobs += [adapter_job(config, other, concept, other.name, f"on-{slug(other.name)}") for other in bases[1:]]
    return Plan("bases", concepts, jobs, bases)


# -------------------------------------------------------------------------------------------------------- the measures


def measure(config: Benchmark, job: Job, trained: Trained) -> tuple[dict[str, Any], dict[str, Any]]:
    """The cells of a trained model and of the photo as it is, on the test split."""
    path = job.folder / "metrics.json"
    wanted = [found.key for found in MEASURES]
    if not path.exists() or any(read_json(path)["model"].get(key) is None for key in wanted):
        pairs, ours = config.pairs(job.concept), job.base is not None
        who: dict[str, Any] = {"base": job.base, "adapter": job.folder} if ours else {"model": job.folder}
        evaluate(EvaluateConfig(pairs=pairs, features=config.features, device=config.device, **who))
    found, log = read_json(path), read_jsonl(job.folder / METRICS)[-1]
    cost = {"parameters": trained.parameters, "steps": log["step"], "seconds": log["seconds"]}
    cell, photo = ({key: found[of][key] for key in wanted} for of in ("model", "photo"))
    return cell | cost | {"folder": str(job.folder)}, photo


def write(config: Benchmark, plan: Plan, cells: Cells) -> None:
    concepts = {
        c.name: {
            "prompt": c.prompt,
            "kind": c.kind,
            "cells": {column: cell for (name, column), cell in cells.items() if name == c.name},
        }
        | ({"verdict": verdict(plan, c, cells)} if plan.part == "main" else {})
        for c in plan.concepts
    }
    bases = [
        {"name": b.name, "folder": b.folder, "sha256": sha256(b.folder / MODEL), "concepts": sorted(b.learned)}
        for b in plan.bases
    ]
    found = {"settings": plain(config), "bases": bases, "columns": [*plan.columns, PHOTO], "notes": plan.notes}
    write_json(config.out / f"{plan.part}.json", found | {"concepts": concepts, "versions": versions()})
    write_bytes(config.out / f"{plan.part}.md", tables(plan, cells).encode())


def draw(config: Benchmark, plan: Plan, concept: Concept, comparison: Comparison) -> None:
    """A few test photos by all of the concept's models, drawn anew where one of them is newer than the picture."""
    path = config.out / "sheets" / plan.part / f"{concept.name}.png"
    subjects = [(job.column or "", TrainedModel(job.folder, 0, job.base)) for job in plan.own(concept)]
    if path.exists() and all(path.stat().st_mtime >= s.weights.stat().st_mtime for _, s in subjects):
        return
    make_folder(path.parent)
    comparison.sheet(path, PairSet.load(config.pairs(concept)), subjects)


def run(config: Benchmark) -> str:
    """All parts that are asked for. Returns their tables. Raises InputError for bad settings or folders."""
    config.check()
    if config.threads is not None:
        torch.set_num_threads(config.threads)
        os.environ["OMP_NUM_THREADS"] = str(config.threads)  # for the programs that are started
    if config.features is not None:
        SqueezeNetFeatures(config.features)  # a wrong file should be told before hours of training
    base = Base.load("this base", config.base)
    concepts = held_out(config, base)
    make_folder(config.out)
    for concept in concepts:
        pair_set(config, concept)
    planners = {"main": plan_main, "starts": plan_starts, "bases": plan_bases}
    plans = [planners[part](config, base, concepts) for part in dict.fromkeys(config.parts)]
    jobs = {job.folder: job for plan in plans for job in plan.jobs}  # parts share adapters
    comparison = Comparison(config.out, "l1", NetworkOptions(device=config.device))
    done: set[Path] = set()
    for plan in plans:
        cells: Cells = {}
        for job in plan.jobs:
            tell(config, job, jobs, done)
            trained = job.train()
            done.add(job.folder)
            if job.column is not None:
                cell, photo = measure(config, job, trained)
                cells |= {(job.concept.name, job.column): cell, (job.concept.name, PHOTO): photo}
                write(config, plan, cells)
                if job is plan.own(job.concept)[-1]:
                    draw(config, plan, job.concept, comparison)
    return "\n".join((config.out / f"{plan.part}.md").read_text("utf-8") for plan in plans)


def tell(config: Benchmark, job: Job, jobs: dict[Path, Job], done: set[Path]) -> None:
    """What begins, and the training time that is left in all."""
    if job.folder in done or job.folder.exists():
        return
    left = sum(other.share for other in jobs.values() if not other.folder.exists())
    time = f"{left * config.minutes:.1f} min" if config.steps is None else f"{left:.1f} times an adapter's training"
    what = f"{job.concept.name}/{job.folder.name}, {config.amount(job.share)}"
    note(f"{what} (model {len(done) + 1} of {len(jobs)}, {time} left)")


def main(arguments: Sequence[str] | None = None) -> int:
    return exit_status(lambda: print(run(tyro.cli(Benchmark, args=arguments))))


if __name__ == "__main__":
    sys.exit(main())
