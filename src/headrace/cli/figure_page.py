"""The screen of `status --explain`: what a figure says, and the rows that it is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from headrace.cli.moments import seconds
from headrace.cli.page import CommandOutput
from headrace.cli.tables import ColumnLayout, StyledCell
from headrace.cli.text import plural
from headrace.operations.figure_responses import FigureResponse
from headrace.operations.responses import Response

ROWS_MAX = 200
"""Shown; --json has all."""
_SHOWN: Mapping[str, Sequence[str]] = {
    "availability": ("consumer", "state", "by_exception", "claimed", "since", "until", "seconds"),
    "promises": ("consumer", "interval", "due_at", "met_at", "kept", "waived"),
    "nodes": ("of", "kind", "owner", "honest", "lost_minutes", "classic"),
    "owners": ("of", "honest", "mean", "worst", "lost_minutes"),
    "domains": ("of", "honest", "mean", "worst", "lost_minutes"),
    "uptime": ("kind", "state", "runs", "succeeded"),
    "weakened": ("node", "what", "before", "after", "by", "at"),
    "goodput": (
        "node",
        "goodput",
        "delivered",
        "good",
        "held",
        "rejected",
        "rows_per_second",
        "slowest",
        "bytes_per_second",
        "retry",
        "superseded",
        "identical",
        "wrong",
        "waiting",
    ),
    "incidents": ("id", "kind", "node", "owner", "began_at", "detect_seconds", "restore_seconds", "open", "recurrence_of"),
    "sources": ("source", "owner", "deliveries", "stability", "quality", "on_time", "expected", "missing", "changed", "consumers", "reads"),
    "use": ("node", "reader", "via", "reads", "last_at", "seconds", "said"),
}
_PERCENT = frozenset({"honest", "mean", "classic", "goodput"})
_NAMED = frozenset({"consumer", "of", "node", "id", "source"})


def render(response: FigureResponse, page: CommandOutput) -> None:
    """The figure, its window, and the table."""
    began, until = page.reader.moment(response.began), page.reader.moment(response.until)
    page.head(response.figure, f"{response.window}: {began} to {until}")
    for text in response.said:
        page.say(text, indent=2)
    page.say()
    fields = _SHOWN[response.figure]
    page.table([_column(place, field) for place, field in enumerate(fields)], [_row(row, fields, page) for row in response.rows[:ROWS_MAX]])
    if not response.rows:
        page.say("no data", indent=2)
    if len(response.rows) > ROWS_MAX:
        page.say(f"and {plural(len(response.rows) - ROWS_MAX, 'more row')}; --json has all", "dim", indent=2)


def _column(place: int, field: str) -> ColumnLayout:
    if field in _NAMED:
        return ColumnLayout(field.replace("_", " "), gives=1, least=10)
    return ColumnLayout(field.removesuffix("_at").replace("_", " "), drops=place, gives=2 if field == "said" else 0)


def _row(row: Response, fields: Sequence[str], page: CommandOutput) -> list[str | StyledCell]:
    return [StyledCell(_said(getattr(row, field), field, page), "bold" if field in _NAMED else "") for field in fields]


def _said(value: Any, field: str, page: CommandOutput) -> str:
    if value is None:
        return "no data" if field in _PERCENT else ""
    if isinstance(value, datetime):
        return page.reader.moment(value)
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, float):
        return f"{value:,.1f}" if field.endswith("per_second") else seconds(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value} %" if field in _PERCENT else str(value)
