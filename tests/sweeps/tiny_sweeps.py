"""Sweeps of two concepts at their smallest, and what came of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from e2gan.config import SweepConfig, TrainingConfig
from e2gan.core.tensors import read_tensors
from e2gan.networks.folders import ADAPTER
from e2gan.sweeps.plan import Plan, make_plan
from e2gan.sweeps.store import Store
from e2gan.sweeps.tasks import run_task
from e2gan.sweeps.things import Thing
from tests.conftest import ROOT, Project

FILTERS = '[[concept]]\nname = "{0}"\nprompt = "{0}"\n'
# Posterizes photos; the first that is asked for each prompt waits until the file go is there, or it was killed.
TEACHER = """
import os, sys, time
from pathlib import Path
from PIL import Image, ImageOps
source, target, place, prompt = Path(sys.argv[1]), Path(sys.argv[2]), Path(__file__).parent, sys.argv[3]
(place / f"begun-{prompt}-{os.getpid()}").touch()
while not (place / "go").exists():
    if os.getppid() == 1:  # who asked is dead
        sys.exit(1)
    time.sleep(0.02)
for path in sorted(source.iterdir()):
    ImageOps.posterize(Image.open(path).convert("RGB"), 2).save(target / path.name)
"""


def config_of(project: Project, root: Path, names: tuple[str, ...] = ("sepia", "fog"), **settings: Any) -> SweepConfig:
    """A sweep of filters into root/out, with a scratch folder of its own."""
    listed = root / "list.toml"
    listed.write_text("".join(map(FILTERS.format, names)))
    training = TrainingConfig(steps=6, batch=4, precision="fp32", save_every=0)
    values: dict[str, Any] = {"concepts": str(listed), "photos": project.photos, "base": project.base}
    values |= {"out": str(root / "out"), "scratch": root / "scratch", "export": (), "training": training}
    return SweepConfig(**values | settings)


def order(config: SweepConfig, thing: Thing, scratch: Path | None = None) -> str:
    """What a driver hands out."""
    place = str(scratch or config.scratch)
    values = {"store": config.out, "scratch": place, "limit": config.scratch_gb * 1e9, "threads": config.threads}
    return json.dumps(values | {"thing": thing.order()})


def bring(plan: Plan, store: Store) -> None:
    for brought in plan.brought:
        store.put(brought.ref, brought.folder, {}, brought.names)


def without_ray(config: SweepConfig) -> Plan:
    """All things of a sweep, made one after the other in this process: what one that nothing disturbs comes to."""
    plan = make_plan(config)
    bring(plan, Store(config.out))
    for concept in plan.concepts:
        for thing in concept.things:
            answer = json.loads(run_task(order(config, thing)))
            assert answer.get("state") == "made", answer
    return plan


def came_to(plan: Plan, out: Path) -> dict[str, Any]:
    """Pictures, weights and figures of all concepts, by what they are."""
    found: dict[str, Any] = {}
    for concept in plan.concepts:
        for thing in concept.things:
            folder = out / thing.ref.place
            for path in sorted(folder.rglob("*.png")):
                found[f"{thing.ref.place} {path.relative_to(folder)}"] = path.read_bytes()
            if (folder / ADAPTER).is_file():
                tensors, _ = read_tensors(folder / ADAPTER)
                found |= {f"{thing.ref.place} {name}": tensor.numpy().tobytes() for name, tensor in tensors.items()}
            manifest = Store(str(out)).manifest(thing.ref)
            if manifest is not None:
                found[thing.ref.place] = {n: v for n, v in manifest["facts"].items() if n != "seconds"}
    return found


def attempts(out: Path) -> dict[str, int]:
    """How often each thing was begun."""
    return {
        folder.relative_to(out / "attempts").as_posix(): len(list(folder.iterdir()))
        for folder in (out / "attempts").glob("*/*")
    }


def environment() -> dict[str, str]:
    """For processes that are started: this tree's modules, tests among them."""
    path = os.pathsep.join((str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")))
    return os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def start(arguments: str, root: Path) -> subprocess.Popen[str]:
    """`e2gan sweep` with these arguments, as a process."""
    command = [sys.executable, "-m", "e2gan", "sweep", *arguments.split()]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=root, text=True, env=environment(), **pipes)  # type: ignore[call-overload]


def wait_for(what: Callable[[], object], seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.1)
