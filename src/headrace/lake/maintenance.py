"""Merging, expiring and cleaning up by DuckLake's own SQL: a process of its own, because its SQLite isn't Python's.

    python -m headrace.lake.maintenance merge  --catalog state.db --data-folder lake [--table T | --without T …] [--files-max N]
    python -m headrace.lake.maintenance expire --catalog state.db --data-folder lake --before T [--keep 3,17]
    python -m headrace.lake.maintenance clean  --catalog state.db --data-folder lake --before T --longest-attempt-s S

`--catalog -` is a catalog in PostgreSQL: its address comes as JSON by standard input, so that no password is in a list of processes.

Prints one JSON document. Each step is one short transaction; one that meets the leader's is tried again.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from headrace.faults import FaultPoint, reached
from headrace.lake.catalog.reading import FOREIGN_FILES
from headrace.lake.catalog.schema import PostgresqlCatalog
from headrace.lake.files import protect
from headrace.lake.session import load
from headrace.lake.sqltext import literal
from headrace.lake.tables import SCHEMA_FOLDER
from headrace.model.errors import HeadraceError, LakeError, Refused, first_line

if TYPE_CHECKING:
    import duckdb

FILES_AT_ONCE_MAX = 200
"""Files that one merging step takes: it bounds how long a step is and how much it writes."""
TRIES_MAX = 8
WAIT_S = 0.05
PASSING = ("locked", "conflict", "busy", "serialize", "duplicate key")
"""In messages of failures that another try may not meet."""
BUSY_TIMEOUT_MS = 10_000

Result = TypeVar("Result")


class MergeSummary(msgspec.Struct, frozen=True):
    """What merging did: files that became fewer, by table."""

    files_before: dict[str, int]
    files_after: dict[str, int]


class Expired(msgspec.Struct, frozen=True):
    """Snapshots that are gone. Their files are gone from disk only after `clean`."""

    snapshots: tuple[int, ...]


class Cleaned(msgspec.Struct, frozen=True):
    """Files that were deleted from disk."""

    paths: tuple[str, ...]


_VARIABLES = {name: f"PG{name.upper()}" for name in ("host", "hostaddr", "port", "user", "password", "passfile", "options")} | {
    "dbname": "PGDATABASE", "sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT", "sslcert": "PGSSLCERT", "sslkey": "PGSSLKEY",
}  # fmt: skip
"""What libpq reads from the environment: there DuckDB's messages don't repeat it."""


def attach(catalog: Path | PostgresqlCatalog, data_folder: Path) -> duckdb.DuckDBPyConnection:
    """A connection with the lake attached as `lake`, through DuckLake. Only in a process that doesn't open the catalog otherwise."""
    import duckdb

    connection = duckdb.connect(config={"autoload_known_extensions": False, "autoinstall_known_extensions": False})
    load(connection, "ducklake", "postgres_scanner" if isinstance(catalog, PostgresqlCatalog) else "sqlite_scanner")
    attach_to(connection, catalog, data_folder)
    return connection


def attach_to(connection: duckdb.DuckDBPyConnection, catalog: Path | PostgresqlCatalog, data_folder: Path) -> None:
    """Attach the lake as `lake` to a connection that has the extensions loaded."""
    if isinstance(catalog, PostgresqlCatalog):
        _attach_postgresql(connection, catalog, data_folder)
        return
    # in another journal mode one reader makes the writer's commit fail and leaves the lock held
    connection.execute(
        f"ATTACH {literal(f'ducklake:sqlite:{catalog}')} AS lake (DATA_PATH {literal(f'{data_folder.resolve()}/')}, "
        f"OVERRIDE_DATA_PATH true, META_JOURNAL_MODE 'WAL', META_BUSY_TIMEOUT {BUSY_TIMEOUT_MS}, DATA_INLINING_ROW_LIMIT 0)"
    )


def _attach_postgresql(connection: duckdb.DuckDBPyConnection, catalog: PostgresqlCatalog, data_folder: Path) -> None:
    os.environ.update({_VARIABLES[name]: value for name, value in catalog.parameters.items() if name in _VARIABLES})
    connection.execute(
        f"ATTACH 'ducklake:postgres:' AS lake (DATA_PATH {literal(f'{data_folder.resolve()}/')}, OVERRIDE_DATA_PATH true, "
        f"METADATA_SCHEMA {literal(catalog.schema)}, DATA_INLINING_ROW_LIMIT 0)"
    )


def merge(
    connection: duckdb.DuckDBPyConnection, *, table: str | None = None, without: Sequence[str] = (), files_max: int = FILES_AT_ONCE_MAX
) -> MergeSummary:
    """Merge small adjacent files of one table, or of each but for those `without`, `files_max` at a time, until there is nothing to
    merge."""
    names = [table] if table is not None else [name for name in _tables(connection) if name not in without]
    before = {name: _file_count(connection, name) for name in names}
    for name in names:
        while _again(
            lambda name=name: connection.execute(  # type: ignore[misc]
                f"CALL ducklake_merge_adjacent_files('lake', {literal(name)}, schema => 'main', max_compacted_files => {int(files_max)})"
            ).fetchall()
        ):
            pass
        reached(FaultPoint.MERGE_STEP)
    return MergeSummary(before, {name: _file_count(connection, name) for name in names})


