"""The state in a schema of a PostgreSQL database, accessed by psycopg 3.

The lake's catalog is in another schema of the same database.

Writing transactions run one at a time, as in SQLite: each one first locks the lease's row, and
then sees everything that the previous one committed. Readers use one snapshot and never wait.

After a lost connection, the next transaction connects again. The interrupted transaction was rolled
back, or, if the connection was lost during its commit, possibly committed as a whole: a leader
then stops, and the next leader continues from the database's state.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, cast

from headrace.model.errors import StoreError, StoreUnreachable, words_of
from headrace.store import engines, migrations, postgresql_dialect
from headrace.store.address import PostgresqlAddress, driver
from headrace.store.engines.sqlite import private_folder
from headrace.store.event_recording import (
    LAST,
    EventRecordKind,
    Recorder,
    Texts,
    append_event,
    statement,
)
from headrace.store.postgresql_batches import COLUMN_TYPES, Batched, arrays_of, batched, types_of
from headrace.store.postgresql_dialect import adapt, translated
from headrace.store.transaction import (
    RESTORE,
    Cursor,
    Dialect,
    Parameters,
    Transaction,
    over,
    quoted,
)

CONNECT_SECONDS = 10
LOCK_SECONDS = 10
"""Seconds that a statement waits for another transaction before it raises StoreError."""
IDLE_SECONDS = 120
"""Seconds until the server ends the idle transaction of a silent client, and frees its lock.

