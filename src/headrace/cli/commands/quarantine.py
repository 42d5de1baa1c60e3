"""`headrace quarantine` and `unpublish`: release or drop held data; take back a publication."""

from __future__ import annotations

from headrace.cli import output
from headrace.cli.declared_commands import (
    CommandGroup,
    ExitCode,
    ServiceCommand,
    terminal_command,
)
from headrace.cli.invocation import Invocation
from headrace.cli.output import CommandOutput, data_table
from headrace.cli.run_results import partition_span, render_repair
from headrace.cli.terminal import ColumnLayout, StyledCell, joined, plural
from headrace.model.partitions import command_line, partition_argument
from headrace.responses import ColumnRow, QuarantineRow
from headrace.responses.interventions import DecisionResponse, WithdrawResponse
from headrace.services.quarantine import list_quarantine

# `headrace quarantine [ASSET[@K]|accept|drop]`

DETAILED_MAX = 3
"""Maximum number of partitions that are printed with sample rows; more are only listed."""
SAMPLE_SHOWN_MAX = 5
QUARANTINE_COLUMNS = [
    ColumnLayout("data", gives=1, least=18),
    ColumnLayout("state"),
    ColumnLayout("since", drops=2),
    ColumnLayout("rows", right=True, drops=3),
    ColumnLayout("owner", gives=4, least=6, drops=1),
    ColumnLayout("why", gives=2, least=18),
]


def _render_quarantine(  # complexipy: ignore (a page: a line for each thing there is to say)
    rows: list[QuarantineRow],
    page: CommandOutput,
    target: str | None,
) -> None:
    page.head(target or "quarantine")
    if not rows:
        page.say("✓ nothing waits in quarantine", "good")
        page.next("headrace status")
        return
    page.say()
    if len(rows) <= DETAILED_MAX and target:
        for row in rows:
            _render_detail(row, page)
        lapsed = rows[0].state == "held" and rows[0].verdict == "warned"
        is_due = rows[0].repair is None and not rows[0].decide
        waits = is_due or (rows[0].delivery is not None and rows[0].state != "accepted")
        page.next(rows[0].decide[0] if lapsed else "headrace tick" if waits else "headrace status")
        return
    page.table(QUARANTINE_COLUMNS, [_quarantine_row(row, page) for row in rows])
    known = sum(row.rows or 0 for row in rows)
    page.say(
        ", ".join([plural(len(rows), "partition"), *([plural(known, "row")] if known else [])])
        + f"; {_visibility_text(rows)}"
    )
    page.next(command_line("quarantine", partition_argument(rows[0].node, rows[0].partition)))


def _quarantine_row(row: QuarantineRow, page: CommandOutput) -> list[str | StyledCell]:
    count = "" if row.rows is None else f"{row.rows:,}"
    return [
        StyledCell(f"{row.node}@{row.partition}", "bold"),
        output.state_cell(row.state),
        page.times.time_text(row.at),
        count,
        row.owner or "",
        row.reason,
    ]


def _visibility_text(rows: list[QuarantineRow]) -> str:
    """Return whether readers see any of the data.

    Accepted data stays published after its exception has lapsed.
    """
    lapsed = sum(row.verdict == "warned" and row.state == "held" for row in rows)
    others = sum(row.verdict == "warned" and row.state == "rejected" for row in rows)
    earlier = sum(row.published for row in rows) - lapsed - others
    parts = [f"{plural(lapsed, 'partition')} of it, by exceptions that have lapsed"] * bool(lapsed)
    parts += [f"the other rows of {plural(others, 'partition')}"] * bool(others)
    parts += [f"earlier publications of {plural(earlier, 'partition')}"] * bool(earlier)
    return f"readers see {' and '.join(parts) or 'none of it'}"


def _render_detail(  # complexipy: ignore (a page: a line for each thing there is to say)
    row: QuarantineRow,
    page: CommandOutput,
) -> None:
    page.say(
        f"{output.state_mark(row.state)}  {row.node}@{row.partition} since"
        f" {page.times.time_text(row.at)}: {row.reason}",
        "warn",
    )
    for check in row.checks:
        page.say(
            f"check {check.name}: {check.detail or f'{check.failing} of {check.rows} rows'}",
            indent=2,
        )
    if row.sample:
        names = list(dict.fromkeys(name for sample in row.sample for name in sample))
        page.say("for example:", indent=2)
        data_table(
            page, [ColumnRow(name=name, type="") for name in names], row.sample[:SAMPLE_SHOWN_MAX]
        )
    facts = [
        ("owner", row.owner),
        ("delivered", row.delivery),
        ("kept in", row.path),
        ("attempt", row.attempt),
    ]
    page.table(
        [ColumnLayout("", least=9), ColumnLayout("", least=10)],
        [[StyledCell(name, "dim"), value] for name, value in facts if value],
        header=False,
    )
    if row.repair is not None:
        render_repair(row.repair, page)
    else:
        page.say(f"to do: {row.todo}", indent=2)
    if row.decide and row.state != "accepted":
        page.say("or decide about it as it is:", indent=2)
        for line in row.decide:
            page.command(line, indent=4)
    page.say()


