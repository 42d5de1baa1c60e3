"""`headrace backfill` and `backfills`: recompute past partitions; list, pause, resume, cancel."""

from __future__ import annotations

from typing import Annotated

from headrace.cli import output
from headrace.cli.agreement import DryRun, Yes, ask_agreement, refusal_as_json
from headrace.cli.commands.approvals import render_needed_approval
from headrace.cli.declared_commands import CommandGroup, ServiceCommand, terminal_command
from headrace.cli.invocation import Invocation
from headrace.cli.output import CommandOutput, data_table, seconds
from headrace.cli.terminal import ColumnLayout, StyledCell, joined, plural
from headrace.model.errors import Refused
from headrace.model.partitions import command_line, partition_argument
from headrace.project.parameters import Argument
from headrace.responses import ColumnRow
from headrace.responses.backfills import (
    BackfillResponse,
    BackfillRow,
    BackfillsResponse,
    ChangedRow,
    EstimateRow,
    FailureRow,
    PlanRowResponse,
)

# Plans, progress and results of backfills. `fix` and `apply` print backfills with these functions,
# too.

NODES_SHOWN_MAX = 40
SKIPPED_SHOWN_MAX = 10
FAILURES_SHOWN_MAX = 10
NAMED_MAX = 5
"""Maximum number of nodes that a sentence names."""
DETAILED_MAX = 3
"""Maximum number of failures printed with their failed checks and sample rows."""
HOW_TEXT = {
    "taken_in": "ingested",
    "staged": "alongside production",
    "afterwards": "afterwards, in order",
}
PUBLISHES_TEXT = {
    "atomically": "published all at once",
    "per_partition": "published one after the other, for each builds on the one before",
}

PLANNED_COLUMNS = [
    ColumnLayout("asset", gives=2, least=14),
    ColumnLayout("partitions", right=True),
    ColumnLayout("from", least=10),
    ColumnLayout("to", least=10),
    ColumnLayout("how", gives=4, drops=1),
    ColumnLayout("why", gives=3, least=12),
]
SKIPPED_COLUMNS = [
    ColumnLayout("not made", gives=2, least=14),
    ColumnLayout("partitions", right=True),
    ColumnLayout("why", gives=3, least=18),
]
CHANGED_COLUMNS = [
    ColumnLayout("changed", gives=2, least=14),
    ColumnLayout("partitions", right=True),
    ColumnLayout("rows added", right=True),
    ColumnLayout("removed", right=True),
    ColumnLayout("changed", right=True),
]
PUBLISHED_COLUMNS = [
    ColumnLayout("node", gives=2, least=14),
    ColumnLayout("planned", right=True, drops=1),
    ColumnLayout("published", right=True),
    ColumnLayout("rows", right=True),
    ColumnLayout("added", right=True, drops=2),
    ColumnLayout("removed", right=True, drops=2),
    ColumnLayout("changed", right=True, drops=2),
]
BACKFILL_COLUMNS = [
    ColumnLayout("id", right=True),
    ColumnLayout("state"),
    ColumnLayout("to go", right=True, drops=4),
    ColumnLayout("assets", gives=2, least=12),
    ColumnLayout("partitions", right=True),
    ColumnLayout("published", right=True, drops=2),
    ColumnLayout("failed", right=True, drops=2),
    ColumnLayout("planned", drops=1),
    ColumnLayout("by", gives=4, least=6, drops=3),
    ColumnLayout("why", gives=1, least=16),
]


def render_backfill_plan(response: BackfillResponse, page: CommandOutput) -> None:
    """Print a backfill's plan, before it asks for agreement: partitions, cost, affected readers."""
    page.table(PLANNED_COLUMNS, [_planned_row(row) for row in response.assets[:NODES_SHOWN_MAX]])
    page.rest(len(response.assets) - NODES_SHOWN_MAX, "more asset")
    _render_skipped(response, page)
    page.say(f"in all {response.counts.text}, {_publication_text(response)}", indent=2)
    page.say(cost_text(response), indent=2)
    touched = [
        *(f"consumer {name}" for name in response.affects.consumers),
        *(f"owner {name}" for name in response.affects.owners),
    ]
    if touched:
        page.say(f"touches {joined(touched)}", indent=2)
    if response.approval is not None:
        render_needed_approval(response.approval, page)
    else:
        page.say("no approval needed", "dim", indent=2)
    if response.id is None and response.plan_id is not None:
        page.say(f"plan {response.plan_id}", "dim", indent=2)


