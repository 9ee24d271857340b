"""What `e2gan nearest` is worth: the time of its index, and whether what it names is a better start than none.

    python benchmarks/nearest.py --photos PHOTOS [--styles FOLDER --style la_muse rain_princess] --out nearest

First, vectors made at random are searched, by NumPy, and by FAISS where it is installed. Then leave one
out: an adapter is trained of each built-in filter, and of the styles; then each of these concepts is new in turn, with
the adapters of all others as the library. `nearest` names one by a few pairs; from it (`adapt --start`), and from
`--init gradient`, equal steps are trained and measured on held-back photos. Run again, it goes on where it was stopped.
Writes OUT/nearest.md and OUT/results.json.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import tyro
from numpy.typing import NDArray

from e2gan import (
    RECIPES,
    AdaptConfig,
    Model,
    NearestConfig,
    PairsConfig,
    PairSet,
    PhotosConfig,
    Predictor,
    TrainingConfig,
    adapt,
    make_pairs,
    nearest,
    prepare_photos,
)
from e2gan.config.checks import at_least, need
from e2gan.core.files import plain, write_bytes, write_json
from e2gan.core.outputs import make_folder
from e2gan.core.progress import note, track
from e2gan.measure.adapter_index import AdapterIndex, Engine, Search
from e2gan.measure.effect_vectors import WIDTH, form
from e2gan.measure.nearest import Given, given
from e2gan.networks.folders import adapter_content, base_folder
from e2gan.teachers.filters.filters import FILTERS, find

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "recipes")]
from runs import exit_status, markdown, once  # noqa: E402 (scripts beside this one, found by the line above)
from styles import style_pairs, style_prompts  # noqa: E402


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Measure what `e2gan nearest` is worth."""

    out: Path
    """Folder to write."""
    photos: Path | None = None
    """Folder of photographs; without it, the index alone is timed."""
    limit: int = 200
    """Photographs that are taken, of which a tenth is held back."""
    size: int = 64
    """Side of the pairs."""
    base: Path | None = Path("small")
    """Base of the adapters."""
    concepts: tuple[str, ...] = tuple(FILTERS)
    """Built-in filters, by name."""
    styles: Path | None = None
    """Folder of stylize.py and its networks in fast-style."""
    style: tuple[str, ...] = ()
    """Styles of that folder."""
    style_size: int = 128
    """Side at which styles are applied, before they are reduced."""
    library_steps: int = 300
    """Training steps of each adapter of the library."""
    steps: tuple[int, ...] = (30, 100)
    """Training steps from each start."""
    candidates: int = 16
    """Adapters that `nearest` runs."""
    vectors: tuple[int, ...] = (100, 10_000, 100_000)
    """Sizes of the index that is timed."""
    seed: int = 0

    def check(self) -> None:
        for name in self.concepts:
            find(name)
        known = {} if self.styles is None else style_prompts(self.styles)
        for name in self.style:
            need(name in known, f"--style {name}: the styles of --styles are {', '.join(known) or 'none: name it'}")

        need(len(set(self.names)) > 1, "--concepts: one has no others to be compared with: name two")
        for name, least in (("limit", 30), ("candidates", 1), ("library_steps", 1)):
            at_least(name.replace("_", "-"), getattr(self, name), least)
        need(all(n > 0 for n in (*self.steps, *self.vectors)), "--steps and --vectors must be positive")

    @property
    def names(self) -> tuple[str, ...]:
        return (*(find(name).name for name in self.concepts), *self.style)

    def training(self, steps: int) -> TrainingConfig:
        """The recipe quick's."""
        quick = RECIPES["quick"].training["adapt"]
        return replace(quick, steps=steps, minutes=None, precision="fp32", seed=self.seed, device="cpu")


def pair_sets(config: Settings) -> dict[str, Path]:
    """Name → pair set of each concept, all of the same photographs."""
    assert config.photos is not None
    photos, large = (config.out / f"photos-{side}" for side in (config.size, config.style_size))
    prepare_photos(PhotosConfig(folder=config.photos, out=photos, size=config.size, limit=config.limit))
    found = {name: config.out / "pairs" / name for name in config.names}
    for name, out in found.items():
        make_folder(out.parent)
        if name not in config.style:
            make_pairs(PairsConfig(photos=photos, concept=name, out=out))
            continue
        assert config.styles is not None
        prepare_photos(PhotosConfig(folder=config.photos, out=large, size=config.style_size, limit=config.limit))
        make_folder(config.out / "styled")
        style_pairs(config.styles, name, large, photos, config.out / "styled" / name, out)
    return found


