"""`headrace notify [test OWNER|--all]`."""

from __future__ import annotations

from typing import Annotated

from headrace.cli.invocation import Invocation
from headrace.cli.page import CommandOutput
from headrace.cli.parsing import Argument, Option
from headrace.cli.tables import ColumnLayout, StyledCell
from headrace.cli.text import plural
from headrace.model.errors import UsageError
from headrace.operations.notify_responses import NotifyRow

MARKS = {"ok": StyledCell("✓ sent", "good"), "failed": StyledCell("✗ failed", "bad"), "skipped": StyledCell("· nobody", "dim")}
COLUMNS = [
    ColumnLayout("owner", gives=1, least=12),
    ColumnLayout("told"),
    ColumnLayout("over", gives=1, least=12),
    ColumnLayout("quiet", drops=2),
    ColumnLayout("sent", right=True, drops=1),
    ColumnLayout("", gives=2, least=16),
]
TESTED = [
    ColumnLayout("owner", gives=1, least=12),
    ColumnLayout("over", gives=1, least=12),
    ColumnLayout("state"),
    ColumnLayout("took", right=True, drops=1),
    ColumnLayout("why", gives=2, least=20),
]


def command(
    invocation: Invocation,
    action: Annotated[str | None, Argument("[test]", help="send a message over each contact of an owner")] = None,
    owner: Annotated[str | None, Argument("[OWNER]", help="whose contacts")] = None,
    all_: Annotated[bool, Option("--all", help="test every owner's contacts")] = False,
) -> int:
    """Who is told of incidents, over which channel, and what didn't arrive; `test` sends a message that says that it is one.

    Exits 1 where one that was tested doesn't arrive.
    """
    from headrace.operations.notify import notify, tested

    if action is None and not all_:
        invocation.show(notify(invocation.session), _list, clock=False)
        return 0
    if action != "test" or (owner is None) != all_:
        raise UsageError("say whose contacts are to be tested", hint="write headrace notify test OWNER, or headrace notify test --all")
    rows = tested(invocation.session, owner)
    invocation.show(rows, _tests, clock=False)
    return int(any(row.state == "failed" for row in rows))


def _list(rows: list[NotifyRow], page: CommandOutput) -> None:
    if not rows:
        page.say("owners.yaml names nobody")
        page.next("headrace validate")
        return
    page.table(COLUMNS, [_row(row) for row in rows])
    lost = sum(row.undelivered for row in rows)
    if lost:
        page.say(f"{plural(lost, 'message')} of 30 days couldn't be sent", "bad")
    page.next("headrace notify test --all")


def _row(row: NotifyRow) -> list[str | StyledCell]:
    told = row.told if row.told is not None and row.told != row.owner else "itself" if row.told else StyledCell("nobody", "warn")
    lost = f"{row.undelivered} not delivered: {row.error}" if row.undelivered else ""
    return [StyledCell(row.owner, "bold"), told, row.contact or "–", row.quiet or "", str(row.sent), StyledCell(row.wrong or lost, "warn")]


def _tests(rows: list[NotifyRow], page: CommandOutput) -> None:
    page.table(TESTED, [_tested(row) for row in rows])
    failed = sum(row.state == "failed" for row in rows)
    page.say(f"{plural(failed, 'contact')} failed" if failed else "all that there are were sent a message", "bad" if failed else "good")
    page.next("headrace notify" if failed else "headrace status")


def _tested(row: NotifyRow) -> list[str | StyledCell]:
    took = "" if row.seconds is None else f"{row.seconds:.2f} s"
    return [StyledCell(row.owner, "bold"), row.contact or "–", MARKS[row.state or "skipped"], took, row.error or row.wrong or ""]
