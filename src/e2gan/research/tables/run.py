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
from e2gan.core.outputs import growing
from e2gan.core.plots import Line, Panel, plot_bars, plot_lines
from e2gan.measure.metrics import SCORE_LEGEND, Score
from e2gan.networks.folders import MODEL, base_folder
from e2gan.research.comparison import Result, Variant, mean_over, settings_with_sets
from e2gan.research.crucial import NAMES, find_crucial
from e2gan.research.tables.costs import TableRow, compare_costs
from e2gan.research.tables.experiments import EXPERIMENTS, Experiment
from e2gan.research.tables.models import Models
from e2gan.research.tables.paper import SOURCES, paper_numbers

TITLES = {name: e.title for name, e in EXPERIMENTS.items()}
TITLES |= {"fig4": "Crucial layers: each part frozen in turn", "table1": "Cost", "fig6": "Cost of training a concept"}
ORDER = [*(f"table{i}" for i in range(1, 15)), "fig2", "fig4", "fig6", "fig7"]


@dataclass(frozen=True)
class TableResult:
    """A table made here, and the paper's numbers beside it, told apart. notes: what else to know."""

    name: str
    title: str
    rows: list[TableRow]
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
        rows = [[name, *(f"{row[c]:g}" if c in row else "" for c in columns)] for name, row in self.paper.items()]
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
    match = re.fullmatch(r"(?:tab(?:le)?\.? ?|(fig)(?:ure)?\.? ?)?(\d+)", number.strip().lower())
    name = f"{match[1] or 'table'}{match[2]}" if match else ""
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
    paper = paper_numbers(name, config.paper, experiment_of)
    paper_files = () if config.paper is None else (config.paper.name,)
    result = TableResult(name, TITLES[name], [], paper, [], config.out / name, paper_files)
    if name in ("table1", "fig6"):
        rows, notes = compare_costs(config, name, result.out, result.paper)
        return _write(replace(result, rows=rows, notes=notes))
    if not config.pairs:
        raise InputError(f"{label(name)} is measured on concepts: name their pair sets with --pairs")
    models = Models(config, result.out)
    result = replace(result, notes=_notes(models))
    if name == "fig4":
        return _write(replace(result, rows=_crucial_rows(models)))
    settings = settings_with_sets(config, [*models.sets, *models.base_sets])
    if config.base is not None:
        settings["base_sha256"] = sha256(base_folder(config.base) / MODEL)
    with growing(result.out, name, settings):
        # First, because it is quick and a metric that does not fit the sets shows here.
        scores = [models.comparison.photo_as_it_is(s) for s in models.sets]
        photo = _row("the photo as it is", [s.prompt for s in models.sets], scores)
        variants = EXPERIMENTS[name].variants(models)
        results = models.comparison.run(variants, models.sets)
        result = replace(result, rows=[photo, *_rows(variants, results, models)])
        plot(result, EXPERIMENTS[name], variants, results, config.metric)
        return _write(result)


def _rows(variants: list[Variant], results: list[list[Result]], models: Models) -> list[TableRow]:
    rows = []
    for variant, of_concepts in zip(variants, results, strict=True):
        row = _row(variant.name, [s.prompt for s in models.sets], [r.score for r in of_concepts])
        extra = {
            "trained parameters": mean_over(of_concepts, lambda r: r.parameters),
            "stored (MB)": mean_over(of_concepts, lambda r: r.bytes) / 1e6,
            "steps": mean_over(of_concepts, lambda r: r.steps),
            "seconds a concept": mean_over(of_concepts, lambda r: r.seconds),
        }
        cells = {k: f"{v:,.0f}" if v >= 100 or k == "steps" else f"{v:.2f}" for k, v in extra.items()}
        rows.append(TableRow(row.name, row.cells | cells, row.values | extra))
    return rows


