"""`headrace db`: upgrade, check, back up, restore and clean up the state, and its clock."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from headrace.cli import agreement
from headrace.cli.declared_commands import (
    CommandGroup,
    HelpPrefix,
    ServiceCommand,
    terminal_command,
)
from headrace.cli.invocation import Invocation
from headrace.cli.output import CommandOutput
from headrace.cli.terminal import ColumnLayout, StyledCell, plural
from headrace.model.errors import UsageError
from headrace.model.partitions import command_line
from headrace.project.parameters import Option
from headrace.responses.retention import RebuildableRow
from headrace.services.database import (
    BackupResponse,
    CheckResponse,
    ClockResponse,
    Finding,
    GcResponse,
    UpgradeResponse,
)
from headrace.store.event_recording import UNRECORDED

REFUSED_EXIT_CODE = 3
ALWAYS_UNCHECKED = (*UNRECORDED, "files")
"""Tables and files that are never compared, or only with --deep.

The documentation names them, so `check` doesn't repeat them each time.
"""


def _restore_newest(invocation: Invocation, *, force: bool, yes: bool) -> int:
    """Restore the newest backup that fits the lake, after asking.

    Returns exit code 3 if nobody agreed.
    """
    from headrace.services.restore import newest_backup, restore

    offered = newest_backup(invocation.session)
    if not yes:
        if not invocation.options.json:
            _render_offer(offered, invocation.output(clock=False))
        if (
            invocation.options.json
            or not agreement.can_ask()
            or not agreement.ask_yes_no("Restore it?")
        ):
            if invocation.options.json:
                invocation.json(offered)
            return REFUSED_EXIT_CODE
    response = restore(invocation.session, Path(offered.folder), force=force)
    invocation.show(response, _render_restore, clock=False)
    return 0


def _render_upgrade(response: UpgradeResponse, page: CommandOutput) -> None:
    if response.before == response.after:
        page.say(f"✓ the state is up to date (version {response.after})", "good")
        return
    page.say(f"✓ brought from version {response.before} to {response.after}", "good")
    if response.backup:
        page.say(f"as it was: {response.backup}")


def _render_clock(response: ClockResponse, page: CommandOutput) -> None:
    page.say(f"machine  {response.machine_at:%Y-%m-%d %H:%M %Z}")
    page.say(f"stored   {response.stored_at:%Y-%m-%d %H:%M %Z}, the last time that was written")
    if response.believed:
        page.say("✓ the next commands believe the machine's clock", "good")
    elif response.ahead_days < 0:
        page.say(
            f"! the project is {plural(-response.ahead_days, 'day')} ahead of the machine's clock,"
            " which was once ahead itself, or is behind now",
            "warn",
        )
        page.say("if it is behind now, set it: nothing that is stored has to change")
        page.say(
            "if it was once ahead, go back to before, without what was stored since:"
            if response.repair is not None
            else "if it was once ahead, restore a backup of your own, `headrace db restore`: no"
            " automatic one is of before"
        )
        page.next(response.repair)


def _render_check(response: CheckResponse, page: CommandOutput) -> None:
    if response.repaired:
        page.say(f"{plural(response.repaired, 'difference')} repaired from the event log")
    for finding in response.findings:
        _render_finding(finding, page)
    rows = sum(response.checked.values())
    checked = (
        f"{plural(response.files, 'file')}, {response.size_bytes:,} bytes,"
        f" {plural(response.audit_entries, 'audit entry', 'audit entries')}"
    )
    if response.partitions_compared:
        checked += f", rows of {plural(response.partitions_compared, 'partition')}"
    if response.ok:
        page.say(
            f"✓ state, catalog and files agree: {checked}, {plural(rows, 'row')} compared with the"
            " event log",
            "good",
        )
    for skipped in (item for item in response.unchecked if item.what not in ALWAYS_UNCHECKED):
        page.say(f"not checked: {skipped.what}: {skipped.why}", "dim")
    page.say(f"audit head {response.audit_head}", "dim")
    if response.repair:
        page.next(response.repair)


def _render_finding(finding: Finding, page: CommandOutput) -> None:
    page.say(
        f"{'✗' if finding.severity == 'error' else '·'} {finding.about}: {finding.message}",
        "bad" if finding.severity == "error" else "",
    )
    page.say(f"to do: {finding.todo}", indent=2)


def _render_backup(response: BackupResponse, page: CommandOutput) -> None:
    page.say(
        f"✓ {response.folder}: snapshot {response.snapshot}, {plural(response.files, 'file')},"
        f" {response.size_bytes:,} bytes",
        "good",
    )
    if response.missing_files:
        files = plural(response.missing_files, "file")
        page.say(
            f"{files} of earlier snapshots only: gone from the lake, and so not in it; nothing"
            " reads them now",
            "warn",
        )
    page.next(command_line("db", "restore", response.folder))


def _render_offer(response: BackupResponse, page: CommandOutput) -> None:
    time_clause = (
        ""
        if response.made_at is None
        else response.made_at.strftime(" was made at %Y-%m-%d %H:%M:%S UTC")
    )
    page.say(f"the newest backup that fits the lake{time_clause}: snapshot {response.snapshot}")
    _render_lost(response, page)
    page.next(command_line("db", "restore", response.folder))


def _render_restore(response: BackupResponse, page: CommandOutput) -> None:
    page.say(
        f"✓ restored snapshot {response.snapshot}: {plural(response.files, 'file')},"
        f" {response.size_bytes:,} bytes",
        "good",
    )
    _render_lost(response, page)
    if response.erased_again:
        page.say(f"{plural(len(response.erased_again), 'erased subject')} erased again")
    if response.aside:
        page.say(f"what was there is {response.aside} now")
    if response.lake_aside:
        page.say(f"the lake that was there is in {response.lake_aside} now")
    page.next("headrace db check")


def _render_lost(response: BackupResponse, page: CommandOutput) -> None:
    if response.lost_since is None:
        return
    since = response.lost_since.strftime("%Y-%m-%d %H:%M:%S UTC")
    page.say(f"lost: what was published and decided after {since}", "warn")
    if response.lost_files:
        files = plural(response.lost_files, "file")
        page.say(
            f"{files} of the lake aren't in it; deliveries that are still there are ingested again"
            " by the next tick"
        )


def _render_new_state(response: BackupResponse, page: CommandOutput) -> None:
    page.say("✓ a new state, beside a lake without files", "good")
    if response.aside:
        page.say(f"the state that was there is {response.aside} now")
    if response.lake_aside:
        page.say(f"the lake's files are in {response.lake_aside} now; nothing of them is adopted")
    page.next("headrace tick")


FREED_COLUMNS = [
    ColumnLayout("what", least=10),
    ColumnLayout("files", right=True),
    ColumnLayout("bytes", right=True),
]


def _say_rebuildable(row: RebuildableRow, page: CommandOutput, *, dry_run: bool) -> None:
    rule = f"retain_rebuildable {row.retain_rebuildable}"
    if row.hold is not None:
        return  # the hold says so itself
    if row.why is not None and not row.stay:
        page.say(f"{row.node}: nothing goes by {rule}: {row.why}", "warn")
        return
    count = f"{plural(row.partitions, 'partition')} with {plural(row.rows, 'row')}"
    if dry_run:
        page.say(
            f"{row.node}: {count} before {row.kept_from} would be computed again, and removed where"
            f" the rows are the same ({rule})"
        )
        return
    page.say(f"{row.node}: {count} removed: computed again, they have the same rows ({rule})")
    if row.stay:
        page.say(f"{plural(row.stay, 'partition')} stayed, the first: {row.why}", "warn", indent=2)


def _render_gc(response: GcResponse, page: CommandOutput) -> None:
    page.table(
        FREED_COLUMNS,
        [
            [item.kind, StyledCell(f"{item.files:,}"), StyledCell(f"{item.size_bytes:,}")]
            for item in response.freed
        ],
    )
    would = "would be freed" if response.dry_run else "freed"
    total = sum(item.size_bytes for item in response.freed)
    page.say(
        f"{plural(response.snapshots, 'snapshot')}, {plural(response.lake_files, 'file')} of the"
        f" lake, {total:,} bytes else {would}"
    )
    for row in response.partitions:
        page.say(
            f"{row.node}: {plural(row.partitions, 'partition')} ({row.first} to {row.last}) with"
            f" {plural(row.rows, 'row')} {'would be removed' if response.dry_run else 'removed'}"
            " by its retain"
        )
    for early in response.rebuildable:
        _say_rebuildable(early, page, dry_run=response.dry_run)
    for hold in response.holds:
        what = "everything" if hold.node == "*" else hold.node
        page.say(
            f"{what} is under a legal hold of {hold.by}: {hold.reason}; nothing of it"
            f" {'would be' if response.dry_run else 'was'} removed, nor anything of quarantine,"
            " published files and earlier snapshots",
            "warn",
        )
    if response.retired:
        message = ", ".join(
            f"{count:,} of {kind}" for kind, count in sorted(response.retired.items())
        )
        page.say(
            f"rows of old history {'that would go' if response.dry_run else 'that went'}: {message}"
        )


@terminal_command("database_check:check", repair="database_differences:repair")
def _check(
    invocation: Invocation,
    *,
    deep: bool,
    repair: Annotated[
        bool, Option("--repair", help="write rows again as the event log has them")
    ] = False,
    reason: Annotated[str, HelpPrefix("with --repair: ")],
) -> int:
    """Compare the state with the event log, the catalog and the files. Exits 1 on an error."""
    from headrace.services.database_check import check

    session = invocation.session
    repaired = 0
    if repair:
        from headrace.services.database_differences import repair as repair_state

        repaired = repair_state(session, reason)
        session = session.again(session.actor)
    elif reason:
        raise UsageError("--reason belongs to --repair", hint="headrace db check --repair")
    response = check(session, deep=deep, repaired=repaired)
    invocation.show(response, _render_check)
    return int(not response.ok)


@terminal_command("restore:restore")
def _restore(
    invocation: Invocation,
    folder: Path | None = None,
    *,
    force: bool,
    new_state: bool,
    yes: Annotated[
        bool, Option("--yes", "-y", help="the newest backup that fits, without asking")
    ] = False,
) -> int:
    """Restore a backup."""
    from headrace.services import restore

    if folder is None and not new_state:
        return _restore_newest(invocation, force=force, yes=yes)
    if folder is None:
        started = restore.new_state(invocation.session, force=force)
        invocation.show(started, _render_new_state, clock=False)
        return 0
    response = restore.restore(
        invocation.session, folder.absolute(), force=force, new_state=new_state
    )
    invocation.show(response, _render_restore, clock=False)
    return 0


@terminal_command("database:clock")
def _clock(
    invocation: Invocation,
    yes: Annotated[bool, Option("--yes", "-y", help="the machine's clock is right")] = False,
) -> int:
    """Compare the machine's clock with the last stored time."""
    from headrace.services.database import clock

    invocation.show(clock(invocation.session, believe=yes), _render_clock, clock=False)
    return 0


db_command = CommandGroup(
    "The state, the catalog and the files: check, back up, restore and clean them up.",
    {
        "upgrade": ServiceCommand("database:upgrade", _render_upgrade),
        "check": _check,
        "backup": ServiceCommand("database:backup", _render_backup),
        "restore": _restore,
        "gc": ServiceCommand("database:gc", _render_gc),
        "clock": _clock,
    },
    group="operate",
    summary="upgrade, check, back up, restore or clean up the state",
)
