"""`[connections.X]` of headrace.toml: kinds of connections and their fields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from headrace.model.errors import Report, did_you_mean, one_of, shown
from headrace.model.fields import LocatedMapping
from headrace.model.secrets import is_reference

CONNECTION_SCHEMES = {
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "mysql": "mysql",
    "mariadb": "mysql",
    "sqlite": "sqlite",
    "http": "http",
    "https": "http",
    "s3": "s3",
    "s3a": "s3",
    "gs": "gcs",
    "gcs": "gcs",
    "az": "azure",
    "abfs": "azure",
    "abfss": "azure",
    "sftp": "sftp",
    "ssh": "sftp",
}
"""Kind of connection by URL scheme."""
CONNECTION_KINDS = tuple(dict.fromkeys(CONNECTION_SCHEMES.values()))
DATABASES = ("postgresql", "mysql", "sqlite")
EXPORT_DATABASES = ("postgresql", "sqlite")
"""Kinds of connections that tables are exported to."""
_DATABASE_FIELDS = (
    "type",
    "url",
    "host",
    "port",
    "database",
    "user",
    "password",
    "connect_timeout",
    "timeout",
    "description",
)
_CONNECTION_FIELDS = {
    "postgresql": (*_DATABASE_FIELDS, "sslmode", "sslrootcert", "sslcert", "sslkey", "schema"),
    "mysql": (*_DATABASE_FIELDS, "sslmode", "sslrootcert", "sslcert", "sslkey"),
    "sqlite": ("type", "url", "path", "timeout", "description"),
}
_OTHER_SYSTEMS = (
    "have another system write files to a bucket, or read it in a Python asset or a command"
)
_SCHEMES_SUGGESTED = ("postgresql:", "mysql:", "sqlite:", "https:", "s3:")
PORT_MAX = 65_535


def connection_kind(connection: Mapping[str, Any]) -> str | None:
    """Return a connection's kind, such as `postgresql`, from `type` or the URL's scheme.

    Returns None if it is unknown before secrets are resolved.
    """
    kind = connection.get("type")
    if isinstance(kind, str):
        return CONNECTION_SCHEMES.get(kind, kind) if kind not in CONNECTION_KINDS else kind
    url = connection.get("url")
    if not isinstance(url, str):
        return None
    scheme, colon, _ = url.partition(":")
    return CONNECTION_SCHEMES.get(scheme.lower()) if colon else None


def check_kind(name: str, connection: LocatedMapping, report: Report) -> None:
    """Report a connection of unknown kind, or with fields that its kind doesn't have."""
    kind, where = connection_kind(connection), f"connections.{name}"
    if kind is None:
        _check_unknown(where, connection, report)
    elif kind not in CONNECTION_KINDS:
        hint = (
            did_you_mean(kind, CONNECTION_KINDS)
            or f"write {one_of(CONNECTION_KINDS)}; {_OTHER_SYSTEMS}"
        )
        report.error(
            "wrong_value",
            connection.lines["type"],
            f"{shown(f'{where}.type')}: {shown(kind)} is no kind of connection",
            hint,
        )
    elif kind in _CONNECTION_FIELDS:
        _check_fields(where, connection, kind, report)


def _check_unknown(where: str, connection: LocatedMapping, report: Report) -> None:
    """Report a URL of unknown kind.

    A URL from a secret reference is checked once it is resolved. A connection for
    `files: s3://…` needs no URL.
    """
    url = connection.get("url")
    scheme = url.partition("://")[0] if isinstance(url, str) and "://" in url else ""
    if scheme and scheme != "secret" and "$" not in scheme:
        text = (
            f"{shown(f'{where}.url')}: {shown(scheme)} is no kind of connection that Headrace has"
        )
        report.error("wrong_value", connection.lines["url"], text, _instead(scheme))
    elif isinstance(url, str) and not is_reference(url):
        hint = f"write a URL that begins with {one_of(_SCHEMES_SUGGESTED)}"
        report.error(
            "wrong_value",
            connection.lines["url"],
            f"{shown(f'{where}.url')} doesn't say what it leads to",
            hint,
        )


def _instead(scheme: str) -> str:
    """Return a hint for an unsupported scheme."""
    parts = re.split(r"[+:]", scheme.lower().removeprefix("jdbc:"))
    if parts[0] in CONNECTION_SCHEMES:
        return f"write {parts[0]}://…, without the driver"
    return (
        f"known: {one_of(_SCHEMES_SUGGESTED)} and {one_of(('gs:', 'az:', 'sftp:'))};"
        f" {_OTHER_SYSTEMS}"
    )


def _check_fields(where: str, connection: LocatedMapping, kind: str, report: Report) -> None:
    known = _CONNECTION_FIELDS[kind]
    for field in connection:
        if field not in known:
            hint = did_you_mean(field, known) or f"known here: {', '.join(sorted(known))}"
            report.error(
                "unknown_field",
                connection.lines[field],
                f"unknown field {shown(field)} in {shown(where)}",
                hint,
            )
    port = connection.get("port")
    if (
        port is not None
        and not isinstance(port, str)
        and not (type(port) is int and 0 < port <= PORT_MAX)
    ):
        report.error(
            "wrong_value",
            connection.lines["port"],
            f"{shown(f'{where}.port')} is no port",
            f"a number from 1 to {PORT_MAX}",
        )
    if kind == "sqlite" and not (connection.keys() & {"url", "path"}):
        report.error(
            "missing_field",
            connection.line,
            f"{shown(where)} names no file",
            'add path = "data/erp.db"',
        )