The client's machine may be gone.
"""
STREAM_ROWS = 1_000
"""Rows per fetch of a streamed query."""
BATCH_ROWS = 1_000
"""Most rows that one statement writes."""
ColumnTypes = dict[str, dict[str, str]]
"""Types of columns, by table and column."""
_SESSION = {
    "application_name": "headrace",
    "connect_timeout": str(CONNECT_SECONDS),
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
    "client_encoding": "utf8",
}
_LOCK_KEY = 0x48445243
"""Key of the advisory lock that is held while migrations are applied."""
_BOUNDS = ("savepoint ", "release ", "rollback to ")


class PostgresqlCursor:
    """A psycopg cursor with `lastrowid`."""

    __slots__ = ("_cursor",)

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    @property
    def lastrowid(self) -> int | None:
        """The last value that a sequence returned in this session."""
        row = self._cursor.connection.execute("select lastval()").fetchone()
        return int(row[0])

    def fetchone(self) -> Any:
        return self._cursor.fetchone()

    def fetchall(self) -> list[Any]:
        return cast("list[Any]", self._cursor.fetchall())

    def __iter__(self) -> Iterator[Any]:
        return iter(self._cursor)


class PostgresqlTransaction(Transaction):
    """A transaction of a connection.

    From its first `executemany` on, it sends statements without waiting for each result (pipeline
    mode), and one statement for several rows where that means the same (`postgresql_batches`). A
    query waits for its own result, any other single statement for its completion, and the commit
    for all. Between a savepoint and its end there is no pipeline, so that errors are raised there.
    """

    __slots__ = ("_connection", "_pipeline", "_savepoints", "_stack", "_types")
    dialect = Dialect.POSTGRESQL

    def __init__(self, connection: Any, types: ColumnTypes) -> None:
        """`types` caches the types of columns for all transactions of an engine."""
        self._connection: Any = connection
        self._types = types
        self._pipeline: Any = None
        self._stack = ExitStack()
        self._savepoints = 0

    def execute(self, sql: str, parameters: Parameters = (), /) -> Cursor:
        if self._connection is None:
            raise over()
        if sql.startswith(_BOUNDS):
            self._end_pipeline()
            self._savepoints += sql.startswith("savepoint") - sql.startswith("release")
        cursor = self._connection.execute(translated(sql), parameters)
        if self._pipeline is not None and not sql.startswith(("select ", "SELECT ")):
            self._pipeline.sync()  # raises the statement's error here
        return PostgresqlCursor(cursor)

    def executemany(self, sql: str, parameters: Iterable[Parameters], /) -> None:
        if self._connection is None:
            raise over()
        rows: Sequence[Parameters] = list(parameters)
        if not rows:
            return
        if not self._savepoints:
            self._begin_pipeline()
        if len(rows) == 1:
            self._connection.execute(translated(sql), rows[0])
            return
        statement = batched(sql)
        types = self._types_of(statement) if statement is not None else None
        for first in range(0, len(rows), BATCH_ROWS):
            some = rows[first : first + BATCH_ROWS]
            if statement is None or types is None or not self._send_at_once(statement, types, some):
                self._connection.cursor().executemany(translated(sql), some)

    def _send_at_once(
        self, statement: Batched, types: Sequence[str], rows: Sequence[Parameters]
    ) -> bool:
        """Send one statement for these rows; return whether that means the same."""
        arrays = arrays_of(statement, rows)
        if arrays is None:
            return False
        # the best plan depends on the number of rows, and on the size of the table by now
        prepare = None if statement.is_insert else False
        self._connection.execute(translated(statement.text(types)), arrays, prepare=prepare)
        return True

    def _types_of(self, statement: Batched) -> list[str] | None:
        """Return the types of a statement's parameters; None if a column is unknown."""
        if statement.table not in self._types:
            rows = self._connection.execute(translated(COLUMN_TYPES), (statement.table,))
            self._types[statement.table] = dict(rows.fetchall())
        return types_of(statement, self._types[statement.table])

    def stream(self, sql: str, /) -> Iterator[tuple[Any, ...]]:
        if self._connection is None:
            raise over()
        with self._connection.cursor(name="headrace_stream") as cursor:
            cursor.itersize = STREAM_ROWS
            cursor.execute(translated(sql))
            yield from cursor

    def fill(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], /) -> None:
        if self._connection is None:
            raise over()
        self._end_pipeline()
        listed = ", ".join(quoted(column) for column in columns)
        with (
            self._connection.cursor() as cursor,
            cursor.copy(f"copy {quoted(table)} ({listed}) from stdin") as copy,
        ):
            for row in rows:
                copy.write_row(row)

    def unrecorded(self, sql: str, parameters: Parameters = (), /) -> None:
        if self._connection is None:
            raise over()
        self._end_pipeline()
        self._connection.execute(translated(sql), parameters)

    def real_us(self) -> int:
        """Return the server's time, which leaders on several machines share."""
        row = self.execute(
            "select (extract(epoch from clock_timestamp()) * 1000000)::bigint"
        ).fetchone()
        return int(row[0])

    def commit(self) -> None:
        """Commit, or raise the error of an earlier statement; then nothing is committed."""
        connection = self._connection
        connection.execute("commit")
        self._end_pipeline()

    def settle(self) -> None:
        """Wait for the results of all sent statements."""
        self._end_pipeline()

    def abandon(self) -> None:
        """End the pipeline before a rollback, ignoring errors, because one was already raised."""
        with suppress(Exception):
            self._end_pipeline()

    def _begin_pipeline(self) -> None:
        if self._pipeline is None:
            self._pipeline = self._stack.enter_context(self._connection.pipeline())

    def _end_pipeline(self) -> None:
        if self._pipeline is not None:
            self._pipeline = None
            self._stack.close()

    def end(self) -> None:
        self._connection = None


