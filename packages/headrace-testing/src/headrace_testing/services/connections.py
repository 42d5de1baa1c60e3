"""`connections` and `notify`: what the project connects to, who is notified, and tests of both."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import msgspec

from headrace.connect.connection_kinds import connection_kind_named, resolved_kind
from headrace.connect.connectors import Unavailable
from headrace.connect.destinations import AddressRefused
from headrace.connect.read_deadlines import http_status
from headrace.extension import OPERATE, SEE, Argument, ProjectSession, command, did_you_mean
from headrace.incidents.messages import Recipients
from headrace.integrations.notifications.channels import SEND_SECONDS, Message, Unsent, send
from headrace.model import Project, UnknownName
from headrace.model.connections import DATABASES, connection_kind
from headrace.model.errors import message_of, shown
from headrace.model.nodes import ALL_NETWORKS
from headrace.project.session import InvalidProject
from headrace.security.secrets import SecretMissing, Secrets
from headrace.store.queries import notifications
from headrace_testing.responses.installation import ConnectionRow, NotifyRow

# `connections`: data sources and targets, the nodes that use them, and whether they answer. Never
# shows a secret.

HTTP_SECONDS = 10.0


@command("connections", SEE, session="connections")
def connections(session: ProjectSession) -> list[ConnectionRow]:
    """Return each connection with its kind and its users, without connecting.

    Raise InvalidProject if the files can't be read.
    """
    project = _project(session)
    return [_row(project, name) for name in sorted(project.settings.connections)]


@command("connections test", OPERATE, session="test_connections")
def test_connections(
    session: ProjectSession,
    name: Annotated[str | None, Argument("[NAME]", help="only this one")] = None,  # noqa: PT028 - it is no test
) -> list[ConnectionRow]:
    """Test one connection, or all: resolve its secrets, connect, and send a trivial request.

    Raise UnknownName for an unknown connection.
    """
    project = _project(session)
    known = project.settings.connections
    if name is not None and name not in known:
        raise UnknownName(
            f"unknown connection {shown(name)}",
            hint=did_you_mean(name, known) or "`headrace connections` lists them",
        )
    return [
        _tested_connection(session, project, item) for item in sorted(known) if name in (None, item)
    ]


def _project(session: ProjectSession) -> Project:
    compilation = session.declared()
    if compilation.project is None:
        raise InvalidProject(compilation.problems)
    return compilation.project


def _row(project: Project, name: str) -> ConnectionRow:
    return ConnectionRow(
        name=name,
        kind=connection_kind(project.settings.connections[name]),
        used_by=list(_users(project, name)),
    )


def _users(project: Project, name: str) -> Iterator[str]:
    if project.settings.store_connection == name:
        yield "store"
    for source in project.sources.values():
        if source.connector.get("connection") == name:
            yield source.name
    for consumer in project.consumers.values():
        export = consumer.export or {}
        target = export.get("to")
        if name in (
            export.get("connection"),
            target.get("connection") if isinstance(target, Mapping) else None,
        ):
            yield consumer.name


def _tested_connection(session: ProjectSession, project: Project, name: str) -> ConnectionRow:
    row = _row(project, name)
    secrets = Secrets(session.root)
    started = time.monotonic()
    state, code, error, hint = "ok", None, None, None
    try:
        was_tested = _ask(session, project, name, secrets)
        state = "ok" if was_tested else "skipped"
        hint = (
            None
            if was_tested
            else "no source reads from it, and it has no url: nothing says what to ask for"
        )
    except Unavailable as failure:
        state, code, error = "failed", failure.code, secrets.scrubbed(str(failure))
    except SecretMissing as failure:
        state, code, error, hint = "failed", failure.code, str(failure), failure.hint
    seconds = round(time.monotonic() - started, 3)
    return msgspec.structs.replace(
        row, state=state, code=code, error=error, hint=hint, seconds=seconds
    )


def _ask(session: ProjectSession, project: Project, name: str, secrets: Secrets) -> bool:
    """Return whether there was something to request.

    Raise Unavailable or SecretMissing on failure.
    """
    connection = project.settings.connections[name]
    kind, url = resolved_kind(connection, secrets)
    resolved = {**connection, "url": url}
    if kind in DATABASES:
        connection_kind_named(kind).test(resolved, secrets, session.folders.temporary)
    elif kind == "http":
        _ask_http(secrets.resolved(resolved), project.settings.private_addresses)
    else:
        return _ask_files(project, name, url, secrets)
    return True


def _ask_http(
    connection: Mapping[str, Any], private_addresses: tuple[str, ...] = ALL_NETWORKS
) -> None:
    import httpx

    try:
        status = http_status(
            str(connection["url"]),
            seconds=HTTP_SECONDS,
            headers=connection.get("headers"),
            private_addresses=private_addresses,
        )
    except AddressRefused as error:
        raise Unavailable(
            f"{error} ({error.hint})", code="configuration_error", transient=False
        ) from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unavailable(message_of(error)) from None
    if status in (401, 403):
        raise Unavailable(f"the server answers {status}", code="access_denied", transient=False)
    if status >= 500:
        raise Unavailable(f"the server answers {status}")


def _ask_files(project: Project, name: str, url: str, secrets: Secrets) -> bool:
    """List the folder of the connection's URL, and of each source that reads files through it."""
    from headrace.connect.filesystems import errors_as_unavailable, open_location

    connection = project.settings.connections[name]
    patterns = [
        s.files
        for s in project.sources.values()
        if s.files and s.connector.get("connection") == name
    ]
    folders = dict.fromkeys(_folder(pattern) for pattern in (*filter(None, [url]), *patterns))
    for folder in folders:
        with errors_as_unavailable(folder):
            open_location(folder, connection, secrets).listed()
    return bool(folders)


