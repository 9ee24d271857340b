"""What the small generator loses: the same edits by the same recipe in the same time on both bases that ship.

    python benchmarks/sizes.py --out sizes [--concept brush cartoon golden] [--minutes 3] [--sheet small.jpg] [--jobs 2]

On the built-in photographs, 400 crops of 256 pixels of some and 40 of others for the test. Time is equal by steps, as
benchmarks/quality.py has it, which this runs for each base. The concepts must be new to both. Run again, the command
goes on where it was stopped. Writes OUT/sizes.md, and --sheet: the test pictures with each edit by the teacher, by the
adapter of each base and by the colour table.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from e2gan import Model, PairsConfig, Predictor, make_pairs
from e2gan.config.checks import need
from e2gan.config.schemas import BASE
from e2gan.core.files import read_json, write_bytes
from e2gan.core.images import Pixels, encode_jpeg, square
from e2gan.core.outputs import make_folder, read_settings
from e2gan.core.sheets import sheet
from e2gan.data.builtin_photos import demo_photo_set, test_pictures
from e2gan.networks.folders import base_folder
from e2gan.teachers.filters.filters import apply, find

sys.path[:0] = [str(Path(__file__).resolve().parent)]
import quality  # noqa: E402 (scripts beside this one, found by the line above)
import quality_jobs  # noqa: E402
from quality_tables import values  # noqa: E402
from runs import exit_status, markdown  # noqa: E402

BASES = (Path("full"), Path("small"))
PHOTO, TEACHER, TABLE = "photo", "teacher", "colour table"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Measure and show what the small generator loses."""

    out: Path
    """Folder to write."""
    concept: tuple[str, ...] = ("brush", "cartoon", "golden")
    """Edits of the built-in teacher that neither base has learned."""
    recipe: str = "best"
    """Of e2gan.config.RECIPES."""
    minutes: float = 3.0
    """Time of an adapter."""
    cores: float = 2.0
    """Cores of the machine whose minutes these are."""
    size: int = 256
    """Side of the training photos in pixels."""
    crops: int = 400
    """Training photos."""
    sheet: Path | None = None
    """JPEG file to write."""
    jobs: int = 1
    """Trainings at a time, each in a process of one thread."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    seed: int = 0

    def check(self) -> None:
        """Raises InputError for an unknown concept, or one that a base has learned."""
        need(bool(self.concept), "--concept is empty")
        for base in BASES:
            learned = read_settings(base_folder(base), BASE, "base")["concepts"]
            for text in self.concept:
                need(find(text).prompt not in learned, f"--concept {text}: the {base.name} base has learned it")
        need(self.sheet is None or self.sheet.suffix.lower() in (".jpg", ".jpeg"), "--sheet must end in .jpg")


def measured(config: Settings) -> dict[str, Any]:
    """What quality.py finds on both bases: trained there where it is not yet."""
    photos = config.out / "photos"
    demo_photo_set(photos, config.size, config.seed, config.crops)
    pairs = tuple(config.out / "pairs" / text for text in config.concept)
    for text, folder in zip(config.concept, pairs, strict=True):
        make_folder(folder.parent)
        make_pairs(PairsConfig(photos=photos, concept=text, out=folder, seed=config.seed))
    settings = quality_jobs.Settings(
        pairs=pairs,
        out=config.out / "quality",
        base=BASES,
        recipe=(config.recipe,),
        scratch_factors=(),
        minutes=config.minutes,
        cores=config.cores,
        jobs=config.jobs,
        device=config.device,
        seed=config.seed,
    )
    quality.run_all(settings)
    return read_json(settings.out / "results.json")


def table(config: Settings, found: dict[str, Any]) -> str:
    """Each concept's rows: the photo as it is, the colour table, the adapter of each base."""
    columns = list(next(iter(found["photos"].values())))
    rows = []
    for text in config.concept:
        shown = [(quality_jobs.PHOTO, "", found["photos"][text]), (TABLE, "", model(found, text, "")["scores"])]
        for base in BASES:
            adapter = model(found, text, base.name)
            shown.append((f"adapter, {base.name}", f"{adapter['steps']:,}", adapter["scores"]))
        rows += [[text, title, steps, *values([scores], columns)] for title, steps, scores in shown]
    return "\n".join(markdown(["", "", "steps", *columns], rows)) + "\n"


def model(results: dict[str, Any], concept: str, base: str) -> dict[str, Any]:
    """The adapter on a base; the colour table, which has none."""
    return next(row for row in results["models"] if (row["concept"], row["base"]) == (concept, base))


def draw(config: Settings, found: dict[str, Any]) -> Pixels:
    """The test pictures' centre squares, uint8 (H, W, 3): a row for each edit of each."""
    photos = np.stack([square(picture, config.size) for picture in test_pictures().values()])
    rows: list[list[Pixels]] = []
    for text in config.concept:
        edits = [photos, np.stack([apply(find(text), photo) for photo in photos])]
        for base in BASES:
            folder = Path(model(found, text, base.name)["folder"])
            adapter = Model.load(base=base_folder(base), adapter=(folder,))
            edits.append(Predictor(adapter, config.device).batch(photos))
        lut = Model.load(model=Path(model(found, text, "")["folder"]))
        edits.append(Predictor(lut, config.device).batch(photos))
        rows += [list(row) for row in zip(*edits, strict=True)]
    return sheet(rows, [PHOTO, TEACHER, *(f"adapter, {base.name}" for base in BASES), TABLE])


def run_all(config: Settings) -> str:
    """Train, measure and show. Returns the table. Raises InputError for bad settings, or an `out` of others."""
    config.check()
    make_folder(config.out)
    found = measured(config)
    text = table(config, found)
    write_bytes(config.out / "sizes.md", text.encode())
    if config.sheet:
        write_bytes(config.sheet, encode_jpeg(draw(config, found), 80))
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    return exit_status(lambda: print(run_all(tyro.cli(Settings, args=arguments, description=__doc__)), end=""))


if __name__ == "__main__":
    sys.exit(main())
