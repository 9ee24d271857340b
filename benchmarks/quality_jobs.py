"""What quality.py trains: each model of each concept, as many steps as its time holds."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from e2gan import (
    RECIPES,
    AdaptConfig,
    GeneratorConfig,
    PairSet,
    Ranks,
    ScratchConfig,
    TrainingConfig,
)
from e2gan.config import PIX2PIX, FinetuneConfig
from e2gan.config.checks import at_least, need, positive
from e2gan.config.schemas import BASE
from e2gan.core.images import Pixels
from e2gan.core.names import slug
from e2gan.core.outputs import make_folder, read_settings
from e2gan.measure.metrics import NetworkOptions
from e2gan.networks.folders import base_folder, generator_config, shipped_name
from e2gan.research.comparison import TrainedModel
from e2gan.train.loop import check_fit

sys.path[:0] = [str(Path(__file__).resolve().parent)]
from equal_time import Timed, step_seconds  # noqa: E402 (scripts beside this one, found by the line above)
from trainings import Stage  # noqa: E402

PHOTO, TABLE, ADAPTER = "the photo as it is", "colour table", "adapter"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Measure what each recipe reaches."""

    pairs: tuple[Path, ...]
    """Pair sets of concepts that no base has learned."""
    out: Path
    """Folder to write."""
    base: tuple[Path, ...] = ()
    """Bases to adapt, folders or full and small (default: the one that ships)."""
    recipe: tuple[str, ...] = ("quick",)
    """Of e2gan.config.RECIPES."""
    scratch_factors: tuple[float, ...] = (1.0, 3.0)
    """Time of the same generator from nothing, in that of the adapter."""
    pix2pix_factors: tuple[float, ...] = ()
    """Time of pix2pix as it was published, in that of the first base's adapter."""
    finetune_factors: tuple[float, ...] = ()
    """Time of all weights of the base by the recipe's training from nothing, in that of the adapter."""
    rank_factors: tuple[float, ...] = ()
    """Adapters of other ranks too, for the same time: the paper's (Sec. 4.2.2), times these."""
    adapters: Path | None = None
    """Adapters of another origin in the same tables: a folder with one for each pair set, of its folder's name."""
    adapters_base: Path | None = None
    """Their base (default: the one that ships)."""
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
    shown: Path | None = None
    """Folder of pair sets, one of each --pairs' name, whose test photos --picture has."""
    picture: Path | None = None
    """JPEG file to write: a row for each of those photos, a column for each model."""
    jobs: int = 1
    """Trainings at a time, each in a process of one thread."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    compile: bool = False
    """Train with compiled steps, as adapt's --compile does. Their number, and the tables' seconds, stay those of steps
    that are not compiled."""
    keep: bool = True
    """Keep the weights of all models; without, of adapters alone, and of the others scores and edits, by which the same
    command goes on."""
    seed: int = 0

    def check(self) -> None:
        for text in self.recipe:
            need(text in RECIPES, f"--recipe {text}: there are {', '.join(RECIPES)}")
        need(bool(self.recipe), "--recipe is empty")
        need(self.minutes is None or not self.curve, "--minutes and --curve exclude each other")
        for name in ("minutes", "cores"):
            positive(name, getattr(self, name))
        for name in ("curve", "scratch_factors", "pix2pix_factors", "finetune_factors", "rank_factors"):
            flag, values = f"--{name.replace('_', '-')}", getattr(self, name)
            need(all(value > 0 for value in values), f"{flag}: each must be positive")
            need(len(set(values)) == len(values), f"{flag} names one twice")
        for name in ("repeat", "jobs"):
            at_least(name, getattr(self, name), 1)
        need((self.shown is None) == (self.picture is None), "--shown and --picture belong together")
        need(self.picture is None or self.picture.suffix.lower() in (".jpg", ".jpeg"), "--picture must end in .jpg")
        need(self.adapters is not None or self.adapters_base is None, "--adapters-base: of which --adapters?")

    @property
    def networks(self) -> NetworkOptions:
        return NetworkOptions(features=self.features, efficientnet=self.efficientnet, device=self.device)

    @property
    def lengths(self) -> tuple[float | None, ...]:
        return self.curve or (self.minutes,)


@dataclass(frozen=True)
class Base:
    """A base by its name: that it ships under, or its folder's."""

    name: str
    folder: Path
    generator: GeneratorConfig
    text: str

    @classmethod
    def load(cls, folder: Path | None) -> Base:
        where = base_folder(folder)
        settings = read_settings(where, BASE, "base")
        return cls(
            shipped_name(where) or slug(where.resolve().name), where, generator_config(settings), settings["text"]
        )

    @classmethod
    def load_all(cls, folders: Sequence[Path]) -> list[Base]:
        """Raises InputError where one is no base, or two have one name."""
        found = [cls.load(folder) for folder in folders or (None,)]
        names = [base.name for base in found]
        need(len(set(names)) == len(names), f"--base: two are named alike ({', '.join(names)})")
        return found