def render_backfill(response: BackfillResponse, page: CommandOutput) -> None:
    """Print one backfill: its plan if it hasn't started, otherwise its progress or result."""
    page.head(f"backfill {response.id}" if response.id else "backfill", response.reason)
    if response.assets and response.started_at is None:
        page.say()
        render_backfill_plan(response, page)
    elif response.assets:
        page.say()
        _render_progress(response, page)
    else:
        _render_skipped(response, page)
    page.facts(
        *_state_facts(response),
        style={"succeeded": "good", "failed": "bad", "partial": "warn"}.get(response.state, ""),
    )
    for note in response.notes:
        page.say(note, "dim")
    page.next(*_next_commands(response))


def render_backfills(response: BackfillsResponse, page: CommandOutput) -> None:
    """Print the list of backfills."""
    page.head("backfills")
    if not response.backfills:
        page.say("nothing was backfilled yet")
        page.next("headrace backfill ASSET --from A --to B --reason TEXT --dry-run")
        return
    page.say()
    page.table(BACKFILL_COLUMNS, [_backfill_row(row, page) for row in response.backfills])
    page.next(f"headrace backfills {response.backfills[0].id}")


def _planned_row(row: BackfillRow) -> list[str | StyledCell]:
    to = f"{row.to} ({row.ranges} ranges)" if row.ranges > 1 else row.to
    return [
        StyledCell(row.asset, "bold"),
        f"{row.partitions:,}",
        row.from_,
        to,
        HOW_TEXT[row.how],
        row.why,
    ]


def _render_skipped(response: BackfillResponse, page: CommandOutput) -> None:
    rows = response.skipped[:SKIPPED_SHOWN_MAX]
    page.table(
        SKIPPED_COLUMNS,
        [[StyledCell(row.asset, "bold"), f"{row.partitions:,}", row.why] for row in rows],
    )
    page.rest(len(response.skipped) - len(rows), "more reason")


def _publication_text(response: BackfillResponse) -> str:
    if response.publishes == "in_steps":
        return f"published in {response.steps} steps, some intervals of all assets at a time"
    later = (
        ", but for what is made afterwards"
        if any(row.how == "afterwards" for row in response.assets)
        else ""
    )
    return PUBLISHES_TEXT[response.publishes] + (
        later if response.publishes == "atomically" else ""
    )


def cost_text(response: BackfillResponse) -> str:
    """Return the estimated duration and written bytes, or that the duration isn't known."""
    size = f", {_size_text(response.bytes_estimate)}" if response.bytes_estimate else ""
    if response.estimate is None or not response.estimate.known:
        return f"how long it takes isn't known yet: too little like it has run here{size}"
    return f"about {estimate_text(response.estimate)}{size} ({response.estimate.basis})"


def estimate_text(estimate: EstimateRow) -> str:
    """Return an estimated duration with its range: `4 min (3 min to 6 min)`."""
    return f"{seconds(estimate.seconds)} ({seconds(estimate.low)} to {seconds(estimate.high)})"


def _size_text(count: int) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:,.0f} {unit}"
        count //= 1000
    return f"{count:,} TB"


def _render_progress(response: BackfillResponse, page: CommandOutput) -> None:
    render_published(response, page)
    _render_unchanged(response, page)
    for number, row in enumerate(response.failures[:FAILURES_SHOWN_MAX]):
        at = f"{row.asset}@{row.partition} " if row.asset else ""
        page.say(f"{at}{row.state}: {row.reason}", "bad", indent=2)
        if number < DETAILED_MAX:
            _render_failed_checks(row, page)
    for todo in dict.fromkeys(row.first for row in response.failures if row.first is not None):
        page.say(f"to do: {todo}", indent=2)
    page.rest(response.failed - FAILURES_SHOWN_MAX, "more failure")


def _render_unchanged(response: BackfillResponse, page: CommandOutput) -> None:
    """Print that an ended backfill changed nothing for readers.

    Either the published rows are the same as before, or none of the partitions that were computed
    alongside production is published. If nothing at all is published, the state line says so
    instead.
    """
    staged = [row for row in response.assets if row.how == "staged"]
    if not response.published or response.changes or response.made is None:
        return
    if any(row.published for row in staged):
        page.say("what was computed is what readers saw before", indent=2)
    elif staged and response.state in ("failed", "partial", "cancelled"):
        names = joined([row.asset for row in staged], NAMED_MAX)
        page.say(f"nothing of {names} was published: readers see what they saw before", indent=2)


