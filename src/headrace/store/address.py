"""The state's address from `[store]`: a SQLite file, or a PostgreSQL URL or connection name."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from headrace.model.errors import StoreError
from headrace.model.nodes import Settings
from headrace.model.secrets import is_reference
from headrace.model.settings import PRODUCTION

Resolve = Callable[[Any], Any]
"""Replaces every secret reference in a value by the secret."""

NAME_BYTES_MAX = 63
"""Limit for PostgreSQL schema names, which PostgreSQL truncates with only a notice."""
_POSTGRESQL = ("postgresql://", "postgres://")
_FIELDS = {
    "host": "host",
    "port": "port",
    "user": "user",
    "password": "password",
    "database": "dbname",
}
"""Field of a connection → libpq's parameter."""
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}|secret://env/(\S+)")


class SqliteAddress(NamedTuple):
    """Absolute path of a SQLite file."""

    path: Path


class PostgresqlAddress(NamedTuple):
    """A PostgreSQL database with the schemas that Headrace uses in it."""

    parameters: dict[str, str]
    """libpq's connection parameters. They include the password: never print or log them."""
    schema: str
    """The schema of the state."""
    folder: Path
    """The data folder on this machine."""

    @property
    def lake_schema(self) -> str:
        """The schema of the lake's catalog."""
        return f"{self.schema}_lake"

    @property
    def label(self) -> str:
        """The address for messages: without the password."""
        known = self.parameters
        host = known.get("host", known.get("hostaddr", ""))
        at = f"{known['user']}@" if "user" in known else ""
        port = f":{known['port']}" if "port" in known else ""
        return f"postgresql://{at}{host}{port}/{known.get('dbname', '')} (schema {self.schema})"


def address(
    root: Path, settings: Settings, resolve: Resolve | None = None
) -> SqliteAddress | PostgresqlAddress:
    """Return the state's address, with secret references replaced by `resolve`.

    Without `resolve`, only references to environment variables are replaced. Raises StoreError for
    an unusable address.
    """
    resolve = resolve or _from_environment
    if settings.store_connection is not None:
        return _postgresql(
            root, settings, _of_connection(settings, settings.store_connection), resolve
        )
    url = settings.store_url
    if not url.startswith((*_POSTGRESQL, "sqlite:")) and is_reference(url):
        url = str(resolve(url))
    if url.startswith(_POSTGRESQL):
        return _postgresql(root, settings, {"url": url}, resolve)
    kind, _, rest = url.partition(":")
    if kind != "sqlite" or not rest or rest.startswith("//") or "\0" in rest:
        raise StoreError(
            f"[store] url {_without_password(url)!r} is no address of a state database",
            hint=(
                'write url = "sqlite:.headrace/state.db" (a path, relative to the project or'
                ' absolute) or "postgresql://user@host/database"'
            ),
        )
    return SqliteAddress((root.absolute() / rest).absolute())


def _of_connection(settings: Settings, name: str) -> Mapping[str, Any]:
    connection = settings.connections.get(name)
    if connection is None:
        raise StoreError(
            f"[store] connection names {name[:60]!r}, and there is no [connections.{name[:60]}]",
            hint="add it to headrace.toml",
        )
    return connection


def _postgresql(
    root: Path, settings: Settings, connection: Mapping[str, Any], resolve: Resolve
) -> PostgresqlAddress:
    parameters: dict[str, str] = {}
    if "url" in connection:
        url = str(connection["url"])
        parameters = parts_of(url if url.startswith(_POSTGRESQL) else str(resolve(url)))
    parameters |= {
        _FIELDS[name]: str(value) for name, value in connection.items() if name in _FIELDS
    }
    known = {name: str(resolve(value)) for name, value in parameters.items()}
    return PostgresqlAddress(
        known, _schema(settings), (root / settings.lake_path).absolute().parent
    )


def parts_of(url: str) -> dict[str, str]:
    """Split a PostgreSQL URL into libpq's parameters.

    Raises StoreError for an invalid URL. The message omits the URL, which may contain a password.
    """
    psycopg = driver()
    try:
        return {
            name: str(value)
            for name, value in psycopg.conninfo.conninfo_to_dict(url).items()
            if value is not None
        }
    except psycopg.Error:
        raise StoreError(
            "[store] url is no PostgreSQL address that can be read",
            hint=(
                'write "postgresql://user:${PASSWORD}@host:5432/database"; characters with a'
                " meaning in URLs as %40 and the like"
            ),
        ) from None


def _schema(settings: Settings) -> str:
    """Return the state's schema; each environment has its own."""
    name = (
        settings.store_schema
        if settings.environment == PRODUCTION
        else f"{settings.store_schema}_{settings.environment}"
    )
    if len(f"{name}_lake".encode()) > NAME_BYTES_MAX or "\0" in name:
        raise StoreError(
            f"the schema {name[:60]!r} of the state has too long a name for PostgreSQL",
            hint="shorten [store] schema, or the environment's name",
        )
    return name


def _from_environment(value: Any) -> Any:
    """Replace references to environment variables, and no others."""
    if not isinstance(value, str):
        return value
    return _VARIABLE.sub(lambda match: _variable(match[1] or match[2]), value)


def _variable(name: str) -> str:
    if name not in os.environ:
        raise StoreError(
            f"the state's address needs the environment variable {name}, which isn't set",
            hint=f"set {name} where headrace runs",
        )
    return os.environ[name]


def _without_password(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//…@", url)


def driver() -> Any:
    """Import psycopg. Raises StoreError if it can't be imported."""
    try:
        import psycopg
    except ImportError as error:
        raise StoreError(
            f"PostgreSQL needs its driver, and it can't be loaded ({error})",
            hint="pip install 'headrace[postgresql]'",
        ) from error
    return psycopg
