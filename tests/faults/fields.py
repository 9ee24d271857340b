"""Fields of files changed, by the means of tests/test_lying_files.py, as often as asked for."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.conftest import make_project
from tests.test_lying_files import VALUES, WAYS, lied, lied_tensors, try_kind
from tests.tiny_kinds import KINDS, TENSORS, build

HOW = ("set", "set", "set", "delete", "twice", "rename", "text")


@dataclass
class Changed:
    """What came of changed files so far."""

    tries: int = 0
    faults: list[str] = field(default_factory=list)


def change_all(place: Path, each: int) -> Iterator[Changed]:
    """`each` changes of every kind of file that has fields, and each way of damage to every kind of tensors."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    home = build(make_project(place / "project"), place / "good")
    done, work = Changed(), place / "work"
    for number in range(each):
        for name, kind in KINDS.items():
            chance = random.Random(f"{name} {number}")
            where, how, value = chance.randrange(200), chance.choice(HOW), chance.choice(VALUES)
            _try(done, f"{name}, {number}", kind, home, work, lambda p, w=where, h=how, v=value: lied(p, w, h, v))
            yield done
    for name, kind in TENSORS.items():
        for number, way in enumerate(WAYS):
            _try(done, f"{name}, {way}", kind, home, work, lambda p, w=way, n=number: lied_tensors(p, w, n))
            yield done


def count(each: int) -> int:
    return each * len(KINDS) + len(TENSORS) * len(WAYS)


def _try(done: Changed, name: str, kind: object, home: Path, work: Path, change: object) -> None:
    done.tries += 1
    try:
        try_kind(kind, home, work, change)  # type: ignore[arg-type]
    except Exception as error:
        done.faults.append(f"{name}: {type(error).__name__}: {str(error)[:300]}")
        shutil.rmtree(work, ignore_errors=True)
