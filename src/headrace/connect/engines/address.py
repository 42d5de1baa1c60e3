"""From `[connections.X]` to where a database is and who asks: the last moment at which a reference becomes a secret."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import msgspec

from headrace.connect.kinds import Unavailable
from headrace.govern.secrets import Secrets
from headrace.model.connections import DATABASES, SCHEMES, kind_of

CONNECT_SECONDS = 10
_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+]*)://(?P<netloc>[^/?#]*)(?:/(?P<database>[^?#]*))?(?:\?(?P<options>[^#]*))?")
_NETLOC = re.compile(r"(?:(?P<user>[^:@]*)(?::(?P<password>.*))?@)?(?P<host>\[[^\]]*\]|[^:]*)(?::(?P<port>[^:]*))?", re.DOTALL)
_PARTS = ("host", "port", "database", "user", "password")
_OWN = ("type", "url", "description", "schema", "path", "connect_timeout", *_PARTS)


class Address(msgspec.Struct, frozen=True):
    """Where a database is. Prints nothing of itself: `password` and `options` may hold secrets."""

    kind: str
    host: str = ""
    port: int | None = None
    database: str = ""
    user: str = ""
    password: str = ""
    options: dict[str, str] = {}
    path: str = ""
    """Of SQLite: the file, absolute or relative to the project."""
    connect_seconds: int = CONNECT_SECONDS

    def __repr__(self) -> str:
        return f"Address({self.kind})"


def wrong(message: str) -> Unavailable:
    """A connection that can't work as it is declared."""
    return Unavailable(message, code="configuration_error", transient=False)


def address_of(connection: Mapping[str, Any], secrets: Secrets) -> Address:
    """The address of a database. Raises Unavailable (`configuration_error`), and SecretMissing."""
    url = connection.get("url", "")
    if kind_of(connection) is None and isinstance(url, str):  # all of the URL is a reference
        url = secrets.resolved(url)
    kind = kind_of({**connection, "url": url})
    if kind not in DATABASES:
        raise wrong(f"rows are read from {', '.join(DATABASES)}; this connection is none of them")
    if kind == "sqlite":
        return Address(kind, path=secrets.resolved(str(connection.get("path", ""))) or _sqlite_path(str(url), secrets))
    results = _parts(str(url), secrets) if url else {}
    options = results.pop("options", {})
    said = {name: str(value) for name, value in secrets.resolved(dict(connection)).items()}
    results |= {name: said[name] for name in _PARTS if name in said}
    options |= {name: value for name, value in said.items() if name not in _OWN}
    secrets.hide(results.get("password", ""))
    return Address(
        kind,
        port=_whole(results.pop("port", ""), "port"),
        options=options,
        connect_seconds=_whole(said.get("connect_timeout") or options.pop("connect_timeout", ""), "connect_timeout") or CONNECT_SECONDS,
        **results,
    )


def _parts(url: str, secrets: Secrets) -> dict[str, Any]:
    """The parts of a URL. References in it are resolved part by part, so that a password may hold any sign without being escaped."""
    whole = _URL.fullmatch(url.strip())
    netloc = _NETLOC.fullmatch(whole["netloc"]) if whole else None
    if whole is None or netloc is None or whole["scheme"].lower() not in SCHEMES:
        raise wrong("the connection's URL can't be read: write it like postgresql://user@host:5432/database")
    parts = {name: secrets.resolved(unquote(text)) for name, text in netloc.groupdict().items() if text}
    if whole["database"]:
        parts["database"] = secrets.resolved(unquote(whole["database"]))
    if "host" in parts:
        parts["host"] = parts["host"].strip("[]")
    options = {name: secrets.resolved(value) for name, value in parse_qsl(whole["options"] or "")}
    parts |= {name: options.pop(name) for name in _PARTS if name in options}
    return {**parts, "options": options}


def _sqlite_path(url: str, secrets: Secrets) -> str:
    """`sqlite:data/x.db` and `sqlite:///data/x.db` are relative to the project, `sqlite:/data/x.db` and `sqlite:////data/x.db` absolute."""
    rest = url.strip().partition(":")[2]
    return str(secrets.resolved(unquote(rest.removeprefix("///"))))


def _whole(text: str, name: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65_536):
        raise wrong(f"`{name}` of the connection is no whole number from 1 to 65,535")
    return int(text)


def file_of(address: Address, root: Path) -> Path:
    """The absolute path of an SQLite file."""
    if not address.path or "\0" in address.path:
        raise wrong('the connection names no file: write path = "data/erp.db"')
    return root / address.path
