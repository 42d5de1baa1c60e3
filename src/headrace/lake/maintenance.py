"""Merge small files, expire snapshots and clean up files with DuckLake's own SQL.

    python -m headrace.lake.maintenance COMMAND --catalog state.db --data-folder lake [OPTIONS]

        merge   [--table T | --without T …] [--files-max N]
        expire  --before T [--keep 3,17]
        clean   --before T --longest-attempt-s S

It runs in a separate process, because DuckLake's SQLite isn't Python's. `--catalog -` means a
catalog in PostgreSQL: its address comes as JSON on standard input, so that no password shows in the
list of processes.

Prints one JSON document. Each step is one short transaction, and is retried if it conflicts with
the leader's.
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
"""Maximum number of files per merge step: limits its duration and the bytes that it writes."""
TRIES_MAX = 8
WAIT_S = 0.05
PASSING = ("locked", "conflict", "busy", "serialize", "duplicate key")
"""Words in the messages of transient errors, which are worth a retry."""
BUSY_TIMEOUT_MS = 10_000

Result = TypeVar("Result")


class MergeSummary(msgspec.Struct, frozen=True):
    """The result of merging: number of files per table before and after."""

    files_before: dict[str, int]
    files_after: dict[str, int]


class Expired(msgspec.Struct, frozen=True):
    """The expired snapshots. `clean` later deletes their files from disk."""

    snapshots: tuple[int, ...]


class Cleaned(msgspec.Struct, frozen=True):
    """Paths of the files that were deleted from disk."""

    paths: tuple[str, ...]


_VARIABLES = {
    name: f"PG{name.upper()}"
    for name in ("host", "hostaddr", "port", "user", "password", "passfile", "options")
} | {
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
}
"""libpq's environment variables; parameters passed there don't appear in DuckDB's messages."""


def attach(catalog: Path | PostgresqlCatalog, data_folder: Path) -> duckdb.DuckDBPyConnection:
    """Connect to DuckDB with the lake attached as `lake` through DuckLake.

    Call it only in a process that doesn't open the catalog in another way.
    """
    import duckdb

    connection = duckdb.connect(
        config={"autoload_known_extensions": False, "autoinstall_known_extensions": False}
    )
    load(
        connection,
        "ducklake",
        "postgres_scanner" if isinstance(catalog, PostgresqlCatalog) else "sqlite_scanner",
    )
    attach_to(connection, catalog, data_folder)
    return connection


def attach_to(
    connection: duckdb.DuckDBPyConnection, catalog: Path | PostgresqlCatalog, data_folder: Path
) -> None:
    """Attach the lake as `lake` to a connection with the extensions loaded."""
    if isinstance(catalog, PostgresqlCatalog):
        _attach_postgresql(connection, catalog, data_folder)
        return
    # in another journal mode, one reader makes the writer's commit fail and leaves the lock held
    connection.execute(
        f"ATTACH {literal(f'ducklake:sqlite:{catalog}')} AS lake (DATA_PATH"
        f" {literal(f'{data_folder.resolve()}/')}, OVERRIDE_DATA_PATH true, META_JOURNAL_MODE"
        f" 'WAL', META_BUSY_TIMEOUT {BUSY_TIMEOUT_MS}, DATA_INLINING_ROW_LIMIT 0)"
    )


def _attach_postgresql(
    connection: duckdb.DuckDBPyConnection, catalog: PostgresqlCatalog, data_folder: Path
) -> None:
    os.environ.update(
        {
            _VARIABLES[name]: value
            for name, value in catalog.parameters.items()
            if name in _VARIABLES
        }
    )
    connection.execute(
        f"ATTACH 'ducklake:postgres:' AS lake (DATA_PATH {literal(f'{data_folder.resolve()}/')},"
        f" OVERRIDE_DATA_PATH true, METADATA_SCHEMA {literal(catalog.schema)},"
        " DATA_INLINING_ROW_LIMIT 0)"
    )


def merge(
    connection: duckdb.DuckDBPyConnection,
    *,
    table: str | None = None,
    without: Sequence[str] = (),
    files_max: int = FILES_AT_ONCE_MAX,
) -> MergeSummary:
    """Merge small adjacent files, `files_max` at a time, until none are left to merge.

    Merges one `table`, or all tables except `without`.
    """
    names = (
        [table]
        if table is not None
        else [name for name in _tables(connection) if name not in without]
    )
    before = {name: _file_count(connection, name) for name in names}
    for name in names:
        while _again(
            lambda name=name: connection.execute(  # type: ignore[misc]
                f"CALL ducklake_merge_adjacent_files('lake', {literal(name)}, schema => 'main',"
                f" max_compacted_files => {int(files_max)})"
            ).fetchall()
        ):
            pass
        reached(FaultPoint.MERGE_STEP)
    return MergeSummary(before, {name: _file_count(connection, name) for name in names})