class PostgresqlRecording(PostgresqlTransaction):
    """A writing transaction; it records changes in the event log, with ids from the database."""

    __slots__ = ("_ids_due", "recorder")

    def __init__(self, connection: Any, types: ColumnTypes, recorder: Recorder) -> None:
        super().__init__(connection, types)
        self.recorder = recorder
        self._ids_due: list[tuple[Any, list[int | None]]] = []

    def execute(self, sql: str, parameters: Parameters = (), /) -> Cursor:
        if sql.startswith(("select ", "SELECT ")) or (change := statement(sql)) is None:
            return super().execute(sql, parameters)
        if not change.numbered:
            cursor = super().execute(sql, parameters)
            self.recorder.note(sql, change, (parameters,))
            return cursor
        cursor = super().execute(f"{sql} returning {change.numbered}", parameters)
        ids = self.recorder.note(sql, change, (parameters,))
        ids += [row[0] for row in cursor.fetchall()]
        return cursor

    def executemany(self, sql: str, parameters: Iterable[Parameters], /) -> None:
        rows: Sequence[Parameters] = list(parameters)
        change = statement(sql) if rows else None
        if change is None:
            super().executemany(sql, rows)
            return
        if not change.numbered:
            super().executemany(sql, rows)
            self.recorder.note(sql, change, rows)
            return
        if self._connection is None:
            raise over()
        if not self._savepoints:
            self._begin_pipeline()
        cursor = self._connection.cursor()
        returning = translated(f"{sql} returning {change.numbered}")
        cursor.executemany(returning, rows, returning=True)
        self._ids_due.append((cursor, self.recorder.note(sql, change, rows)))

    def record(self, last: tuple[int, bytes] | None) -> None:
        """Append the changes to the event log."""
        if not self.recorder:
            return
        if self._ids_due or self.recorder.asks:
            self.settle()  # raises the error of the statement itself, not a consequence
            for cursor, ids in self._ids_due:
                ids.extend(_returned(cursor))
        self.recorder.write(self._connection_execute, last)

    def _connection_execute(self, sql: str, parameters: Sequence[Any]) -> Any:
        return self._connection.execute(translated(sql), parameters)


def _returned(cursor: Any) -> Iterator[int | None]:
    """Yield the ids of the rows of one `executemany`, in order.

    Yields None for a row that already existed (`on conflict do nothing`).
    """
    while True:
        row = cursor.fetchone()
        yield None if row is None else row[0]
        if not cursor.nextset():
            return


