"""The stage `sweep`: pairs, adapter, figures and exported files of many concepts, as tasks on a Ray cluster."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from e2gan.config import SweepConfig
from e2gan.config.schemas import SweepFile
from e2gan.core.errors import InputError
from e2gan.core.files import json_bytes, parse_json, plain
from e2gan.core.locks import only_writer
from e2gan.core.outputs import check_out, versions
from e2gan.core.progress import Meter, in_threads, note
from e2gan.sweeps.cluster import Cluster, cluster, need_ray
from e2gan.sweeps.page import INDEX, RESULTS, rows_of, write_page
from e2gan.sweeps.plan import Concept, Plan, make_plan
from e2gan.sweeps.store import Store
from e2gan.sweeps.tasks import clean_task, run_task
from e2gan.sweeps.things import BLOCKS, PAIRS, Ref, Thing

ABOUT = "sweep.json"
FAILURES = "failures"  # where tracebacks of faults lie
MOST_DAMAGED = 3  # times that a thing is made again which is not what was written
LOOK = 1.0  # seconds at most between two looks at the tasks


@dataclass(frozen=True)
class Failed:
    """A concept of which something could not be made. what: the kind of thing; why: one line."""

    concept: str
    what: str
    why: str

    def __str__(self) -> str:
        return f"{self.concept}: no {self.what}: {self.why}"


@dataclass(frozen=True)
class SweepResult:
    """What a sweep came to. made, found: things by kind that tasks made, and that were there already.

    results, page: where the table of all concepts and the page of them lie. status: the command's, 1 where any concept
    has failed.
    """

    out: str
    concepts: int
    made: dict[str, int]
    found: dict[str, int]
    results: str
    page: str
    failed: list[Failed] = field(default_factory=list)

    @property
    def status(self) -> int:
        return 1 if self.failed else 0

    def __str__(self) -> str:
        whole = self.concepts - len({failed.concept for failed in self.failed})
        lines = [f"{whole} of {self.concepts} concepts are whole in {self.out}: made {_counted(self.made)}"]
        if sum(self.found.values()):
            lines[0] += f"; there already: {_counted(self.found)}"
        lines += [str(failed) for failed in self.failed]
        return "\n".join([*lines, f"all of them: {self.page}, {self.results}"])


def sweep(config: SweepConfig) -> SweepResult:
    """Make of each concept of a list its pairs, adapter, figures and exported files, each a task on this machine or on
    a Ray cluster. Run again, after whatever stop, it finds what was made by its content, and goes on.

    A concept that fails leaves the others alone, and is told. Raises InputError, before any task begins, for bad
    settings, a list, photos, a base, teachers or formats that cannot be, an address without a cluster, and a place that
    cannot be written.
    """
    SweepConfig.checked(config)
    store = Store(config.out)
    if store.local:
        check_out(Path(store.root), grows=True)
    if not is_sweep(store) and store.holds_anything():
        raise InputError(f"--out {config.out} already holds something else: choose another --out")
    plan = make_plan(config)
    for line in plan.about:
        note(line)
    need_ray()
    with only_writer(Path(store.root)) if store.local else nullcontext():
        drive = _Drive(config, store, plan)
        drive.look()
        if drive.wanted():
            with cluster(config) as machines:
                _claim(store, config)
                drive.bring()
                drive.run(machines)
                kept = [str(ref) for ref in (*plan.refs, *(brought.ref for brought in plan.brought))]
                machines.on_each_machine(clean_task, json.dumps(_order(config, store) | {"refs": kept}))
        else:
            _claim(store, config)
        failed = drive.failures()
        rows = rows_of(plan, store, {one.concept: f"no {one.what}: {one.why}" for one in reversed(failed)})
        write_page(store, rows, config.concepts)
    return SweepResult(
        out=config.out,
        concepts=len(plan.concepts),
        made=dict(drive.made),
        found=dict(drive.found),
        results=store.shown(RESULTS),
        page=store.shown(INDEX),
        failed=failed,
    )


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in counts.items() if count) or "nothing"


def is_sweep(store: Store) -> bool:
    """Whether a sweep has written there. Raises InputError where its sweep.json is none."""
    data = store.read(ABOUT)
    if data is not None:
        parse_json(data, SweepFile, store.shown(ABOUT))
    return data is not None


def _claim(store: Store, config: SweepConfig) -> None:
    """Write down what the sweep is asked for. Raises InputError for a place that cannot be written."""
    store.write(ABOUT, json_bytes({"stage": "sweep", "settings": plain(config), "versions": versions()}))


def _order(config: SweepConfig, store: Store) -> dict[str, Any]:
    """What tasks are told beside their thing."""
    return {
        "store": str(Path(store.root)) if store.local else store.url,
        "scratch": None if config.scratch is None else str(config.scratch.absolute()),
        "limit": config.scratch_gb * 1e9,
        "threads": config.threads,
    }


@dataclass
class _Drive:
    """The tasks of a sweep: which can be begun, which are at work, what became of each thing."""

    config: SweepConfig
    store: Store
    plan: Plan
    done: set[Ref] = field(default_factory=set)
    running: dict[Any, tuple[Concept, Thing, Ref]] = field(default_factory=dict)
    wrong: dict[Ref, str] = field(default_factory=dict)  # what could not be made, and why
    damaged: Counter[Ref] = field(default_factory=Counter)
    made: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        # In the order of the concepts, so that the first of them is whole before the last is begun.
        self.all = [(concept, thing, thing.ref) for concept in self.plan.concepts for thing in concept.things]

    def look(self) -> None:
        """Find what is there already."""
        refs = [*self.plan.refs, *(brought.ref for brought in self.plan.brought)]
        look = self.store.check if self.config.verify else self.store.has
        self.done = {ref for ref, there in zip(refs, in_threads(look, refs), strict=True) if there}
        self.found = Counter(ref.kind for ref in self.plan.refs if ref in self.done)

    def bring(self) -> None:
        """Bring the photos and the base to where the tasks find them."""
        for brought in self.plan.brought:
            if brought.ref not in self.done:
                note(f"bringing {brought.folder} to {self.store.shown(brought.ref.place)}")
                self.store.put(brought.ref, brought.folder, {}, brought.names)
                self.done.add(brought.ref)

    def run(self, machines: Cluster) -> None:
        """Until nothing is left that can be made."""
        total, begun = len(self.wanted()), time.monotonic()
        with Meter("sweep") as meter:
            while self._begin(machines) or self.running:
                for task in machines.wait(list(self.running), LOOK):
                    self._end(task, *machines.answer(task))
                if count := sum(self.made.values()):
                    state = f"{count} of {total} things, {len(self.running)} tasks"
                    meter.update(state, count, min(1.0, count / total), time.monotonic() - begun)

    def wanted(self) -> list[tuple[Concept, Thing, Ref]]:
        """What is not there yet; of blocks, those of pair sets that are not."""
        open_sets = {ref for _, thing, whole in self.all if whole not in self.done for ref in thing.after}
        return [
            (concept, thing, ref)
            for concept, thing, ref in self.all
            if ref not in self.done and (thing.kind != BLOCKS or ref in open_sets)
        ]

    def _begin(self, machines: Cluster) -> int:
        """Hand out tasks whose inputs are there, no more than the machines should hold. Returns how many are new."""
        at_work = {ref for _, _, ref in self.running.values()}
        held = Counter(thing.gpu for _, thing, _ in self.running.values())
        most = {gpu: self.config.in_flight or 2 * machines.can_run(gpu=gpu) for gpu in (False, True)}
        room = {gpu: most[gpu] - held[gpu] for gpu in most}
        new = 0
        for concept, thing, ref in self.wanted():
            ready = ref not in at_work and ref not in self.wrong and all(need in self.done for need in thing.needs)
            if not ready or room[thing.gpu] <= 0:
                continue
            order = json.dumps(_order(self.config, self.store) | {"thing": thing.order()})
            task = machines.start(run_task, order, gpu=thing.gpu, name=f"{concept.name} {thing.kind}")
            self.running[task] = (concept, thing, ref)
            at_work.add(ref)
            room[thing.gpu] -= 1
            new += 1
        return new

    def _end(self, task: Any, text: str | None, why: str) -> None:
        """Take up what a task answered, or why it did not."""
        concept, thing, ref = self.running.pop(task)
        answer = {"error": why} if text is None else json.loads(text)
        if "state" in answer:
            self.done.add(ref)
            (self.made if answer["state"] == "made" else self.found)[thing.kind] += 1
            if thing.kind == PAIRS:
                for block in thing.after:  # the pair set has their edits
                    self.store.remove(block)
                    self.done.discard(block)
            return
        if "damaged" in answer:
            self._damaged(Ref.read(answer["damaged"]), answer["error"])
            return
        self.wrong[ref] = answer["error"]
        note(f"{concept.name}: no {thing.kind}: {answer['error']}")
        if answer.get("trace"):
            name = f"{FAILURES}/{concept.name}-{thing.kind}.txt"
            self.store.write(name, answer["trace"].encode("utf-8", "replace"))
            note(f"{concept.name}: that is a fault of the program; where it was: {self.store.shown(name)}")

    def _damaged(self, ref: Ref, why: str) -> None:
        """An input that is not what was written is made again, or brought again."""
        note(f"made again: {why}")
        self.done.discard(ref)
        self.damaged[ref] += 1
        if self.damaged[ref] > MOST_DAMAGED:
            self.wrong[ref] = f"was damaged {self.damaged[ref]} times: {why}"
            return
        for brought in self.plan.brought:
            if brought.ref == ref:
                self.store.put(ref, brought.folder, {}, brought.names)
                self.done.add(ref)

    def failures(self) -> list[Failed]:
        """What is missing in the end, and why: of each concept that which failed, not what would have come of it."""
        return list(self._failures())

    def _failures(self) -> Iterator[Failed]:
        for concept, thing, ref in self.wanted():
            if ref in self.wrong:
                yield Failed(concept.name, thing.kind, self.wrong[ref])