@dataclass(frozen=True)
class Job:
    """One model of one concept. recipe, base: by name, "" where it has none; length: its adapter's minutes; None: the
    recipe's own, or it has none. stage: None for what was trained elsewhere, which `model` names."""

    pair_set: PairSet
    recipe: str
    length: float | None
    base: str
    trained: str
    stage: Stage | None
    steps: int
    seconds: float
    wanted: tuple[str, ...]
    networks: NetworkOptions
    model: TrainedModel
    scores: Path  # the folder for what it scores
    keep: bool = True
    seen: tuple[Pixels, ...] = ()  # photos whose edits are kept beside the scores

    @property
    def key(self) -> tuple[str, str, str]:
        """Its row in the tables, whatever the concept."""
        return self.recipe, self.base, self.trained

    @property
    def title(self) -> str:
        return " ".join(filter(None, (self.base, self.trained)))


def job_of(stage: Stage, **facts: Any) -> Job:
    model = TrainedModel(stage.out, 0, stage.base if isinstance(stage, AdaptConfig) else None)
    return Job(stage=stage, model=model, scores=stage.out, **facts)


# ------------------------------------------------------------------------------------------------------ equal time


def step_times(config: Settings, bases: Sequence[Base], size: int) -> dict[str, float]:
    """Seconds of a step of each training, by `of_step`'s names. Measured once, so that a rerun has as many steps."""
    wanted: dict[str, Timed] = {}
    for base in bases:
        for recipe in config.recipe:
            ranks = RECIPES[recipe].ranks(base.generator)
            wanted[of_step(base.name, recipe, "adapt")] = Timed(base.generator, trained(config, recipe, "adapt"), ranks)
            wanted[of_step(base.name, recipe, "scratch")] = Timed(base.generator, trained(config, recipe, "scratch"))
            for factor in config.rank_factors:
                timed = Timed(base.generator, trained(config, recipe, "adapt"), Ranks().times(factor))
                wanted[of_step(base.name, recipe, f"adapt, {title_of(factor)}")] = timed
    if config.pix2pix_factors:
        wanted[of_step("pix2pix", "paper", "scratch")] = Timed(PIX2PIX, trained(config, "paper", "scratch"))
    return step_seconds(config.out / "step-times.json", wanted, size, config.repeat)


def title_of(factor: float) -> str:
    return f"{'' if factor == 1 else f'{factor:g}× '}the paper's ranks"


def of_step(network: str, recipe: str, stage: str) -> str:
    """network: a base's name, or pix2pix."""
    return f"{network}, {recipe}, {stage}"


def trained(config: Settings, recipe: str, stage: Any, steps: int | None = None) -> TrainingConfig:
    own = replace(RECIPES[recipe].training[stage], device=config.device, seed=config.seed)
    return own if steps is None else replace(own, minutes=None, steps=steps, compile=config.compile)