def protect_merged(data_folder: Path) -> None:
    """Make the files that DuckLake wrote read-only, like those that Headrace stages."""
    for path in (data_folder / SCHEMA_FOLDER).rglob(f"{FOREIGN_FILES}*.parquet"):
        with contextlib.suppress(FileNotFoundError):
            protect(path)


def expire(
    connection: duckdb.DuckDBPyConnection, *, before: datetime, keep: Sequence[int] = ()
) -> Expired:
    """Expire snapshots made before a point in time.

    The newest snapshot stays, and so do those in `keep` (pinned by attempts, incidents, plans).
    """
    rows = connection.execute(
        "SELECT snapshot_id FROM lake.snapshots() WHERE snapshot_time < ? ORDER BY 1", [before]
    ).fetchall()
    newest = connection.execute("SELECT max(snapshot_id) FROM lake.snapshots()").fetchone()
    expired = [
        row[0] for row in rows if row[0] not in keep and newest is not None and row[0] != newest[0]
    ]
    if expired:
        _again(
            lambda: connection.execute(
                f"CALL ducklake_expire_snapshots('lake', versions => {expired})"
            ).fetchall()
        )
    return Expired(tuple(expired))


def clean(
    connection: duckdb.DuckDBPyConnection, *, before: datetime, longest_attempt: timedelta
) -> Cleaned:
    """Delete files that no snapshot has referenced since `before`.

    A long reader may still have them open, so `before` must lie further back than the longest
    attempt takes. Raises Refused otherwise.
    """
    if before > datetime.now(UTC) - longest_attempt:
        raise Refused(
            f"files that were in use at {before.isoformat()} may still be read: an attempt can take"
            f" {longest_attempt}",
            hint="clean up to an instant that lies further back",
        )
    rows = _again(
        lambda: connection.execute(
            "CALL ducklake_cleanup_old_files('lake', older_than => ?::TIMESTAMPTZ)", [before]
        ).fetchall()
    )
    return Cleaned(tuple(row[0] for row in rows))


def _tables(connection: duckdb.DuckDBPyConnection) -> list[str]:
    rows = connection.execute(
        "SELECT table_name FROM duckdb_tables() WHERE database_name = 'lake' AND schema_name ="
        " 'main' ORDER BY 1"
    ).fetchall()
    return [row[0] for row in rows]


def _file_count(connection: duckdb.DuckDBPyConnection, name: str) -> int:
    row = connection.execute(
        f"SELECT count(*) FROM ducklake_list_files('lake', {literal(name)}, schema => 'main')"
    ).fetchone()
    return 0 if row is None else row[0]


def _again(step: Callable[[], Result]) -> Result:
    """Run the step, and retry it after transient errors.

    If the leader commits meanwhile, DuckLake can't upgrade its own snapshot.
    """
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
    """Run one step and print its result as JSON."""
    parser = argparse.ArgumentParser(prog="python -m headrace.lake.maintenance")
    parser.add_argument("step", choices=("merge", "expire", "clean"))
    parser.add_argument("--catalog", required=True)
    parser.add_argument("--data-folder", type=Path, required=True)
    parser.add_argument("--table")
    parser.add_argument("--without", action="append", default=[], metavar="T")
    parser.add_argument("--files-max", type=int, default=FILES_AT_ONCE_MAX)
    parser.add_argument(
        "--before", type=datetime.fromisoformat, default=datetime(1970, 1, 1, tzinfo=UTC)
    )
    parser.add_argument(
        "--keep", type=lambda text: [int(part) for part in text.split(",") if part], default=[]
    )
    parser.add_argument("--longest-attempt-s", type=float, default=3600.0)
    options = parser.parse_args(arguments)
    import duckdb

    done: MergeSummary | Expired | Cleaned
    catalog = (
        msgspec.json.decode(sys.stdin.buffer.read(), type=PostgresqlCatalog)
        if options.catalog == "-"
        else Path(options.catalog)
    )
    try:
        with attach(catalog, options.data_folder) as connection:
            match options.step:
                case "merge":
                    done = merge(
                        connection,
                        table=options.table,
                        without=options.without,
                        files_max=options.files_max,
                    )
                    protect_merged(options.data_folder)
                case "expire":
                    done = expire(connection, before=options.before, keep=options.keep)
                case _:
                    longest = timedelta(seconds=options.longest_attempt_s)
                    done = clean(connection, before=options.before, longest_attempt=longest)
    except (HeadraceError, duckdb.Error) as error:  # the parent shows the last line to a person
        sys.stderr.write(str(error).strip().partition("\n")[0] + "\n")
        return 1
    sys.stdout.write(msgspec.json.encode(done).decode() + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
