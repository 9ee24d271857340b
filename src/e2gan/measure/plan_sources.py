"""What a plan is computed with: the figures of plan.toml, their sources, and what was measured on a card."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from e2gan.config.network import DEVICE, PAPER, PRESETS, GeneratorConfig
from e2gan.config.schemas import GpuFile, PlanFile
from e2gan.core.errors import InputError
from e2gan.core.files import read_json, read_toml

Row = Mapping[str, Any]  # of a form in config/plan_schemas.py
SHIPPED = Path(__file__).with_name("plan.toml")
Kind = Literal["measured", "published", "computed"]
# Benchmark's name of an adapter, and of a base, of each generator that benchmarks/gpu.py trains.
MEASURED = {
    "paper": (PAPER, "adapter, as the paper trains it", ""),
    "full": (DEVICE, "adapter, full, quick", "full"),
    "small": (PRESETS["small"], "adapter, small, quick", "small"),
}


@dataclass(frozen=True)
class Rate:
    """Seconds of one photo, and what they come from. inputs: the numbers of the formula."""

    seconds: float
    kind: Kind
    source: str
    inputs: Mapping[str, Any]


@dataclass(frozen=True)
class Sources:
    """plan.toml, with each name in it known to be there."""

    table: Row

    @classmethod
    def load(cls, path: Path = SHIPPED) -> Sources:
        """Raises InputError, one line that says where, for a file of another form, or of names that it has not."""
        table: Any = read_toml(path, PlanFile)
        found = cls(table)
        for name, row in table["hardware"].items():
            if "tflops" not in row and "gflops" not in row:
                raise InputError(f"{path}: hardware.{name} has neither tflops nor gflops")
        named = {"training": table["training"]["hardware"]}
        for name, row in table["teachers"].items():
            if "hardware" in row:
                named[f"teachers.{name}"] = row["hardware"]
            if ("seconds" in row) != ("hardware" in row):
                raise InputError(f"{path}: teachers.{name}: seconds and hardware belong together")
            if ("gmacs" in row) != ("passes" in row):
                raise InputError(f"{path}: teachers.{name}: gmacs and passes belong together")
            like = row.get("like", name)
            anchor = table["teachers"].get(like, {})
            timed = "seconds" in anchor and (like == name or ("gmacs" in anchor and "gmacs" in row))
            if not timed and "cpu_seconds" not in row:
                raise InputError(f'{path}: teachers.{name}: no time follows from like = "{like}"')
        for where, name in named.items():
            if "tflops" not in table["hardware"].get(name, {}):
                raise InputError(f'{path}: {where}: no peak is known of hardware = "{name}"')
        return found

    def hardware(self, name: str) -> Row:
        """Raises InputError for a name that is not there, with those that are."""
        if name not in self.table["hardware"]:
            raise InputError(f"--hardware {name[:200]}: there are {', '.join(self.table['hardware'])}")
        return self.table["hardware"][name]

    def teacher(self, name: str) -> Row:
        """Raises InputError for a name that is not there, with those that are."""
        if name not in self.table["teachers"]:
            raise InputError(f"--teachers {name[:200]}: no time is known of it; there are {', '.join(self.few())}")
        return self.table["teachers"][name]

    def few(self, *, few_steps: bool = False) -> list[str]:
        """Names of teachers: all, or those of few steps."""
        return [n for n, row in self.table["teachers"].items() if row.get("few_steps", False) or not few_steps]

    def edit(self, name: str, hardware: str) -> Rate:
        """What an edit by a teacher takes on some hardware.

        A published time holds on its own card. Elsewhere, and where nothing is published, the teacher gets the share
        of the peak that a published time tells: its own, or that of the teacher which it is `like`. Raises InputError
        for unknown names, and for a teacher of whose operations nothing is known, on a CPU.
        """
        row, machine = self.teacher(name), self.hardware(hardware)
        if "cpu_seconds" in row:
            return Rate(row["cpu_seconds"], "measured", row["source"], {"seconds": row["cpu_seconds"]})
        anchor = self.table["teachers"][row.get("like", name)]
        tflop = _tflop(row)
        if "tflops" not in machine:
            if tflop is None:
                raise InputError(f"--teachers {name}: nothing is known of its operations, by which a CPU's time goes")
            inputs = _passes(row) | {"tflop": tflop, "gflops_of_hardware": machine["gflops"]}
            return Rate(tflop * 1000 / machine["gflops"], "computed", row["source"], inputs)
        if row.get("hardware") == hardware:
            return Rate(row["seconds"], "published", row["source"], {"seconds": row["seconds"], "hardware": hardware})
        theirs = self.hardware(anchor["hardware"])
        inputs = _passes(row) | {"like": row.get("like", name), "seconds_of_like": anchor["seconds"]}
        inputs |= {"tflops_of_like": theirs["tflops"], "tflops": machine["tflops"]}
        ratio, tflop_of_like = 1.0, _tflop(anchor)
        if tflop is not None and tflop_of_like is not None:
            ratio = tflop / tflop_of_like
            share = tflop_of_like / (anchor["seconds"] * theirs["tflops"])
            inputs |= {"tflop": tflop, "tflop_of_like": tflop_of_like, "share_of_peak": share}
        seconds = anchor["seconds"] * ratio * theirs["tflops"] / machine["tflops"]
        return Rate(seconds, "computed", row["source"], inputs)

    def work(self, gflop: float, hardware: str) -> Rate:
        """What so many operations of this generator take, at the share of the peak that a training got elsewhere."""
        machine, anchor = self.hardware(hardware), self.table["training"]
        if "tflops" not in machine:
            return Rate(gflop / machine["gflops"], "computed", machine["source"], {"gflop": gflop} | _rate(machine))
        theirs = self.hardware(anchor["hardware"])["tflops"]
        share = anchor["gflop"] * anchor["photos"] / anchor["seconds"] / 1000 / theirs
        inputs = {"gflop": gflop, "share_of_peak": share, "tflops": machine["tflops"]}
        return Rate(gflop / 1000 / (share * machine["tflops"]), "computed", anchor["source"], inputs)

    def step(self, gflop: float, hardware: str, generator: GeneratorConfig, size: int, *, adapter: bool) -> Rate:
        """What a photo takes in a training step of so many operations: as was timed, where just this was, or `work`."""
        machine, anchor = self.hardware(hardware), self.table["training"]
        rate = self.work(gflop, hardware)
        if not adapter and generator == DEVICE:
            for row in machine.get("steps", []):
                if row["size"] == size:
                    seconds = 1 / row["photos_a_second"]
                    return Rate(seconds, "measured", machine["source"], {"photos_a_second": row["photos_a_second"]})
        if adapter and hardware == anchor["hardware"] and generator == PAPER and size == 256:
            inputs = {"seconds": anchor["seconds"], "photos": anchor["photos"]}
            return Rate(anchor["seconds"] / anchor["photos"], "published", anchor["source"], inputs)
        return rate

    def picture(self, kind: Literal["photo", "edit"], size: int) -> Rate:
        """Bytes (as `seconds`) of a picture: measured at its size, or by pixels from the nearest one."""
        table = self.table["pictures"]
        row = min(table["sizes"], key=lambda row: abs(math.log(row["size"] / size)))
        inputs = {"bytes": row[kind], "size": row["size"]}
        return Rate(
            row[kind] * (size / row["size"]) ** 2,
            "measured" if row["size"] == size else "computed",
            table["source"],
            inputs,
        )


def _tflop(row: Row) -> float | None:
    """Operations of an edit, two for each multiply-accumulate."""
    if "gmacs" not in row:
        return None
    return 2 * row["gmacs"] * row.get("passes", 1.0) * row.get("slower", 1.0) / 1000


def _passes(row: Row) -> dict[str, Any]:
    return {name: row[name] for name in ("gmacs", "passes", "slower") if name in row}


def _rate(machine: Row) -> dict[str, Any]:
    return {"gflops_of_hardware": machine.get("gflops")}


@dataclass(frozen=True)
class Steps:
    """What benchmarks/gpu.py measured of one generator at one size: photos' seconds, None where it has no such row."""

    adapter: Rate | None
    base: Rate | None
    frame: Rate | None

    @classmethod
    def load(
        cls, path: Path, sources: Sources, hardware: str, generator: GeneratorConfig, size: int, batch: int
    ) -> Steps:
        """Rows of networks that are not compiled, as the commands train them, and of the batch nearest to `batch`.

        Raises InputError for a file of another form, of another card than `hardware`, or without any row that fits.
        """
        table: Any = read_json(path, GpuFile)
        _check_card(path, table, sources, hardware)
        name = next((name for name, (config, *_) in MEASURED.items() if config == generator), None)
        if name is None:
            raise InputError(f"--measured {path}: has steps of the presets paper, device and small alone")
        _, adapter, base = MEASURED[name]
        step_size = 32 if table["options"].get("quick") == "True" else 256
        full = "full" if name == "paper" else name

        def row(part: str, of: str, how: str, size_of_rows: int | None) -> Rate | None:
            fit = [
                row
                for row in _rows(table, part)
                if row.get("name") == of and row.get("how") == how and row.get("size", size_of_rows) == size
            ]
            fit = [row for row in fit if "ms" in row and "batch" in row]
            if not fit:
                return None
            best = min(fit, key=lambda row: abs(math.log(row.get("batch", 1) / batch)))
            inputs = {"part": part, "row": of, "batch": best.get("batch"), "ms": best.get("ms")}
            return Rate(best.get("ms", 0.0) / 1000, "measured", str(path), inputs)

        found = cls(
            row("steps", adapter, "eager", step_size),
            row("base", base, "eager", None) if base else None,
            row("inference", full, "fp32", None),
        )
        if found.adapter is None and found.base is None and found.frame is None:
            raise InputError(f"--measured {path}: has no row of this generator at --size {size}")
        return found


def _rows(table: Row, part: str) -> Iterator[Row]:
    for row in table["parts"].get(part, {"rows": []})["rows"]:
        if not row.get("error"):
            yield row


def _check_card(path: Path, table: Row, sources: Sources, hardware: str) -> None:
    """Raises InputError where the file is of other hardware."""
    told = next((row for row in _rows(table, "machine") if "card" in row), None)
    if told is None:
        raise InputError(f"--measured {path}: does not say which card it is of (the part machine of benchmarks/gpu.py)")
    card = told.get("card", "")
    if sources.hardware(hardware).get("device") == "cpu":
        if told.get("device") != "cpu":
            raise InputError(f"--measured {path}: is of {card[:100]}, not of --hardware {hardware}")
        return
    known = {name: row["card"] for name, row in sources.table["hardware"].items() if "card" in row}
    fits = [name for name, of in known.items() if re.search(rf"\b{re.escape(of)}\b", card)]
    if hardware not in fits or any(len(known[other]) > len(known[hardware]) for other in fits):
        raise InputError(f"--measured {path}: is of {card[:100] or 'an unnamed card'}, not of --hardware {hardware}")