def _folder(pattern: str) -> str:
    """Return the URL's folder up to the first pattern or placeholder."""
    scheme, _, rest = pattern.partition("://")
    host, *parts = rest.split("/")
    fixed = []
    for part in parts[:-1]:
        if "*" in part or "{" in part:
            break
        fixed.append(part)
    return f"{scheme}://{'/'.join([host, *fixed])}"


# `notify`: who is notified over which channel, and which messages failed. `test` sends a message
# that says that it is a test.

SINCE_US = 30 * 86_400_000_000


@command("notify", SEE, session="notify")
def notify(session: ProjectSession) -> list[NotifyRow]:
    """Return each owner with its recipients and channels, and the last 30 days' deliveries.

    Nothing is sent.
    """
    rows = list(_rows(_project(session), None))
    if session.store is None:
        return rows
    since = session.clock.now_us() - SINCE_US
    with session.store.read() as tx:
        sent = {
            (
                delivered_notifications.recipient,
                delivered_notifications.channel,
            ): delivered_notifications
            for delivered_notifications in notifications.sent_since(tx, since)
        }
        failed = {
            (
                undelivered_notifications.recipient,
                undelivered_notifications.channel,
            ): undelivered_notifications
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


@command("notify test", OPERATE, session="test_channels")
def test_channels(
    session: ProjectSession,
    owner: Annotated[str | None, Argument("[OWNER]", help="whose contacts")] = None,  # noqa: PT028 - it is no test
) -> list[NotifyRow]:
    """Send a test message over each contact of one owner, or of all; each contact once.

    Raise UnknownName for an unknown owner.
    """
    project = _project(session)
    if owner is not None and owner not in project.owners:
        raise UnknownName(
            f"unknown owner {shown(owner)}",
            hint=did_you_mean(owner, project.owners) or "`headrace notify` lists them",
        )
    rows, notify_rows = [], dict[str, NotifyRow]()
    for row in _rows(project, owner):
        if row.contact is not None and row.contact not in notify_rows:
            notify_rows[row.contact] = _tested(session, project, row)
        rows.append(_as(row, notify_rows.get(row.contact or "")))
    return rows


def _rows(project: Project, only: str | None) -> Iterator[NotifyRow]:
    people = Recipients(project)
    for name, owner in project.owners.items():
        if only not in (None, name):
            continue
        to = people.of(name)
        for contact in to.owner.contact if to is not None else (None,):
            yield NotifyRow(
                owner=name,
                told=None if to is None else to.name,
                contact=contact,
                wrong=(
                    _nobody(project, name) if contact is None else people.wrong(contact, cause=True)
                ),
                quiet=None if to is None else to.owner.quiet,
                escalate=owner.escalate,
                digest=owner.digest,
            )


def _nobody(project: Project, name: str) -> str:
    owner = project.owners[name]
    if owner.contact:
        return "it gets no messages (`tell: true` changes that), and no manager of it gets any"
    return "it has no contact, nor has a manager of it"


def _tested(session: ProjectSession, project: Project, row: NotifyRow) -> NotifyRow:
    assert row.contact is not None
    if row.wrong is not None:
        return msgspec.structs.replace(row, state="failed", error=row.wrong, seconds=0.0)
    name = project.settings.name
    message = Message(
        project=name,
        kind="test",
        subject="test",
        incident=None,
        recipient=row.told or row.owner,
        title=f"[{name}] a test",
        body=(
            f"This is how {row.told or row.owner} is notified of incidents of {name}. Nothing is"
            f" the matter."
        ),
        at=session.clock.now_us(),
    )
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
    return msgspec.structs.replace(
        row,
        state="failed" if errors else "ok",
        error=errors[0] if errors else None,
        seconds=seconds,
    )


def _as(row: NotifyRow, notify_row: NotifyRow | None) -> NotifyRow:
    """Return the row with the test result of its contact, which another owner may share."""
    if notify_row is None:
        return msgspec.structs.replace(row, state="skipped")
    return msgspec.structs.replace(
        row, state=notify_row.state, error=notify_row.error, seconds=notify_row.seconds
    )
