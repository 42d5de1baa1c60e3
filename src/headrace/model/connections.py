"""`[connections.X]`: what kind of place it leads to, and which fields such a place has."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from headrace.model.documents import LocatedMapping
from headrace.model.reporting import Report, did_you_mean, one_of, shown
from headrace.model.secrets import is_reference

SCHEMES = {
    "postgresql": "postgresql", "postgres": "postgresql", "mysql": "mysql", "mariadb": "mysql", "sqlite": "sqlite",
    "http": "http", "https": "http",
    "s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "az": "azure", "abfs": "azure", "abfss": "azure", "sftp": "sftp", "ssh": "sftp",
}  # fmt: skip
"""A URL's scheme → the kind of connection."""
KINDS = tuple(dict.fromkeys(SCHEMES.values()))
DATABASES = ("postgresql", "mysql", "sqlite")
_DATABASE_FIELDS = ("type", "url", "host", "port", "database", "user", "password", "connect_timeout", "timeout", "description")
_FIELDS = {
    "postgresql": (*_DATABASE_FIELDS, "sslmode", "sslrootcert", "sslcert", "sslkey", "schema"),
    "mysql": (*_DATABASE_FIELDS, "sslmode", "sslrootcert", "sslcert", "sslkey"),
    "sqlite": ("type", "url", "path", "timeout", "description"),
}
_OTHER_SYSTEMS = "have another system write files to a bucket, or read it in a Python asset or a command"
_SHOWN = ("postgresql:", "mysql:", "sqlite:", "https:", "s3:")
PORT_MAX = 65_535


def kind_of(connection: Mapping[str, Any]) -> str | None:
    """`postgresql`, `s3` …, by `type` or the URL's scheme; None where that isn't known before secrets are resolved."""
    kind = connection.get("type")
    if isinstance(kind, str):
        return SCHEMES.get(kind, kind) if kind not in KINDS else kind
    url = connection.get("url")
    if not isinstance(url, str):
        return None
    scheme, colon, _ = url.partition(":")
    return SCHEMES.get(scheme.lower()) if colon else None


def check_kind(name: str, connection: LocatedMapping, report: Report) -> None:
    """Report a connection that leads nowhere, or has fields that its kind doesn't have."""
    kind, where = kind_of(connection), f"connections.{name}"
    if kind is None:
        _check_unknown(where, connection, report)
    elif kind not in KINDS:
        hint = did_you_mean(kind, KINDS) or f"write {one_of(KINDS)}; {_OTHER_SYSTEMS}"
        report.error("wrong_value", connection.lines["type"], f"{shown(f'{where}.type')}: {shown(kind)} is no kind of connection", hint)
    elif kind in _FIELDS:
        _check_fields(where, connection, kind, report)


def _check_unknown(where: str, connection: LocatedMapping, report: Report) -> None:
    """Where a reference gives the URL, its kind is seen once it is resolved; what goes with `files: s3://…` needs no URL."""
    url = connection.get("url")
    scheme = url.partition("://")[0] if isinstance(url, str) and "://" in url else ""
    if scheme and scheme != "secret" and "$" not in scheme:
        text = f"{shown(f'{where}.url')}: {shown(scheme)} is no kind of connection that Headrace has"
        report.error("wrong_value", connection.lines["url"], text, _instead(scheme))
    elif isinstance(url, str) and not is_reference(url):
        hint = f"write a URL that begins with {one_of(_SHOWN)}"
        report.error("wrong_value", connection.lines["url"], f"{shown(f'{where}.url')} doesn't say what it leads to", hint)


def _instead(scheme: str) -> str:
    """What to write instead of a scheme that nothing reads."""
    parts = re.split(r"[+:]", scheme.lower().removeprefix("jdbc:"))
    if parts[0] in SCHEMES:
        return f"write {parts[0]}://…, without the driver"
    return f"known: {one_of(_SHOWN)} and {one_of(('gs:', 'az:', 'sftp:'))}; {_OTHER_SYSTEMS}"


def _check_fields(where: str, connection: LocatedMapping, kind: str, report: Report) -> None:
    known = _FIELDS[kind]
    for field in connection:
        if field not in known:
            hint = did_you_mean(field, known) or f"known here: {', '.join(sorted(known))}"
            report.error("unknown_field", connection.lines[field], f"unknown field {shown(field)} in {shown(where)}", hint)
    port = connection.get("port")
    if port is not None and not isinstance(port, str) and not (type(port) is int and 0 < port <= PORT_MAX):
        report.error("wrong_value", connection.lines["port"], f"{shown(f'{where}.port')} is no port", f"a number from 1 to {PORT_MAX}")
    if kind == "sqlite" and not (connection.keys() & {"url", "path"}):
        report.error("missing_field", connection.line, f"{shown(where)} names no file", 'add path = "data/erp.db"')
