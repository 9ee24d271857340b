"""What many effects on one base cost beside a merged file each: a frame, a switch, and memory.

    python benchmarks/effects.py [--base small] [--adapter A B …] [--effects 10] [--size 256] [--rounds 40]
                                 [--node-modules DIR]

Writes the folder of `export --format effects`, and a merged ONNX file of each effect, both in fp32; adapters are taken
again under other names until there are as many effects as asked for. A frame: merged, an effect, and a mix of two take
turns, so that what else the machine does meets all of them; milliseconds are medians, with one thread of the process's
own time, and the ratio is the median of the rounds'; in onnxruntime-web's WASM too where DIR has it
(npm install --prefix DIR onnxruntime-web). A switch: wall time until the next frame may begin. Memory:
resident, beyond the imported libraries, with all effects loaded and run once, in a process of its own. Needs Linux.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from e2gan import InputError, Model
from e2gan.data.builtin_photos import builtin_pictures, square
from e2gan.export.effects import write
from e2gan.export.effects_model import EffectsModel
from e2gan.export.format import Order
from e2gan.export.onnx import OnnxModel, to_onnx
from e2gan.export.pixel_model import PixelModel
from e2gan.networks.folders import adapter_folder, base_folder, shipped_adapters

sys.path[:0] = [str(Path(__file__).resolve().parent)]
import wasm  # noqa: E402 (a script beside this one, found by the line above)

MERGED = "merged"
CLOSE = 1  # 8-bit levels that WASM may differ from ONNX Runtime on this machine


def make(root: Path, base: Path | None, adapters: list[Path], count: int) -> None:
    """effects/ with so many effects, and merged/NAME.onnx of each."""
    (root / "merged").mkdir(parents=True)
    folder, named = base_folder(base, adapters[0]), []
    for i in range(count):
        adapter = adapter_folder(adapters[i % len(adapters)])
        named.append(Path(shutil.copytree(adapter, root / "adapters" / f"{adapter.name}-{i}")))
        file = root / "merged" / f"{named[i].name}.onnx"
        if i < len(adapters):
            model = Model.load(base=folder, adapter=adapter)
            file.write_bytes(to_onnx(PixelModel(model.plain(), model.tokens), None, {}))
        else:
            shutil.copy(root / "merged" / f"{named[i % len(adapters)].name}.onnx", file)
    (root / "effects").mkdir()
    model = Model.load(base=folder, adapter=adapters[0])
    order = Order(PixelModel(model.plain(), model.tokens), None, "fp32", {}, base=folder, adapters=named)
    write(order, root / "effects" / "effects.json")


def milliseconds(call: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    start = clock()
    call()
    return 1000 * (clock() - start)


def frames(root: Path, size: int, rounds: int, threads: int, modules: Path | None) -> None:
    """A table of a frame's milliseconds; and one in WASM."""
    photo = square(next(iter(builtin_pictures().values())), size)[None]
    file = min((root / "merged").iterdir())
    alone, mixed = (EffectsModel(root / "effects", threads) for _ in range(2))
    first, second = alone.names[:2]
    mixed.set({first: 0.5, second: 0.5})
    ways = {MERGED: OnnxModel(file, threads), "an effect": alone, "a mix of two": mixed}
    clock = time.process_time if threads == 1 else time.perf_counter
    turns = {name: lambda model=model: milliseconds(lambda: model(photo), clock) for name, model in ways.items()}
    table("ONNX Runtime", size, in_turns(turns, rounds))
    if modules is None:
        return
    base = root / "effects" / alone.manifest["base"]["file"]
    with wasm.in_node(modules, threads, photo, root) as node:
        turns = {}
        for number, (name, model) in enumerate(ways.items()):
            inputs = {k: v for k, v in model.feed(photo).items() if k != "photo"} if name != MERGED else {}
            path, feed = base if inputs else file, node.put(str(number), inputs) if inputs else None
            far = np.abs(node.edit(path, feed).astype(int) - model(photo)).max()
            if far > CLOSE:
                raise InputError(f"WASM, {name}: differs from ONNX Runtime by {far} levels")
            turns[name] = lambda path=path, feed=feed: node.time(path, 0, feed)
        table("WASM", size, in_turns(turns, rounds))


