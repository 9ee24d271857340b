"""The sample adapters that ship, of concepts that the base has not learned, by one command:

    python recipes/samples.py --photos ../shared/photos --out work --ship src/e2gan/assets/adapters

Trained on crops of the base's own photographs (recipes/base.py), which it makes in --out where they are not there yet.
Run again, it goes on where it was stopped.
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
from e2gan.config.schemas import AdapterFacts
from e2gan.core.files import read_json, write_bytes
from e2gan.core.outputs import make_folder
from e2gan.core.progress import note
from e2gan.networks.folders import ABOUT, ADAPTER, ADAPTER_CONFIG, CONCEPT, base_folder
from e2gan.sharing.licence import CARD
from e2gan.teachers.filters.filters import FILTERS, find


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Train the sample adapters."""

    photos: Path
    """Folder that holds `train`, `landscapes` and `faces`."""
    out: Path
    """Folder to work in; that of recipes/base.py has the photographs already."""
    base: Path | None = None
    """Their base (default: the one that ships)."""
    concepts: tuple[str, ...] = ("golden", "infrared", "vintage", "cartoon", "winter")
    """Built-in filters, by name."""
    size: int = 128
    """Side of the pictures."""
    pairs: int = 400
    """Training pairs of each (Sec. 5.1)."""
    steps: int = 1600
    """Training steps of each."""
    batch: int = 1
    """Pairs a step. In equal time, few pairs a step are ahead on a CPU (docs/log.md)."""
    lr: float = 2e-3
    init: Init = "random"
    """What they begin as, as in `e2gan adapt`."""
    start: Path | None = None
    """Folder of adapters of the same base and names to begin from."""
    seed: int = 0
    ship: Path | None = None
    """Put them there too, e.g. src/e2gan/assets/adapters."""


def train(config: Samples, name: str) -> Path:
    """One adapter's folder."""
    photos = photo_set(Recipe(photos=config.photos, out=config.out), config.size)
    chosen = selection(photos, config.out / "selections" / "samples.json", config.pairs, seed=config.seed + 1000)
    pairs = config.out / f"sample-pairs-{config.size}" / name
    make_pairs(PairsConfig(photos=photos, selection=chosen, concept=FILTERS[name].prompt, out=pairs))
    quick = RECIPES["quick"].training["adapt"]
    training = replace(
        quick, steps=config.steps, minutes=None, batch=config.batch, lr=config.lr, warmup=10, seed=config.seed
    )
    out = config.out / "samples" / name
    start = () if config.start is None else (config.start / name,)
    settings = AdaptConfig(base=config.base, pairs=pairs, out=out, start=start, init=config.init, training=training)
    print(adapt(settings), file=sys.stderr)
    return out


def ship(adapter: Path, out: Path) -> None:
    """The four files of an adapter, without its log, and its card."""
    make_folder(out)
    for file in (ADAPTER, ADAPTER_CONFIG, CONCEPT, ABOUT):
        write_bytes(out / file, (adapter / file).read_bytes())
    write_bytes(out / CARD, card(out.name, read_json(out / ABOUT, AdapterFacts)).encode())


def card(name: str, about: Mapping[str, Any]) -> str:
    """The model card of a sample adapter."""
    lines = [
        "---",
        "library_name: e2gan",
        "pipeline_tag: image-to-image",
        "license: other",
        "license_name: research-use",
        "---",
        f"# Sample adapter: {name}",
        "",
        f'A LoRA adapter of the base that ships, for the edit "{about["prompt"]}": trained on {about["pairs"]} pairs',
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
                ship(adapter, config.ship / name)
            print(adapter)
    except InputError as error:
        print(f"recipe: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
