"""`headrace hold`: forbid that data is removed."""

from __future__ import annotations

from headrace.cli.declared_commands import CommandGroup, ServiceCommand, terminal_command
from headrace.cli.invocation import Invocation
from headrace.cli.output import CommandOutput
from headrace.cli.terminal import ColumnLayout, StyledCell
from headrace.responses.retention import HoldRow


def _name(row: HoldRow) -> str:
    return "everything" if row.node == "*" else row.node


def _render_hold(row: HoldRow, page: CommandOutput) -> None:
    if row.released_at is None:
        page.say(f"✓ {_name(row)} is under a legal hold: {row.reason}", "good")
    else:
        page.say(f"✓ the legal hold of {_name(row)} is released: {row.release_reason}", "good")
    page.next("headrace hold")


def _render_holds(rows: list[HoldRow], page: CommandOutput) -> None:
    if not rows:
        page.say("nothing is under a legal hold")
        page.next("headrace hold NODE --reason TEXT")
        return
    columns = [
        ColumnLayout("node", gives=1, least=10),
        ColumnLayout("since"),
        ColumnLayout("by"),
        ColumnLayout("why", gives=2, least=12),
        ColumnLayout("released", gives=1, least=8),
    ]
    cells: list[list[str | StyledCell]] = [
        [
            StyledCell(_name(row), "bold"),
            page.times.time_text(row.since),
            row.by,
            row.reason,
            ""
            if row.released_at is None
            else f"{page.times.time_text(row.released_at)} by {row.released_by}",
        ]
        for row in rows
    ]
    page.table(columns, cells)
    in_force = any(row.released_at is None for row in rows)
    page.next(f"headrace hold {'release ' if in_force else ''}NODE --reason TEXT")


@terminal_command("holds:hold", list="holds:holds")
def _hold(
    invocation: Invocation, node: str | None = None, all_: bool = False, reason: str | None = None
) -> int:
    """Forbid that `erase` and `retain:` remove data of a node, until the hold is released.

    Without a node, list the holds.
    """
    from headrace.services import holds

    if node is None and not all_ and reason is None:
        invocation.show(holds.holds(invocation.session), _render_holds)
        return 0
    response = holds.hold(
        invocation.session, node, all_=all_, reason=reason or "", progress=invocation.progress()
    )
    invocation.show(response, _render_hold)
    return 0


hold_command = CommandGroup(
    _hold.description,
    {
        "list": ServiceCommand("holds:holds", _render_holds),
        "release": ServiceCommand("holds:release", _render_hold),
    },
    _hold,
    group="act",
    summary="forbid that data is erased or retired; list and release holds",
)
