"""Run one experiment, and write it beside the paper's numbers as Markdown, CSV and a plot."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from e2gan.config import TableConfig
from e2gan.core.errors import InputError
from e2gan.core.files import plain, sha256, write_bytes, write_json
from e2gan.core.outputs import growing
from e2gan.core.plots import Line, Panel, plot_bars, plot_lines
from e2gan.core.progress import note
from e2gan.measure.metrics import NetworkOptions, Score, score_legend
from e2gan.networks.folders import MODEL, base_content, base_folder
from e2gan.research.comparison import Comparison, Result, Variant, mean_over, reads_of_sets, settings_with_sets
from e2gan.research.tables.concepts import Concepts
from e2gan.research.tables.costs import TableRow, compare_costs
from e2gan.research.tables.experiments import ALL, COSTS, EXPERIMENTS, Experiment
from e2gan.research.tables.models import Models
from e2gan.research.tables.paper import paper_numbers, table_name

TITLES = {name: e.title for name, e in ALL.items()}
PICTURES = ("table2", "fig2", "fig7")
ORDER = ["table1", "table2", "table3-faces", "table3-scenes", *(f"table{i}" for i in range(4, 15))]
ORDER += ["fig2", "fig4", "fig6", "fig7"]
ORDER += [name for name in EXPERIMENTS if name not in ORDER]


@dataclass(frozen=True)
class TableResult:
    """A table made here, and the paper's numbers beside it, told apart.

    notes: what else to know. models: the folders of a row's models, one a concept, from `out` on.
    """

    name: str
    title: str
    rows: list[TableRow]
    paper: dict[str, dict[str, float]]
    notes: list[str]
    out: Path
    paper_files: tuple[str, ...] = ()
    models: dict[str, list[str]] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.markdown()}\n{self.name}.md, {self.name}.csv, {self.name}.png in {self.out}"

    def markdown(self) -> str:
        """The rows as measured here, then the paper's own, each as a Markdown table."""
        columns = list(dict.fromkeys(c for row in self.rows for c in row.cells))
        lines = [f"## {label(self.name)}: {self.title}", "", "Measured here:", ""]
        lines += markdown_table(["", *columns], [[r.name, *(r.cells.get(c, "") for c in columns)] for r in self.rows])
        lines += ["", *(f"{note}  " for note in self.notes), ""]
        if not self.paper:
            none = "prints its numbers as a picture" if self.name in PICTURES else "has no such experiment"
            return "\n".join([*lines, f"The paper {none} (--paper FILE.csv adds numbers of your own).", ""])
        columns = list(dict.fromkeys(c for row in self.paper.values() for c in row))
        source = " and ".join([label(ALL[self.name].paper or self.name), *self.paper_files])
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
    return re.sub(r"^(table|fig)(?=\d)", lambda m: {"table": "Table ", "fig": "Figure "}[m[1]], name)


def markdown_table(head: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(r)} |" for r in (head, ["---"] * len(head), *rows)]


def experiment_of(number: str) -> str:
    """`5`, `table5`, `fig7`, `figure 7`, `transfer` → the experiment's name. Raises InputError that lists them."""
    name = number.strip().lower()
    name = name if name in TITLES else table_name(name) or name
    if parts := [known for known in TITLES if known.startswith(f"{name}-")]:
        raise InputError(f"{number}: the paper has {len(parts)} tables in one there: {' and '.join(parts)}")
    if name not in TITLES:
        raise InputError(f"{number}: no such table or figure; there are {', '.join(ORDER)} (e2gan table list)")
    return name


