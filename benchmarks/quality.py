"""What each recipe reaches on a base: its adapter; the same generator from nothing, the colour table, the photo itself.

    python benchmarks/held_out.py --photos ../shared/photos --styles ../shared/teachers --out held  # the pair sets
    python benchmarks/quality.py --pairs PAIRS … --out quality --base BASE --recipe quick best [--jobs 2]
    python benchmarks/quality.py --pairs PAIRS … --out quality --base small full --curve 1 5 30 --pix2pix-factors 1

Time is equal by steps: that of one step of each training is measured first, in one thread's own time, which other work
on the machine leaves alone; a recipe's minutes on --cores cores are then so many of its steps, and from nothing as many
steps as take the adapter's time, times --scratch-factors; so all weights of the base, times --finetune-factors, and
pix2pix, as it was published, times --pix2pix-factors. Adapters of other ranks, by --rank-factors, take the same time.
An earlier version's adapters, or others that were trained elsewhere, join by --adapters. --compile makes each step
faster, their number stays that of uncompiled ones; --no-keep keeps no weights but adapters'. Run again, it goes on
where it was stopped; delete OUT/step-times.json only with OUT/models. Writes OUT/quality.md, the tables of
docs/quality.md, OUT/results.json, a picture for each concept, recipe and length in OUT/sheets, and --picture.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import tyro

from e2gan.config.checks import need
from e2gan.core.device import resolve_device
from e2gan.core.files import sha256, write_bytes
from e2gan.core.images import Pixels, encode_jpeg
from e2gan.core.names import slug
from e2gan.core.outputs import make_folder
from e2gan.core.progress import note
from e2gan.core.sheets import GAP, sheet, spread
from e2gan.data.pair_set import PairSet
from e2gan.networks.folders import MODEL
from e2gan.research.comparison import load_sets, write_sheet

sys.path[:0] = [str(Path(__file__).resolve().parent)]
from quality_jobs import (  # noqa: E402 (scripts beside this one, found by the line above)
    Base,
    Job,
    Settings,
    jobs_of,
    prepare,
)
from quality_scores import distances, edits_of, measured, scores_of_photos  # noqa: E402
from quality_tables import Table  # noqa: E402
from runs import check_out, exit_status, in_processes, once  # noqa: E402

SHOWN = 6  # test photos on a sheet
TALLEST = 65_000  # pixels of a JPEG file


def of_sheet(pair_set: PairSet) -> tuple[Pixels, Pixels]:
    """Test photos of a sheet, and the teacher's edits, uint8 (N, H, W, 3)."""
    photos, targets, _ = pair_set.arrays("test")
    rows = spread(len(photos), SHOWN)
    return photos[rows], targets[rows]


def draw(config: Settings, sheets: Mapping[Path, tuple[Pixels, Pixels]], jobs: Sequence[Job]) -> None:
    """photo | teacher | table | adapters | all weights | from nothing | pix2pix, for each concept, recipe and length.
    sheets: photos and teacher's edits, by the pair set's folder."""
    groups: dict[tuple[Path, str, float | None], list[Job]] = {}
    for job in jobs:
        groups.setdefault((job.pair_set.folder, job.recipe, job.length), []).append(job)
    make_folder(config.out / "sheets")
    for (folder, recipe, length), own in groups.items():
        if not recipe:
            continue
        shown = [*groups.get((folder, "", None), []), *own]  # the colour table and what was trained elsewhere, on all
        photos, targets = sheets[folder]
        found = [(job.title, edits) for job in shown if (edits := edits_of(job, photos)) is not None]
        time = "" if length is None else f"-{length:g}min"
        path = config.out / "sheets" / f"{slug(folder.name)}-{slug(recipe)}{time}.png"
        write_sheet(path, photos, targets, found)