def library(config: Settings, sets: dict[str, Path]) -> dict[str, Path]:
    """Name → adapter of each concept, trained from nothing known."""
    make_folder(config.out / "library")
    training = config.training(config.library_steps)
    found = {}
    for i, (name, pairs) in enumerate(sets.items(), 1):
        out = found[name] = config.out / "library" / name
        trained = adapt(AdaptConfig(base=config.base, pairs=pairs, out=out, init="gradient", training=training))
        if not trained.result.already_done:
            note(f"library {i} of {len(sets)}: {name}, L1 {trained.result.l1:.2f}")
    return found


def found(config: Settings, name: str, sets: dict[str, Path], adapters: dict[str, Path]) -> dict[str, Any]:
    """What `nearest` says of a concept, with the adapters of all others as the library; kept on disk."""
    others = tuple(folder for other, folder in adapters.items() if other != name)
    key = {"pairs": PairSet.load(sets[name]).content(), "candidates": config.candidates, "seed": config.seed}
    key |= {"adapters": [adapter_content(folder) for folder in others], "form": form()}
    settings = NearestConfig(
        base=config.base,
        pairs=sets[name],
        adapters=others,
        shipped=False,
        index=config.out / "nearest.jsonl",
        candidates=min(config.candidates, len(others)),
        count=len(others),
        seed=config.seed,
        device="cpu",
    )
    return once(config.out / "found" / f"{name}.json", key, lambda: plain(nearest(settings)))


@dataclass(frozen=True)
class Row:
    """A concept: what was named for it, and what equal steps from there, and from nothing known, give on test photos.

    place: of the named one in the index's order, from 0. told: whether it begins nearer than the base does, so that the
    command tells to start from it. before: L1 of the base and of the named one on the pairs looked at.
    """

    name: str
    kind: str
    start: str
    place: int
    told: bool
    before: tuple[float, float]
    trained: dict[int, tuple[Given, Given]]


def measured(config: Settings, name: str, sets: dict[str, Path], adapters: dict[str, Path]) -> Row:
    told = found(config, name, sets, adapters)
    near = told["near"]
    place = sorted(range(len(near)), key=lambda i: near[i]["distance"]).index(0)
    photos, targets, _ = PairSet.load(sets[name]).arrays("test")
    trained = {}
    for steps in config.steps:
        ways = []
        for start in (None, adapters[near[0]["name"]]):
            out = config.out / "trained" / name / f"{'gradient' if start is None else start.name}-{steps}"
            make_folder(out.parent)
            how: dict[str, Any] = {"init": "gradient"} if start is None else {"start": (start,)}
            adapt(AdaptConfig(base=config.base, pairs=sets[name], out=out, training=config.training(steps), **how))
            model = Model.load(base=config.base, adapter=out)
            ways.append(given(Predictor(model, "cpu").batch(photos), targets))
        trained[steps] = ways[0], ways[1]
    kind = "style" if name in config.style else FILTERS[name].kind
    before = told["base"]["l1"], near[0]["start"]["l1"]
    return Row(name, kind, near[0]["name"], place, before[1] < before[0], before, trained)


def tables(config: Settings, rows: Sequence[Row]) -> list[str]:
    """Each concept, and the paired differences: from the nearest less from the gradient."""
    head = ["concept", "kind", "nearest", "L1 before", *(f"L1 at {steps}" for steps in config.steps)]
    cells = []
    for row in sorted(rows, key=lambda row: row.trained[config.steps[0]][1].l1 - row.trained[config.steps[0]][0].l1):
        levels = [f"{b.l1:.2f} / {a.l1:.2f}" for a, b in row.trained.values()]
        cells.append([row.name, row.kind, row.start, f"{row.before[1]:.2f} / {row.before[0]:.2f}", *levels])
    lines = [
        "From the nearest / from `--init gradient`, L1 of 255 on held-back photos.",
        "",
        *markdown(head, cells),
        "",
    ]
    head = ["steps", "concepts", "metric", "wins", "mean difference [95 %]", "median", "of the gradient's"]
    cells = []
    for steps in config.steps:
        for what, some in (("all", rows), ("where the command names a start", [row for row in rows if row.told])):
            for metric, sign in (("l1", 1), ("ssim", -1), ("perceptual", 1)):
                pairs = [[getattr(way, metric) for way in row.trained[steps]] for row in some]
                if pairs:
                    cells.append([str(steps), f"{what}, {len(some)}", metric, *_difference(np.array(pairs), sign)])
    lines += [*markdown(head, cells), ""]
    places = np.array([row.place for row in rows])
    shares = ", ".join(f"first {k}: {np.mean(places < k):.0%}" for k in (1, 2, 4, 8, 16))
    return [*lines, f"Of {config.candidates} candidates that are run, the best is among the index's {shares}.", ""]