def render_published(response: BackfillResponse, page: CommandOutput) -> None:
    """Print the published partitions and rows of each node, and the rows that differ from before.

    While a backfill runs, only nodes with differing rows are listed.
    """
    if response.made is None:
        page.table(
            CHANGED_COLUMNS,
            [
                [
                    StyledCell(row.asset, "bold"),
                    f"{row.partitions:,}",
                    f"{row.rows_added:,}",
                    f"{row.rows_removed:,}",
                    f"{row.rows_changed:,}",
                ]
                for row in response.changes
            ],
        )
        return
    changes = {row.asset: row for row in response.changes}
    page.table(
        PUBLISHED_COLUMNS,
        [_published_row(row, changes.get(row.asset)) for row in response.assets[:NODES_SHOWN_MAX]],
    )
    page.rest(len(response.assets) - NODES_SHOWN_MAX, "more node")


def _published_row(row: BackfillRow, change: ChangedRow | None) -> list[str | StyledCell]:
    """Return a node's row. Differing rows are known only of those computed alongside production."""
    differ = ["", "", ""] if row.how != "staged" else ["0", "0", "0"]
    if change is not None:
        differ = [f"{change.rows_added:,}", f"{change.rows_removed:,}", f"{change.rows_changed:,}"]
    return [
        StyledCell(row.asset, "bold"),
        f"{row.partitions:,}",
        f"{row.published or 0:,}",
        f"{row.rows or 0:,}",
        *differ,
    ]


def _render_failed_checks(row: FailureRow, page: CommandOutput) -> None:
    for check in row.checks:
        page.say(
            f"check {check.name}: {check.detail or f'{check.failing} of {check.rows} rows'}",
            indent=4,
        )
    if row.sample:
        names = list(dict.fromkeys(name for sample in row.sample for name in sample))
        page.say("for example:", indent=4)
        data_table(page, [ColumnRow(name=name, type="") for name in names], row.sample)


_NOT_BEGUN = {
    "planned": "· planned, nothing was done",
    "declined": "· nothing was done",
    "awaiting_approval": "· waits for an approval",
    "void": "· void: another version was applied after it was asked for; nothing was done",
    "expired": "· expired: nobody approved it in time; nothing was done",
}


def _state_facts(response: BackfillResponse) -> list[str]:
    if response.state == "nothing_due":
        return ["· nothing to do"]
    if response.state in _NOT_BEGUN:
        return [_NOT_BEGUN[response.state]]
    facts = [output.state_mark(response.state), *published_texts(response)]
    facts += [f"{response.failed:,} failed"] if response.failed else []
    facts += (
        [f"{response.redone:,} recomputed, for their inputs changed meanwhile"]
        if response.redone
        else []
    )
    if response.state in ("failed", "cancelled") and not response.published:
        facts.append("readers see what they saw before")
    left = response.partitions_total - response.published
    facts += (
        [f"the other {left:,} didn't have to be made: what they read is as it was"]
        if response.state == "succeeded" and left
        else []
    )
    facts += (
        [f"{estimate_text(response.remaining)} to go"] if response.remaining is not None else []
    )
    return facts


def published_texts(response: BackfillResponse) -> list[str]:
    """Return how many partitions are published, and after the end a count per kind of node.

    For example `30 of 30 partitions published` and `3 of 1 source, 24 of 8 assets, 3 of 1 export`.
    """
    parts = "" if response.made is None else response.made.text.partition(": ")[2]
    text = f"{response.published:,} of {plural(response.partitions_total, 'partition')} published"
    return [text, parts] if parts else [text]


def _after_failures(response: BackfillResponse) -> list[str]:
    """Return the commands that show a failure and go on; that of a whole backfill has no log."""
    resume = f"headrace backfills resume {response.id} --reason TEXT"
    first = next((row for row in response.failures if row.asset), None)
    if first is None:
        return [resume]
    at = first.attempt or partition_argument(first.asset, first.partition)
    is_to_do = any(row.first is not None for row in response.failures)
    return [command_line("logs", at), *(["headrace apply"] if is_to_do else []), resume]


