"""The paper's own numbers, every one of its tables in paper.csv; a CSV of the user's adds more.

Tab. 2 and the values of Fig. 2 and Fig. 7 are not in it: they are printed as pictures. No number is guessed.
"""

from __future__ import annotations

import csv
import re
from io import StringIO
from pathlib import Path

from e2gan.core.errors import InputError
from e2gan.core.files import read_bytes

MOST_BYTES = 16 * 2**20
SHIPPED = Path(__file__).with_name("paper.csv")


def paper_numbers(
    name: str, table: str | None = None, columns: tuple[str, ...] = (), extra: Path | None = None
) -> dict[str, dict[str, float]]:
    """Row → column → value of an experiment (`table3-faces`), with the user's additions.

    table: the paper's table that it is a part of, and columns: those of it that belong to the experiment, all where
    none is named. Raises InputError where the user's file is none.
    """
    numbers: dict[str, dict[str, float]] = {}
    for path in (SHIPPED, *([] if extra is None else [extra])):
        try:
            with StringIO(read_bytes(path, MOST_BYTES).decode("utf-8"), newline="") as file:
                for line, row in enumerate(csv.DictReader(file), start=2):
                    if None in row.values() or {"table", "row", "column", "value"} - row.keys():
                        raise InputError(f"{path}: line {line}: it needs the columns table, row, column and value")
                    of, value = table_name(row["table"]), _number(path, line, row["value"])
                    if of is None:
                        raise InputError(f"{path}, line {line}: '{row['table']}' is no table or figure")
                    if of == name or (of == table and (not columns or row["column"] in columns)):
                        numbers.setdefault(row["row"], {})[row["column"]] = value
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"cannot read {path}: {error}") from None
    return numbers


def table_name(text: str) -> str | None:
    """`5`, `Table 5`, `Tab. 3-faces`, `fig7`, `Figure 7` → `table5`, `table3-faces`, `fig7`; None for anything else."""
    match = re.fullmatch(r"(?:tab(?:le)?\.? ?|(fig)(?:ure)?\.? ?)?(\d+)(-[a-z]+)?", text.strip().lower())
    return f"{match[1] or 'table'}{match[2]}{match[3] or ''}" if match else None


def _number(path: Path, line: int, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{path}, line {line}: '{text}' is no number") from None
