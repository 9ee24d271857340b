"""Run one experiment, and write it beside the paper's numbers as Markdown, CSV and a plot."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass, replace
from pathlib import Path

from e2gan.config import CrucialConfig, TableConfig
from e2gan.core.errors import InputError
from e2gan.core.files import plain, sha256, write_bytes, write_json
from e2gan.core.names import slug
from e2gan.core.outputs import growing
from e2gan.core.plots import Line, Panel, plot_bars, plot_lines
from e2gan.measure.metrics import BESIDE, Score
from e2gan.networks.models import MODEL, base_folder
from e2gan.research.comparison import mean_cell, settings_with_sets
from e2gan.research.crucial import NAMES, find_crucial
from e2gan.research.tables.bench import Bench
from e2gan.research.tables.costs import Row, compare_costs
from e2gan.research.tables.experiments import EXPERIMENTS, Arm, Experiment
from e2gan.research.tables.paper import SOURCES, paper_numbers

__all__ = ["Row", "run_table", "TableResult"]

TITLES = {name: e.title for name, e in EXPERIMENTS.items()}
TITLES |= {"fig4": "Crucial layers: each part frozen in turn", "table1": "Cost", "fig6": "Cost of training a concept"}
ORDER = [*(f"table{i}" for i in range(1, 15)), "fig2", "fig4", "fig6", "fig7"]


@dataclass(frozen=True)
class TableResult:
    """A table made here, and the paper's numbers beside it, told apart. notes: what else to know."""

    name: str
    title: str
    rows: list[Row]
    paper: dict[str, dict[str, float]]
    notes: list[str]
    out: Path
    paper_files: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.markdown()}\n{self.name}.md, {self.name}.csv, {self.name}.png in {self.out}"

    def markdown(self) -> str:
        """The rows as measured here, then the paper's own, each as a Markdown table."""
        columns = list(dict.fromkeys(c for row in self.rows for c in row.cells))
        lines = [f"## {label(self.name)}: {self.title}", "", "Measured here:", ""]
        lines += markdown_table(["", *columns], [[r.name, *(r.cells.get(c, "") for c in columns)] for r in self.rows])
        lines += ["", *(f"{note}  " for note in self.notes), ""]
        if not self.paper:
            return "\n".join([*lines, "The paper's numbers: none recorded here (--paper FILE.csv adds them).", ""])
        columns = list(dict.fromkeys(c for row in self.paper.values() for c in row))
        source = " and ".join([*([SOURCES[self.name]] if self.name in SOURCES else []), *self.paper_files])
        lines += [f"**The paper's own numbers** ({source}; its data, its hardware, not measured here):", ""]
        rows = [[name, *(f"{found[c]:g}" if c in found else "" for c in columns)] for name, found in self.paper.items()]
        return "\n".join([*lines, *markdown_table(["", *columns], rows), ""])

    def csv(self) -> str:
        """row, column, value, source: `here` or `paper`."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(["table", "row", "column", "value", "source"])
        for row in self.rows:
            writer.writerows([self.name, row.name, column, value, "here"] for column, value in row.values.items())
        for name, columns in self.paper.items():
            writer.writerows([self.name, name, column, value, "paper"] for column, value in columns.items())
        return buffer.getvalue()


def label(name: str) -> str:
    return name.replace("table", "Table ").replace("fig", "Figure ")


def markdown_table(head: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(r)} |" for r in (head, ["---"] * len(head), *rows)]


def experiment_of(number: str) -> str:
    """`5`, `table5`, `fig7`, `figure 7` → the experiment's name. Raises InputError that lists them."""
    found = re.fullmatch(r"(?:tab(?:le)?\.? ?|(fig)(?:ure)?\.? ?)?(\d+)", number.strip().lower())
    name = f"{found[1] or 'table'}{found[2]}" if found else ""
    if name not in TITLES:
        raise InputError(f"{number}: no such table or figure; there are {', '.join(ORDER)} (e2gan table list)")
    return name


def run_table(config: TableConfig) -> TableResult | str:
    """Run one of the paper's experiments at the size and for the epochs given. A rerun goes on, or finds it done.

    Writes Markdown, CSV, JSON, a plot and a sheet a concept into OUT/<name>. Raises InputError for bad settings or
    pair sets, and where something that the experiment needs is not at hand.
    """
    config.check()
    if config.number == "list":
        return "\n".join(f"{name:<9}{TITLES[name]}" for name in ORDER)
    name = experiment_of(config.number)
    out = config.out / name
    paper = paper_numbers(name, config.paper, experiment_of)
    if name in ("table1", "fig6"):
        found = compare_costs(config, name, out, paper)
        return _write(TableResult(name, TITLES[name], found.rows, paper, found.notes, out), config)
    if not config.pairs:
        raise InputError(f"{label(name)} is measured on concepts: name their pair sets with --pairs")
    if name == "fig4":
        return _crucial(config, out, paper)
    experiment = EXPERIMENTS[name]
    bench = Bench(config, out)
    settings = settings_with_sets(config, [*bench.sets, *bench.base_sets])
    if config.base is not None:
        settings["base_sha256"] = sha256(base_folder(config.base) / MODEL)
    with growing(out, name, settings):
        result, arms, scores = _measure(name, experiment, bench, paper)
        plot(result, experiment, arms, scores, config.metric)
        return _write(result, config)


