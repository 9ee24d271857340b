"""The crucial layers (Sec. 4.2.2, Fig. 4): each part of the base frozen in turn while the rest is fine-tuned.

The part whose freezing costs the most is the one that an adapter must reach.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from e2gan.config import CrucialConfig, FinetuneConfig, Part
from e2gan.core.files import sha256, write_json
from e2gan.core.names import slug
from e2gan.core.outputs import growing
from e2gan.core.plots import Panel, plot_bars
from e2gan.core.progress import note
from e2gan.data.pair_set import PairSet
from e2gan.measure.metrics import BESIDE
from e2gan.networks.models import MODEL, base_folder, load_generator
from e2gan.research.comparison import Cell, Lab, Subject, aligned, load_sets, mean_cell, settings_with_sets
from e2gan.train.finetune import finetune_base, part_parameters

__all__ = ["Crucial", "find_crucial", "Frozen"]

NAMES: dict[Part | None, str] = {
    None: "nothing frozen",
    "sl": "SL frozen",
    "tb": "TB frozen",
    "rb": "RB frozen",
}


@dataclass(frozen=True)
class Frozen:
    """One part frozen (None: nothing). parameters: of that part; cells: by concept, in the order of `prompts`."""

    part: Part | None
    parameters: int
    mean: float
    cells: list[Cell]


@dataclass(frozen=True)
class Crucial:
    """The metric of each concept with each part frozen; lower is better."""

    out: Path
    metric: str
    prompts: list[str]
    rows: list[Frozen]

    def __str__(self) -> str:
        rows = [["", "its parameters", "mean", *self.prompts]]
        for row in self.rows:
            size = f"{row.parameters:,}" if row.part else ""
            rows.append([NAMES[row.part], size, f"{row.mean:.4g}", *(str(c.score) for c in row.cells)])
        lines = aligned(rows)
        images = self.rows[0].cells[0].score.images
        lines.append(f"{self.metric} on {images} test photos: the higher, the more crucial the part; {BESIDE}")
        lines.append(f"crucial.json, crucial.png and a sheet a concept in {self.out}")
        return "\n".join(lines)


def find_crucial(config: CrucialConfig) -> Crucial:
    """Fine-tune the base on each concept with nothing, SL, TB and RB frozen; score each. A rerun goes on.

    Raises InputError for bad settings or folders, and a metric that is not at hand.
    """
    config.check()
    base = base_folder(config.base)
    sets = load_sets(config.pairs)
    lab = Lab(config.out, config.metric, config.features, config.inception, config.training.device)
    with growing(config.out, "crucial", settings_with_sets(config, sets, base_sha256=sha256(base / MODEL))):
        return _find(config, base, sets, lab)


def _find(config: CrucialConfig, base: Path, sets: list[PairSet], lab: Lab) -> Crucial:
    generator, _ = load_generator(base)
    sizes = {part: sum(p.numel() for p in group) for part, group in part_parameters(generator).items()}
    rows = []
    subjects: dict[str, list[tuple[str, Subject]]] = {}
    for part, name in NAMES.items():
        cells = []
        for pair_set in sets:
            note(f'"{pair_set.prompt}": {name}')
            out = lab.folder(name, pair_set.folder.name)
            frozen = () if part is None else (part,)
            settings = FinetuneConfig(
                pairs=pair_set.folder, out=out, base=base, frozen=frozen, text=config.text, training=config.training
            )  # fmt: skip
            subject = Subject.of(finetune_base(settings))
            subjects.setdefault(pair_set.folder.name, []).append((name, subject))
            cells.append(lab.cell(subject, pair_set))
        count = sizes[part] if part else 0
        rows.append(Frozen(part, count, mean_cell(cells, lambda c: c.score.value), cells))
    found = Crucial(config.out, config.metric, [s.prompt for s in sets], rows)
    for pair_set in sets:
        lab.sheet(config.out / f"sheet-{slug(pair_set.folder.name)}.png", pair_set, subjects[pair_set.folder.name])
    plot(found)
    write_json(config.out / "crucial.json", found)
    return found


def plot(found: Crucial) -> None:
    names = [NAMES[row.part] for row in found.rows]
    panels = [
        Panel(
            f"{found.metric}, mean of {len(found.prompts)} concepts", found.metric, names, [r.mean for r in found.rows]
        ),
        Panel(
            "parameters of the part",
            "millions",
            names[1:],
            [r.parameters / 1e6 for r in found.rows[1:]],
        ),
    ]
    plot_bars(found.out / "crucial.png", panels)