def run_table(config: TableConfig) -> TableResult | str:
    """Run one of the paper's experiments at the size and for the epochs given. A rerun goes on, or finds it done.

    Writes Markdown, CSV, JSON, a plot and a sheet a concept into OUT/<name>. Raises InputError for bad settings or
    pair sets, and where something that the experiment needs is not at hand, before anything is trained.
    """
    TableConfig.checked(config)
    if config.number == "list":
        width = max(map(len, ORDER)) + 2
        return "\n".join(f"{name:<{width}}{TITLES[name]}" for name in ORDER)
    name = experiment_of(config.number)
    experiment = ALL[name]
    paper = paper_numbers(name, experiment.paper, experiment.columns, config.paper)
    paper_files = () if config.paper is None else (config.paper.name,)
    result = TableResult(name, TITLES[name], [], paper, [], config.out / name, paper_files)
    if name in COSTS:
        rows, notes = compare_costs(
            config, name, result.out, paper, lambda rows, notes: _write(replace(result, rows=rows, notes=notes))
        )
        return replace(result, rows=rows, notes=notes)
    if not config.pairs:
        raise InputError(f"{label(name)} is measured on concepts: name their pair sets with --pairs")
    concepts = Concepts.load(config, config.out)
    options = NetworkOptions(features=config.features, inception=config.inception, device=config.device)
    labels = labels_of(config, concepts)
    comparison = Comparison(result.out, config.metric, options, config.segmenter, labels)
    models = Models(config, result.out, concepts, comparison, faces=experiment.faces)
    models.check_base()
    settings = settings_with_sets(config, [*models.sets, *models.concepts.of_bases])
    if config.base is not None:
        settings["base_sha256"] = sha256(base_folder(config.base) / MODEL)
    of_base = None if config.base is None else base_content(base_folder(config.base))
    reads = reads_of_sets(models.sets, base_pairs=[s.content() for s in models.concepts.of_bases], base=of_base)
    with growing(result.out, name, settings, reads=reads):
        # First, because it is quick and a metric that does not fit the sets shows here.
        prompts = [s.prompt for s in models.sets]
        untouched = [_row("the photo as it is", prompts, [comparison.photo_as_it_is(s) for s in models.sets])]
        teachers = [comparison.teacher_as_it_is(s) for s in models.sets]
        if any(teachers):
            untouched.append(_row("the images that are aimed at", prompts, teachers))
        variants = experiment.variants(models)
        for line in concepts.notes:
            note(line)
        models.check(variants)
        results = comparison.run(variants, models.sets)
        rows = _rows(variants, results, models)
        legend = score_legend(result.score for of_row in results for result in of_row)
        notes = [*experiment.notes, *_notes(models, legend), *models.concepts.notes]
        where = {row: [os.path.relpath(f, result.out) for f in of] for row, of in comparison.folders.items()}
        result = replace(result, rows=[*untouched, *rows], notes=notes, models=where)
        plot(result, experiment, variants, results, config.metric)
        return _write(result)


def labels_of(config: TableConfig, concepts: Concepts) -> dict[Path, Path]:
    """--labels: a pair set's folder → its palette."""
    given = dict(text.split("=", 1) for text in config.labels)
    return {s.folder: Path(given[s.folder.name]) for s in concepts.sets if s.folder.name in given}


def _rows(variants: list[Variant], results: list[list[Result]], models: Models) -> list[TableRow]:
    rows = []
    for variant, of_concepts in zip(variants, results, strict=True):
        row = _row(variant.name, [s.prompt for s in models.sets], [r.score for r in of_concepts])
        extra = {
            **variant.extra,
            "trained (M)": mean_over(of_concepts, lambda r: r.parameters) / 1e6,
            "stored (MB)": mean_over(of_concepts, lambda r: r.bytes) / 1e6,
            "steps": mean_over(of_concepts, lambda r: r.steps),
            "seconds a concept": mean_over(of_concepts, lambda r: r.seconds),
        }
        cells = {k: f"{v:,.0f}" if v >= 100 or k == "steps" else f"{v:.3g}" for k, v in extra.items()}
        rows.append(TableRow(row.name, row.cells | cells, row.values | extra))
    return rows


def _row(name: str, prompts: list[str], scores: Sequence[Score | None]) -> TableRow:
    """One row: the mean over the concepts that are scored by the metric, and each concept; None: it has no score."""
    scored = [score for score in scores if score is not None]
    usual = [score for score in scored if not score.higher_is_better] or scored
    values = {"mean": sum(score.value for score in usual) / len(usual)}
    cells = {"mean": f"{values['mean']:.4g}"}
    for prompt, score in zip(prompts, scores, strict=True):
        if score is None:
            continue
        cells[prompt] = str(score)
        values |= {prompt: score.value, f"{prompt}: low": score.low, f"{prompt}: high": score.high}
        if score.kernel is not None:
            values[f"{prompt}: kernel distance"] = score.kernel
    return TableRow(name, cells, values)


def _notes(models: Models, legend: str) -> list[str]:
    c = models.config
    tested, trained = (
        sorted({sum(row["split"] == split for row in s.rows) for s in models.sets}) for split in ("test", "train")
    )
    length = f"{c.minutes:g} minutes a concept" if c.minutes else f"{c.epochs} epochs, {c.baseline_epochs} from scratch"
    length = f"{c.steps} steps a concept" if c.steps else length
    bases = f"{c.base_minutes:g} minutes" if c.base_minutes else f"{c.base_epochs} epochs"
    bases = f"{c.base_steps} steps" if c.base_steps else bases
    trained_on = "; ".join(f"{name}, {n} concept{'s' * (n > 1)}" for name, n in models.bases.items())
    bases = f" Bases ({bases} each): {trained_on}." if models.bases else ""
    given = f" Base: the one given, {c.base.name}." if c.base else ""
    legend += ", and not in the mean" if c.labels else ""
    return [
        f"Here: {c.metric} on {_range(tested)} test photos at {models.sets[0].size} pixels; {legend}. "
        f"{_range(trained)} training photos.",
        f"Each model: {length}, batch {c.batch}.{given}{bases} One seed ({c.seed}).",
    ]


def _range(counts: list[int]) -> str:
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


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