def _render_outcome(  # complexipy: ignore (a page: a line for each thing there is to say)
    response: DecisionResponse, name: str, page: CommandOutput
) -> None:
    if response.state == "published":
        lapses = (
            f" until {page.times.time_text(response.until)}" if response.until is not None else ""
        )
        page.say(f"✓ {name} is published as an exception of {response.by}{lapses}", "good")
    elif response.state == "accepted":
        page.say(f"✓ {name} is accepted as it is: later partitions may be like it", "good")
    elif response.state == "dropped":
        page.say(f"✓ {name} is dropped: readers will never see it", "good")
    elif response.undecided:
        page.say(
            f"! {name}: decided; {plural(len(response.undecided), 'partition')} could not be:",
            "warn",
        )
        for failed in response.undecided:
            page.say(f"✗ {failed.partition}: {failed.reason}", "bad", indent=2)
            if failed.hint:
                page.say(f"hint: {failed.hint}", indent=4)
    elif response.state == "partial":
        page.say(f"✗ {name}: not all of it can be published even so", "bad")
    else:
        page.say(f"✗ {name} can't be published even so: it is {response.state}", "bad")


def render_decision(
    response: DecisionResponse,
    page: CommandOutput,
) -> None:
    """Print a decision about quarantined data, and its consequences."""
    name = (
        response.asset
        if response.partitions == ["*"]
        else f"{response.asset} {partition_span(response.partitions)}"
    )
    _render_outcome(response, name, page)
    if response.why:
        page.say(f"it waited because: {response.why}", indent=2)
    if response.waived:
        page.say(f"waived with it: {joined(response.waived)}", indent=2)
    for row in response.published:
        if row.asset != response.asset:
            page.say(
                f"computed from it: {row.asset}@{row.partition}, {plural(row.rows, 'row')}",
                indent=2,
            )
    for rejected_row in response.rejected:
        page.say(
            f"{output.state_mark(rejected_row.state)} "
            f" {rejected_row.asset}@{rejected_row.partition}: {rejected_row.reason}",
            "warn",
            indent=2,
        )
    if response.consumers:
        page.say(f"read by {joined(response.consumers)}", indent=2)
    if response.still_waiting:
        rest = response.still_waiting
        named = joined(rest[:3]) + (" …" if len(rest) > 3 else "")
        page.say(
            f"of the same incident still waiting: {plural(len(rest), 'partition')} ({named})",
            "warn",
        )
    page.clock_note()
    page.next(response.next or "headrace status")


# `headrace unpublish ASSET@K`


def _render_withdrawn(response: WithdrawResponse, page: CommandOutput) -> None:
    rows = plural(response.rows, "row")
    name = f"{response.asset}@{response.partition}" if response.partition != "*" else response.asset
    page.say(
        f"✓ {name} is withdrawn: readers see none of its {rows} any more (published"
        f" {page.times.time_text(response.published_at)})",
        "good",
    )
    for row in response.stale[:10]:
        page.say(f"stale now: {row.node} {partition_span(row.partitions)}", indent=2)
    if response.consumers:
        page.say(f"read by {joined(response.consumers)}", indent=2)
    page.clock_note()
    page.next(f"headrace why {name}")


unpublish_command = ServiceCommand("interventions:unpublish", _render_withdrawn)


@terminal_command("quarantine:list_quarantine")
def _list(
    invocation: Invocation,
    target: str | None = None,
    exit_code: ExitCode = False,
) -> int:
    """List held and rejected data: why it is held, some of its rows, its location, what to do."""
    rows = list_quarantine(invocation.session, target)
    invocation.show(rows, lambda rows, page: _render_quarantine(rows, page, target))
    return int(exit_code and bool(rows))


def _exit_code(response: DecisionResponse) -> int:
    return int(response.state not in ("published", "accepted", "dropped"))


quarantine_command = CommandGroup(
    _list.description,
    {
        "accept": ServiceCommand(
            "quarantine_decisions:accept", render_decision, exit_code=_exit_code
        ),
        "drop": ServiceCommand("quarantine_decisions:drop", render_decision, exit_code=_exit_code),
    },
    _list,
    group="look",
    summary="list held and rejected data; accept or drop it",
)
