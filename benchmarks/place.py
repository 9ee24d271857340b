"""Whether an edit that depends on the place holds at another size than the training's, up to the photo's border.

    python benchmarks/held_out.py --photos PHOTOS --concepts vintage sunrise dusk --size 128 --out at-128
    python benchmarks/held_out.py --photos PHOTOS --concepts vintage sunrise dusk --size 256 --out at-256
    python benchmarks/place.py --pairs at-128/pairs/{vintage,sunrise,dusk} --larger at-256/pairs --out place

Of each pair set: an adapter by the recipe `quick`, and the base's generator from nothing, with and without its sense
of place (docs/method.md), as many steps each. Their edits of the test photos at the training's size, and of the same
photos in the set of that name in --larger, whole: mean L1 of 255; at the larger size that of the outermost eighth, the
frame, and of what it frames. Run again, the command goes on where it was stopped. Writes OUT/place.md, OUT/place.json
and a picture of each concept at the larger size.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from e2gan import RECIPES, AdaptConfig, PairSet, Predictor, ScratchConfig
from e2gan.config.checks import at_least, need
from e2gan.core.errors import LostTrainingError
from e2gan.core.files import sha256, write_bytes, write_json
from e2gan.core.images import Pixels
from e2gan.core.names import slug
from e2gan.core.outputs import make_folder, versions
from e2gan.core.progress import note
from e2gan.measure.metrics import NetworkOptions
from e2gan.research.comparison import Comparison, TrainedModel, load_sets

sys.path[:0] = [str(Path(__file__).resolve().parent)]
from quality_jobs import Base  # noqa: E402 (scripts beside this one, found by the line above)
from runs import exit_status, in_processes, markdown, once  # noqa: E402
from trainings import Stage, pairs_of, train  # noqa: E402

ADAPTER, WITH, WITHOUT = "adapter", "from nothing", "from nothing, not told its place"
COLUMNS = ("size", "larger", "frame", "inner")
SHOWN = 4
Job = tuple[str, Stage, PairSet, PairSet]


def jobs_of(options: argparse.Namespace, base: Base, sets: Sequence[PairSet], larger: Sequence[PairSet]) -> list[Job]:
    """Every way of every concept: its name, its training, and the two pair sets."""
    recipe, found = RECIPES["quick"], []
    own = {"minutes": None, "steps": options.steps, "seed": options.seed, "device": "cpu"}
    for pair_set, large in zip(sets, larger, strict=True):
        place = options.out / "models" / slug(pair_set.folder.name)
        settings: dict[str, Any] = recipe.settings("adapt", base.generator)
        training = replace(recipe.training["adapt"], **own)
        common = {"pairs": pair_set.folder, "out": place / slug(ADAPTER), "training": training}
        found.append((ADAPTER, AdaptConfig(base=base.folder, **settings | common), pair_set, large))
        for name in (WITH, WITHOUT):
            stage = ScratchConfig(
                pairs=pair_set.folder,
                out=place / slug(name),
                model="e2gan",
                generator=replace(base.generator, place=name == WITH),
                text=base.text,
                training=replace(recipe.training["scratch"], **own),
            )
            found.append((name, stage, pair_set, large))
    return found


def model_of(stage: Stage) -> TrainedModel:
    return TrainedModel(stage.out, 0, stage.base if isinstance(stage, AdaptConfig) else None)


def measured(job: Job) -> dict[str, float] | None:
    """Train, where it is not yet; L1 at both sizes, of frame and middle at the larger one; None where it is lost."""
    _, stage, pair_set, larger = job
    try:
        train(stage)
    except LostTrainingError as error:
        note(f"{stage.out}: {error}")
        return None
    model = model_of(stage)
    key = {"weights_sha256": sha256(model.weights)} | pairs_of(pair_set) | {"larger": larger.content()}

    def work() -> dict[str, float]:
        predictor = Predictor(model.load(), "cpu")
        photos, targets, _ = pair_set.arrays("test")
        found = {"size": far(predictor.batch(photos), targets).mean()}
        photos, targets, _ = larger.arrays("test")
        return found | of_larger(far(predictor.batch(photos), targets))

    return once(stage.out / "place.json", key, work)


def far(edits_NHWC: Pixels, targets_NHWC: Pixels) -> np.ndarray:
    """(H, W): the mean absolute difference at each place, of 255."""
    return np.abs(edits_NHWC.astype(np.int16) - targets_NHWC).mean(axis=(0, 3))


def of_larger(far_HW: np.ndarray) -> dict[str, float]:
    inside = tuple(slice(side // 8, side - side // 8) for side in far_HW.shape)
    framed = np.ones(far_HW.shape, bool)
    framed[inside] = False
    return {
        "larger": float(far_HW.mean()),
        "frame": float(far_HW[framed].mean()),
        "inner": float(far_HW[inside].mean()),
    }


def photo_row(pair_set: PairSet, larger: PairSet) -> dict[str, float]:
    photos, targets, _ = pair_set.arrays("test")
    of_large = larger.arrays("test")
    return {"size": float(far(photos, targets).mean())} | of_larger(far(of_large[0], of_large[1]))


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--pairs", type=Path, nargs="+", required=True, help="pair sets of one size")
    made.add_argument("--larger", type=Path, required=True, help="folder with a larger pair set of each one's name")
    made.add_argument("--out", type=Path, required=True)
    made.add_argument("--base", type=Path, help="full, small or a folder (default: the one that ships)")
    made.add_argument("--steps", type=int, default=1000, help="of each training")
    made.add_argument("--jobs", type=int, default=1, help="trainings at a time, each in a process of one thread")
    made.add_argument("--seed", type=int, default=0)
    return made


def run(options: argparse.Namespace) -> str:
    """Raises InputError for bad settings, and where a pair set or the base is not there."""
    for name in ("steps", "jobs"):
        at_least(name, getattr(options, name), 1)
    base, sets = Base.load(options.base), load_sets(options.pairs)
    larger = [PairSet.load(options.larger / pair_set.folder.name) for pair_set in sets]
    for pair_set, large in zip(sets, larger, strict=True):
        need(large.size > pair_set.size, f"{large.folder} is not larger than {pair_set.folder}")
        need(large.prompt == pair_set.prompt, f"{large.folder} is of another concept than {pair_set.folder}")
        sources = [{photo.source for photo in s.photos.split("test")} for s in (pair_set, large)]
        need(sources[0] == sources[1], f"{large.folder} is of other test photos than {pair_set.folder}")
    torch.set_num_threads(1)
    make_folder(options.out)
    jobs = jobs_of(options, base, sets, larger)
    rows = []
    for job, found in zip(jobs, in_processes(measured, jobs, options.jobs), strict=True):
        rows.append({"concept": job[2].folder.name, "way": job[0], "lost": found is None} | (found or {}))
        note(f"{job[2].folder.name}, {job[0]}: {found}")
    lines, comparison = [], Comparison(options.out, "l1", NetworkOptions(device="cpu"))
    for pair_set, large in zip(sets, larger, strict=True):
        own = [{"way": "the photo as it is"} | photo_row(pair_set, large)]
        own += [row for row in rows if row.get("concept") == pair_set.folder.name]
        heads = [pair_set.prompt, f"at {pair_set.size}", f"at {large.size}", "frame", "inner"]
        cells = [[row["way"], *(f"{row[name]:.2f}" if name in row else "lost" for name in COLUMNS)] for row in own]
        lines += [*markdown(heads, cells), ""]
        name = f"{slug(pair_set.folder.name)}.png"
        models = [(way, model_of(stage)) for way, stage, of, _ in jobs if of is pair_set]
        comparison.sheet(options.out / name, large, [(way, m) for way, m in models if m.weights.exists()], SHOWN)
    text = "\n".join(lines)
    write_bytes(options.out / "place.md", text.encode())
    settings = {"base": base.name, "steps": options.steps, "seed": options.seed}
    write_json(options.out / "place.json", {"settings": settings, "versions": versions(), "rows": rows})
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    return exit_status(lambda: print(run(parser().parse_args(arguments)), end=""))


if __name__ == "__main__":
    sys.exit(main())