def _row(name: str, prompts: list[str], scores: list[Score]) -> TableRow:
    values = {"mean": sum(s.value for s in scores) / len(scores)}
    cells = {"mean": f"{values['mean']:.4g}"}
    for prompt, score in zip(prompts, scores, strict=True):
        cells[prompt] = str(score)
        values |= {prompt: score.value, f"{prompt}: low": score.low, f"{prompt}: high": score.high}
        if score.kernel is not None:
            values[f"{prompt}: kernel distance"] = score.kernel
    return TableRow(name, cells, values)


def _notes(models: Models) -> list[str]:
    c = models.config
    tested, trained = (
        sorted({sum(row["split"] == split for row in s.rows) for s in models.sets}) for split in ("test", "train")
    )
    length = f"{c.minutes:g} minutes a concept" if c.minutes else f"{c.epochs} epochs (baselines {c.baseline_epochs})"
    length = f"{c.steps} steps a concept" if c.steps else length
    bases = f"{c.base_minutes:g} minutes" if c.base_minutes else f"{c.base_epochs} epochs"
    bases = f"{c.base_steps} steps" if c.base_steps else bases
    bases = f"the one given, {c.base.name}" if c.base else bases
    return [
        f"{c.metric} on {_range(tested)} test photos at {models.sets[0].size} pixels; {SCORE_LEGEND}. "
        f"{_range(trained)} training photos.",
        f"Each model: {length}, batch {c.batch}; bases: {bases}. One seed ({c.seed}).",
    ]


def _range(counts: list[int]) -> str:
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def _crucial_rows(models: Models) -> list[TableRow]:
    """Fig. 4 is the command `crucial`, on the base given or one trained here."""
    config = models.config
    settings = CrucialConfig(
        pairs=tuple(s.folder for s in models.sets),
        out=models.out / "crucial",
        base=models.base(),
        metric=config.metric,
        features=config.features,
        inception=config.inception,
        training=models.training(config.epochs, config.lr),
    )
    crucial = find_crucial(settings)
    rows = []
    for frozen in crucial.rows:
        row = _row(NAMES[frozen.part], crucial.prompts, [result.score for result in frozen.cells])
        size = {"its parameters (M)": frozen.parameters / 1e6} if frozen.part else {}
        cells = row.cells | {k: f"{v:.2f}" for k, v in size.items()}
        rows.append(TableRow(row.name, cells, row.values | size))
    write_bytes(models.out / "fig4.png", (models.out / "crucial" / "crucial.png").read_bytes())
    return rows


def plot(
    table: TableResult, experiment: Experiment, variants: list[Variant], results: list[list[Result]], metric: str
) -> None:
    """Curves where the rows have places on one, else bars of the means."""
    path = table.out / f"{table.name}.png"
    title = f"{label(table.name)}: {table.title}"
    curves = list(dict.fromkeys(curve for variant in variants for curve in variant.curves))
    if not curves:
        means = [row.values["mean"] for row in table.rows]
        plot_bars(path, [Panel(title, f"{metric}, mean over concepts", [row.name for row in table.rows], means)])
        return
    lines = []
    for curve in curves:
        points = sorted((variant.x or 0, i) for i, variant in enumerate(variants) if curve in variant.curves)
        at = [results[i] for _, i in points]
        value, low, high = (
            [mean_over(r, lambda r, of=of: getattr(r.score, of)) for r in at] for of in ("value", "low", "high")
        )
        lines.append(Line(curve, [x for x, _ in points], value, low, high))
    y_label = f"{metric}, mean over concepts, and of its intervals"
    plot_lines(path, lines, title=title, x_label=experiment.x_label or "part of the training", y_label=y_label)


def _write(table: TableResult) -> TableResult:
    table.out.mkdir(parents=True, exist_ok=True)
    write_bytes(table.out / f"{table.name}.md", table.markdown().encode())
    write_bytes(table.out / f"{table.name}.csv", table.csv().encode())
    write_json(table.out / f"{table.name}.json", plain(table))
    return table
