"""Algorithm 1: the ranks of an adapter, found by doubling them until the metric no longer falls.

Read as the text of Sec. 4.2.2 has it, where the pseudocode differs: rank 1 is trained too, the metric is that of the
validation photos, and the ranks returned are the best seen, not the ones after them.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from e2gan.config import Ranks, RanksConfig
from e2gan.config.schemas import RanksFile, StepRecord
from e2gan.core.device import resolve_device
from e2gan.core.errors import InputError
from e2gan.core.files import plain, read_json, sha256, write_json
from e2gan.core.outputs import ELSEWHERE, begun_without, check_beside, growing, partial_of
from e2gan.core.plots import Line, plot_lines
from e2gan.core.progress import note
from e2gan.core.reruns import earlier_file, in_words, with_reads
from e2gan.core.schemas import check_form, known
from e2gan.core.tensors import read_tensors, write_tensors
from e2gan.data.pair_set import PairSet
from e2gan.editing.predictor import Predictor
from e2gan.measure.metrics import SCORE_LEGEND, MetricScorer, NetworkOptions, Score
from e2gan.networks.discriminator import Discriminator
from e2gan.networks.folders import MODEL, base_content, base_folder
from e2gan.networks.generator import Generator
from e2gan.networks.lora import CUT, adapter_tensors, attach, attach_tensors, grow, rank_of_layers
from e2gan.networks.lora_training import train_mode
from e2gan.networks.models import Model, encoder_of, load_discriminator, load_generator
from e2gan.research.comparison import aligned, networks_read, reads_of_sets, settings_with_sets
from e2gan.train.batches import TrainingData
from e2gan.train.loop import CHECKPOINT, check_fit, check_size, room, train
from e2gan.train.step import Trainer

LEVELS = ("level1", "level2", "level3", "level4", "tb")


@dataclass(frozen=True)
class Step:
    """One step of the search: e more epochs at these ranks, and the metric after them."""

    ranks: Ranks
    score: Score
    parameters: int
    steps: int
    seconds: float


@dataclass(frozen=True)
class Concept:
    """The search on one concept. best: index of the step with the best metric, whose ranks are the concept's."""

    prompt: str
    pairs: Path
    history: list[Step]
    best: int


@dataclass(frozen=True)
class RanksFound:
    """The result of Algorithm 1: each rank is the largest of the concepts' best."""

    out: Path
    metric: str
    ranks: Ranks
    parameters: int
    concepts: list[Concept]
    already_done: bool = False

    def __str__(self) -> str:
        rows = [["ranks", "parameters", *(c.prompt for c in self.concepts)]]
        for i in range(max(len(c.history) for c in self.concepts)):
            step = next(c.history[i] for c in self.concepts if i < len(c.history))
            rows.append([shown(step.ranks), f"{step.parameters:,}", *(_cell(c, i) for c in self.concepts)])
        lines = aligned(rows)
        images = sorted({c.history[0].score.images for c in self.concepts})
        seen = " to ".join(map(str, images if len(images) < 3 else (images[0], images[-1])))
        lines.append(f"{self.metric} on {seen} validation photos; * is the best of its concept; {SCORE_LEGEND}")
        lines.append(f"ranks {shown(self.ranks)} ({self.parameters:,} parameters) in {self.out}")
        if self.already_done:
            lines.append("searched already: nothing to do")
        return "\n".join(lines)


def _cell(concept: Concept, i: int) -> str:
    if i >= len(concept.history):
        return ""
    return f"{concept.history[i].score}{'*' if i == concept.best else ' '}"


def shown(ranks: Ranks) -> str:
    """Ranks of the four levels of the SL and of the TB, e.g. 1,4,8,8 +1."""
    return f"{ranks.level1},{ranks.level2},{ranks.level3},{ranks.level4} +{ranks.tb}"


def search(
    measure: Callable[[Ranks], Step], start: int, thresholds: Ranks, gain: float = 0.0
) -> tuple[list[Step], int]:
    """Double the ranks while the metric falls. Returns the steps taken, and the index of the best one.

    measure: trains on at these ranks and gives the metric, lower is better. thresholds: where each rank stops to
    double. gain: the fraction by which a step must undercut the best before it, or the search is saturated.
    """
    history: list[Step] = []
    ranks = at_most(Ranks(**dict.fromkeys(LEVELS, start)), thresholds)
    while True:
        history.append(measure(ranks))
        best = min(range(len(history)), key=lambda i: history[i].score.value)
        if saturated([s.score.value for s in history], gain) or ranks == doubled(ranks, thresholds):
            return history, best
        ranks = doubled(ranks, thresholds)