def _next_commands(response: BackfillResponse) -> list[str]:
    number = response.id
    match response.state:
        case "planned" if number is None:
            agreed = f" --plan {response.plan_id}" if response.plan_id is not None else ""
            return [] if response.command is None else [response.command + agreed]
        case "running":
            return [f"headrace backfills {number}"]
        case "paused":
            return [f"headrace backfills resume {number} --reason TEXT"]
        case "void" | "expired":
            return [] if response.command is None else [response.command]
        case "awaiting_approval":
            return [f"headrace approve {number} --reason TEXT"]
        case "failed" | "partial":
            return _after_failures(response)
    return ["headrace status"]


def _backfill_row(row: PlanRowResponse, page: CommandOutput) -> list[str | StyledCell]:
    to_go = seconds(row.remaining.seconds) if row.remaining is not None else ""
    return [
        row.id,
        row.state,
        to_go,
        joined(row.assets, 3),
        f"{row.partitions_total:,}",
        f"{row.published:,}",
        f"{row.failed:,}",
        page.times.time_text(row.created_at),
        row.by,
        row.reason,
    ]


# `headrace backfill SELECT…`

BACKFILL_EXIT_CODES = {
    "planned": 0,
    "nothing_due": 0,
    "succeeded": 0,
    "declined": 3,
    "awaiting_approval": 3,
    "paused": 4,
    "cancelled": 4,
}


@terminal_command(
    "backfills:run_backfill",
    group="act",
    summary="plan and run a backfill; production goes on meanwhile",
)
def backfill_command(
    invocation: Invocation,
    select: list[str],
    *,
    exclude: list[str],
    first: str | None,
    last: str | None,
    since: str | None,
    mode: str,
    reason: str | None = None,
    only: bool,
    allow_partial: bool,
    dry_run: DryRun = False,
    yes: Yes = False,
    agreed: str | None,
) -> int:
    """Recompute past partitions, with everything that reads them, and publish them together.

    They are computed alongside production. Exits 1 if a part of it failed, 3 if policy requires an
    approval or nobody agreed, 4 if it was paused or cancelled.
    """
    from headrace.repairs.backfill_planning import BackfillArguments
    from headrace.services.backfills import backfill

    arguments = BackfillArguments(
        select, exclude, first, last, since, mode, reason or "", only, allow_partial
    )
    with refusal_as_json(invocation, render_backfill):
        response = backfill(
            invocation.session,
            arguments,
            dry_run=dry_run,
            confirm=lambda response: _confirm_backfill(invocation, response, yes=yes),
            progress=invocation.progress(),
            plan_id=agreed,
        )
    invocation.show(response, render_backfill)
    return BACKFILL_EXIT_CODES.get(response.state, 1)


def _confirm_backfill(invocation: Invocation, response: BackfillResponse, *, yes: bool) -> bool:
    text = (
        f"this makes {plural(response.partitions_total, 'partition')} again and nobody is there"
        " to ask"
    )
    refused = Refused(text, hint=f"{response.command} --plan {response.plan_id} --yes")
    return ask_agreement(
        invocation,
        lambda page: render_backfill_plan(response, page),
        "Do it?",
        yes=yes,
        refused=refused,
    )


# `headrace backfills [ID|pause|resume|cancel]`


@terminal_command("backfills:backfills", one="backfills:get_backfill")
def _list(
    invocation: Invocation,
    plan: Annotated[str | None, Argument("[ID]", help="the number of a backfill")] = None,
) -> int:
    """List the backfills, newest first; show one with what it changed."""
    from headrace.services import backfills

    if plan is None:
        invocation.show(backfills.backfills(invocation.session), render_backfills)
    else:
        invocation.show(backfills.get_backfill(invocation.session, plan), render_backfill)
    return 0


backfills_command = CommandGroup(
    _list.description,
    {
        "pause": ServiceCommand("backfills:pause_backfill", render_backfill),
        "resume": ServiceCommand(
            "backfills:resume_backfill",
            render_backfill,
            exit_code=lambda response: int(response.state != "succeeded"),
        ),
        "cancel": ServiceCommand("backfills:cancel_backfill", render_backfill),
    },
    _list,
    group="act",
    summary="list backfills; pause, resume or cancel one",
)
