"""Sample adapters, of concepts that the base has not learned, by one command for each base; those that ship are by:

    python recipes/samples.py --photos ../shared/photos --out work --ship src/e2gan/assets/adapters
    python recipes/samples.py --photos … --out work --ship … --base small --prefix small-

Trained on crops of the base's own photographs (recipes/base.py), which it makes in --out where they are not there yet,
by the recipe `best` at the ranks of `quick`, with which an adapter stays below 200 KB. Run again, it goes on where it
was stopped.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tyro

from base import Recipe, photo_set, selection
from e2gan import RECIPES, AdaptConfig, InputError, PairsConfig, adapt, make_pairs
from e2gan.config import Init
from e2gan.config.schemas import BASE, AdapterFacts
from e2gan.core.files import read_json, write_bytes
from e2gan.core.outputs import make_folder, read_settings
from e2gan.core.progress import note
from e2gan.networks.folders import ABOUT, ADAPTER, ADAPTER_CONFIG, CONCEPT, base_folder, generator_config, shipped_name
from e2gan.sharing.licence import CARD
from e2gan.teachers.filters.filters import FILTERS, find

# Base → steps of its samples, by concept where they are not those of the rest. More bring each nearer by numbers, but a
# longer `brush` hatches smooth skies of large photos.
STEPS = {
    "full": {"": 2000, "vintage": 1200, "cartoon": 3000, "sketch": 3000, "brush": 1000},
    "small": {"": 3000, "brush": 1200},
}


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Train the sample adapters."""

    photos: Path
    """Folder that holds `train`, `landscapes` and `faces`."""
    out: Path
    """Folder to work in; that of recipes/base.py has the photographs already."""
    base: Path | None = None
    """Their base (default: the one that ships)."""
    concepts: tuple[str, ...] = ("golden", "infrared", "vintage", "winter", "cartoon", "sketch", "brush")
    """Built-in filters, by name."""
    size: int = 256
    """Side of the pictures, of which crops of 128 are trained on."""
    pairs: int = 400
    """Training pairs of each (Sec. 5.1)."""
    steps: int | None = None
    """Training steps of each (default: those of STEPS)."""
    minutes: float | None = None
    """Training minutes of each instead."""
    batch: int = 4
    """Pairs a step."""
    lr: float | None = None
    """Learning rate (default: the recipe's)."""
    init: Init = "gradient"
    """What they begin as, as in `e2gan adapt`."""
    start: Path | None = None
    """Folder of adapters of the same base and names to begin from."""
    seed: int = 0
    ship: Path | None = None
    """Put them there too, e.g. src/e2gan/assets/adapters."""
    prefix: str = ""
    """Of their names there, for another base than the default."""


def train(config: Samples, name: str) -> Path:
    """One adapter's folder."""
    photos = photo_set(Recipe(photos=config.photos, out=config.out), config.size)
    chosen = selection(photos, config.out / "selections" / "samples.json", config.pairs, seed=config.seed + 1000)
    pairs = config.out / f"sample-pairs-{config.size}" / name
    make_pairs(PairsConfig(photos=photos, selection=chosen, concept=FILTERS[name].prompt, out=pairs))
    base = base_folder(config.base)
    ranks = RECIPES["quick"].ranks(generator_config(read_settings(base, BASE, "base")))
    recipe = RECIPES["best"].training["adapt"]
    lr = recipe.lr if config.lr is None else config.lr
    steps = steps_of(base, name) if config.steps is None else config.steps
    training = replace(recipe, steps=steps, minutes=config.minutes, batch=config.batch, lr=lr, seed=config.seed)
    out = config.out / "samples" / f"{config.prefix}{name}"
    start = () if config.start is None else (config.start / name,)
    settings = AdaptConfig(
        base=base, pairs=pairs, out=out, start=start, init=config.init, ranks=ranks, training=training
    )
    print(adapt(settings), file=sys.stderr)
    return out


def steps_of(base: Path, name: str) -> int:
    """Of a sample that ships; of another base, as the full one's."""
    of_base = STEPS[shipped_name(base) or "full"]
    return of_base.get(name, of_base[""])


def ship(adapter: Path, out: Path) -> None:
    """The four files of an adapter, without its log, and its card."""
    make_folder(out)
    for file in (ADAPTER, ADAPTER_CONFIG, CONCEPT, ABOUT):
        write_bytes(out / file, (adapter / file).read_bytes())
    write_bytes(out / CARD, card(out.name, read_json(out / ABOUT, AdapterFacts)).encode())


def card(name: str, about: Mapping[str, Any]) -> str:
    """The model card of a sample adapter."""
    kind = "small base" if about["base"] == "small" else "base"
    lines = [
        "---",
        "library_name: e2gan",
        "pipeline_tag: image-to-image",
        "license: other",
        "license_name: research-use",
        "---",
        f"# Sample adapter: {name}",
        "",
        f'A LoRA adapter of the {kind} that ships, for the edit "{about["prompt"]}": trained on {about["pairs"]} pairs',
        "of photographs of that base's training with their edits by a built-in filter (`recipes/samples.py`).",
        "",
        "**Research use**, as the base and for its reasons: the photographs' licences, which its card names.",
        "",
        f"    e2gan edit photo.jpg --adapter {name} --out edit.png",
        "",
    ]
    return "\n".join(lines)


def main() -> int:
    try:
        config = tyro.cli(Samples)
        base_folder(config.base)
        names = [find(text).name for text in config.concepts]
        for i, name in enumerate(names, 1):
            note(f"{name} ({i} of {len(names)})")
            adapter = train(config, name)
            if config.ship is not None:
                ship(adapter, config.ship / f"{config.prefix}{name}")
            print(adapter)
    except InputError as error:
        print(f"recipe: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
