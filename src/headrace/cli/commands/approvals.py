"""`headrace approvals`, `approve` and `reject`: a second person decides about a plan."""

from __future__ import annotations

import re

from headrace.cli.declared_commands import ServiceCommand
from headrace.cli.output import CommandOutput
from headrace.cli.terminal import ColumnLayout, StyledCell, joined, plural
from headrace.model.policy import Approval
from headrace.responses.approvals import ApprovalRow

_STYLES = {"open": "warn", "approved": "good", "rejected": "bad", "expired": "dim", "void": "dim"}
_COST = re.compile(r"\bcost\b")
_NEEDS_SHOWN_MAX = 20
"""Open plans of which the list says whose approval is missing."""


def _render_approvals(rows: list[ApprovalRow], page: CommandOutput) -> None:
    if not rows:
        page.say("no plan needs or needed an approval")
        page.next("headrace backfills")
        return
    columns = [
        ColumnLayout("plan"),
        ColumnLayout("state"),
        ColumnLayout("asked by"),
        ColumnLayout("asked"),
        ColumnLayout("why", gives=2, least=12),
        ColumnLayout("reaches", gives=1, least=12),
        ColumnLayout("answer", gives=1, least=8),
    ]
    cells: list[list[str | StyledCell]] = [
        [
            StyledCell(row.id, "bold"),
            StyledCell(row.state, _STYLES[row.state]),
            row.asked_by,
            page.times.time_text(row.asked_at),
            row.reason,
            _consequence(row),
            "; ".join(f"{answer.answer} by {answer.by}: {answer.reason}" for answer in row.given),
        ]
        for row in rows
    ]
    page.table(columns, cells)
    open_rows = [row for row in rows if row.state == "open"]
    for row in open_rows[:_NEEDS_SHOWN_MAX]:
        page.say(f"{row.id} needs {joined([need.text for need in row.needs])}", indent=2)
        for item in row.consequence.contracts:
            what = f"contract of {item.node} {item.before}: {'; '.join(item.changes)}"
            page.say(f"{what} (read in {joined(item.domains)})", indent=4)
    page.rest(len(open_rows) - _NEEDS_SHOWN_MAX, "more plan", then="; --json has all")
    if open_rows:
        first = open_rows[0]
        details = [f"headrace backfills {first.id}"] if first.kind == "backfill" else []
        page.next(*details, first.next)


def _consequence(row: ApprovalRow) -> str:
    stale = row.consequence.stale
    parts = [
        plural(row.consequence.partitions, "partition"),
        f"{stale:,} to recompute" if stale else "",
        joined(row.consequence.consumers),
    ]
    return ", ".join(part for part in parts if part)


def render_needed_approval(approval: Approval, page: CommandOutput) -> None:
    """Print the rules that ask for an approval of a plan, and whose."""
    page.say(f"needs an approval: {approval}", "warn", indent=2)
    if approval.consequence is not None and _COST.search(str(approval)):
        cost = approval.consequence.cost
        known = "it isn't known" if cost is None else f"{cost:,.2f}"
        page.say(f"predicted cost: {known}", "warn", indent=4)
    for need in approval.needs:
        page.say(f"by {need.text}", "warn", indent=4)


def _render_answer(row: ApprovalRow, page: CommandOutput) -> None:
    page.say(f"plan {row.id} is {row.state}", _STYLES[row.state])
    page.say(f"asked by {row.asked_by}: {row.reason}", "dim")
    page.next(f"headrace backfills {row.id}" if row.kind == "backfill" else row.next)


approvals_command = ServiceCommand("approvals:approvals", _render_approvals)
approve_command = ServiceCommand("approvals:approve", _render_answer)
reject_command = ServiceCommand("approvals:reject", _render_answer)