def saturated(values: Sequence[float], gain: float) -> bool:
    """Whether the last value is no better than the best before it."""
    return len(values) > 1 and not values[-1] < min(values[:-1]) * (1 - gain)


def doubled(ranks: Ranks, thresholds: Ranks) -> Ranks:
    return at_most(ranks.times(2), thresholds)


def at_most(ranks: Ranks, thresholds: Ranks) -> Ranks:
    return Ranks(**{level: min(getattr(ranks, level), getattr(thresholds, level)) for level in LEVELS})


def largest(of_concepts: Sequence[Ranks]) -> Ranks:
    """The largest rank of each level over the concepts."""
    return Ranks(**{level: max(getattr(ranks, level) for ranks in of_concepts) for level in LEVELS})


class Measure:
    """Trains an adapter e epochs further at given ranks, from where the step before left it, and scores it.

    A step's folder holds its checkpoint while it trains, then `state.safetensors` and `step.json`: what is whole is
    not done again.
    """

    def __init__(
        self,
        config: RanksConfig,
        base: Path,
        pair_set: PairSet,
        folder: Path,
        scorer: MetricScorer,
        *,
        cut: bool = True,
    ) -> None:
        self.config, self.base, self.folder, self.scorer, self.cut = config, base, folder, scorer, cut
        self.pair_set = pair_set
        self.device = resolve_device(config.training.device)
        _, settings = load_generator(base)
        self.data = TrainingData.load([pair_set], encoder_of(settings, config.text), **room(config))
        self.data = self.data.to(self.device)
        self.photos, self.targets, _ = pair_set.arrays("val")
        self.number = 0

    def __call__(self, ranks: Ranks) -> Step:
        number, self.number = self.number, self.number + 1
        folder = self.folder / f"step{number}"
        if (folder / "step.json").exists():
            return step_of(read_json(folder / "step.json", StepRecord))
        folder.mkdir(parents=True, exist_ok=True)
        note(f'"{self.pair_set.prompt}": ranks {shown(ranks)}')
        training = replace(self.config.training, seed=self.config.training.seed + number)
        torch.manual_seed(training.seed)
        generator, discriminator = self._networks(ranks, number)
        trainer = Trainer(generator, discriminator, training)
        result = train(trainer, self.data, folder)
        trainer.use_average()
        tokens = self.data.tokens.cpu() if generator.config.takes_prompt else None
        model = Model(generator.eval(), tokens, self.pair_set.prompt, self.data.size, folder)
        edits = Predictor(model, self.config.training.device).batch(self.photos)
        adapter = adapter_tensors(generator)
        state = {f"discriminator.{n}": t for n, t in discriminator.state_dict().items()}
        write_tensors(folder / "state.safetensors", state | {f"adapter.{n}": t for n, t in adapter.items()})
        step = Step(
            ranks=ranks,
            score=self.scorer(edits, self.targets),
            parameters=sum(t.numel() for t in adapter.values()),
            steps=result.steps,
            seconds=result.seconds,
        )
        write_json(folder / "step.json", step)
        (folder / CHECKPOINT).unlink(missing_ok=True)
        return step

    def _networks(self, ranks: Ranks, number: int) -> tuple[Generator, Discriminator]:
        """The base with the adapter of the step before, grown to these ranks; its discriminator likewise."""
        generator, _ = load_generator(self.base)
        discriminator = load_discriminator(self.base)
        layers = rank_of_layers(generator, ranks, cut=self.cut)
        if number == 0:
            attach(generator, layers)
        else:
            state, _ = read_tensors(self.folder / f"step{number - 1}" / "state.safetensors")
            try:
                attach_tensors(generator, _part(state, "adapter."))
                grow(generator, layers)
                discriminator.load_state_dict(_part(state, "discriminator."))
            except (ValueError, RuntimeError) as error:
                why = " ".join(str(error).split())[:160]
                raise InputError(f"{self.folder / f'step{number - 1}'} does not fit ({why}): delete it") from error
        train_mode(generator).to(self.device)
        return generator, discriminator.to(self.device).train()


def _part(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): t for name, t in state.items() if name.startswith(prefix)}


def step_of(record: dict[str, Any]) -> Step:
    of = {"ranks": Ranks(**known(Ranks, record["ranks"])), "score": Score.load(record["score"])}
    return Step(**{**known(Step, record), **of})