def _measure(
    name: str, experiment: Experiment, bench: Bench, paper: dict[str, dict[str, float]]
) -> tuple[TableResult, list[Arm], list[dict[str, Score]]]:
    """Train and score every row on every concept."""
    arms = experiment.arms(bench)
    photo = {s.folder.name: bench.lab.photo_as_it_is(s) for s in bench.sets}
    rows = [_row("the photo as it is", [s.prompt for s in bench.sets], list(photo.values()))]
    scores = []
    subjects = {s.folder.name: [] for s in bench.sets}
    for arm in arms:
        cells = []
        for pair_set in bench.sets:
            subject = arm.train(pair_set)
            subjects[pair_set.folder.name].append((arm.name, subject))
            cells.append(bench.lab.cell(subject, pair_set))
        row = _row(arm.name, [s.prompt for s in bench.sets], [c.score for c in cells])
        extra = {
            "trained parameters": mean_cell(cells, lambda c: c.parameters),
            "stored (MB)": mean_cell(cells, lambda c: c.bytes) / 1e6,
            "steps": mean_cell(cells, lambda c: c.steps),
            "seconds a concept": mean_cell(cells, lambda c: c.seconds),
        }
        shown = {k: f"{v:,.0f}" if v >= 100 or k == "steps" else f"{v:.2f}" for k, v in extra.items()}
        rows.append(Row(row.name, row.cells | shown, row.values | extra))
        scores.append({s.folder.name: c.score for s, c in zip(bench.sets, cells, strict=True)})
    for pair_set in bench.sets:
        path = bench.out / f"sheet-{slug(pair_set.folder.name)}.png"
        bench.lab.sheet(path, pair_set, subjects[pair_set.folder.name])
    result = TableResult(name, experiment.title, rows, paper, _notes(bench), bench.out)
    return result, arms, scores


def _row(name: str, prompts: list[str], scores: list[Score]) -> Row:
    values = {"mean": sum(s.value for s in scores) / len(scores)}
    cells = {"mean": f"{values['mean']:.4g}"}
    for prompt, score in zip(prompts, scores, strict=True):
        cells[prompt] = str(score)
        values |= {prompt: score.value, f"{prompt}: low": score.low, f"{prompt}: high": score.high}
        if score.kernel is not None:
            values[f"{prompt}: kernel distance"] = score.kernel
    return Row(name, cells, values)


def _notes(bench: Bench) -> list[str]:
    c = bench.config
    counts = sorted({sum(r["split"] == "test" for r in s.rows) for s in bench.sets})
    trained = sorted({sum(r["split"] == "train" for r in s.rows) for s in bench.sets})
    length = f"{c.minutes:g} minutes a concept" if c.minutes else f"{c.epochs} epochs (baselines {c.baseline_epochs})"
    length = f"{c.steps} steps a concept" if c.steps else length
    based = f"{c.base_minutes:g} minutes" if c.base_minutes else f"{c.base_epochs} epochs"
    based = f"{c.base_steps} steps" if c.base_steps else based
    based = f"the one given, {c.base.name}" if c.base else based
    return [
        f"{c.metric} on {_range(counts)} test photos at {bench.sets[0].size} pixels; {BESIDE}. "
        f"{_range(trained)} training photos.",
        f"Each model: {length}, batch {c.batch}; bases: {based}. One seed ({c.seed}).",
    ]


def _range(counts: list[int]) -> str:
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def _crucial(config: TableConfig, out: Path, paper: dict[str, dict[str, float]]) -> TableResult:
    """Fig. 4 is the command `crucial`, on the base given or one trained here."""
    bench = Bench(config, out)
    settings = CrucialConfig(
        pairs=tuple(s.folder for s in bench.sets),
        out=out / "crucial",
        base=bench.base(),
        metric=config.metric,
        features=config.features,
        inception=config.inception,
        training=bench.training(config.epochs, config.lr),
    )
    found = find_crucial(settings)
    rows = []
    for frozen in found.rows:
        row = _row(NAMES[frozen.part], found.prompts, [c.score for c in frozen.cells])
        size = {"its parameters (M)": frozen.parameters / 1e6} if frozen.part else {}
        cells = row.cells | {k: f"{v:.2f}" for k, v in size.items()}
        rows.append(Row(row.name, cells, row.values | size))
    write_bytes(out / "fig4.png", (out / "crucial" / "crucial.png").read_bytes())
    return _write(TableResult("fig4", TITLES["fig4"], rows, paper, _notes(bench), out), config)


def plot(
    result: TableResult, experiment: Experiment, arms: list[Arm], scores: list[dict[str, Score]], metric: str
) -> None:
    """Curves where the rows have places on one, else bars of the means."""
    path = result.out / f"{result.name}.png"
    title = f"{label(result.name)}: {result.title}"
    names = list(dict.fromkeys(curve for arm in arms for curve in arm.curves))
    if not names:
        ours = [row.values["mean"] for row in result.rows]
        plot_bars(path, [Panel(title, f"{metric}, mean over concepts", [r.name for r in result.rows], ours)])
        return
    lines = []
    for curve in names:
        points = sorted((arm.x or 0, i) for i, arm in enumerate(arms) if curve in arm.curves)
        value, low, high = ([_mean(scores[i], of) for _, i in points] for of in ("value", "low", "high"))
        lines.append(Line(curve, [x for x, _ in points], value, low, high))
    y_label = f"{metric}, mean over concepts, and of its intervals"
    plot_lines(path, lines, title=title, x_label=experiment.x_label or "part of the training", y_label=y_label)


def _mean(found: dict[str, Score], of: str) -> float:
    return sum(getattr(s, of) for s in found.values()) / len(found)


def _write(result: TableResult, config: TableConfig) -> TableResult:
    if config.paper is not None:
        result = replace(result, paper_files=(config.paper.name,))
    result.out.mkdir(parents=True, exist_ok=True)
    write_bytes(result.out / f"{result.name}.md", result.markdown().encode())
    write_bytes(result.out / f"{result.name}.csv", result.csv().encode())
    write_json(result.out / f"{result.name}.json", plain(result))
    return result
