"""`headrace deliveries` and `receive`: list a source's deliveries; hand in a delivery."""

from __future__ import annotations

from headrace.cli import output
from headrace.cli.declared_commands import ServiceCommand, terminal_command
from headrace.cli.invocation import Invocation
from headrace.cli.output import CommandOutput
from headrace.cli.run_results import render_learnt_source, render_run
from headrace.cli.terminal import ColumnLayout, StyledCell
from headrace.model.partitions import command_line, partition_argument
from headrace.services.deliveries import DeliveryRow, deliveries

# `headrace deliveries SOURCE`

SIZE_UNIT = 1024
MINUTE_S = 60


@terminal_command(
    "deliveries:deliveries",
    group="look",
    summary="list the deliveries of a source and their outcomes",
)
def deliveries_command(invocation: Invocation, source: str, limit: int) -> int:
    """List what arrived at a source, when, and its outcome."""
    rows = deliveries(invocation.session, source, limit=limit)
    invocation.show(rows, lambda rows, page: _render_deliveries(rows, page, source))
    return 0


DELIVERY_COLUMNS = [
    ColumnLayout("interval", gives=1, least=10),
    ColumnLayout("arrived"),
    ColumnLayout("state"),
    ColumnLayout("rows", right=True, drops=1),
    ColumnLayout("size", right=True, drops=3),
    ColumnLayout("path", gives=3, least=16, drops=2),
    ColumnLayout("why", gives=2, least=14),
]


def _render_deliveries(rows: list[DeliveryRow], page: CommandOutput, source: str) -> None:
    page.head(source, "deliveries")
    page.say()
    if not rows:
        page.say("nothing was delivered yet")
        page.next("headrace tick")
        return
    page.table(DELIVERY_COLUMNS, [_delivery_row(row, page) for row in rows])
    for learnt in [row.learnt for row in rows if row.learnt is not None][:1]:
        page.say()
        render_learnt_source(learnt, page)
    waiting = next((row for row in rows if row.state in ("held", "rejected")), None)
    held = (
        None
        if waiting is None
        else command_line("quarantine", partition_argument(source, waiting.partition))
    )
    page.next(held or command_line("read", source))


def _delivery_row(row: DeliveryRow, page: CommandOutput) -> list[str | StyledCell]:
    return [
        StyledCell(row.partition, "bold"),
        _arrived_text(row, page),
        output.state_cell("warned" if row.verdict == "warned" else row.state),
        "" if row.rows is None else f"{row.rows:,}",
        "" if row.size_bytes is None else _size_text(row.size_bytes),
        _path_text(row),
        _reason_text(row),
    ]


def _arrived_text(row: DeliveryRow, page: CommandOutput) -> str:
    """Return the arrival time, and the file's own time if it differs by a minute or more."""
    text = page.times.time_text(row.at)
    differs = abs((row.at - row.claimed_at).total_seconds()) >= MINUTE_S
    return f"{text} (claims {page.times.time_text(row.claimed_at)})" if differs else text


def _path_text(row: DeliveryRow) -> str:
    path = row.received.file if row.received else row.path
    return f"{path} and {row.files - 1} more" if row.files > 1 else path


def _reason_text(row: DeliveryRow) -> str:
    by_hand = f"by hand, {row.received.actor}: {row.received.reason}" if row.received else ""
    return "; ".join(part for part in (by_hand, row.reason or "") if part)


def _size_text(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < SIZE_UNIT or unit == "GiB":
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= SIZE_UNIT
    raise AssertionError


# `headrace receive SOURCE FILE`


receive_command = ServiceCommand(
    "receive:receive",
    render_run,
    exit_code=lambda response: int(response.state not in ("succeeded", "nothing_due")),
)
