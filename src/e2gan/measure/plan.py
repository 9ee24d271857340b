"""What an experiment would take: hours, bytes and money, stage by stage, and what would save (the stage `plan`)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from e2gan.config import PlanConfig
from e2gan.config.network import THRESHOLDS
from e2gan.core.errors import InputError
from e2gan.core.memory import available_memory, need_memory
from e2gan.measure.cost import multiply_accumulates, training_flops
from e2gan.measure.plan_sources import Kind, Rate, Sources, Steps
from e2gan.networks.discriminator import Discriminator
from e2gan.networks.generator import Generator
from e2gan.networks.lora import attach, rank_of_layers
from e2gan.networks.lora_training import train_mode
from e2gan.teachers.diffusion.presets import load_presets
from e2gan.train.step import parameters


@dataclass(frozen=True)
class Line:
    """A stage, or a teacher's part of one: `count` pieces of work of `seconds` each on one of the hardware."""

    stage: str
    count: int
    of: str
    seconds: float
    hours: float
    on: str
    """gpu; or cpu, one thread, which no number of GPUs divides."""
    shared_by: int
    """So many GPUs; 1 for what a CPU does."""
    bytes: int
    """On disk when it is done."""
    money: float | None
    kind: Kind
    source: str
    inputs: Mapping[str, Any]
    """The formula's numbers: hours are count × seconds / 3600, seconds come from these."""
    bytes_from: str
    """How the bytes were computed."""


@dataclass(frozen=True)
class Saving:
    """What one change alone does to the hours of all stages. done: the plan has it already."""

    what: str
    hours_saved: float
    hours_then: float
    money_saved: float | None
    done: bool


@dataclass(frozen=True)
class Plan:
    """The stages, their total, and what would save."""

    hardware: str
    gpus: int
    lines: tuple[Line, ...]
    gpu_hours: float
    cpu_hours: float
    wall_hours: float
    """With the GPUs at work side by side, and one thread of a CPU after them."""
    bytes: int
    money: float | None
    bottleneck: str
    download_gb: float
    """Of the teachers' checkpoints, as far as their presets know."""
    saves: tuple[Saving, ...]
    remarks: tuple[str, ...]
    gflop: Mapping[str, float]
    """Billions of operations of a photo: a step of base and adapter, and a frame."""

    def __str__(self) -> str:
        paid = self.money is not None
        head = ("stage", "count", "s each", "hours", "on", "bytes", *(["money"] if paid else []), "from")
        rows: list[tuple[str, ...]] = [head, *(_row(line, paid=paid) for line in self.lines)]
        total = f"{self.gpu_hours + self.cpu_hours:,.2f}"
        money = [f"{self.money:,.2f}"] if self.money is not None else []
        rows.append(("total", "", "", total, "", _size(self.bytes), *money, ""))
        table = _table(rows)
        told = [
            f"on {self.gpus} × {self.hardware}: {self.gpu_hours:,.2f} GPU hours, {self.cpu_hours:,.2f} of a CPU; "
            f"{self.wall_hours:,.2f} hours by the clock",
            f"bottleneck: {self.bottleneck}",
            *self.remarks,
        ]
        saves: list[tuple[str, ...]] = []
        saves.append(("what saves, each alone", "hours saved", "hours then", *(["money saved"] if paid else [])))
        for s in self.saves:
            what = f"{s.what}{' (in the plan)' if s.done else ''}"
            cells = (what, f"{s.hours_saved:,.2f}", f"{s.hours_then:,.2f}")
            saves.append((*cells, *([f"{s.money_saved or 0:,.2f}"] if paid else [])))
        return "\n".join((table, "", *told, "", _table(saves)))


def _row(line: Line, *, paid: bool) -> tuple[str, ...]:
    cells = (line.stage, f"{line.count:,} {line.of}", f"{line.seconds:.3g}", f"{line.hours:,.2f}", line.on)
    money = (f"{line.money or 0:,.2f}",) if paid else ()
    return (*cells, _size(line.bytes), *money, line.kind)


