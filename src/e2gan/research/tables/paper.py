"""The paper's own numbers, as far as they are recorded here with their source; a CSV of the user's adds more.

A number that is not here is not guessed: its place stays empty.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

from e2gan.core.errors import InputError

# Experiment → row → column → value.
PAPER: dict[str, dict[str, dict[str, float]]] = {
    "table1": {
        "pix2pix": {"parameters (M)": 11.4, "GMACs": 56.9, "iPhone 14 (ms)": 21.0},
        "comodgan": {"parameters (M)": 79.2},
        "e2gan": {"parameters (M)": 7.1, "iPhone 14 (ms)": 15.5},
    },
    "table5": {
        "ranks 1,4,8,8 +1": {"trained (M)": 0.092},
        "ranks 1,4,16,16 +1 (upscale 4x)": {"trained (M)": 0.164},
        "ranks 1,4,4,4 +1 (upscale 1x)": {"trained (M)": 0.056},
    },
    "table10": {"TB after RB 2": {"parameters (M)": 7.1}},
    "fig4": {"TB frozen": {"its parameters (M)": 1.58}, "RB frozen": {"its parameters (M)": 3.54}},
    "fig6": {
        "pix2pix": {"seconds a concept": 960, "trained (M)": 11.4},
        "comodgan": {"seconds a concept": 6600, "trained (M)": 79.2},
        "e2gan": {"seconds a concept": 200, "trained (M)": 0.092},
    },
}
SOURCES: dict[str, str] = {
    "table1": "Tab. 1; milliseconds from the authors' project page",
    "table5": "Tab. 5",
    "table10": "Tab. 10, which also says that pooling in place of the convolutions costs 30 to 100 FID",
    "fig4": "Fig. 4",
    "fig6": "Fig. 6 and Tab. 1, one H100: 16 and 110 minutes, and 16/4.8",
}


def paper_numbers(name: str, extra: Path | None, name_of: Callable[[str], str] = str) -> dict[str, dict[str, float]]:
    """Row → column → value of an experiment, with the user's additions. Raises InputError where their file is none.

    name_of: the experiment that a table's number in the file means.
    """
    numbers = {row: dict(columns) for row, columns in PAPER.get(name, {}).items()}
    if extra is None:
        return numbers
    try:
        with extra.open(newline="", encoding="utf-8") as file:
            for line, row in enumerate(csv.DictReader(file), start=2):
                if None in row.values() or {"table", "row", "column", "value"} - row.keys():
                    raise InputError(f"{extra}: line {line}: it needs the columns table, row, column and value")
                if name_of(row["table"]) == name:
                    numbers.setdefault(row["row"], {})[row["column"]] = _number(extra, line, row["value"])
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {extra}: {error}") from None
    return numbers


def _number(path: Path, line: int, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{path}, line {line}: '{text}' is no number") from None
