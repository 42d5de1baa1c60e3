"""`headrace db upgrade|check|backup DIR|restore DIR|gc`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from headrace.cli import asking
from headrace.cli.invocation import Invocation
from headrace.cli.page import Page
from headrace.cli.parsing import Argument, Option
from headrace.cli.tables import Cell, Column
from headrace.cli.text import plural
from headrace.model.commands import command_line
from headrace.model.errors import UsageError
from headrace.operations.db.responses import BackupResponse, CheckResponse, Finding, GcResponse, UpgradeResponse
from headrace.store.event_log.guards import UNRECORDED

REFUSED = 3
ALWAYS_UNCHECKED = (*UNRECORDED, "files")
"""What is never compared, or with --deep alone: documented, and nothing that somebody has to know each time."""
WHAT = ("upgrade", "check", "backup", "restore", "gc")


def command(
    invocation: Invocation,
    what: Annotated[str, Argument("upgrade|check|backup|restore|gc", help="what is done with the state")],
    folder: Annotated[str | None, Argument("[DIR]", "of the backup")] = None,
    deep: Annotated[bool, Option("--deep", help="check: read every file to its end")] = False,
    repair: Annotated[bool, Option("--repair", help="check: write rows again as the event log has them")] = False,
    reason: Annotated[str, Option("--reason", metavar="TEXT", help="check --repair: why, for the audit trail")] = "",
    dry_run: Annotated[bool, Option("--dry-run", help="gc: say what would be freed")] = False,
    force: Annotated[bool, Option("--force", help="restore: move the state that is there aside")] = False,
    new_state: Annotated[bool, Option("--new-state", help="restore: begin anew; the lake's files are moved aside")] = False,
    yes: Annotated[bool, Option("--yes", "-y", help="restore: the backup that fits, without asking")] = False,
) -> int:
    """The state, the catalog and the files as a whole: up to date, whole, backed up, restored, without what nothing needs.

    `check` exits 1 when it finds something that is wrong.
    """
    if what not in WHAT:
        raise UsageError(f"`headrace db` has no {what[:40]!r}", hint=f"one of {', '.join(WHAT)}")
    if what != "restore" and (folder is not None) != (what == "backup"):
        needs = "takes no" if folder else "needs a"
        raise UsageError(f"headrace db {what} {needs} folder", hint=f"headrace db {what}{'' if folder else ' DIR'}")
    if what == "check":
        return _check(invocation, deep=deep, repair=repair, reason=reason)
    if repair:
        raise UsageError(f"headrace db {what} takes no --repair", hint="headrace db check --repair")
    if what == "upgrade":
        from headrace.operations.db.upgrade import upgrade

        invocation.show(upgrade(invocation.session), _upgraded)
    elif what == "gc":
        from headrace.operations.gc import gc

        invocation.show(gc(invocation.session, dry_run=dry_run, progress=invocation.progress()), _freed)
    else:
        return _move(invocation, what, folder, force=force, new_state=new_state, yes=yes)
    return 0


def _check(invocation: Invocation, *, deep: bool, repair: bool, reason: str) -> int:
    from headrace.operations.db.check import check

    session = invocation.session
    repaired = 0
    if repair:
        from headrace.operations.db.repair import repair as repair_state

        repaired = repair_state(session, reason)
        session = session.again(session.actor)
    document = check(session, deep=deep, repaired=repaired)
    invocation.show(document, _checked)
    return int(not document.ok)


def _move(invocation: Invocation, what: str, folder: str | None, *, force: bool, new_state: bool, yes: bool) -> int:
    if what == "backup":
        from headrace.operations.backup import backup

        invocation.show(backup(invocation.session, Path(folder or "")), _backed_up)
        return 0
    if folder is None and not new_state:
        return _offer(invocation, force=force, yes=yes)
    if folder is None:
        from headrace.operations.new_state import new_state as begin

        invocation.show(begin(invocation.session, force=force), _begun, clock=False)
        return 0
    from headrace.operations.restore import restore

    invocation.show(restore(invocation.session, Path(folder).absolute(), force=force, new_state=new_state), _restored, clock=False)
    return 0


def _offer(invocation: Invocation, *, force: bool, yes: bool) -> int:
    """The newest backup that fits; restored where somebody says so. Exit 3 where nobody does."""
    from headrace.operations.offering import newest
    from headrace.operations.restore import restore

    offered = newest(invocation.session)
    if not yes:
        if not invocation.options.json:
            _offered(offered, Page(invocation.screen, None, invocation.suffix))
        if invocation.options.json or not asking.somebody_there() or not asking.yes("Restore it?"):
            if invocation.options.json:
                invocation.json(offered)
            return REFUSED
    document = restore(invocation.session, Path(offered.folder), force=force)
    invocation.show(document, _restored, clock=False)
    return 0


def _upgraded(document: UpgradeResponse, page: Page) -> None:
    if document.before == document.after:
        page.say(f"✓ the state is up to date (version {document.after})", "good")
        return
    page.say(f"✓ brought from version {document.before} to {document.after}", "good")
    if document.backup:
        page.say(f"as it was: {document.backup}")


def _checked(document: CheckResponse, page: Page) -> None:
    if document.repaired:
        page.say(f"{plural(document.repaired, 'difference')} repaired from the event log")
    for one in document.findings:
        _finding(one, page)
    rows = sum(document.checked.values())
    looked = (
        f"{plural(document.files, 'file')}, {document.size_bytes:,} bytes, {plural(document.audit_entries, 'audit entry', 'audit entries')}"
    )
    if document.ok:
        page.say(f"✓ state, catalog and files agree: {looked}, {plural(rows, 'row')} compared with the event log", "good")
    for given in (one for one in document.unchecked if one.what not in ALWAYS_UNCHECKED):
        page.say(f"not checked: {given.what}: {given.why}", "dim")
    page.say(f"audit head {document.audit_head}", "dim")
    if document.repair:
        page.next(document.repair)


def _finding(one: Finding, page: Page) -> None:
    page.say(f"{'✗' if one.severity == 'error' else '·'} {one.about}: {one.message}", "bad" if one.severity == "error" else "")
    page.say(f"to do: {one.todo}", indent=2)


def _backed_up(document: BackupResponse, page: Page) -> None:
    page.say(f"✓ {document.folder}: snapshot {document.snapshot}, {plural(document.files, 'file')}, {document.size_bytes:,} bytes", "good")
    if document.missing_files:
        files = plural(document.missing_files, "file")
        page.say(f"{files} of earlier snapshots only: gone from the lake, and so not in it; nothing reads them now", "warn")
    page.next(command_line("db", "restore", document.folder))


def _offered(document: BackupResponse, page: Page) -> None:
    made = "" if document.made_at is None else document.made_at.strftime(" was made at %Y-%m-%d %H:%M:%S UTC")
    page.say(f"the newest backup that fits the lake{made}: snapshot {document.snapshot}")
    _lost(document, page)
    page.next(command_line("db", "restore", document.folder))


def _restored(document: BackupResponse, page: Page) -> None:
    page.say(f"✓ restored snapshot {document.snapshot}: {plural(document.files, 'file')}, {document.size_bytes:,} bytes", "good")
    _lost(document, page)
    if document.aside:
        page.say(f"what was there is {document.aside} now")
    if document.lake_aside:
        page.say(f"the lake that was there is in {document.lake_aside} now")
    page.next("headrace db check")


def _lost(document: BackupResponse, page: Page) -> None:
    if document.lost_since is None:
        return
    since = document.lost_since.strftime("%Y-%m-%d %H:%M:%S UTC")
    page.say(f"lost: what was published and decided after {since}", "warn")
    if document.lost_files:
        files = plural(document.lost_files, "file")
        page.say(f"{files} of the lake aren't in it; deliveries that are still there are ingested again by the next tick")


def _begun(document: BackupResponse, page: Page) -> None:
    page.say("✓ a new state, beside a lake without files", "good")
    if document.aside:
        page.say(f"the state that was there is {document.aside} now")
    if document.lake_aside:
        page.say(f"the lake's files are in {document.lake_aside} now; nothing of them is adopted")
    page.next("headrace tick")


COLUMNS = [Column("what", least=10), Column("files", right=True), Column("bytes", right=True)]


def _freed(document: GcResponse, page: Page) -> None:
    page.table(COLUMNS, [[one.kind, Cell(f"{one.files:,}"), Cell(f"{one.size_bytes:,}")] for one in document.freed])
    would = "would be freed" if document.dry_run else "freed"
    total = sum(one.size_bytes for one in document.freed)
    page.say(f"{plural(document.snapshots, 'snapshot')}, {plural(document.lake_files, 'file')} of the lake, {total:,} bytes else {would}")
    if document.retired:
        told = ", ".join(f"{count:,} of {kind}" for kind, count in sorted(document.retired.items()))
        page.say(f"rows of old history {'that would go' if document.dry_run else 'that went'}: {told}")
