"""`notify`: who is told over which channel, whether it arrives, and what didn't. `test` sends a message that says that it is one."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import msgspec

from headrace.model import Project, UnknownName
from headrace.model.reporting import did_you_mean, shown
from headrace.observe.notifications.recipients import Recipients
from headrace.operations.notify_responses import NotifyRow
from headrace.operations.session import InvalidProject, ProjectSession
from headrace.run.notifications.channels import send
from headrace.run.notifications.message import Message, Unsent
from headrace.run.notifications.sending import SEND_SECONDS
from headrace.store.queries import notifications

SINCE_US = 30 * 86_400_000_000


def notify(session: ProjectSession) -> list[NotifyRow]:
    """Each owner with who is told for it and over what, and what became of the last month's messages. Nothing is sent."""
    rows = list(_rows(_project(session), None))
    if session.store is None:
        return rows
    since = session.clock.now_us() - SINCE_US
    with session.store.read() as tx:
        sent = {
            (delivered_notifications.recipient, delivered_notifications.channel): delivered_notifications
            for delivered_notifications in notifications.sent_since(tx, since)
        }
        failed = {
            (undelivered_notifications.recipient, undelivered_notifications.channel): undelivered_notifications
            for undelivered_notifications in notifications.undelivered(tx, since)
        }
    notify_rows = []
    for row in rows:
        key = (row.told or "", row.contact or "")
        done, lost = sent.get(key), failed.get(key)
        last = None if done is None else session.instant(done.last_at)
        notify_rows.append(
            msgspec.structs.replace(
                row,
                sent=0 if done is None else done.count,
                last_at=last,
                undelivered=0 if lost is None else lost.count,
                error=None if lost is None else lost.error,
            )
        )
    return notify_rows


def tested(session: ProjectSession, owner: str | None) -> list[NotifyRow]:
    """Send a message over each contact of one owner, or of all; each contact once. UsageError for an owner that there isn't."""
    project = _project(session)
    if owner is not None and owner not in project.owners:
        raise UnknownName(f"unknown owner {shown(owner)}", hint=did_you_mean(owner, project.owners) or "`headrace notify` lists them")
    rows, notify_rows = [], dict[str, NotifyRow]()
    for row in _rows(project, owner):
        if row.contact is not None and row.contact not in notify_rows:
            notify_rows[row.contact] = _tested(session, project, row)
        rows.append(_as(row, notify_rows.get(row.contact or "")))
    return rows


def _project(session: ProjectSession) -> Project:
    compilation = session.declared()
    if compilation.project is None:
        raise InvalidProject(compilation.problems)
    return compilation.project


def _rows(project: Project, only: str | None) -> Iterator[NotifyRow]:
    people = Recipients(project)
    for name, owner in project.owners.items():
        if only not in (None, name):
            continue
        to = people.of(name)
        for contact in to.owner.contact if to is not None else (None,):
            yield NotifyRow(
                owner=name, told=None if to is None else to.name, contact=contact,
                wrong=_nobody(project, name) if contact is None else people.wrong(contact, cause=True),
                quiet=None if to is None else to.owner.quiet, escalate=owner.escalate, digest=owner.digest,
            )  # fmt: skip


def _nobody(project: Project, name: str) -> str:
    owner = project.owners[name]
    if owner.contact:
        return "it isn't written to (tell: true would change that), and it has no manager who is"
    return "it has no contact, nor has a manager of it"


def _tested(session: ProjectSession, project: Project, row: NotifyRow) -> NotifyRow:
    assert row.contact is not None
    if row.wrong is not None:
        return msgspec.structs.replace(row, state="failed", error=row.wrong, seconds=0.0)
    name = project.settings.name
    message = Message(
        project=name, kind="test", subject="test", incident=None, recipient=row.told or row.owner, title=f"[{name}] a test",
        body=f"This is how {row.told or row.owner} is told of incidents of {name}. Nothing is the matter.", at=session.clock.now_us(),
    )  # fmt: skip
    started, errors = time.monotonic(), list[str]()

    def go() -> None:
        try:
            send(session.root, session.settings, row.contact or "", message)
        except Unsent as error:
            errors.append(str(error))

    thread = threading.Thread(target=go, daemon=True)
    thread.start()
    thread.join(SEND_SECONDS)
    if thread.is_alive():
        errors.append(f"no answer within {SEND_SECONDS:g} s")
    seconds = round(time.monotonic() - started, 3)
    return msgspec.structs.replace(row, state="failed" if errors else "ok", error=errors[0] if errors else None, seconds=seconds)


def _as(row: NotifyRow, notify_row: NotifyRow | None) -> NotifyRow:
    """What came of a contact, for another owner that has the same one."""
    if notify_row is None:
        return msgspec.structs.replace(row, state="skipped")
    return msgspec.structs.replace(row, state=notify_row.state, error=notify_row.error, seconds=notify_row.seconds)