def in_turns(ways: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each way's frames, one of each a round; the first allocates, and does not count."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, frame in ways.items():
            times[name].append(frame())
    return {name: row[1:] for name, row in times.items()}


def table(runtime: str, size: int, times: Mapping[str, Sequence[float]]) -> None:
    print(f"\n| a frame of {size}×{size}, {runtime} | ms | times merged |\n|---|---|---|")
    for name, row in times.items():
        ratio = statistics.median(a / b for a, b in zip(row, times[MERGED], strict=True))
        print(f"| {name} | {statistics.median(row):.1f} | {ratio:.2f} |")


def switches(root: Path, rounds: int, threads: int) -> None:
    """A table of what it takes until another effect's frame may begin."""
    files = sorted((root / "merged").iterdir())
    model = EffectsModel(root / "effects", threads)
    names = model.names
    first = [milliseconds(lambda name=name: model.set(name)) for name in names[1:]]
    again = [milliseconds(lambda i=i: model.set(names[i % len(names)])) for i in range(rounds)]
    mixes = [
        milliseconds(lambda i=i: model.set({names[0]: i / rounds, names[1]: 1 - i / rounds})) for i in range(rounds)
    ]
    anew = [milliseconds(lambda i=i: OnnxModel(files[i % len(files)], threads)) for i in range(min(rounds, 10))]
    print("\n| switching | ms |\n|---|---|")
    rows = {"an effect, read for the first time": first, "an effect that is read": again, "a mix of two": mixes}
    for name, row in (rows | {"a merged file, loaded anew": anew}).items():
        print(f"| {name} | {statistics.median(row):.2f} |")


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def loaded(root: Path, what: str, size: int) -> int:
    """Bytes that all effects take, loaded and run once."""
    photo = square(next(iter(builtin_pictures().values())), size)[None]
    OnnxModel(next((root / "merged").iterdir()), 1)  # the library itself
    before = resident()
    if what == "effects":
        model = EffectsModel(root / "effects", 1)
        for name in model.names:
            model.set(name)
            model(photo)
        return resident() - before
    kept = [OnnxModel(file, 1) for file in (root / "merged").iterdir()]
    for model in kept:
        model(photo)
    return resident() - before


def memory(root: Path, size: int) -> None:
    """A table of the memory of all effects."""
    print("\n| memory of all effects | MB |\n|---|---|")
    for what in ("effects", "merged"):
        command = [sys.executable, __file__, "--child", what, str(root), "--size", str(size)]
        told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ).stdout
        label = {"effects": "one base and its effects", "merged": "a merged file of each"}[what]
        print(f"| {label} | {json.loads(told) / 1e6:.0f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, help="folder, or name of a base that ships (default: the adapters')")
    parser.add_argument("--adapter", type=Path, nargs="+", help="folders or names (default: those that ship)")
    parser.add_argument("--effects", type=int, default=10, help="how many, at least 2 (default: 10)")
    parser.add_argument("--size", type=int, default=256, help="of a frame's side (default: 256)")
    parser.add_argument("--rounds", type=int, default=40, help="frames of each (default: 40)")
    parser.add_argument("--threads", type=int, default=1, help="of ONNX Runtime (default: 1)")
    parser.add_argument("--node-modules", type=Path, metavar="DIR", help="with onnxruntime-web (default: no WASM)")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(loaded(Path(options.child[1]), options.child[0], options.size))
        return
    if options.node_modules is not None and (reason := wasm.absent(options.node_modules)) is not None:
        parser.error(f"--node-modules: {reason}")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "made"
        adapters = options.adapter or [Path(name) for name in shipped_adapters(base_folder(options.base))]
        if not adapters:
            parser.error(f"--base {options.base}: no adapter of it ships: name --adapter")
        make(root, options.base, adapters, max(2, options.effects))
        sizes = [
            sum(f.stat().st_size for f in (root / name).rglob("*") if f.is_file()) for name in ("effects", "merged")
        ]
        print(f"{max(2, options.effects)} effects: {sizes[0] / 1e6:.1f} MB on one base, {sizes[1] / 1e6:.1f} MB merged")
        frames(root, options.size, options.rounds, options.threads, options.node_modules)
        switches(root, options.rounds, options.threads)
        memory(root, options.size)


if __name__ == "__main__":
    main()