class PostgresqlEngine:
    """Engine for the state in a schema of a PostgreSQL database."""

    def __init__(self, address: PostgresqlAddress) -> None:
        self.address = address
        self.folder = address.folder
        self._reader: Any = None
        self._writer: Any = None
        self._psycopg = driver()
        self._texts = Texts()
        self._types: ColumnTypes = {}

    @property
    def where(self) -> str:
        return self.address.label

    def exists(self) -> bool:
        return bool(self.applied())

    def create(self) -> None:
        with self._translated():
            connection = self._write_connection()
            migrations.refuse_unknown(self._applied(connection), self.where)
            self._make(connection)
        try:
            private_folder(self.folder)
        except OSError as error:
            raise StoreError(
                f"the data folder {self.folder} can't be made: {error.strerror}",
                hint="check who may write there",
            ) from error

    def applied(self) -> dict[int, str]:
        with self._translated():
            return self._applied(self._read_connection())

    def close(self) -> None:
        for connection in (self._reader, self._writer):
            if connection is not None:
                connection.close()
        self._reader = self._writer = None

    def __del__(self) -> None:
        """Close the connections to the server if the caller forgot it."""
        self.close()

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        with self._translated():
            connection = self._read_connection()
            connection.execute("begin isolation level repeatable read, read only")
            transaction = PostgresqlTransaction(connection, self._types)
            try:
                yield transaction
            finally:
                transaction.end()
                if not connection.closed:
                    connection.execute("rollback")

    @contextmanager
    def write(self, epoch: int | None, *, durable: bool) -> Iterator[Transaction]:
        with self._translated():
            connection = self._write_connection()
            begin = (
                "begin isolation level read committed; set local synchronous_commit ="
                f" {'on' if durable else 'off'}; {self._lock}"
            )
            transaction = PostgresqlRecording(connection, self._types, Recorder(self._texts, epoch))
            try:
                (current, released), last = _last_two(connection.execute(begin))
                if epoch is not None:
                    engines.check_epoch(epoch, current, released)
                yield transaction
                transaction.record(last)
                transaction.commit()
                self._texts.committed()
            except BaseException:
                transaction.abandon()
                _roll_back(connection)
                raise
            finally:
                transaction.end()

    def data_version(self) -> int:
        with self._translated():
            row = self._read_connection().execute("select pg_current_snapshot()::text").fetchone()
        return hash(row[0])  # the snapshot changes with each commit in the cluster, of any database

    @property
    def _lock(self) -> str:
        """SQL that locks and reads the lease, then reads the newest record of the event log."""
        return (
            f"select epoch, released from {quoted(self.address.schema)}.lease where id = 1 for"
            f" update; {LAST}"
        )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except self._psycopg.Error as error:
            meant = meaning(self._psycopg, error, self.where)
            if meant is None:
                raise
            raise meant from error
        except UnicodeDecodeError as error:
            if not _is_of_driver(error):
                raise
            text = (
                f"the state database {self.where} is damaged: a text in it is none any more"
                f" ({error})"
            )
            raise StoreError(text, hint=RESTORE) from error

    def _read_connection(self) -> Any:
        if self._reader is None or self._reader.closed:
            self._reader = self._connect()
        return self._reader

    def _write_connection(self) -> Any:
        if self._writer is None or self._writer.closed:
            self._writer = self._connect()
        return self._writer

    def _connect(self) -> Any:
        """Connect in autocommit mode, because transactions begin with an explicit `begin`.

        The search path contains only Headrace's schemas, whatever the role's default is.
        """
        settings = {
            "search_path": f"{quoted(self.address.schema)}, {quoted(self.address.lake_schema)}",
            "timezone": "UTC",
            "lock_timeout": f"{LOCK_SECONDS}s",
            "idle_in_transaction_session_timeout": f"{IDLE_SECONDS}s",
            "standard_conforming_strings": "on",
            "default_transaction_isolation": "read committed",
        }
        connection = self._psycopg.connect(
            **{**_SESSION, **self.address.parameters}, autocommit=True
        )
        try:
            adapt(connection)
            chosen = "select " + ", ".join(
                f"set_config({literal(name)}, {literal(value)}, false)"
                for name, value in settings.items()
            )
            connection.execute(chosen)
        except BaseException:
            connection.close()
            raise
        return connection

    def _applied(self, connection: Any) -> dict[int, str]:
        """Return the checksums of applied migrations by number; empty for an empty schema.

        Raises StoreError if the schema contains another tool's tables.
        """
        schema = self.address.schema
        tables, ours = connection.execute(
            "select count(*), count(*) filter (where relname = 'migration') from pg_class where"
            " relkind = 'r' and relnamespace = (select oid from pg_namespace where nspname = %s)",
            (schema,),
        ).fetchone()
        if not tables:
            return {}
        if not ours:
            raise StoreError(
                f"the schema {schema} at {self.where} has tables, but they aren't Headrace's",
                hint='choose another with [store] schema = "…" in headrace.toml',
            )
        return dict(
            connection.execute(
                f"select number, checksum from {quoted(schema)}.migration"
            ).fetchall()
        )

    def _make(self, connection: Any) -> None:
        """Apply missing migrations; safe if another process does the same concurrently."""
        if len(self._applied(connection)) == len(migrations.known()):
            return
        connection.execute("begin")
        try:
            connection.execute("select pg_advisory_xact_lock(%s)", (_LOCK_KEY,))
            for schema in (self.address.schema, self.address.lake_schema):
                if not connection.execute(
                    "select 1 from pg_namespace where nspname = %s", (schema,)
                ).fetchone():
                    connection.execute(f"create schema {quoted(schema)}")
            done = self._applied(connection)
            migrations.refuse_unknown(done, self.where)
            migrations.refuse_gap(done, self.where)
            for statement in (
                migrations.RECORD,
                *(postgresql_dialect.FUNCTIONS if not done else ()),
            ):
                connection.execute(postgresql_dialect.postgresql_ddl(statement))
            missing = [
                migration for migration in migrations.known() if migration.number not in done
            ]
            applied_now = [self._apply_one(connection, migration) for migration in missing]
            if applied_now:
                connection.execute(f"set local search_path to {quoted(self.address.schema)}")
                append_event(
                    lambda sql, values: connection.execute(translated(sql), values),
                    EventRecordKind.MIGRATED,
                    changes=applied_now,
                )
            connection.execute("commit")
        except BaseException:
            _roll_back(connection)
            raise

    def _apply_one(
        self, connection: Any, migration: migrations.Migration
    ) -> tuple[int, str, str, int]:
        try:
            return self._do_apply(connection, migration)
        except self._psycopg.ProgrammingError as error:  # a table already exists, or is missing
            raise migrations.unappliable(migration, self.where, _first_line(error)) from error

    def _do_apply(
        self, connection: Any, migration: migrations.Migration
    ) -> tuple[int, str, str, int]:
        for sql in migrations.statements(migration.text):
            if text := postgresql_dialect.postgresql_ddl(sql):
                connection.execute(text)
        row = connection.execute(
            "insert into migration (number, name, checksum, applied_at)"
            " values (%s, %s, %s, extract(epoch from now()) * 1000000)"
            " returning number, name, checksum, applied_at",
            (migration.number, migration.name, migration.checksum),
        ).fetchone()
        return cast("tuple[int, str, str, int]", tuple(row))


