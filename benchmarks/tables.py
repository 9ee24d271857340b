"""Every table and figure of the paper once, whole, at the smallest size that runs in minutes.

    python benchmarks/tables.py --data ../shared --out measured-tables [--only table5 fig7]

What comes out shows that each experiment runs and compares what it should, not what the paper's size would show: sixty
photos of 32 pixels, built-in filters as teachers, twenty steps. Run again, it goes on where it was stopped. The summary
is OUT/tables.md; docs/log.md says what each shows and what it cannot.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import tyro

from e2gan import InputError, PairsConfig, PhotosConfig, TableConfig, make_pairs, prepare_photos, run_table
from e2gan.core.files import write_bytes
from e2gan.core.images import read_image, square, write_png
from e2gan.core.names import output_names
from e2gan.core.originals import list_images
from e2gan.research.tables.run import ORDER, TableResult, label, markdown_table
from e2gan.teachers.filters.filters import FILTERS, apply


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is run, and how small."""

    data: Path
    """Folder with photos/faces, photos/landscapes, pairs/facades, features and teachers."""
    out: Path
    """Folder to write."""
    only: tuple[str, ...] = ()
    """Experiments to run (default: all)."""
    photos: int = 60
    """Photos of faces, and of landscapes."""
    size: int = 32
    """Side in pixels."""
    steps: int = 20
    """Steps of each model of a concept."""
    base_steps: int = 60
    """Steps of each base."""
    batch: int = 2
    """Pairs a step."""
    seed: int = 0


# Which filters stand for the paper's concepts. Held apart: to evaluate on, of the base, random, art, the single one.
CONCEPTS = {
    "evaluated": ("dusk", "watercolour"),
    "base": ("autumn", "winter", "comic"),
    "random": ("night", "neon", "oil"),
    "art": ("sketch", "popart", "charcoal", "stone"),
    "single": ("golden",),
}
FACES = ("table3-faces", "table4", "table6", "table12", "table13", "fig7")


def main(arguments: Sequence[str] | None = None) -> int:
    config = tyro.cli(Settings, args=arguments, description=__doc__)
    unknown = [name for name in config.only if name not in ORDER]
    if unknown:
        raise InputError(f"--only {unknown[0]}: there are {', '.join(ORDER)}")
    results = [run(config, name) for name in ORDER if name in (config.only or ORDER)]
    lines = ["# The paper's tables, small", ""]
    for result, seconds in results:
        lines += [f"## {label(result.name)}: {result.title}", "", f"{seconds:.0f} s in this run.", ""]
        columns = list(dict.fromkeys(column for row in result.rows for column in row.cells))
        lines += markdown_table(["", *columns], [[r.name, *(r.cells.get(c, "") for c in columns)] for r in result.rows])
        lines += ["", *(f"- {note}" for note in result.notes), ""]
    write_bytes(config.out / "tables.md", "\n".join(lines).encode())
    print(config.out / "tables.md")
    return 0


def run(config: Settings, name: str) -> tuple[TableResult, float]:
    """One experiment on what stands for its data, and the seconds that it took in this run."""
    begun = time.monotonic()
    print(f"== {name}", file=sys.stderr, flush=True)
    common = TableConfig(
        number=name,
        out=config.out / "tables",
        metric="fd-squeezenet",
        embedding="gradient-colour",
        text="hashed",
        steps=config.steps,
        base_steps=config.base_steps,
        batch=config.batch,
        keep=(config.photos * 4 // 10,),
        seed=config.seed,
    )
    if name in ("table1", "table2", "fig6"):
        result = run_table(common)
    elif name == "table8":
        result = run_table(replace(common, pairs=(facades(config),)))
    elif name == "table9":
        result = run_table(replace(common, pairs=(unpaired(config),)))
    else:
        of = "faces" if name in FACES else "landscapes"
        groups = {kind: tuple(pairs(config, of, concept) for concept in names) for kind, names in CONCEPTS.items()}
        scratch = name in ("table6", "fig2")
        result = run_table(
            replace(
                common,
                pairs=groups["evaluated"][: 1 if scratch else None],
                base_pairs=groups["base"],
                random_pairs=groups["random"],
                art_pairs=groups["art"],
                single_pairs=groups["single"][0],
                keep=tuple(config.photos * i // 10 for i in (1, 2, 4, 8)) if name == "fig7" else common.keep,
            )
        )
    assert isinstance(result, TableResult)
    return result, time.monotonic() - begun


def photo_set(config: Settings, of: str) -> Path:
    out = config.out / "photos" / of
    settings = PhotosConfig(folder=config.data / "photos" / of, out=out, size=config.size, limit=config.photos)
    prepare_photos(settings)
    return out


def pairs(config: Settings, of: str, concept: str) -> Path:
    out = config.out / "pairs" / of / concept
    make_pairs(PairsConfig(photos=photo_set(config, of), concept=concept, out=out))
    return out


def facades(config: Settings) -> Path:
    """Label maps and facades: pix2pix's own benchmark, in its published layout."""
    out = config.out / "pairs/facades"
    source = PairsConfig(
        aligned=config.data / "pairs/facades", direction="BtoA", concept="a facade", size=config.size, out=out
    )
    make_pairs(source)
    return out


def unpaired(config: Settings) -> Path:
    """Two kinds of pictures without a pair among them: landscapes, and other landscapes in autumn."""
    root, out = config.out / "unpaired", config.out / "pairs/unpaired"
    if not out.exists():
        paths = list_images(config.data / "photos/landscapes")[: 2 * config.photos]
        names = output_names([p.relative_to(config.data / "photos/landscapes") for p in paths], lambda _: ".png")
        for i, (path, name) in enumerate(zip(paths, names, strict=True)):
            kind, split = ("before", "after")[i % 2], "test" if i // 2 % 10 == 0 else "train"
            photo = square(read_image(path), config.size)
            target = root / kind / split / name
            target.parent.mkdir(parents=True, exist_ok=True)
            write_png(target, apply(FILTERS["autumn"], photo) if kind == "after" else photo)
    two = {"before": root / "before", "after": root / "after", "unpaired": True}
    make_pairs(PairsConfig(**two, concept="in autumn", size=config.size, out=out))
    return out


if __name__ == "__main__":
    sys.exit(main())
