"""The paper's own numbers, as far as paper.csv has them, with their source; a CSV of the user's adds more.

A number that is not here is not guessed: its place stays empty.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

from e2gan.core.errors import InputError

SHIPPED = Path(__file__).with_name("paper.csv")
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
    numbers: dict[str, dict[str, float]] = {}
    for path in (SHIPPED, *([] if extra is None else [extra])):
        try:
            with path.open(newline="", encoding="utf-8") as file:
                for line, row in enumerate(csv.DictReader(file), start=2):
                    if None in row.values() or {"table", "row", "column", "value"} - row.keys():
                        raise InputError(f"{path}: line {line}: it needs the columns table, row, column and value")
                    if name_of(row["table"]) == name:
                        numbers.setdefault(row["row"], {})[row["column"]] = _number(path, line, row["value"])
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot read {path}: {error}") from None
    return numbers


def _number(path: Path, line: int, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{path}, line {line}: '{text}' is no number") from None