def _roll_back(connection: Any) -> None:
    """Roll back; if the connection is lost, the server does it."""
    if not connection.closed:
        with suppress(Exception):  # the original error must be raised
            connection.execute("rollback")


def _last_two(cursor: Any) -> tuple[Any, Any]:
    """Return the first rows of the last two statements' results; None for a result without rows."""
    rows = [None, _first_row(cursor)]
    while cursor.nextset():
        rows = [rows[1], _first_row(cursor)]
    return rows[0], rows[1]


def _first_row(cursor: Any) -> Any:
    return cursor.fetchone() if cursor.description is not None else None


def literal(text: str) -> str:
    """Return a text as a SQL literal, for `standard_conforming_strings = on`."""
    return (
        "'" + text.replace("'", "''") + "'"
        if "\\" not in text
        else " E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
    )


_MEANINGS: dict[str, tuple[str, str]] = {
    "28": (
        "refuses us",
        "check the user and the password in [store], and the server's pg_hba.conf",
    ),
    "3D": ("has no such database", "create it: `createdb NAME`"),
    "42501": (
        "doesn't allow this user that",
        "grant it: the user must own the schema, or be allowed to create one in the database",
    ),
    "25006": ("can't be written", "connect to the primary: a standby can't be written"),
    "53100": (
        "can't grow: the disk is full",
        "free some space; nothing of the last change was kept, and it can be done again",
    ),
    "53200": ("is out of memory", "give the server more"),
    "53300": ("has no connection left", "raise max_connections, or end what holds them"),
    "55P03": (
        "is locked by another process, for longer than we wait",
        "find who holds it in pg_stat_activity and let it finish",
    ),
    "57": ("ended the connection", "see the server's log; the next command connects again"),
    "40": ("couldn't serialize two transactions", "do it again"),
    "XX": ("is damaged, or has an error of its own", "see the server's log; restore from a backup"),
}


_REFUSED = {
    "password authentication failed": "28P01",
    "no pg_hba.conf entry": "28000",
    "no password supplied": "28000",
    'database "': "3D000",
}
"""SQLSTATE by message text, because libpq omits the code for errors during connection."""


def meaning(psycopg: Any, error: Any, where: str) -> StoreError | None:
    """Return a StoreError for errors of server, network or machine; None for a wrong statement."""
    state = error.sqlstate or next(
        (code for words, code in _REFUSED.items() if words in str(error)), ""
    )
    for prefix in (state, state[:2]):
        if prefix in _MEANINGS:
            what, hint = _MEANINGS[prefix]
            kind = StoreUnreachable if prefix == "57" else StoreError
            return kind(f"the state database {where} {what} ({_first_line(error)})", hint=hint)
    if not state and isinstance(error, psycopg.OperationalError):
        return StoreUnreachable(
            f"the connection to the state database {where} can't be made, or was lost"
            f" ({_first_line(error)})",
            hint=(
                "check that the server runs and can be reached; nothing was committed unless the"
                " commit itself was under way"
            ),
        )
    return None


def _is_of_driver(error: UnicodeDecodeError) -> bool:
    """Return whether psycopg raised the error, rather than the transaction's user."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return frame is not None and "psycopg" in frame.tb_frame.f_code.co_filename


def _first_line(error: Any) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else words_of(error)
