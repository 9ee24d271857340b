"""What a GPU gives: whether its results are the CPU's, and what steps, an adapter, a base and frames cost on it.

    python benchmarks/gpu.py --out gpu.json [--device cuda] [--parts checks steps …] [--seconds 515] [--quick]

Under nine minutes. It needs PyTorch 2.8 or newer, this source, and the wheels that docs/gpu.md lists; no network. Each
part (gpu_parts.py, gpu_checks.py) runs in a process of its own, which is killed when its time is over, and writes each
row when it has it: a part that fails or is late loses what it had not yet done, and the JSON says so. Exit status 2
where `checks` was asked for and did not pass as a whole, or the first losses of a training's rows differ. --device cpu
--quick is the same way in small. `ms` is for one photo; of steps, ten run without waiting in between, as in the
training loop.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from e2gan.core.device import resolve_device
from e2gan.core.errors import InputError
from e2gan.core.files import write_json

sys.path[:0] = [str(Path(__file__).resolve().parent)]
import gpu_parts  # noqa: E402 (scripts beside this one, found by the line above)
from gpu_checks import checks  # noqa: E402
from gpu_parts import PUBLISHED, Row, Settings  # noqa: E402
from runs import check_out, exit_status  # noqa: E402

PARTS: dict[str, tuple[Callable[[Settings], Iterator[Row]], float]] = {
    "machine": (gpu_parts.machine, 25.0),
    "checks": (checks, 60.0),
    "adapter": (gpu_parts.adapter, 150.0),
    "steps": (gpu_parts.steps, 165.0),
    "base": (gpu_parts.base_steps, 40.0),
    "inference": (gpu_parts.inference, 70.0),
}
"""Name → what yields its rows, and its seconds, the start of its process among them. Together 510."""

GOALS = {"H200": 20.0, "H100": 30.0}  # seconds of an adapter: 400 pairs of 256 pixels, 100 epochs
TIMES_LESS = 30.0  # than pix2pix's 800 × 200, on the same GPU
APART = {"fp32": 0.01, "bf16": 0.05}  # of the larger: how far first losses of one training may lie apart; fp32 or TF32


def serve(name: str, device: str, quick: bool, until: float) -> None:
    """A part in its own process: a JSON line for each row. until: the wall clock's time at which it has to be done."""
    settings = Settings(resolve_device(device), quick, time.monotonic() + until - time.time())
    for row in PARTS[name][0](settings):
        print(json.dumps(row), flush=True)


def run_part(name: str, device: str, quick: bool, seconds: float) -> dict[str, Any]:
    """A part's rows, its seconds, and what became of it where it did not come to its end."""
    begun = time.monotonic()
    # The time in which the process starts, ten seconds of some, is the part's too; its last row wants to be told.
    command = [sys.executable, __file__, "--device", device, *["--quick"] * quick]
    command += ["--serve", name, "--until", str(time.time() + max(1.0, seconds - 5))]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=out, stderr=log, start_new_session=True)
        error = None
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            status, error = None, f"stopped after {seconds:.0f} s"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        out.seek(0)
        log.seek(0)
        said = log.read().decode(errors="replace").strip().splitlines() or ["ended without a word"]
        rows = list(whole_rows(out.read().decode(errors="replace")))
    if status not in (0, None):
        error = f"status {status}: {said[-1][:400]}"
    return {"rows": rows, "error": error, "seconds": round(time.monotonic() - begun, 1)}


def whole_rows(text: str) -> Iterator[Row]:
    """The rows of a process that may have been stopped within one."""
    for line in text.splitlines():
        with contextlib.suppress(json.JSONDecodeError):
            if line.startswith("{"):
                yield json.loads(line)


