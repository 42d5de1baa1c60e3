"""`headrace doctor`, `connections` and `notify`: check machine, connections and contacts."""

from __future__ import annotations

from typing import Annotated

from headrace.extension import (
    ColumnLayout,
    CommandGroup,
    CommandOutput,
    Invocation,
    Option,
    ServiceCommand,
    StyledCell,
    UsageError,
    plural,
    terminal_command,
)
from headrace_testing.responses.installation import ConnectionRow, ExaminationRow, NotifyRow

# `headrace doctor`

EXAMINATION_MARKS = {
    "ok": StyledCell("✓", "good"),
    "warn": StyledCell("!", "warn"),
    "fail": StyledCell("✗", "bad"),
    "skipped": StyledCell("·", "dim"),
}
EXAMINATION_COLUMNS = [
    ColumnLayout("", least=1),
    ColumnLayout("", gives=2, least=12),
    ColumnLayout("", gives=1, least=20),
]


def render_examination(rows: list[ExaminationRow], page: CommandOutput) -> None:
    """Print the findings by area, then what there is to do."""
    for area in dict.fromkeys(row.area for row in rows):
        page.say(area, "bold")
        page.table(
            EXAMINATION_COLUMNS,
            [
                [EXAMINATION_MARKS[row.state], row.name, row.detail]
                for row in rows
                if row.area == area
            ],
            header=False,
        )
    todo = [row for row in rows if row.todo and row.state in ("warn", "fail")]
    if todo:
        page.say()
        page.say("to do:", "bold")
    for row in todo:
        page.say(f"{row.name}: {row.todo}", "bad" if row.state == "fail" else "warn", indent=2)
    page.say()
    _render_counts(rows, page)
    page.next(_next_command(rows))


def _render_counts(rows: list[ExaminationRow], page: CommandOutput) -> None:
    counts = {state: sum(row.state == state for row in rows) for state in EXAMINATION_MARKS}
    counted = (
        [f"{counts['ok']} ok"]
        + [plural(counts["warn"], "warning")] * bool(counts["warn"])
        + [f"{counts['fail']} failed"] * bool(counts["fail"])
    )
    page.facts(*counted, style="bad" if counts["fail"] else "warn" if counts["warn"] else "good")


def _next_command(rows: list[ExaminationRow]) -> str:
    failed = [row.name for row in rows if row.state == "fail"]
    return (
        "headrace validate"
        if "declarations" in failed
        else "headrace doctor"
        if failed
        else "headrace status"
    )


doctor_command = ServiceCommand(
    "headrace_testing.services.doctor:doctor",
    render_examination,
    exit_code=lambda rows: int(any(row.state == "fail" for row in rows)),
    clock=False,
)


# `headrace connections [test [NAME]]`

CONNECTION_MARKS = {
    "ok": StyledCell("✓ answers", "good"),
    "failed": StyledCell("✗ failed", "bad"),
    "skipped": StyledCell("· not asked", "dim"),
}
CONNECTION_COLUMNS = [
    ColumnLayout("connection", gives=1, least=12),
    ColumnLayout("kind"),
    ColumnLayout("used by", gives=2, least=12),
]
TESTED_CONNECTION_COLUMNS = [
    ColumnLayout("connection", gives=1, least=12),
    ColumnLayout("kind", drops=1),
    ColumnLayout("state"),
    ColumnLayout("took", right=True, drops=2),
    ColumnLayout("why", gives=2, least=20),
]


def _render_connections(rows: list[ConnectionRow], page: CommandOutput) -> None:
    if not rows:
        page.say("headrace.toml declares no connections")
        page.next("headrace doctor")
        return
    page.table(
        CONNECTION_COLUMNS,
        [
            [
                StyledCell(row.name, "bold"),
                row.kind or "by its secret",
                ", ".join(row.used_by) or "–",
            ]
            for row in rows
        ],
    )
    page.next("headrace connections test")


def _render_connection_tests(rows: list[ConnectionRow], page: CommandOutput) -> None:
    if not rows:
        page.say("headrace.toml declares no connections")
        page.next("headrace doctor")
        return
    page.table(TESTED_CONNECTION_COLUMNS, [_connection_test_row(row) for row in rows])
    for row in rows:
        if row.state == "failed" and row.hint:
            page.say(f"{row.name}: {row.hint}", "warn")
    failed = sum(row.state == "failed" for row in rows)
    page.say(
        f"{plural(failed, 'connection')} failed" if failed else "all that were tested answer",
        "bad" if failed else "good",
    )
    page.next("headrace doctor" if failed else "headrace status")


