"""Rows of data as a table: every value in its own words, nulls told from empty text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from headrace.cli.page import CommandOutput
from headrace.cli.tables import ColumnLayout, StyledCell
from headrace.operations.responses import ColumnRow

_NUMBERS = (
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "HUGEINT",
    "FLOAT",
    "DOUBLE",
    "DECIMAL",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
    "UHUGEINT",
)


def grid(page: CommandOutput, columns: Sequence[ColumnRow], rows: Sequence[dict[str, Any]]) -> None:
    """Prints rows below their columns' names; columns that don't fit are counted, not squeezed to nothing."""
    column_rows = columns[: _room(page)]
    layout = [ColumnLayout(column.name, right=column.type.startswith(_NUMBERS)) for column in column_rows]
    page.table(layout, [[_cell(row.get(column.name)) for column in column_rows] for row in rows])
    if len(column_rows) < len(columns):
        page.say(
            f"and {len(columns) - len(column_rows)} more columns: {', '.join(column.name for column in columns[len(column_rows) :])}",
            "dim",
            indent=2,
        )


def _room(page: CommandOutput) -> int:
    """How many columns of at least 8 characters fit."""
    return max(2, (page.screen.width - 2) // 10)


def _cell(value: Any) -> StyledCell | str:
    return StyledCell("null", "dim") if value is None else shown_value(value)


def shown_value(value: Any) -> str:
    """One value in its own words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