def first_losses(parts: dict[str, Any]) -> list[Row]:
    """Of each training with several rows (batches, eager and compiled), how far its first losses lie apart, as a share
    of the larger. They are of one photo and one start, so `passed` where it is within APART; None where one is not
    finite."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for part in ("steps", "base"):
        for row in parts.get(part, {}).get("rows", []):
            if "first_losses" in row:
                groups.setdefault((part, row["name"], row.get("size")), []).append(row)
    told = []
    for (part, name, size), rows in groups.items():
        if len(rows) < 2:
            continue
        apart = 0.0
        for loss in rows[0]["first_losses"]:
            values = [row["first_losses"][loss] for row in rows]
            if not all(map(math.isfinite, values)):
                apart = math.inf
            elif largest := max(map(abs, values)):
                apart = max(apart, (max(values) - min(values)) / largest)
        finite = math.isfinite(apart)
        about = {"part": part, "name": name, "size": size, "rows": len(rows), "apart": apart if finite else None}
        told.append(about | {"passed": finite and apart <= APART[rows[0]["precision"]]})
    return told


def failed_checks(parts: dict[str, Any]) -> list[str]:
    """What did not pass, or was not tried although it was asked for."""
    said = []
    if (checks := parts.get("checks")) is not None:
        for row in checks["rows"]:
            if row.get("passed") is not True:
                said.append(f"{row['name']}: {row['error'] or 'differs by more than is allowed'}")
        if checks["error"] or not checks["rows"]:
            said.append(f"the part checks: {checks['error'] or 'made no check'}")
    for row in first_losses(parts):
        if not row["passed"]:
            apart = "not all finite" if row["apart"] is None else f"{row['apart']:.1%} apart"
            said.append(f"first losses, {row['name']}: {apart}")
    return said


def summary(parts: dict[str, Any]) -> Row:
    """The goals and what became of them; None where a figure is missing."""

    def rows(part: str) -> list[Row]:
        return [row for row in parts.get(part, {}).get("rows", []) if not row.get("error")]

    card = next((row["card"] for row in rows("machine") if "card" in row), "")
    losses = first_losses(parts)
    checked = [row.get("passed") is True for row in (*parts.get("checks", {}).get("rows", []), *losses)]
    adapters = rows("adapter")
    best = min(adapters, key=lambda row: row["seconds_of_100_epochs"], default=None)
    theirs = [row["hours"] * 3600 for row in rows("steps") if row["name"] == PUBLISHED]
    seconds = best and best["seconds_of_100_epochs"]
    return {
        "card": card,
        "checks_passed": f"{sum(checked)} of {len(checked)}",
        "checks_failed": failed_checks(parts),
        "first_losses": losses,
        "adapter_seconds": seconds,
        "adapter_how": best and f"{best['how']}, batches of {best['batch']}, {best['epochs']} epochs run",
        "adapter_goal_seconds": next((goal for name, goal in GOALS.items() if name in card), None),
        "pix2pix_seconds": min(theirs, default=None),
        "times_less": min(theirs) / seconds if theirs and seconds else None,
        "times_less_goal": TIMES_LESS,
        "failed": [name for name, part in parts.items() if part["error"] or any(r["error"] for r in part["rows"])],
    }


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--out", type=Path, help="JSON with every row")
    made.add_argument("--device", default="cuda")
    made.add_argument("--quick", action="store_true")
    made.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    made.add_argument("--seconds", type=float, default=515.0, help="of all parts together")
    made.add_argument("--serve", metavar="PART", help=argparse.SUPPRESS)
    made.add_argument("--until", type=float, help=argparse.SUPPRESS)
    return made


def work(options: argparse.Namespace) -> None:
    """All parts, one after the other; the JSON is written anew after each."""
    check_out(options.out)
    resolve_device(options.device)
    begun, parts = time.monotonic(), {}
    for name in options.parts:
        seconds = min(PARTS[name][1], options.seconds - (time.monotonic() - begun))
        parts[name] = run_part(name, options.device, options.quick, seconds) if seconds > 10 else late()
        for row in parts[name]["rows"]:
            print(f"{name}: {json.dumps(row)}", flush=True)
        told = {"summary": summary(parts), "parts": parts, "seconds": round(time.monotonic() - begun, 1)}
        if options.out:
            write_json(options.out, {"options": {k: str(v) for k, v in vars(options).items()}} | told)
    print(json.dumps(summary(parts), indent=2))
    if failed := failed_checks(parts):
        raise InputError(f"not all checks passed: {'; '.join(failed)}")


def late() -> dict[str, Any]:
    return {"rows": [], "error": "not begun: the time of all parts is over", "seconds": 0.0}


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    if options.serve:
        serve(options.serve, options.device, options.quick, options.until)
        return 0
    # So that the part's process ends too.
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        return exit_status(lambda: work(options), goes_on=False)
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    sys.exit(main())
