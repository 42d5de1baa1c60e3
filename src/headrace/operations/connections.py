"""`connections`: where the project's data comes from and goes to, who uses it, and whether it answers. Never a secret."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from headrace.connect.kinds import Unavailable
from headrace.govern.secrets import SecretMissing, Secrets
from headrace.model import Project, UnknownName
from headrace.model.connections import DATABASES, kind_of
from headrace.model.errors import told_by
from headrace.model.reporting import did_you_mean, shown
from headrace.operations.inspections import ConnectionRow
from headrace.operations.session import InvalidProject, ProjectSession

HTTP_SECONDS = 10.0


def connections(session: ProjectSession) -> list[ConnectionRow]:
    """Each connection with its kind and its users; nothing is asked. ProjectError where the files can't be read."""
    project = _project(session)
    return [_row(project, name) for name in sorted(project.settings.connections)]


def tested(session: ProjectSession, name: str | None) -> list[ConnectionRow]:
    """Ask one connection, or all: resolve its secrets, connect, and ask for something trivial. UsageError for a name that there isn't."""
    project = _project(session)
    known = project.settings.connections
    if name is not None and name not in known:
        raise UnknownName(f"unknown connection {shown(name)}", hint=did_you_mean(name, known) or "`headrace connections` lists them")
    return [_asked(session, project, item) for item in sorted(known) if name in (None, item)]


def _project(session: ProjectSession) -> Project:
    compilation = session.declared()
    if compilation.project is None:
        raise InvalidProject(compilation.problems)
    return compilation.project


def _row(project: Project, name: str) -> ConnectionRow:
    return ConnectionRow(name=name, kind=kind_of(project.settings.connections[name]), used_by=list(_users(project, name)))


def _users(project: Project, name: str) -> Iterator[str]:
    if project.settings.store_connection == name:
        yield "store"
    for source in project.sources.values():
        if source.connector.get("connection") == name:
            yield source.name
    for consumer in project.consumers.values():
        export = consumer.export or {}
        target = export.get("to")
        if name in (export.get("connection"), target.get("connection") if isinstance(target, Mapping) else None):
            yield consumer.name


def _asked(session: ProjectSession, project: Project, name: str) -> ConnectionRow:
    row = _row(project, name)
    secrets = Secrets(session.root)
    started = time.monotonic()
    state, code, error, hint = "ok", None, None, None
    try:
        asked = _ask(session, project, name, secrets)
        state = "ok" if asked else "skipped"
        hint = None if asked else "no source reads from it, and it has no url: nothing says what to ask for"
    except Unavailable as failure:
        state, code, error = "failed", failure.code, secrets.scrubbed(str(failure))
    except SecretMissing as failure:
        state, code, error, hint = "failed", "configuration_error", str(failure), failure.hint
    seconds = round(time.monotonic() - started, 3)
    return msgspec.structs.replace(row, state=state, code=code, error=error, hint=hint, seconds=seconds)


def _ask(session: ProjectSession, project: Project, name: str, secrets: Secrets) -> bool:
    """Whether there was something to ask. Raises Unavailable, SecretMissing."""
    connection = project.settings.connections[name]
    url = secrets.resolved(connection["url"]) if "url" in connection and kind_of(connection) is None else connection.get("url", "")
    kind = kind_of({**connection, "url": url})
    if kind in DATABASES:
        _ask_database(session, connection, secrets)
    elif kind == "http":
        _ask_http(secrets.resolved({**connection, "url": url}))
    else:
        return _ask_files(project, name, url, secrets)
    return True


def _ask_database(session: ProjectSession, connection: Mapping[str, Any], secrets: Secrets) -> None:
    from headrace.connect.engines.address import address_of
    from headrace.connect.engines.engine import opened

    address = address_of(connection, secrets)
    with opened(address, session.root, session.timezone, session.folders.temporary) as engine:
        engine.rows("select 1 as one", {})


def _ask_http(connection: Mapping[str, Any]) -> None:
    import httpx

    try:
        answer = httpx.get(str(connection["url"]), timeout=HTTP_SECONDS, headers=connection.get("headers"))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unavailable(told_by(error)) from None
    if answer.status_code in (401, 403):
        raise Unavailable(f"the server answers {answer.status_code}", code="access_denied", transient=False)
    if answer.status_code >= 500:
        raise Unavailable(f"the server answers {answer.status_code}")


def _ask_files(project: Project, name: str, url: str, secrets: Secrets) -> bool:
    """List the folder of its URL, and of each source that reads files through it."""
    from headrace.connect.places import opened, told

    connection = project.settings.connections[name]
    patterns = [s.files for s in project.sources.values() if s.files and s.connector.get("connection") == name]
    folders = dict.fromkeys(_folder(pattern) for pattern in (*filter(None, [url]), *patterns))
    for folder in folders:
        with told(folder):
            opened(folder, connection, secrets).listed()
    return bool(folders)


def _folder(pattern: str) -> str:
    """The part of a URL that is written out."""
    scheme, _, rest = pattern.partition("://")
    host, *parts = rest.split("/")
    fixed = []
    for part in parts[:-1]:
        if "*" in part or "{" in part:
            break
        fixed.append(part)
    return f"{scheme}://{'/'.join([host, *fixed])}"
