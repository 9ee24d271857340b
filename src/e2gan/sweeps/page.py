"""What a sweep came to, of all concepts together: a table as CSV and JSON, and a page, worst first."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Mapping
from importlib.resources import files as package_files
from typing import Any

from jinja2 import Environment, StrictUndefined

from e2gan.core.files import json_bytes
from e2gan.core.progress import in_threads
from e2gan.sweeps.plan import Concept, Plan
from e2gan.sweeps.store import Store
from e2gan.sweeps.tasks import PREVIEW
from e2gan.sweeps.things import ADAPTERS, EVALUATIONS, EXPORTS, PAIRS, SELECTIONS

RESULTS, TABLE, INDEX = "results.json", "results.csv", "index.html"
MOST_PREVIEW = 4 * 2**20  # bytes of a picture on the page
Row = dict[str, Any]


def rows_of(plan: Plan, store: Store, failed: Mapping[str, str]) -> list[Row]:
    """A row a concept, by what the manifests say, worst first: those that failed, and then by how much of the edit is
    missing. failed: concept → why."""
    rows = list(in_threads(lambda concept: _row(concept, store, failed.get(concept.name, "")), plan.concepts))
    return sorted(rows, key=lambda row: (not row["failed"], row["missing"] is not None, -(row["missing"] or 0.0)))


def _row(concept: Concept, store: Store, failed: str) -> Row:
    """`missing`: the edit's mean distance from the teacher's, as a part of the photo's own: 0 is all of the edit, 1 is
    as far as the photo."""
    row: Row = {"concept": concept.name, "prompt": concept.prompt, "failed": failed, "missing": None}
    seconds = 0.0
    facts: dict[str, dict[str, Any]] = {}
    for thing in concept.things:
        manifest = store.manifest(thing.ref)
        if manifest is not None:
            facts.setdefault(thing.kind, manifest["facts"])
            seconds += manifest["facts"].get("seconds", 0.0)
    pairs, adapter, found = (facts.get(kind, {}) for kind in (PAIRS, ADAPTERS, EVALUATIONS))
    row |= {name: pairs.get(name) for name in ("teacher", "train", "val", "test")}
    row["kept"] = facts.get(SELECTIONS, {}).get("kept")
    row |= {"steps": adapter.get("steps"), "parameters": adapter.get("parameters"), "bytes": adapter.get("bytes")}
    model, photo = found.get("model") or {}, found.get("photo") or {}
    row |= {f"photo_{name}": photo.get(name) for name in ("l1", "ssim")} | model
    row["against_lut"] = found.get("against_lut")
    if model.get("l1") is not None and photo.get("l1"):
        row["missing"] = model["l1"] / photo["l1"]
    row["seconds"] = round(seconds, 3)
    for kind, name in ((PAIRS, "pairs"), (ADAPTERS, "adapter"), (EVALUATIONS, "evaluation")):
        row[name] = concept.of(kind)[0].ref.place if kind in facts else None
    for thing in concept.of(EXPORTS):
        manifest = store.manifest(thing.ref)
        if manifest is not None:
            names = {entry["name"] for entry in manifest["files"]}
            file = manifest["facts"].get("file")
            row[str(thing.settings["format"])] = f"{thing.ref.place}/{file}" if file in names else None
    return row


def write_page(store: Store, rows: list[Row], title: str) -> None:
    """results.json, results.csv and index.html, which opens from disk: its pictures are in it."""
    store.write(RESULTS, json_bytes({"stage": "sweep", "concepts": rows}))
    store.write(TABLE, table(rows).encode())
    template = (package_files("e2gan.sweeps") / "sweep.html").read_text("utf-8")
    pages = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    pictures = dict(in_threads(lambda row: (row["concept"], _picture(store, row)), rows))
    page = pages.from_string(template).render(rows=rows, pictures=pictures, title=title, columns=columns(rows))
    store.write(INDEX, page.encode())


def table(rows: list[Row]) -> str:
    """The rows as CSV, with a column for each that any row has."""
    text = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    """What a spreadsheet takes for a formula is a text to it."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return "" if value is None else value


# On the page: a row's key, its heading, how it is written.
SHOWN = (
    ("missing", "missing", "{:.0%}"),
    ("l1", "L1 of 255", "{:.2f}"),
    ("ssim", "SSIM", "{:.3f}"),
    ("fid", "FID", "{:.1f}"),
    ("fd_squeezenet", "fd-squeezenet", "{:.3g}"),
    ("against_lut", "against a colour table", "{}"),
    ("train", "training pairs", "{}"),
    ("kept", "selected", "{}"),
    ("seconds", "seconds of all tasks", "{:.0f}"),
)


def columns(rows: list[Row]) -> list[tuple[str, str, str]]:
    """Those that any row has."""
    return [column for column in SHOWN if any(row.get(column[0]) is not None for row in rows)]


def _picture(store: Store, row: Row) -> str | None:
    """The preview of a concept's evaluation as a data URL."""
    if row["evaluation"] is None:
        return None
    data = store.read(f"{row['evaluation']}/{PREVIEW}", MOST_PREVIEW)
    if data is None or not data.startswith(b"\xff\xd8"):
        return None
    return "data:image/jpeg;base64," + base64.b64encode(data).decode()
