"""Shared by the database engines: the address, and a read-only connection.

A connection answers short queries, and copies the rows of one SELECT to a file.
"""

from __future__ import annotations

import contextlib
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import msgspec

from headrace.extension.sources import (
    CONNECTION_SCHEMES,
    DATABASES,
    Access,
    Secrets,
    printable,
    resolved_kind,
    unusable,
)

# From `[connections.X]` to a database's address and user; references become secrets only here.

CONNECT_SECONDS = 10
_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+]*)://(?P<netloc>[^/?#]*)(?:/(?P<database>[^?#]*))?(?:\?(?P<options>[^#]*))?"
)
_NETLOC = re.compile(
    r"(?:(?P<user>[^:@]*)(?::(?P<password>.*))?@)?(?P<host>\[[^\]]*\]|[^:]*)(?::(?P<port>[^:]*))?",
    re.DOTALL,
)
_PARTS = ("host", "port", "database", "user", "password")
_OWN = ("type", "url", "description", "schema", "path", "connect_timeout", *_PARTS)


class Address(msgspec.Struct, frozen=True):
    """The address of a database.

    Its repr shows only the kind, because `password` and `options` may hold secrets.
    """

    kind: str
    host: str = ""
    port: int | None = None
    database: str = ""
    user: str = ""
    password: str = ""
    options: dict[str, str] = {}
    path: str = ""
    """For SQLite: the file, absolute or relative to the project."""
    connect_seconds: int = CONNECT_SECONDS

    def __repr__(self) -> str:
        return f"Address({self.kind})"


def address_of(connection: Mapping[str, Any], secrets: Secrets) -> Address:
    """Return the address of a database.

    Raises Unavailable (`configuration_error`), and SecretMissing.
    """
    kind, url = resolved_kind(connection, secrets)
    if kind not in DATABASES:
        raise unusable(
            f"rows are read from {', '.join(DATABASES)}; this connection is none of them"
        )
    if kind == "sqlite":
        return Address(
            kind,
            path=secrets.resolved(str(connection.get("path", "")))
            or _sqlite_path(str(url), secrets),
        )
    results = _parts(str(url), secrets) if url else {}
    options = results.pop("options", {})
    settings = {name: str(value) for name, value in secrets.resolved(dict(connection)).items()}
    results |= {name: settings[name] for name in _PARTS if name in settings}
    options |= {name: value for name, value in settings.items() if name not in _OWN}
    secrets.hide(results.get("password", ""))
    return Address(
        kind,
        port=_whole(results.pop("port", ""), "port"),
        options=options,
        connect_seconds=_whole(
            settings.get("connect_timeout") or options.pop("connect_timeout", ""), "connect_timeout"
        )
        or CONNECT_SECONDS,
        **results,
    )


def _parts(url: str, secrets: Secrets) -> dict[str, Any]:
    """Return the parts of a URL, with references resolved part by part.

    A password may therefore hold any character without escapes.
    """
    whole = _URL.fullmatch(url.strip())
    netloc = _NETLOC.fullmatch(whole["netloc"]) if whole else None
    if whole is None or netloc is None or whole["scheme"].lower() not in CONNECTION_SCHEMES:
        raise unusable(
            "the connection's URL can't be read: write it like postgresql://user@host:5432/database"
        )
    parts = {
        name: secrets.resolved(unquote(text)) for name, text in netloc.groupdict().items() if text
    }
    if whole["database"]:
        parts["database"] = secrets.resolved(unquote(whole["database"]))
    if "host" in parts:
        parts["host"] = parts["host"].strip("[]")
    options = {name: secrets.resolved(value) for name, value in parse_qsl(whole["options"] or "")}
    parts |= {name: options.pop(name) for name in _PARTS if name in options}
    return {**parts, "options": options}


def _sqlite_path(url: str, secrets: Secrets) -> str:
    """Return the path of an SQLite URL.

    `sqlite:data/x.db` and `sqlite:///data/x.db` are relative to the project, `sqlite:/data/x.db`
    and `sqlite:////data/x.db` are absolute.
    """
    rest = url.strip().partition(":")[2]
    return str(secrets.resolved(unquote(rest.removeprefix("///"))))


