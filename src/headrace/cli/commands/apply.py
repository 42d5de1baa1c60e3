"""`headrace apply` and `headrace versions`: apply a plan, and list applied versions."""

from __future__ import annotations

import sys
from typing import Annotated

import msgspec

from headrace.cli import agreement
from headrace.cli.agreement import Yes, ask_agreement
from headrace.cli.commands import backfills, plans
from headrace.cli.declared_commands import terminal_command
from headrace.cli.invocation import Invocation
from headrace.cli.output import CommandOutput
from headrace.cli.terminal import ColumnLayout, Row, StyledCell, plural
from headrace.model.errors import Refused, UsageError
from headrace.model.partitions import command_line
from headrace.project.parameters import Option
from headrace.responses import ApplyResponse, PlanResponse, VersionRow

# `headrace apply [PLAN_ID]`

REFUSED_STATES = ("declined", "refused")
BACKFILL_EXIT_CODES = {"nothing_due": 0, "succeeded": 0, "declined": 3, "awaiting_approval": 3}


@terminal_command("apply:apply_plan", group="change", summary="apply changed files")
def apply_command(
    invocation: Invocation,
    plan_id: str | None = None,
    yes: Yes = False,
    backfill: Annotated[
        bool, Option("--backfill", help="and recompute what becomes stale; needs --reason")
    ] = False,
    *,
    keep: list[str],
    reason: str | None = None,
    version: int | None,
) -> int:
    """Apply the project's files: show what changes, ask, and apply it.

    Readers keep the data that earlier code computed until it is recomputed: at once with
    --backfill, otherwise on request. Exits 3 if nobody agreed, or if the plan isn't the one that
    was agreed to any more.
    """
    from headrace.acts.commands import required_reason
    from headrace.services.apply import apply

    if backfill:
        required_reason(reason, "apply --backfill", "published data is computed again")
    response = apply(
        invocation.session,
        confirm=lambda plan: confirm_apply(invocation, plan, yes=yes, version=version),
        progress=invocation.progress(), plan_id=plan_id, keep=keep, reason=reason or "",
        version=version,
    )  # fmt: skip
    if backfill and response.state not in REFUSED_STATES:
        return _backfill_stale(invocation, response, reason or "")
    invocation.show(response, render_apply)
    _note(invocation, response, reason, version)
    if response.backfills and not yes and not invocation.options.json and agreement.can_ask():
        text = agreement.ask_text("To recompute that now, give a reason (empty: not now): ")
        if text:
            return _backfill_stale(invocation, response, text)
    return 3 if response.state in REFUSED_STATES else 0


def _note(
    invocation: Invocation, response: ApplyResponse, reason: str | None, version: int | None
) -> None:
    if version is not None and response.state not in REFUSED_STATES:
        invocation.note(
            "the files of this folder stay as they are, and the next `headrace apply` takes them:"
            f" headrace versions {version} lists those that are applied now"
        )
    if reason and response.state == "nothing":
        invocation.note(
            "nothing is to be applied, so --reason isn't recorded; the version in force keeps the"
            " reason that it has: headrace audit show --action project.applied"
        )


def _backfill_stale(invocation: Invocation, response: ApplyResponse, reason: str) -> int:
    """Run the backfills that an applied change requires, and print their results."""
    from headrace.services.apply import make_again

    if not invocation.options.json:
        invocation.show(response, _render_applied)
    backfill_responses = make_again(
        invocation.session, response.backfills, reason=reason, progress=invocation.progress()
    )
    if invocation.options.json:
        invocation.show(
            msgspec.structs.replace(
                response, backfill=backfill_responses[-1] if backfill_responses else None
            ),
            render_apply,
        )
    for backfill_response in backfill_responses:
        if not invocation.options.json:
            invocation.show(backfill_response, backfills.render_backfill)
    return max(
        (BACKFILL_EXIT_CODES.get(response.state, 1) for response in backfill_responses), default=0
    )


def confirm_apply(
    invocation: Invocation,
    plan: PlanResponse,
    *,
    yes: bool,
    command: str | None = None,
    version: int | None = None,
) -> bool:
    """Show a plan and ask whether to apply it. Raise Refused, which names the command, without a
    terminal."""
    text = (
        f"this changes {plural(len(plan.changes), 'node')}, and there is no terminal to confirm it"
    )
    from headrace.services.plans import version_words

    apply = command_line("apply", plan.plan_id or "", *version_words(version), "--yes")
    refused = Refused(text, hint=command or apply)
    return ask_agreement(
        invocation,
        lambda page: _render_agreed_plan(plan, page),
        "Apply this?",
        yes=yes,
        refused=refused,
    )


