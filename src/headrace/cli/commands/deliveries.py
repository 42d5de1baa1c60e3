"""`headrace deliveries SOURCE`."""

from __future__ import annotations

from typing import Annotated

from headrace.cli import states
from headrace.cli.invocation import Invocation
from headrace.cli.learnt import lesson
from headrace.cli.page import CommandOutput
from headrace.cli.parsing import Argument, Option
from headrace.cli.tables import ColumnLayout, StyledCell
from headrace.model.commands import command_line, place
from headrace.operations.deliveries import DeliveryRow, deliveries

UNIT = 1024
MINUTE_S = 60


def command(
    invocation: Invocation,
    source: Annotated[str, Argument("SOURCE", help="`headrace ls 'source:*'` lists them")],
    limit: Annotated[int, Option("--limit", metavar="N", least=1, help="deliveries listed, newest interval first")] = 30,
) -> int:
    """What arrived at a source, when, and what became of it."""
    rows = deliveries(invocation.session, source, limit=limit)
    invocation.show(rows, lambda rows, page: _render(rows, page, source))
    return 0


COLUMNS = [
    ColumnLayout("interval", gives=1, least=10),
    ColumnLayout("arrived"),
    ColumnLayout("state"),
    ColumnLayout("rows", right=True, drops=1),
    ColumnLayout("size", right=True, drops=3),
    ColumnLayout("path", gives=3, least=16, drops=2),
    ColumnLayout("why", gives=2, least=14),
]


def _render(rows: list[DeliveryRow], page: CommandOutput, source: str) -> None:
    page.head(source, "deliveries")
    page.say()
    if not rows:
        page.say("nothing was delivered yet")
        page.next("headrace tick")
        return
    page.table(COLUMNS, [_row(row, page) for row in rows])
    for learnt in [row.learnt for row in rows if row.learnt is not None][:1]:
        page.say()
        lesson(learnt, page)
    waiting = next((row for row in rows if row.state in ("held", "rejected")), None)
    held = None if waiting is None else command_line("quarantine", place(source, waiting.partition))
    page.next(held or command_line("read", source))


def _row(row: DeliveryRow, page: CommandOutput) -> list[str | StyledCell]:
    return [
        StyledCell(row.partition, "bold"), _arrived(row, page), states.cell("warned" if row.verdict == "warned" else row.state),
        "" if row.rows is None else f"{row.rows:,}", "" if row.size_bytes is None else _size(row.size_bytes), _path(row), _why(row),
    ]  # fmt: skip


def _arrived(row: DeliveryRow, page: CommandOutput) -> str:
    """When it arrived; with what it claims where that is more than a minute away."""
    text = page.reader.moment(row.at)
    apart = abs((row.at - row.claimed_at).total_seconds()) >= MINUTE_S
    return f"{text} (claims {page.reader.moment(row.claimed_at)})" if apart else text


def _path(row: DeliveryRow) -> str:
    path = row.received.file if row.received else row.path
    return f"{path} and {row.files - 1} more" if row.files > 1 else path


def _why(row: DeliveryRow) -> str:
    by_hand = f"by hand, {row.received.actor}: {row.received.reason}" if row.received else ""
    return "; ".join(part for part in (by_hand, row.reason or "") if part)


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < UNIT or unit == "GiB":
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= UNIT
    raise AssertionError