def shown_sets(config: Settings, sets: Sequence[PairSet]) -> list[PairSet]:
    """Those of --shown, of the same concepts. Raises InputError where one is missing, or cannot be drawn with them."""
    if config.shown is None:
        return []
    found = [PairSet.load(config.shown / pair_set.folder.name) for pair_set in sets]
    rows = 0
    for ours, theirs in zip(sets, found, strict=True):
        need(theirs.prompt == ours.prompt, f"--shown: {theirs.folder} is of '{theirs.prompt}', not of '{ours.prompt}'")
        need(theirs.size == found[0].size, "--shown: the sets differ in size")
        rows += len(theirs.files("test")[0])
    need(0 < rows * (found[0].size + GAP) < TALLEST, f"--shown: {rows} test photos are no picture")
    return found


def picture_of(sets: Sequence[PairSet], shown: Sequence[PairSet], jobs: Sequence[Job]) -> Pixels:
    """The photos of `shown`, uint8 (H, W, 3): a row each, of each concept; photo, teacher and every model's edit, which
    is blank where its training was lost."""
    columns = list(dict.fromkeys(map(heading, jobs)))
    rows: list[list[Pixels]] = []
    for pair_set, own in zip(sets, shown, strict=True):
        photos, targets, _ = own.arrays("test")
        edits = dict.fromkeys(columns, np.full_like(photos, 255))
        for job in jobs:
            if job.pair_set.folder == pair_set.folder and (made := edits_of(job, photos)) is not None:
                edits[heading(job)] = made
        rows += [list(row) for row in zip(photos, targets, *edits.values(), strict=True)]
    return sheet(rows, ["photo", "teacher", *columns])


def heading(job: Job) -> str:
    length = "" if job.length is None else f", {job.length:g} min"
    return " ".join(filter(None, (job.title, job.recipe and f"({job.recipe}{length})")))


def run_all(config: Settings) -> str:
    """All models that are not there yet. Returns the tables. Raises InputError for bad settings or folders."""
    config.check()
    torch.set_num_threads(1)  # whose own time is that of a step
    bases, sets = Base.load_all(config.base), load_sets(config.pairs)
    shown = shown_sets(config, sets)
    need(len({s.size for s in sets}) == 1, "--pairs: the sets differ in size, and so would the time of a step")
    wanted, notes = distances(config)
    check_out(config.picture, "--picture")
    make_folder(config.out)
    once(config.out / "settings.json", {"size": sets[0].size, "cores": config.cores, "seed": config.seed}, dict)
    for base in bases:
        once(config.out / f"base-{base.name}.json", {"base_sha256": sha256(base.folder / MODEL)}, dict)
    pictures = [[s.arrays("test")[0]] for s in shown] or [[]] * len(sets)
    sheets = {pair_set.folder: of_sheet(pair_set) for pair_set in sets}
    seen = [(sheets[pair_set.folder][0], *more) for pair_set, more in zip(sets, pictures, strict=True)]
    jobs = jobs_of(config, bases, sets, seen, wanted)
    prepare(jobs)
    photos = {job.pair_set.folder.name: scores_of_photos(job) for job in jobs[: len(sets)]}
    table = Table(config, sets, wanted, notes, photos, [])
    # Side by side the longest first, so that none goes on alone; a GPU's steps take about as long whatever the network.
    gpu, cells = resolve_device(config.device).type == "cuda", {}
    order = list(jobs)
    if config.jobs > 1:
        order.sort(key=lambda job: job.steps if gpu else job.seconds, reverse=True)
    for job, cell in zip(order, in_processes(measured, order, config.jobs), strict=True):
        cells[job.scores] = cell
        note(f"{len(cells)} of {len(jobs)}: {job.model.folder}")
        table.found[:] = [(known, cells[known.scores]) for known in jobs if known.scores in cells]
        table.write()
    draw(config, sheets, jobs)
    if config.picture is not None:
        write_bytes(config.picture, encode_jpeg(picture_of(sets, shown, jobs), 80))
    return table.write()


def main(arguments: Sequence[str] | None = None) -> int:
    return exit_status(lambda: print(run_all(tyro.cli(Settings, args=arguments, description=__doc__)), end=""))


if __name__ == "__main__":
    sys.exit(main())