def _render_agreed_plan(plan: PlanResponse, page: CommandOutput) -> None:
    plans.render_plan(plan, page)
    page.say(plans.plan_id_text(plan), "dim", indent=2)


def render_apply(response: ApplyResponse, page: CommandOutput) -> None:
    """Print what was applied, or why it wasn't, and what is to be recomputed."""
    if response.refused is not None:
        plans.render_refusal(
            response.refused, f"plan {response.plan_id} wasn't applied", "headrace plan", page
        )
        return
    _render_applied(response, page)
    stale, lost = {row.node for row in response.stale}, plans.columns_lost(response.plan)
    plans.render_needed_backfills(response.backfills, stale, lost, page)
    page.clock_note()
    removes = any(row.partitions and row.hold is None for row in response.plan.removes)
    page.next(
        "headrace db gc --dry-run"  # before a tick removes them for good
        if response.state == "applied" and removes
        else "headrace tick"
        if response.state == "applied"
        else "headrace status"
        if response.version
        else "headrace apply"
    )


def _render_applied(response: ApplyResponse, page: CommandOutput) -> None:
    outcomes = {
        "applied": (
            (
                f"✓ applied as version {response.version}:"
                f" {plural(len(response.plan.changes), 'change')} ({response.plan_id})"
            ),
            "good",
        ),
        "nothing": (f"· nothing to apply: the files are what version {response.version} is", ""),
        "declined": ("· nothing was applied", "warn"),
    }
    page.say(*outcomes.get(response.state, (response.state, "")))
    for row in response.promoted:
        page.say(
            f"{row.node}: {plural(row.partitions, 'partition')} published as {row.environment}"
            " built them, nothing computed",
            indent=2,
        )


# `headrace versions [N [--file PATH]]`

VERSIONS_SHOWN_MAX = 40
VERSION_COLUMNS = [
    ColumnLayout("version", right=True),
    ColumnLayout("plan", least=18),
    ColumnLayout("files", right=True, drops=1),
    ColumnLayout("applied", gives=1, least=12),
    ColumnLayout("by", gives=1, least=8),
]
FILE_COLUMNS = [ColumnLayout("file", gives=1, least=20), ColumnLayout("sha256", least=16)]


@terminal_command(
    "ls:versions", group="look", summary="list applied versions with their plans and files"
)
def versions_command(
    invocation: Invocation,
    version: str | None,
    file: Annotated[
        str | None,
        Option("--file", metavar="PATH", help="print the stored bytes of one file of version N"),
    ] = None,
) -> int:
    """List the applied versions, each with its plan, its author and its files."""
    from headrace.services.ls import file_of, versions

    if file is not None:
        if version is None:
            raise UsageError("--file needs a version", hint="headrace versions N --file PATH")
        sys.stdout.buffer.write(file_of(invocation.session, version, file))
        return 0
    rows = versions(invocation.session, version)
    invocation.show(rows, _render_version if version is not None else _render_versions)
    return 0


def _render_versions(rows: list[VersionRow], page: CommandOutput) -> None:
    page.head("versions")
    if not rows:
        page.say("nothing is applied yet")
        page.next("headrace plan")
        return
    page.say()
    page.table(VERSION_COLUMNS, [_version_row(row, page) for row in rows[:VERSIONS_SHOWN_MAX]])
    page.rest(len(rows) - VERSIONS_SHOWN_MAX, "older version")
    page.next(f"headrace versions {rows[0].version}")


def _version_row(row: VersionRow, page: CommandOutput) -> Row:
    return [
        StyledCell(str(row.version), "bold"),
        row.plan_id or "",
        f"{len(row.files):,}",
        page.times.time_text(row.at),
        row.by,
    ]


def _render_version(rows: list[VersionRow], page: CommandOutput) -> None:
    (row,) = rows
    page.head(f"version {row.version}", *([f"plan {row.plan_id}"] if row.plan_id else []))
    page.say(f"applied {page.times.time_text(row.at)} by {row.by}")
    page.say()
    page.table(FILE_COLUMNS, [[StyledCell(file.path, "bold"), file.sha256] for file in row.files])
    page.next(
        *(command_line("versions", str(row.version), "--file", file.path) for file in row.files[:1])
    )
