"""`headrace connections [test [NAME]]`."""

from __future__ import annotations

from typing import Annotated

from headrace.cli.invocation import Invocation
from headrace.cli.page import CommandOutput
from headrace.cli.parsing import Argument
from headrace.cli.tables import ColumnLayout, StyledCell
from headrace.cli.text import plural
from headrace.model.errors import UsageError
from headrace.operations.inspections import ConnectionRow

MARKS = {"ok": StyledCell("✓ answers", "good"), "failed": StyledCell("✗ failed", "bad"), "skipped": StyledCell("· not asked", "dim")}
COLUMNS = [ColumnLayout("connection", gives=1, least=12), ColumnLayout("kind"), ColumnLayout("used by", gives=2, least=12)]
TESTED = [
    ColumnLayout("connection", gives=1, least=12),
    ColumnLayout("kind", drops=1),
    ColumnLayout("state"),
    ColumnLayout("took", right=True, drops=2),
    ColumnLayout("why", gives=2, least=20),
]


def command(
    invocation: Invocation,
    action: Annotated[str | None, Argument("[test]", help="ask each connection, or the one named")] = None,
    name: Annotated[str | None, Argument("[NAME]", help="only this one")] = None,
) -> int:
    """The connections of headrace.toml and who uses them; `test` resolves their secrets and asks them. Nothing is changed.

    Exits 1 where one that was asked doesn't answer.
    """
    from headrace.operations.connections import connections, tested

    if action is None:
        invocation.show(connections(invocation.session), _list, clock=False)
        return 0
    if action != "test":
        raise UsageError(
            f"`headrace connections {action}` isn't known", hint="write headrace connections, or headrace connections test NAME"
        )
    rows = tested(invocation.session, name)
    invocation.show(rows, _tests, clock=False)
    return int(any(row.state == "failed" for row in rows))


def _list(rows: list[ConnectionRow], page: CommandOutput) -> None:
    if not rows:
        page.say("headrace.toml declares no connections")
        page.next("headrace doctor")
        return
    page.table(COLUMNS, [[StyledCell(row.name, "bold"), row.kind or "by its secret", ", ".join(row.used_by) or "–"] for row in rows])
    page.next("headrace connections test")


def _tests(rows: list[ConnectionRow], page: CommandOutput) -> None:
    if not rows:
        page.say("headrace.toml declares no connections")
        page.next("headrace doctor")
        return
    page.table(TESTED, [_tested(row) for row in rows])
    for row in rows:
        if row.state == "failed" and row.hint:
            page.say(f"{row.name}: {row.hint}", "warn")
    failed = sum(row.state == "failed" for row in rows)
    page.say(f"{plural(failed, 'connection')} failed" if failed else "all that were asked answer", "bad" if failed else "good")
    page.next("headrace doctor" if failed else "headrace status")


def _tested(row: ConnectionRow) -> list[str | StyledCell]:
    why = row.error or (row.hint if row.state == "skipped" else "") or ""
    return [StyledCell(row.name, "bold"), row.kind or "", MARKS[row.state or "skipped"], f"{row.seconds:.2f} s", why]