def _table(rows: list[tuple[str, ...]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    numbers = {i for i, name in enumerate(rows[0]) if "hours" in name or "money" in name or name in ("s each", "bytes")}
    lines = [
        "  ".join(f"{cell:>{w}}" if i in numbers else f"{cell:<{w}}" for i, (cell, w) in enumerate(zip(row, widths)))  # noqa: B905
        for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)


def _size(count: int) -> str:
    for unit, power in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= power:
            return f"{count / power:.1f} {unit}"
    return "-" if count == 0 else f"{count} B"


def plan(config: PlanConfig) -> Plan:
    """Compute what an experiment takes, from measured, published and computed times, which each line says.

    Raises InputError for bad settings, an unknown teacher or hardware (with those that are known), and a --measured
    file that does not fit.
    """
    PlanConfig.checked(config)
    sources = Sources.load()
    hardware = sources.hardware(config.hardware)
    for name in config.teachers:
        sources.teacher(name)
    if hardware.get("device") == "cpu" and config.gpus > 1:
        raise InputError(f"--gpus {config.gpus}: --hardware {config.hardware} is a CPU")
    counts = _counted(config)
    steps = None
    if config.measured is not None:
        steps = Steps.load(config.measured, sources, config.hardware, config.generator, config.size, config.batch)
    case = _Case(config, sources, counts, steps)
    lines = tuple(case.lines())
    total = sum(line.hours for line in lines)
    gpu = sum(line.hours for line in lines if line.on == "gpu")
    by_clock = {line.stage: line.hours / line.shared_by for line in lines}
    wall = sum(by_clock.values())
    price = config.price_per_hour
    worst = max(by_clock, key=lambda stage: by_clock[stage])
    presets = load_presets()
    return Plan(
        hardware=config.hardware,
        gpus=config.gpus,
        lines=lines,
        gpu_hours=gpu,
        cpu_hours=total - gpu,
        wall_hours=wall,
        bytes=sum(line.bytes for line in lines),
        money=None if price is None else total * price,
        bottleneck=f"{worst}, {by_clock[worst] / wall:.0%} of the hours" + (" by the clock" if config.gpus > 1 else ""),
        download_gb=sum(presets[name].download_gb for name in config.teachers if name in presets),
        saves=tuple(_savings(case, total)),
        remarks=tuple(_remarks(case)),
        gflop={"base": counts.step, "adapter": counts.step_adapter, "frame": counts.frame},
    )


@dataclass(frozen=True)
class _Counts:
    """Of one photo, in 10⁹ operations; and numbers of parameters."""

    step: float
    step_adapter: float
    frame: float
    parameters: int
    adapter: int
    discriminator: int


def _counted(config: PlanConfig) -> _Counts:
    """Raises InputError for a size that the generator cannot work at, or that memory does not hold."""
    generator = Generator(config.generator)
    if config.size % generator.multiple:
        raise InputError(f"--size {config.size}: this generator takes multiples of {generator.multiple}")
    # A step of one photo at 256 pixels takes about 2 GB.
    need_memory(2 * 10**9 * config.size**2 // 256**2, available_memory(), f"--size {config.size}", "make it smaller")
    macs, attention = multiply_accumulates(generator, config.size)
    step = training_flops(Generator(config.generator), config.size)
    step_adapter, adapter = step, 0
    if layers := rank_of_layers(generator, config.ranks):
        attach(adapted := Generator(config.generator), layers)
        train_mode(adapted)
        adapter = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
        step_adapter = training_flops(adapted, config.size)
    sizes = parameters(generator), adapter, parameters(Discriminator())
    return _Counts(step / 1e9, step_adapter / 1e9, 2 * (macs + attention) / 1e9, *sizes)


@dataclass(frozen=True)
class _Case:
    """An experiment, of which the savings change a part. before: photos are selected before they are taught. concepts:
    that are taught. searches: of ranks."""

    config: PlanConfig
    sources: Sources
    counts: _Counts
    steps: Steps | None
    before: bool = False
    concepts: int | None = None
    searches: int | None = None

    @property
    def held_out(self) -> int:
        """Photos of the test split; val has as many."""
        return max(1, round(0.1 * self.config.photos))

    @property
    def trained(self) -> int:
        return self.config.photos - 2 * self.held_out

    @property
    def kept(self) -> int:
        return min(self.config.keep, self.trained)

    @property
    def taught_photos(self) -> int:
        return self.kept + 2 * self.held_out if self.before else self.config.photos

    @property
    def taught_concepts(self) -> int:
        return self.config.concepts if self.concepts is None else self.concepts

    def lines(self) -> Iterator[Line]:
        c, files, cpu = self.config, self.sources.table["files"], self.sources.table["processor"]
        photo, edit = (self.sources.picture(kind, c.size) for kind in ("photo", "edit"))
        edits = self.taught_photos * self.taught_concepts
        thread = {
            name: Rate(cpu[name], "measured", cpu["source"], {"seconds": cpu[name]})
            for name in ("prepare", "select", "export")
        }
        per_photo = f"{photo.seconds:,.0f} bytes a PNG, {photo.kind}: {photo.source}"
        per_edit = f"{edit.seconds:,.0f} bytes a PNG, {edit.kind}: {edit.source}"
        yield self._line("photos", c.photos, "photos", thread["prepare"], c.photos * photo.seconds, per_photo, "cpu")
        for name in c.teachers:
            rate = self.sources.edit(name, c.hardware)
            on = "cpu" if "cpu_seconds" in self.sources.teacher(name) else "gpu"
            yield self._line(f"teach: {name}", edits, "edits", rate, edits * edit.seconds, per_edit, on)
        # Of the candidates one becomes the pair's, a file of its own.
        yield self._line("select", c.photos, "photos", thread["select"], edits * edit.seconds, per_edit, "cpu")
        base = self._step(adapter=False)
        count = c.base_concepts * (self.kept if self.before else self.trained) * c.base_epochs
        half = 2 * (self.counts.parameters + self.counts.discriminator)
        weights = "2 bytes for each parameter of generator and discriminator"
        yield self._line("base", count, "photos", base, half, weights, most=c.batch)
        adapter, adapter_bytes = self._step(adapter=True), 2 * self.counts.adapter + files["adapter_rest"]
        searches = c.rank_concepts if self.searches is None else self.searches
        doublings = 1 + math.ceil(math.log2(max(vars(THRESHOLDS).values())))
        if searches:
            count = searches * doublings * c.rank_epochs * self.kept
            yield self._line("ranks", count, "photos", adapter, 0, "its adapters are not counted")
        of_adapter = f"2 bytes for each of its {self.counts.adapter:,} parameters, and {files['source']}"
        count = c.adapters * self.kept * c.epochs
        yield self._line("adapters", count, "photos", adapter, c.adapters * adapter_bytes, of_adapter)
        count = c.adapters * self.held_out
        yield self._line("evaluate", count, "photos", self._frame(), 0, "figures alone")
        exported = files["effect_base"] + c.adapters * files["effect"]
        yield self._line("export", c.adapters, "effects", thread["export"], exported, files["source"], "cpu")

    def _line(
        self,
        stage: str,
        count: int,
        of: str,
        rate: Rate,
        size: float,
        bytes_from: str,
        on: str = "gpu",
        *,
        most: int | None = None,
    ) -> Line:
        """most: rows of a batch, which the GPUs share evenly."""
        if self.sources.hardware(self.config.hardware).get("device") == "cpu":
            on = "cpu"
        hours, price = count * rate.seconds / 3600, self.config.price_per_hour
        money = None if price is None else hours * price
        gpus = self.config.gpus if on == "gpu" else 1
        shared = gpus if most is None else max(n for n in range(1, min(gpus, most) + 1) if most % n == 0)
        told = (rate.kind, rate.source, rate.inputs, bytes_from)
        return Line(stage, count, of, rate.seconds, hours, on, shared, round(size), money, *told)

    def _step(self, *, adapter: bool) -> Rate:
        c, counts = self.config, self.counts
        gflop = counts.step_adapter if adapter else counts.step
        if self.steps is not None:
            own, other = self.steps.adapter, self.steps.base
            own, other = (own, other) if adapter else (other, own)
            if own is not None:
                return own
            if other is not None:  # by their operations
                theirs = counts.step if adapter else counts.step_adapter
                inputs = {**other.inputs, "gflop": gflop, "gflop_of_row": theirs}
                return Rate(other.seconds * gflop / theirs, "computed", other.source, inputs)
        return self.sources.step(gflop, c.hardware, c.generator, c.size, adapter=adapter)

    def _frame(self) -> Rate:
        """An edit, and Inception's look at it and at the teacher's."""
        row = self.sources.table["evaluation"]
        looks = self.sources.work(2 * 2 * row["gmacs"], self.config.hardware)
        if self.steps is not None and self.steps.frame is not None:
            frame = self.steps.frame
            inputs = {**frame.inputs, "gmacs_of_inception": row["gmacs"], "share": looks.inputs}
            return Rate(frame.seconds + looks.seconds, "computed", f"{frame.source}; {row['source']}", inputs)
        rate = self.sources.work(self.counts.frame + 4 * row["gmacs"], self.config.hardware)
        inputs = {**rate.inputs, "gflop_of_frame": self.counts.frame, "gmacs_of_inception": row["gmacs"]}
        return replace(rate, source=f"{rate.source}; {row['source']}", inputs=inputs)

    def hours(self) -> float:
        return sum(line.hours for line in self.lines())

    def with_teachers(self, *names: str) -> _Case:
        return replace(self, config=replace(self.config, teachers=names))


def _savings(case: _Case, total: float) -> Iterator[Saving]:
    """Each change alone, the plan's hours without or with it."""
    c, price = case.config, case.config.price_per_hour

    def saving(what: str, then: float, before: float = total, *, done: bool = False) -> Saving:
        saved = before - then
        return Saving(what, saved, then, None if price is None else saved * price, done)

    def seconds(name: str) -> float:
        return case.sources.edit(name, c.hardware).seconds

    before = replace(case, before=True)
    if case.taught_photos > before.taught_photos:
        what = f"select before teaching: {before.taught_photos:,} of {c.photos:,} photos"
        yield saving(what, before.hours())
    used = replace(case, concepts=c.base_concepts + c.adapters)
    if used.taught_concepts < c.concepts:
        yield saving(f"teach only the {used.taught_concepts:,} concepts that are trained on", used.hours())
    if len(c.teachers) > 1:
        *others, slowest = sorted(c.teachers, key=seconds)
        kept = tuple(name for name in c.teachers if name != slowest)
        yield saving(f"without the slowest teacher, {slowest}", case.with_teachers(*kept).hours())
        yield saving(f"the fastest of the teachers alone, {others[0]}", case.with_teachers(others[0]).hours())
    few = _few_steps(case)
    for name in few:
        then = case.with_teachers(name).hours()
        if then < total:
            yield saving(f"a teacher of few steps alone, {name}", then)
    known = replace(case, config=replace(c, adapters=c.adapters - 1), concepts=c.concepts - 1)
    if c.adapters > 1:
        yield saving("each concept that an adapter already knows", known.hours())
    if few and c.teachers != (fastest := min(few, key=seconds),):
        best = replace(used, before=True).with_teachers(fastest)
        yield saving("selection, those concepts and the fastest of few steps together", best.hours())
    each = replace(case, searches=c.adapters)
    if c.rank_concepts < c.adapters:
        what = f"ranks of {c.rank_concepts:,} concepts for all, not a search for each adapter"
        yield saving(what, total, each.hours(), done=True)
    longer = replace(case, config=replace(c, epochs=2 * c.epochs))
    yield saving(f"adapters of {c.epochs:,} epochs, not {2 * c.epochs:,} (Tab. 14)", total, longer.hours(), done=True)
    everything = replace(case, config=replace(c, keep=case.trained))
    if case.kept < case.trained:
        what = f"adapters on {case.kept:,} photos, not {case.trained:,}"
        yield saving(what, total, everything.hours(), done=True)


def _few_steps(case: _Case) -> list[str]:
    """Teachers of few steps whose weights fit this hardware, and whose time on it is known."""
    memory, presets = case.sources.hardware(case.config.hardware).get("memory_gb", math.inf), load_presets()
    found = []
    for name in case.sources.few(few_steps=True):
        on_cpu = "gmacs" not in case.sources.teacher(name) and memory == math.inf
        if not on_cpu and presets[name].memory_gb <= memory:
            found.append(name)
    return found


def _remarks(case: _Case) -> Iterator[str]:
    """What the figures do not say by themselves."""
    c, presets = case.config, load_presets()
    memory = case.sources.hardware(c.hardware).get("memory_gb")
    for name in c.teachers:
        if memory and name in presets and presets[name].memory_gb > memory:
            yield (
                f"{name}: its weights, {presets[name].memory_gb:g} GB, do not fit {c.hardware}'s {memory:g}; with "
                "--offload it is slower than this"
            )
    if c.keep > case.trained:
        yield f"--keep {c.keep:,}: there are {case.trained:,} training photos"
    yield "at most: the steps of the search of ranks, and of null-text's optimisation, either of which may end sooner"
    yield "left out: retries of failed edits, their scores, starting up, and what waits for a disk"
