"""Exports to tables: an interval's rows are replaced in one transaction, which records its attempt.

A column with the interval's key identifies an interval's rows (`_interval`, unless
`interval_column` says otherwise). `headrace_exports` makes exports idempotent: rows that are
already there aren't written twice, and an older attempt never replaces a newer one's rows.

Epochs grow within one state of a project. So each row carries the project's identity, and
`headrace_exporters` records the project that exports for a consumer: another project, or the same
one with a new state, is refused until somebody takes the target over.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import msgspec

from headrace.extension import command_line
from headrace.extension.tables import (
    ASSET_PLACEHOLDER,
    Assignment,
    ExportFailed,
    FaultPoint,
    LakeColumn,
    Portion,
    Surroundings,
    WriterFenced,
    Written,
    lock_epoch,
    reached,
)

LEDGER = "headrace_exports"
EXPORTERS = "headrace_exporters"
FETCHED = 5_000
_OURS = ("lease", "claim", "publication")
"""Tables that only Headrace's own state has."""


class ExportRecord(NamedTuple):
    """The ledger's record of one interval: its attempt, number of rows, and their hash."""

    epoch: int
    n: int
    rows: int
    sha256: str
    project: str
    """The identity of the project that wrote it; empty for new rows and those of older versions."""


class ExportTarget(ABC):
    """A connection to a database that tables are exported to.

    Its methods raise ExportFailed with the database's message.
    """

    mark = "?"
    """The placeholder of a bound value in a statement."""

    @abstractmethod
    def transaction(self) -> AbstractContextManager[None]:
        """Open a transaction: rolled back if the block raises, otherwise `commit` must end it."""

    @abstractmethod
    def commit(self) -> None:
        """Commit the transaction."""

    @abstractmethod
    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows, if any."""

    @abstractmethod
    def columns(self, table: str) -> list[str] | None:
        """Return the names of a table's columns; None if there is no such table."""

    @abstractmethod
    def load(self, table: str, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Append rows."""

    @abstractmethod
    def type_of(self, column: LakeColumn) -> str:
        """Return the type for a new column."""

    @abstractmethod
    def value_of(self, column: LakeColumn) -> str:
        """Return DuckDB's expression for the value to bind."""

    @abstractmethod
    def check_names(self, names: Sequence[str]) -> None:
        """Raise ExportFailed for column names that this database can't have."""

    @abstractmethod
    def claim(self, key: Sequence[str]) -> ExportRecord:
        """Return the ledger's row of (consumer, asset, interval), locked during the transaction.

        It is created if it is missing.
        """

    def bound(self, value: Any) -> Any:
        """Return a value in the driver's type."""
        return value

    def quoted(self, name: str) -> str:
        """Return a name of one or two parts, quoted for a statement."""
        return ".".join('"' + part.replace('"', '""') + '"' for part in name.split("."))

    def column(self, name: str) -> str:
        """Return a column's name, quoted for a statement."""
        return '"' + name.replace('"', '""') + '"'


def export_tables(
    target: ExportTarget, assignment: Assignment, portions: Sequence[Portion], around: Surroundings
) -> tuple[Written, ...]:
    """Replace an interval's rows, in one table per read. Raises ExportFailed, WriterFenced."""
    if assignment.erases and target.columns(LEDGER) is None:
        return gone(assignment, portions)
    with target.transaction():
        if any(_is_ours(target, schema) for schema in _schemas(assignment.export.table or "")):
            raise ExportFailed(
                "this database holds Headrace's own state: nothing is exported there",
                hint="name another connection",
            )
        _make_ledger(target)
        owned = _owned(target, assignment)
        written = tuple(
            _gone(assignment, portion)
            if _is_gone(target, assignment, portion)
            else _replace(target, assignment, portion, around, owned=owned)
            for portion in portions
        )
        reached(FaultPoint.EXPORT_COMMITTING)
        with lock_epoch(around.fence, assignment.leader):
            target.commit()
        reached(FaultPoint.EXPORT_COMMITTED)
    return written


def gone(assignment: Assignment, portions: Sequence[Portion]) -> tuple[Written, ...]:
    """Return tables that an erasure leaves out, because they aren't there any more."""
    return tuple(_gone(assignment, portion) for portion in portions)


def _is_gone(target: ExportTarget, assignment: Assignment, portion: Portion) -> bool:
    """Whether an erasure leaves a table out, because it isn't there any more."""
    table = (assignment.export.table or "").replace(ASSET_PLACEHOLDER, portion.asset)
    return bool(assignment.erases) and target.columns(table) is None


def _was_deleted(assignment: Assignment, known: ExportRecord, counted: int) -> bool:
    """Whether somebody has deleted an interval's rows, which an erasure doesn't bring back."""
    return bool(assignment.erases and known.rows) and counted == 0


def _gone(assignment: Assignment, portion: Portion) -> Written:
    name = assignment.label.replace(ASSET_PLACEHOLDER, portion.asset)
    return Written(name, portion.asset, 0, "", portion.rows, gone=True)


def _schemas(table: str) -> tuple[str, ...]:
    """Return the prefixes of tables in the default schema, and in this table's if it names one."""
    schema, dot, _ = table.rpartition(".")
    return ("", schema + dot) if dot else ("",)


def _is_ours(target: ExportTarget, schema: str) -> bool:
    return all(target.columns(f"{schema}{name}") is not None for name in _OURS)


def _make_ledger(target: ExportTarget) -> None:
    if target.columns(LEDGER) is None:
        target.execute(
            f"create table if not exists {LEDGER} (consumer varchar(63) not null, asset varchar(63)"
            " not null, interval_key varchar(255) not null, epoch bigint not null, n bigint not"
            " null, row_count bigint not null, sha256 varchar(64) not null, exported_at bigint not"
            " null, project varchar(64) not null default '', primary key (consumer, asset,"
            " interval_key))"
        )
    elif "project" not in (target.columns(LEDGER) or ()):
        target.execute(f"alter table {LEDGER} add column project varchar(64) not null default ''")


def _owned(target: ExportTarget, assignment: Assignment) -> bool:
    """Whether this project owns the target, so that it may replace another project's older rows.

    The project becomes the owner if there is none, or by a take-over that wasn't used yet. Raises
    ExportFailed if another project owns the target.
    """
    consumer, this_project, mark = assignment.consumer, assignment.project, target.mark
    if not this_project:
        return False
    if target.columns(EXPORTERS) is None:
        target.execute(
            f"create table if not exists {EXPORTERS} (consumer varchar(63) not null, take_over"
            " varchar(64) not null, project varchar(64) not null, since bigint not null, primary"
            " key (consumer, take_over))"
        )
    known = {
        str(name): str(project)
        for name, project in target.execute(
            f"select take_over, project from {EXPORTERS} where consumer = {mark}", (consumer,)
        )
    }
    owner = known.get("")
    if owner == this_project:
        return True
    taken_over = bool(assignment.take_over) and assignment.take_over not in known
    if owner is not None and not taken_over:
        raise ExportFailed(
            f"another project (state {owner[:8]}) exports for {consumer} there; this one's state is"
            f" {this_project[:8]}",
            hint=take_over_hint(consumer),
        )
    target.execute(
        f"delete from {EXPORTERS} where consumer = {mark} and take_over = ''", (consumer,)
    )
    for name in ("", assignment.take_over) if taken_over else ("",):
        values = ", ".join([mark] * 4)
        target.execute(
            f"insert into {EXPORTERS} values ({values})",
            (consumer, name, this_project, assignment.now_us),
        )
    return taken_over


def take_over_hint(consumer: str) -> str:
    """Return the hint with the command that makes this project the target's owner."""
    return (
        "if this project replaces it:"
        f" {command_line('exports', 'take-over', consumer, '--reason', 'TEXT')}"
    )


def _replace(
    target: ExportTarget,
    assignment: Assignment,
    portion: Portion,
    around: Surroundings,
    *,
    owned: bool,
) -> Written:
    export = assignment.export
    assert export.table is not None
    table, by = export.table.replace(ASSET_PLACEHOLDER, portion.asset), export.interval_column
    _make_table(target, table, portion, by)
    key = (assignment.consumer, portion.asset, assignment.interval)
    known = target.claim(key)
    ours = known.project == assignment.project or not (known.project or owned)
    if ours and (known.epoch, known.n) > (assignment.epoch, assignment.n):
        message = (
            f"a newer attempt ({known.epoch}.{known.n}) has exported {portion.asset} to {table}"
        )
        if known.project == assignment.project:
            raise WriterFenced(message)
        raise ExportFailed(
            f"{message}, or one of a state that this project had before",
            hint=take_over_hint(assignment.consumer),
        )
    counted = target.execute(
        *_of_interval(target, "select count(*)", table, by, assignment.interval)
    )[0][0]
    if _was_deleted(assignment, known, int(counted)):
        return _gone(assignment, portion)
    counting = _Counting(target, portion, around, assignment.interval if by is not None else None)
    digest = counting.digest() if known.sha256 and known.rows == counted else None
    if digest is None or digest != known.sha256:
        target.execute(*_of_interval(target, "delete", table, by, assignment.interval))
        names = [column.name for column in portion.columns] + ([by] if by is not None else [])
        target.load(table, names, counting.rows())
        digest = counting.sha256
    _keep(target, key, assignment, portion.rows, digest)
    text = assignment.label.replace(ASSET_PLACEHOLDER, portion.asset)
    return Written(text, portion.asset, counting.size, digest, portion.rows)


def _of_interval(
    target: ExportTarget, verb: str, table: str, by: str | None, interval: str
) -> tuple[str, tuple[str, ...]]:
    """Return a statement about an interval's rows, or about all rows without an interval column."""
    statement = f"{verb} from {target.quoted(table)}"
    return (
        (statement, ())
        if by is None
        else (f"{statement} where {target.column(by)} = {target.mark}", (interval,))
    )


def _create_table(target: ExportTarget, table: str, columns: Mapping[str, str]) -> None:
    listed = ", ".join(f"{target.column(name)} {kind}" for name, kind in columns.items())
    target.execute(f"create table {target.quoted(table)} ({listed})")


def _make_table(target: ExportTarget, table: str, portion: Portion, by: str | None) -> None:
    """Create the table, or add missing columns, which leaves existing rows as they are."""
    names = [column.name for column in portion.columns]
    if by is not None and by.lower() in (name.lower() for name in names):
        raise ExportFailed(
            f"{portion.asset} has a column {by} of its own",
            hint="write interval_column: with another name",
        )
    target.check_names(names)
    there = target.columns(table)
    column_types = {column.name: target.type_of(column) for column in portion.columns}
    if there is None:
        created_columns = {by: "varchar(255) not null"} if by is not None else {}
        _create_table(target, table, {**column_types, **created_columns})
        return
    known = set(map(str.lower, there))
    if by is not None and by.lower() not in known:
        raise ExportFailed(
            f"the table {table} has no column {by}, so the rows of an interval can't be found"
            " in it",
            hint=f"name a table that Headrace may make, or add a text column {by}",
        )
    for name, kind in column_types.items():
        if name.lower() not in known:
            target.execute(
                f"alter table {target.quoted(table)} add column {target.column(name)} {kind}"
            )


def _keep(
    target: ExportTarget, key: Sequence[str], assignment: Assignment, rows: int, sha256: str
) -> None:
    mark = target.mark
    target.execute(
        f"update {LEDGER} set epoch = {mark}, n = {mark}, row_count = {mark}, sha256 = {mark},"
        f" exported_at = {mark}, project = {mark} where consumer = {mark} and asset = {mark} and"
        f" interval_key = {mark}",
        (assignment.epoch, assignment.n, rows, sha256, assignment.now_us, assignment.project, *key),
    )


class _Counting:
    """The rows of a portion; their hash and size are known once all have been read."""

    def __init__(
        self, target: ExportTarget, portion: Portion, around: Surroundings, interval: str | None
    ) -> None:
        self._select = portion.select(target.value_of)
        self._connection, self._bound = around.session.connection, target.bound
        self._more = () if interval is None else (interval,)
        self.sha256 = ""
        self.size = 0

    def digest(self) -> str:
        """Return the hash of all rows."""
        for _ in self.rows():
            pass
        return self.sha256

    def rows(self) -> Iterator[Sequence[Any]]:
        """Yield each row with its interval."""
        hashed, self.size = hashlib.sha256(), 0
        result = self._connection.execute(self._select)
        while fetched := result.fetchmany(FETCHED):
            for row in fetched:
                encoded = msgspec.msgpack.encode(row)
                hashed.update(encoded)
                self.size += len(encoded)
                yield (*map(self._bound, row), *self._more)
        self.sha256 = hashed.hexdigest()
