"""`headrace audit`: the audit trail, its verification, and checkpoints of its head."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

from headrace.cli.declared_commands import CommandGroup, terminal_command
from headrace.cli.invocation import Invocation
from headrace.cli.output import CommandOutput
from headrace.cli.terminal import ColumnLayout, StyledCell, plural
from headrace.model.errors import UsageError
from headrace.model.partitions import command_line
from headrace.project.parameters import Argument, Option
from headrace.services.audit import AuditQuery, AuditRow, CheckpointResponse, VerifyResponse

MISSING_SHOWN_MAX = 20
CHANGE_CHARACTERS_MAX = 120
"""Characters of what changed that a line of the list shows."""
ENTRY_COLUMNS = [
    ColumnLayout("entry", right=True),
    ColumnLayout("at"),
    ColumnLayout("who", gives=3, least=8),
    ColumnLayout("action"),
    ColumnLayout("what", gives=2, least=14),
    ColumnLayout("why", gives=4, least=10, drops=1),
]


def _render_entries(rows: list[AuditRow], page: CommandOutput) -> None:
    page.head("audit trail")
    page.say()
    page.table(ENTRY_COLUMNS, [_entry_row(row, page) for row in rows])
    if not rows:
        page.say("no entry matches")
    page.next(f"headrace audit show {rows[0].seq}" if rows else "headrace audit verify")


def _entry_row(row: AuditRow, page: CommandOutput) -> list[str | StyledCell]:
    text = row.reason or _change_text(row.after)
    return [
        StyledCell(str(row.seq), "bold"),
        page.times.time_text(row.at),
        row.actor,
        row.action,
        row.object,
        text,
    ]


def _change_text(value: Any) -> str:
    text = (
        ""
        if value is None
        else ", ".join(f"{k}={v}" for k, v in value.items())
        if isinstance(value, dict)
        else str(value)
    )
    return text if len(text) <= CHANGE_CHARACTERS_MAX else f"{text[: CHANGE_CHARACTERS_MAX - 1]}…"


def _render_entry(rows: list[AuditRow], page: CommandOutput) -> None:
    (row,) = rows
    page.head(f"entry {row.seq}", row.action)
    page.facts(page.times.time_text(row.at), f"by {row.actor} ({row.actor_type})", row.outcome)
    page.say(f"on {row.object}" + (f", version {row.version}" if row.version else ""))
    if row.reason:
        page.say(f"because: {row.reason}")
    if row.run_id is not None:
        page.say(f"in run {row.run_id}")
    _render_content("before", row.before, page)
    _render_content("after", row.after, page)
    page.say()
    page.say(f"hash {row.hash}", "dim")
    page.next("headrace audit verify")


def _render_content(name: str, value: Any, page: CommandOutput) -> None:
    """Print the values of an entry's object before or after the action."""
    if value is None:
        return
    page.say()
    page.say(name, "bold")
    if not isinstance(value, dict):
        page.say(str(value), indent=2)
        return
    for key, item in value.items():
        page.say(f"{key}: {item}" if key else str(item), indent=2)


def _render_checkpoint(response: CheckpointResponse, out: Path, page: CommandOutput) -> None:
    page.say(f"✓ {out}: entry {response.seq} and its hash", "good")
    page.say("keep it where whoever may write the database can't write")
    page.next(f"headrace audit verify --checkpoint {shlex.quote(str(out))}")


def _render_verification(response: VerifyResponse, page: CommandOutput) -> None:
    counted = plural(response.entries, "entry", "entries")
    if response.ok:
        page.say(f"✓ {counted} as written: none was altered, removed, inserted or moved", "good")
        if response.proven_to is not None:
            page.say(f"proven up to entry {response.proven_to} by the checkpoint", indent=2)
    elif response.broken_at is not None:
        page.say(f"✗ broken at entry {response.broken_at}: {response.reason}", "bad")
        page.say(f"{counted} before it fit", indent=2)
    else:
        page.say(f"✗ {response.reason}", "bad")
    for missing in response.missing[:MISSING_SHOWN_MAX]:
        page.say(f"missing: {missing}", indent=2)
    page.rest(len(response.missing) - MISSING_SHOWN_MAX)
    for note in response.notes:
        page.say(f"not known: {note}", "dim")
    page.say(f"head {response.head}", "dim")
    page.next("headrace audit show" if response.ok else "headrace db check")


@terminal_command("audit:show")
def _show(
    invocation: Invocation,
    number: Annotated[
        str | None, Argument("[ENTRY]", help="one entry, with all that it says")
    ] = None,
    *,
    object: str | None,  # noqa: A002 - the field's name in the API
    actor: str | None,
    action: str | None,
    since: str | None,
    limit: int,
) -> int:
    """Show the entries, newest first, or one of them."""
    from headrace.services import audit

    if number is None:
        query = AuditQuery(object, actor, action, since, limit)
        invocation.show(audit.show(invocation.session, query), _render_entries)
    elif number.isdecimal():
        invocation.show(audit.entry(invocation.session, int(number)), _render_entry)
    else:
        raise UsageError(
            f"{number[:40]!r} is no entry's number",
            hint=command_line("audit", "show", "--object", number[:40]),
        )
    return 0


@terminal_command("audit:audit_verify")
def _verify(
    invocation: Invocation,
    head: str | None,
    path: Annotated[
        Path | None,
        Option("--checkpoint", metavar="FILE", help="a checkpoint that was kept elsewhere"),
    ] = None,
) -> int:
    """Recompute the whole hash chain, and compare it with the event log and the state.

    Exits 1 if an entry was altered, removed, inserted or moved, or is missing.
    """
    from headrace.services import audit

    stored = None if path is None else audit.read_checkpoint(path)
    response = audit.verify_trail(invocation.session, head, stored)
    invocation.show(response, _render_verification, clock=False)
    return int(not response.ok)


@terminal_command("audit:checkpoint")
def _checkpoint(invocation: Invocation, out: Path | None = None) -> int:
    """Write the trail's head to a new file, which you store elsewhere."""
    from headrace.services import audit

    if out is None:
        raise UsageError(
            "headrace audit checkpoint needs a file", hint="headrace audit checkpoint --out FILE"
        )
    invocation.show(
        audit.checkpoint(invocation.session, out.absolute()),
        lambda response, page: _render_checkpoint(response, out, page),
        clock=False,
    )
    return 0


audit_command = CommandGroup(
    "The audit trail: who did what and why, and whether anybody changed it.",
    {"show": _show, "verify": _verify, "checkpoint": _checkpoint},
    group="look",
    summary="show, verify or checkpoint the audit trail",
)