def find_ranks(config: RanksConfig) -> RanksFound:
    """Algorithm 1 on the sampled concepts. Killed at any point and run again, it goes on.

    Writes `out` (what `adapt --ranks` takes) and a plot beside it; meanwhile its work lies in `OUT.partial`. Raises
    InputError for bad settings or folders, a metric that is not at hand, and fewer than two validation photos.
    """
    RanksConfig.checked(config)
    base = base_folder(config.base)
    sets = [PairSet.load(folder) for folder in sampled(config)]
    options = NetworkOptions(features=config.features, inception=config.inception, device=config.training.device)
    settings = settings_with_sets(config, sets, base_sha256=sha256(base / MODEL), metric=config.metric, **{CUT: True})
    reads = reads_of_sets(sets, base=base_content(base), **networks_read(options))
    settings = with_reads(settings, reads)
    if (earlier := earlier_file(config.out, "ranks", settings)) is not None:
        if not earlier[1]:
            shutil.rmtree(partial_of(config.out), ignore_errors=True)  # a run was killed when all but that was done
        return _found_already(config.out, *earlier, settings)
    check_beside(config.out, [plot_of(config.out)])
    generator, _ = load_generator(base)
    scorer = MetricScorer(config.metric, options)
    work = partial_of(config.out)
    concepts = []
    with growing(work, "ranks", settings, reads=reads):
        cut = not begun_without(config.out, CUT)
        if not cut:
            del settings[CUT]
        for pair_set in sets:  # all of them, before hours of work on the first
            splits = [row["split"] for row in pair_set.rows]
            check_fit(config.training, splits.count("train"))
            check_size(generator.config, pair_set.size, config.training.crop)
            if splits.count("val") < 2:
                raise InputError(f"{pair_set.folder} has too few validation photos: the search needs at least 2")
        for i, pair_set in enumerate(sets):
            measure = Measure(config, base, pair_set, work / f"concept{i}", scorer, cut=cut)
            history, best = search(measure, config.start, config.thresholds, config.gain)
            concepts.append(Concept(pair_set.prompt, pair_set.folder, history, best))
    ranks = largest([c.history[c.best].ranks for c in concepts])
    attach(generator, rank_of_layers(generator, ranks, cut=cut))
    count = sum(p.numel() for p in generator.parameters() if p.requires_grad)
    result = RanksFound(out=config.out, metric=config.metric, ranks=ranks, parameters=count, concepts=concepts)
    plot(result)
    write_json(config.out, plain(result) | {"stage": "ranks", "settings": settings})
    shutil.rmtree(work)
    return result


def sampled(config: RanksConfig) -> list[Path]:
    """The K concepts of Alg. 1, in the order given."""
    if config.sample is None or config.sample >= len(config.pairs):
        return list(config.pairs)
    rng = np.random.default_rng(config.training.seed)
    return [config.pairs[i] for i in sorted(rng.choice(len(config.pairs), config.sample, replace=False))]


def _found_already(out: Path, found: dict[str, Any], changed: list[str], settings: dict[str, Any]) -> RanksFound:
    if changed:
        raise InputError(f"{out} was made with other settings ({in_words(changed, settings)}): {ELSEWHERE}")
    check_form(found, RanksFile, str(out), out.parent)
    if any(c["best"] >= len(c["history"]) for c in found["concepts"]):
        raise InputError(f"{out}: the best step of a concept is none of its history: {ELSEWHERE}")
    concepts = [
        Concept(c["prompt"], Path(c["pairs"]), [step_of(s) for s in c["history"]], c["best"]) for c in found["concepts"]
    ]
    ranks = Ranks(**known(Ranks, found["ranks"]))
    return RanksFound(out, found["metric"], ranks, found["parameters"], concepts, already_done=True)


def plot_of(out: Path) -> Path:
    return out.with_suffix(".png")


def plot(result: RanksFound) -> None:
    """The metric over the ranks, a curve a concept, its best step ringed: `OUT` with the ending png."""
    longest = max((c.history for c in result.concepts), key=len)
    lines = []
    for c in result.concepts:
        value, low, high = ([getattr(s.score, of) for s in c.history] for of in ("value", "low", "high"))
        lines.append(Line(c.prompt, range(len(value)), value, low, high, mark=c.best))
    plot_lines(
        plot_of(result.out),
        lines,
        title="Algorithm 1: ranks of the sampling layers, four levels, + of the transformer block",
        x_label="ranks",
        y_label=f"{result.metric}, validation photos",
        ticks=[shown(s.ranks) for s in longest],
    )