def _connection_test_row(row: ConnectionRow) -> list[str | StyledCell]:
    why = row.error or (row.hint if row.state == "skipped" else "") or ""
    return [
        StyledCell(row.name, "bold"),
        row.kind or "",
        CONNECTION_MARKS[row.state or "skipped"],
        f"{row.seconds:.2f} s",
        why,
    ]


# `headrace notify [test OWNER|--all]`

MESSAGE_MARKS = {
    "ok": StyledCell("✓ sent", "good"),
    "failed": StyledCell("✗ failed", "bad"),
    "skipped": StyledCell("· nobody", "dim"),
}
CONTACT_COLUMNS = [
    ColumnLayout("owner", gives=1, least=12),
    ColumnLayout("told"),
    ColumnLayout("over", gives=1, least=12),
    ColumnLayout("quiet", drops=2),
    ColumnLayout("sent", right=True, drops=1),
    ColumnLayout("", gives=2, least=16),
]
TESTED_CONTACT_COLUMNS = [
    ColumnLayout("owner", gives=1, least=12),
    ColumnLayout("over", gives=1, least=12),
    ColumnLayout("state"),
    ColumnLayout("took", right=True, drops=1),
    ColumnLayout("why", gives=2, least=20),
]


def _render_contacts(rows: list[NotifyRow], page: CommandOutput) -> None:
    if not rows:
        page.say("owners.yaml names nobody")
        page.next("headrace validate")
        return
    page.table(CONTACT_COLUMNS, [_contact_row(row) for row in rows])
    lost = sum(row.undelivered for row in rows)
    if lost:
        page.say(f"{plural(lost, 'message')} of 30 days couldn't be sent", "bad")
    page.next("headrace notify test --all")


def _contact_row(row: NotifyRow) -> list[str | StyledCell]:
    recipient = (
        row.told
        if row.told is not None and row.told != row.owner
        else "itself"
        if row.told
        else StyledCell("nobody", "warn")
    )
    lost = f"{row.undelivered} not delivered: {row.error}" if row.undelivered else ""
    return [
        StyledCell(row.owner, "bold"),
        recipient,
        row.contact or "–",
        row.quiet or "",
        str(row.sent),
        StyledCell(row.wrong or lost, "warn"),
    ]


def _render_contact_tests(rows: list[NotifyRow], page: CommandOutput) -> None:
    page.table(TESTED_CONTACT_COLUMNS, [_contact_test_row(row) for row in rows])
    failed = sum(row.state == "failed" for row in rows)
    page.say(
        f"{plural(failed, 'contact')} failed"
        if failed
        else "all that there are were sent a message",
        "bad" if failed else "good",
    )
    page.next("headrace notify" if failed else "headrace status")


def _contact_test_row(row: NotifyRow) -> list[str | StyledCell]:
    took = "" if row.seconds is None else f"{row.seconds:.2f} s"
    return [
        StyledCell(row.owner, "bold"),
        row.contact or "–",
        MESSAGE_MARKS[row.state or "skipped"],
        took,
        row.error or row.wrong or "",
    ]


connections_command = CommandGroup(
    "The connections of headrace.toml, and who uses them.",
    {
        "test": ServiceCommand(
            "headrace_testing.services.connections:test_connections",
            _render_connection_tests,
            exit_code=lambda rows: int(any(row.state == "failed" for row in rows)),
            clock=False,
        )
    },
    ServiceCommand(
        "headrace_testing.services.connections:connections", _render_connections, clock=False
    ),
    group="operate",
    summary="list connections of sources and exports; `test` them",
)


@terminal_command("headrace_testing.services.connections:test_channels")
def _test_channels(
    invocation: Invocation,
    owner: str | None = None,
    *,
    all_: Annotated[bool, Option("--all", help="test every owner's contacts")] = False,
) -> int:
    """Send a test message, which says that it is one. Exits 1 if it can't be delivered."""
    from headrace_testing.services.connections import test_channels

    if (owner is None) != all_:
        raise UsageError(
            "say whose contacts are to be tested",
            hint="write headrace notify test OWNER, or headrace notify test --all",
        )
    rows = test_channels(invocation.session, owner)
    invocation.show(rows, _render_contact_tests, clock=False)
    return int(any(row.state == "failed" for row in rows))


notify_command = CommandGroup(
    "Who is notified of incidents, over which channel, and undelivered messages.",
    {"test": _test_channels},
    ServiceCommand("headrace_testing.services.connections:notify", _render_contacts, clock=False),
    group="operate",
    summary="list contacts and undelivered messages; `test` sends a message",
)
