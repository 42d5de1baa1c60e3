"""`sql --attach`: how DuckDB, or whatever reads DuckLake, attaches the lake. Reads made so aren't seen by Headrace."""

from __future__ import annotations

from headrace.lake.sqltext import literal
from headrace.operations.inspections import AttachResponse
from headrace.operations.session import ProjectSession
from headrace.store.address import PostgresqlAddress, SqliteAddress, address

UNSEEN = "Headrace doesn't see what is read this way: it isn't masked, and counts as no use."
BUSY_MS = 10_000
_NAMES = ("host", "hostaddr", "port", "dbname", "user", "sslmode", "sslrootcert")
"""What a connection string may say of libpq's parameters: never a password."""


def attach(session: ProjectSession) -> AttachResponse:
    """The statements for a read-only ATTACH; without a password, whatever the address holds."""
    where = address(session.root, session.settings)
    lake = literal(f"{session.folders.lake}/")
    if isinstance(where, PostgresqlAddress):
        connection = " ".join(f"{name}={_quoted(where.parameters[name])}" for name in _NAMES if name in where.parameters)
        options = f"DATA_PATH {lake}, METADATA_SCHEMA {literal(where.lake_schema)}, OVERRIDE_DATA_PATH true, READ_ONLY"
        statement = f"ATTACH {literal(f'ducklake:postgres:{connection}')} AS lake ({options});"
        note = f"The password comes from PGPASSWORD or ~/.pgpass. {UNSEEN}"
        return AttachResponse(catalog="postgresql", statement=_installed("postgres", statement), note=note)
    assert isinstance(where, SqliteAddress)
    options = f"DATA_PATH {lake}, META_JOURNAL_MODE 'WAL', META_BUSY_TIMEOUT {BUSY_MS}, OVERRIDE_DATA_PATH true, READ_ONLY"
    statement = f"ATTACH {literal(f'ducklake:sqlite:{where.path}')} AS lake ({options});"
    note = f"Not in a process that opens the state database itself. {UNSEEN}"
    return AttachResponse(catalog="sqlite", statement=_installed("sqlite", statement), note=note)


def _installed(catalog: str, statement: str) -> str:
    return f"INSTALL ducklake; INSTALL {catalog};\n{statement}\nUSE lake;"


def _quoted(value: str) -> str:
    """A value of libpq's connection string."""
    if value and value.isalnum():
        return value
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
