"""Each of the paper's tables and figures as one command (`e2gan table N`)."""

from __future__ import annotations

from e2gan.research.tables.run import TableResult, run_table

__all__ = ["run_table", "TableResult"]