def _difference(pairs: NDArray[np.float64], sign: int) -> list[str]:
    """Wins, mean with its bootstrap interval over concepts, median, and the mean as a share. pairs: gradient, start."""
    difference = pairs[:, 1] - pairs[:, 0]
    rng = np.random.default_rng(0)
    means = difference[rng.integers(len(difference), size=(10_000, len(difference)))].mean(1)
    low, high = np.quantile(means, (0.025, 0.975))
    wins = int((sign * difference < 0).sum())
    mean = difference.mean()
    share = mean / pairs[:, 0].mean()
    return [f"{wins} of {len(pairs)}", f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]", f"{np.median(difference):+.3f}"] + [
        f"{share:+.1%}"
    ]


def index_times(config: Settings) -> list[str]:
    """Milliseconds of a query, and of putting the vectors in place, which a command does once."""
    engines: list[Engine] = ["numpy", *(["faiss"] if find_spec("faiss") else [])]
    cells, rng = [], np.random.default_rng(0)
    for count in config.vectors:
        vectors = 20 * rng.standard_normal((count, WIDTH), np.float32)
        queries = 20 * rng.standard_normal((20, WIDTH), np.float32)
        tops = []
        for engine in engines:
            begun = time.perf_counter()
            search = Search(vectors, engine)
            built, took, top = time.perf_counter() - begun, [], []
            for query in queries:
                begun = time.perf_counter()
                top.append(search.nearest(query, 16)[0])
                took.append(time.perf_counter() - begun)
            tops.append(np.stack(top))
            same = "" if engine == "numpy" else f"{np.mean(tops[0] == tops[-1]):.1%}"
            cells.append([f"{count:,}", engine, f"{1000 * np.median(took):.2f}", f"{1000 * built:.0f}", same])
    head = ["adapters", "engine", "ms a query", "ms to build", "the same 16 as NumPy's"]
    return [f"Vectors of {WIDTH} numbers made at random, one thread:", "", *markdown(head, cells), ""]


def file_times(config: Settings) -> list[str]:
    """Seconds in which an index file of so many adapters is read."""
    cells, rng = [], np.random.default_rng(0)
    with TemporaryDirectory() as folder:
        for count in config.vectors:
            file = Path(folder) / f"{count}.jsonl"
            with AdapterIndex(file, "base", "form", WIDTH).growing() as add:
                for i, vector in enumerate(20 * rng.standard_normal((count, WIDTH), np.float32)):
                    add(f"{i:064}", file.parent / f"adapters/{i}", "make it autumn", vector)
            begun = time.perf_counter()
            AdapterIndex.load(file, "base", "form", WIDTH)
            took = time.perf_counter() - begun
            cells.append([f"{count:,}", f"{file.stat().st_size / 1e6:.1f}", f"{took:.2f}"])
    return ["The index file:", "", *markdown(["adapters", "MB", "s to read"], cells), ""]


def run_all(config: Settings) -> str:
    config.check()
    torch.set_num_threads(1)
    base_folder(config.base)
    make_folder(config.out)
    lines = [*index_times(config), *file_times(config)]
    if config.photos is not None:
        sets = pair_sets(config)
        adapters = library(config, sets)
        rows = [measured(config, name, sets, adapters) for name in track(config.names, "concepts")]
        lines += tables(config, rows)
        write_json(config.out / "results.json", {"rows": plain(rows)})
    text = "\n".join(lines)
    write_bytes(config.out / "nearest.md", text.encode())
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    return exit_status(lambda: print(run_all(tyro.cli(Settings, args=arguments, description=__doc__)), end=""))


if __name__ == "__main__":
    sys.exit(main())