def adapter_steps(config: Settings, recipe: str, length: float | None, step: float, pairs: int) -> int:
    """So many steps as `length` minutes hold, or the recipe's minutes or epochs."""
    training = RECIPES[recipe].training["adapt"]
    minutes = training.minutes if length is None else length
    if minutes is not None:
        return max(1, round(60 * minutes * config.cores / step))
    return training.steps or training.epochs * max(1, pairs // training.batch)


# ------------------------------------------------------------------------------------------------------------ the jobs


def jobs_of(
    config: Settings,
    bases: Sequence[Base],
    sets: Sequence[PairSet],
    seen: Sequence[tuple[Pixels, ...]],
    wanted: tuple[str, ...],
) -> list[Job]:
    """Every model; concept by concept within a recipe and length. seen: of each set, whose edits are kept. Raises
    InputError where one of --adapters lacks."""
    shared, elsewhere, found = {"wanted": wanted, "networks": config.networks, "keep": config.keep}, [], []
    of_sets = [shared | {"seen": photos} for photos in seen]
    if config.adapters is not None:
        elsewhere = [of_elsewhere(config, config.adapters, *of_set) for of_set in zip(sets, of_sets, strict=True)]
    times = step_times(config, bases, sets[0].size)
    for pair_set, common in zip(sets, of_sets, strict=True):
        stage = ScratchConfig(pairs=pair_set.folder, out=place(config, pair_set, "colour-table"), model="lut")
        facts = {"recipe": "", "length": None, "base": "", "trained": TABLE, "steps": 0, "seconds": 0.0}
        found.append(job_of(stage, pair_set=pair_set, **facts, **common))
    for length in config.lengths:
        for recipe in config.recipe:
            for pair_set, common in zip(sets, of_sets, strict=True):
                job = partial(job_of, pair_set=pair_set, recipe=recipe, length=length, **common)
                found += recipe_jobs(config, bases, recipe, length, pair_set, times, job)
    return [*found, *elsewhere]


def of_elsewhere(config: Settings, folder: Path, pair_set: PairSet, common: dict[str, Any]) -> Job:
    model = TrainedModel(folder / pair_set.folder.name, 0, base_folder(config.adapters_base))
    need(model.weights.is_file(), f"--adapters: {model.folder} is no adapter")
    own = place(config, pair_set, f"adapters-{slug(folder.name)}")  # nothing is written into another's folder
    return Job(pair_set, "", None, "", folder.name, None, 0, 0.0, **common, model=model, scores=own)


def place(config: Settings, pair_set: PairSet, *parts: str) -> Path:
    return config.out.joinpath("models", slug(pair_set.folder.name), *parts)


def recipe_jobs(
    config: Settings,
    bases: Sequence[Base],
    recipe: str,
    length: float | None,
    pair_set: PairSet,
    times: dict[str, float],
    job: partial[Job],
) -> Iterator[Job]:
    """The recipe's adapter on each base, those of other ranks, all weights of the base, the same generator from
    nothing, and pix2pix for the time of the first adapter."""
    where = f"{slug(recipe)}-{'own' if length is None else f'{length:g}min'}"
    pairs = len(pair_set.files("train")[0])

    def adapter(base: Base, title: str, name: str, step: float, steps: int, settings: dict[str, Any]) -> Job:
        own: dict[str, Any] = settings | {"training": trained(config, recipe, "adapt", steps)}
        out = place(config, pair_set, where, base.name, name)
        stage = AdaptConfig(base=base.folder, pairs=pair_set.folder, out=out, **own)
        return job(stage, base=base.name, trained=title, steps=steps, seconds=steps * step / config.cores)

    def whole(
        name: str,
        recipe: str,
        step: float,
        seconds: float,
        factor: float,
        of: str = "",
        kind: type[ScratchConfig | FinetuneConfig] = ScratchConfig,
        **net: Any,
    ) -> Job:
        """All weights of a network, for `factor` times so many seconds."""
        steps = max(1, round(factor * seconds / step))
        stage = kind(
            pairs=pair_set.folder,
            out=place(config, pair_set, where, of, f"{slug(name)}-{factor:g}"),
            training=trained(config, recipe, "scratch", steps),
            **net,
        )
        title = name if factor == 1 else f"{name}, {factor:g}× the time"
        return job(stage, base=of, trained=title, steps=steps, seconds=steps * step / config.cores)

    of_adapters = []
    for base in bases:
        step, whole_step = (times[of_step(base.name, recipe, stage)] for stage in ("adapt", "scratch"))
        steps = adapter_steps(config, recipe, length, step, pairs)
        of_adapters.append(seconds := steps * step)
        settings: dict[str, Any] = RECIPES[recipe].settings("adapt", base.generator)
        yield adapter(base, ADAPTER, ADAPTER, step, steps, settings)
        for factor in config.rank_factors:
            own_step = times[of_step(base.name, recipe, f"adapt, {title_of(factor)}")]
            own_steps, own = max(1, round(seconds / own_step)), settings | {"ranks": Ranks().times(factor)}
            yield adapter(base, f"{ADAPTER}, {title_of(factor)}", f"{ADAPTER}-{factor:g}", own_step, own_steps, own)
        for factor in config.finetune_factors:
            own = {"kind": FinetuneConfig, "base": base.folder}
            yield whole("all weights of the base", recipe, whole_step, seconds, factor, base.name, **own)
        net = {"model": "e2gan", "generator": base.generator, "text": base.text}
        for factor in config.scratch_factors:
            yield whole("from nothing", recipe, whole_step, seconds, factor, base.name, **net)
    for factor in config.pix2pix_factors:
        yield whole("pix2pix", "paper", times[of_step("pix2pix", "paper", "scratch")], of_adapters[0], factor)


def prepare(jobs: Sequence[Job]) -> None:
    """Before the first training: settings judged, folders made. Raises InputError for bad settings."""
    for job in jobs:
        if job.stage is not None:
            job.stage.check()
            check_fit(job.stage.training, len(job.pair_set.files("train")[0]))
        make_folder(job.scores.parent)