def _whole(text: str, name: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65_536):
        raise unusable(f"`{name}` of the connection is no whole number from 1 to 65,535")
    return int(text)


def file_of(address: Address, root: Path) -> Path:
    """Return the absolute path of an SQLite file."""
    if not address.path or "\0" in address.path:
        raise unusable('the connection names no file: write path = "data/erp.db"')
    return root / address.path


# A read-only connection.

Values = Mapping[str, Any]
"""Name of a placeholder → its bound value."""
COLUMNS_MAX = 1_600


class SourceDatabase(ABC):
    """A connection in one read-only transaction: all reads come from one snapshot.

    Its methods raise Unavailable with the database's message.
    """

    percent = False
    """Whether the driver's placeholders are `%(name)s`, so that any other `%` is doubled."""
    backslashes = False
    """Whether `\\` escapes inside of strings."""
    as_doubles: frozenset[str] = frozenset()
    """Names, in lower case, of columns to copy as DOUBLE if their decimal numbers have no scale."""

    def mark(self, name: str) -> str:
        """Return the placeholder of a bound value."""
        return f"%({name})s"

    def quoted(self, name: str) -> str:
        """Return a name quoted for a statement, whatever characters it has."""
        return '"' + name.replace('"', '""').replace("%", "%%" if self.percent else "%") + '"'

    # for engines that inspect the column
    def bound(self, moment: date | datetime, column_of: str = "") -> Any:  # noqa: ARG002
        """Return the value to bind for an interval's start or end.

        `moment` is a date for days and longer intervals, a time with a zone for hours. `column_of`
        is a statement for the compared column, under the name `moment`, if it is known.
        """
        return moment

    def as_cursor(self, expression: str) -> str:
        """Return the expression for the highest cursor, as a value that can be bound again."""
        return expression

    @abstractmethod
    def columns(self, sql: str, values: Values) -> list[str]:
        """Return the names of a SELECT's columns, without reading rows."""

    @abstractmethod
    def rows(self, sql: str, values: Values) -> list[tuple[Any, ...]]:
        """Return all rows of a short result."""

    @abstractmethod
    def copy(self, sql: str, values: Values, target: Path) -> None:
        """Write the rows of a SELECT to a Parquet file, in bounded memory."""

    @abstractmethod
    def close(self) -> None:
        """End the transaction and the connection."""


@contextlib.contextmanager
def connect_source(access: Access) -> Iterator[SourceDatabase]:
    """Connect to a source's database. Raises Unavailable and SecretMissing."""
    with open_engine(
        address_of(access.connection, access.secrets),
        access.secrets.root,
        access.source.timezone,
        access.temporary,
    ) as engine:
        yield engine


@contextlib.contextmanager
def open_engine(
    address: Address, root: Path, timezone: str, temporary: Path
) -> Iterator[SourceDatabase]:
    """Connect to an address.

    `root` is the project's folder, `temporary` a folder that belongs to Headrace.
    """
    engine: SourceDatabase = module_of("engines", address.kind).connect(
        address, root=root, timezone=timezone, temporary=temporary
    )
    try:
        yield engine
    finally:
        engine.close()


def module_of(folder: str, kind: str) -> Any:
    """Return the module for a kind of database; it imports the driver. Raises Unavailable."""
    try:
        return import_module(f"headrace_databases.{folder}.{kind}")
    except ModuleNotFoundError as error:
        raise unusable(
            f"{kind} needs the package {error.name}: pip install 'headrace-databases[{kind}]'"
        ) from None


def checked_names(names: Sequence[str]) -> list[str]:
    """Return the columns' names.

    Refuse names that are equal without case, as DuckDB compares them.
    """
    seen: dict[str, str] = {}
    for name in names:
        if seen.setdefault(name.lower(), name) is not name:
            raise unusable(
                f"two columns are called {printable(name)}: give one of them another name with AS"
                " in a `query`"
            )
    if not 0 < len(names) <= COLUMNS_MAX:
        raise unusable(f"there are {len(names):,} columns; 1 to {COLUMNS_MAX:,} can be read")
    return list(names)