def protect_merged(data_folder: Path) -> None:
    """Make the files that DuckLake has written read-only, as those are that Headrace stages."""
    for path in (data_folder / SCHEMA_FOLDER).rglob(f"{FOREIGN_FILES}*.parquet"):
        with contextlib.suppress(FileNotFoundError):
            protect(path)


def expire(connection: duckdb.DuckDBPyConnection, *, before: datetime, keep: Sequence[int] = ()) -> Expired:
    """Expire snapshots made before an instant, but those in `keep` (pinned by attempts, incidents, plans) and the newest."""
    rows = connection.execute("SELECT snapshot_id FROM lake.snapshots() WHERE snapshot_time < ? ORDER BY 1", [before]).fetchall()
    newest = connection.execute("SELECT max(snapshot_id) FROM lake.snapshots()").fetchone()
    gone = [row[0] for row in rows if row[0] not in keep and newest is not None and row[0] != newest[0]]
    if gone:
        _again(lambda: connection.execute(f"CALL ducklake_expire_snapshots('lake', versions => {gone})").fetchall())
    return Expired(tuple(gone))


def clean(connection: duckdb.DuckDBPyConnection, *, before: datetime, longest_attempt: timedelta) -> Cleaned:
    """Delete files that left the last snapshot naming them before an instant. Never all at once: a long reader still has them open,
    so `before` must lie further back than an attempt can take. Raises `Refused` otherwise."""
    if before > datetime.now(UTC) - longest_attempt:
        raise Refused(
            f"files that were in use at {before.isoformat()} may still be read: an attempt can take {longest_attempt}",
            hint="clean up to an instant that lies further back",
        )
    rows = _again(lambda: connection.execute("CALL ducklake_cleanup_old_files('lake', older_than => ?::TIMESTAMPTZ)", [before]).fetchall())
    return Cleaned(tuple(row[0] for row in rows))


def _tables(connection: duckdb.DuckDBPyConnection) -> list[str]:
    rows = connection.execute(
        "SELECT table_name FROM duckdb_tables() WHERE database_name = 'lake' AND schema_name = 'main' ORDER BY 1"
    ).fetchall()
    return [row[0] for row in rows]


def _file_count(connection: duckdb.DuckDBPyConnection, name: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM ducklake_list_files('lake', {literal(name)}, schema => 'main')").fetchone()
    return 0 if row is None else row[0]


def _again(step: Callable[[], Result]) -> Result:
    """The step, tried again where the leader committed in between: DuckLake's own snapshot can't be upgraded then."""
    import duckdb

    for number in range(TRIES_MAX):
        try:
            return step()
        except duckdb.Error as error:
            if number == TRIES_MAX - 1 or not any(word in str(error).lower() for word in PASSING):
                raise LakeError(f"maintenance of the lake failed: {first_line(error)}") from error
            time.sleep(WAIT_S * 2**number)
    raise AssertionError("unreachable")


def main(arguments: Sequence[str]) -> int:
    """Run one step and print its document."""
    parser = argparse.ArgumentParser(prog="python -m headrace.lake.maintenance")
    parser.add_argument("step", choices=("merge", "expire", "clean"))
    parser.add_argument("--catalog", required=True)
    parser.add_argument("--data-folder", type=Path, required=True)
    parser.add_argument("--table")
    parser.add_argument("--without", action="append", default=[], metavar="T")
    parser.add_argument("--files-max", type=int, default=FILES_AT_ONCE_MAX)
    parser.add_argument("--before", type=datetime.fromisoformat, default=datetime(1970, 1, 1, tzinfo=UTC))
    parser.add_argument("--keep", type=lambda text: [int(part) for part in text.split(",") if part], default=[])
    parser.add_argument("--longest-attempt-s", type=float, default=3600.0)
    given = parser.parse_args(arguments)
    import duckdb

    done: MergeSummary | Expired | Cleaned
    catalog = msgspec.json.decode(sys.stdin.buffer.read(), type=PostgresqlCatalog) if given.catalog == "-" else Path(given.catalog)
    try:
        with attach(catalog, given.data_folder) as connection:
            match given.step:
                case "merge":
                    done = merge(connection, table=given.table, without=given.without, files_max=given.files_max)
                    protect_merged(given.data_folder)
                case "expire":
                    done = expire(connection, before=given.before, keep=given.keep)
                case _:
                    longest = timedelta(seconds=given.longest_attempt_s)
                    done = clean(connection, before=given.before, longest_attempt=longest)
    except (HeadraceError, duckdb.Error) as error:  # whoever started this process shows its last line to a person
        sys.stderr.write(str(error).strip().partition("\n")[0] + "\n")
        return 1
    sys.stdout.write(msgspec.json.encode(done).decode() + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
