"""The crucial layers (Sec. 4.2.2, Fig. 4): each part of the base frozen in turn while the rest is fine-tuned.

The part whose freezing costs the most is the one that an adapter must reach.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from e2gan.config import CrucialConfig, FinetuneConfig, Part
from e2gan.core.files import sha256, write_json
from e2gan.core.outputs import growing
from e2gan.core.plots import Panel, plot_bars
from e2gan.core.progress import note
from e2gan.data.pair_set import PairSet
from e2gan.measure.metrics import SCORE_LEGEND, NetworkOptions
from e2gan.networks.folders import MODEL, base_content, base_folder
from e2gan.networks.models import load_generator
from e2gan.research.comparison import (
    Comparison,
    Result,
    TrainedModel,
    Variant,
    aligned,
    load_sets,
    mean_over,
    reads_of_sets,
    settings_with_sets,
)
from e2gan.train.finetune import finetune_base, part_parameters

NAMES: dict[Part | None, str] = {
    None: "nothing frozen",
    "sl": "SL frozen",
    "tb": "TB frozen",
    "rb": "RB frozen",
}


@dataclass(frozen=True)
class Frozen:
    """One part frozen (None: nothing). parameters: of that part; cells: a concept each, in the order of `prompts`."""

    part: Part | None
    parameters: int
    mean: float
    cells: list[Result]


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
        lines.append(f"{self.metric} on {images} test photos: the higher, the more crucial the part; {SCORE_LEGEND}")
        lines.append(f"crucial.json, crucial.png and a sheet a concept in {self.out}")
        return "\n".join(lines)


def find_crucial(config: CrucialConfig) -> Crucial:
    """Fine-tune the base on each concept with nothing, SL, TB and RB frozen; score each. A rerun goes on.

    Raises InputError for bad settings or folders, and a metric that is not at hand.
    """
    CrucialConfig.checked(config)
    base = base_folder(config.base)
    sets = load_sets(config.pairs)
    options = NetworkOptions(features=config.features, inception=config.inception, device=config.training.device)
    comparison = Comparison(config.out, config.metric, options)
    settings = settings_with_sets(config, sets, base_sha256=sha256(base / MODEL))
    reads = reads_of_sets(sets, base=base_content(base))
    with growing(config.out, "crucial", settings, reads=reads):
        variants = [_frozen(config, base, comparison, part) for part in NAMES]
        results = comparison.run(variants, sets)
        generator, _ = load_generator(base)
        sizes = {part: sum(p.numel() for p in group) for part, group in part_parameters(generator).items()}
        rows = [
            Frozen(part, sizes[part] if part else 0, mean_over(of_part, lambda r: r.score.value), of_part)
            for part, of_part in zip(NAMES, results, strict=True)
        ]
        crucial = Crucial(config.out, config.metric, [s.prompt for s in sets], rows)
        plot(crucial)
        write_json(config.out / "crucial.json", crucial)
        return crucial


def _frozen(config: CrucialConfig, base: Path, comparison: Comparison, part: Part | None) -> Variant:
    """The base fine-tuned with a part of it frozen."""

    def train(pair_set: PairSet) -> TrainedModel:
        note(f'"{pair_set.prompt}": {NAMES[part]}')
        settings = FinetuneConfig(
            pairs=pair_set.folder,
            out=comparison.folder(NAMES[part], pair_set.folder.name),
            base=base,
            frozen=() if part is None else (part,),
            text=config.text,
            training=config.training,
        )
        return TrainedModel.of(finetune_base(settings), text=config.text)

    return Variant(NAMES[part], train)


def plot(crucial: Crucial) -> None:
    names = [NAMES[row.part] for row in crucial.rows]
    title = f"{crucial.metric}, mean of {len(crucial.prompts)} concepts"
    sizes = [row.parameters / 1e6 for row in crucial.rows[1:]]
    panels = [
        Panel(title, crucial.metric, names, [row.mean for row in crucial.rows]),
        Panel("parameters of the part", "millions", names[1:], sizes),
    ]
    plot_bars(crucial.out / "crucial.png", panels)
