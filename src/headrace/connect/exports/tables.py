"""Exports to tables: an interval's rows are replaced in one transaction, and a table beside them says which attempt did it.

The rows of an interval are found again by a column with the interval's key (`_interval`, unless `interval_column` says otherwise).
`headrace_exports` is the idempotency key: what is there already isn't written twice, and an older attempt never replaces a newer one's.

Epochs grow within one state of a project. So each row carries the project's identity, and `headrace_exporters` says which project
exports for a consumer: another one, or the same with a new state, is refused until somebody takes the target over.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import msgspec

from headrace.connect.exports import fence
from headrace.connect.exports.registry import Assignment, ExportFailed, Portion, Surroundings, Written
from headrace.faults import FaultPoint, reached
from headrace.lake import LakeColumn
from headrace.model.exports import ASSET_PLACEHOLDER
from headrace.model.partitions import command_line

LEDGER = "headrace_exports"
EXPORTERS = "headrace_exporters"
FETCHED = 5_000
_OURS = ("lease", "claim", "publication")
"""Tables that only Headrace's own state has."""


class ExportRecord(NamedTuple):
    """What the ledger has of one interval: by which attempt, how many rows, and what they come to."""

    epoch: int
    n: int
    rows: int
    sha256: str
    project: str
    """The identity of the project that wrote it; empty for rows of an older Headrace, and for new ones."""


class ExportTarget(ABC):
    """One connection to a database that tables are exported to. Its methods raise ExportFailed with what the database said."""

    mark = "?"
    """How a statement names a bound value."""

    @abstractmethod
    def transaction(self) -> AbstractContextManager[None]:
        """One transaction: rolled back where the block raises, and left to `commit` where it doesn't."""

    @abstractmethod
    def commit(self) -> None:
        """Make it visible, and lasting."""

    @abstractmethod
    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement; its rows, if it gives any."""

    @abstractmethod
    def columns(self, table: str) -> list[str] | None:
        """The names of a table's columns; None if there is no such table."""

    @abstractmethod
    def load(self, table: str, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Append rows."""

    @abstractmethod
    def type_of(self, column: LakeColumn) -> str:
        """The type that a new column gets."""

    @abstractmethod
    def value_of(self, column: LakeColumn) -> str:
        """DuckDB's expression for what is bound."""

    @abstractmethod
    def check_names(self, names: Sequence[str]) -> None:
        """Raise ExportFailed for names that columns can't have here."""

    @abstractmethod
    def claim(self, key: Sequence[str]) -> ExportRecord:
        """The ledger's row of (consumer, asset, interval), made if need be, and kept from others until the transaction ends."""

    def bound(self, value: Any) -> Any:
        """A value as the driver takes it."""
        return value

    def quoted(self, name: str) -> str:
        """A name of one or two parts, as a statement holds it."""
        return ".".join('"' + part.replace('"', '""') + '"' for part in name.split("."))

    def column(self, name: str) -> str:
        """A column's name, as a statement holds it."""
        return '"' + name.replace('"', '""') + '"'


def export_tables(target: ExportTarget, assignment: Assignment, portions: Sequence[Portion], around: Surroundings) -> tuple[Written, ...]:
    """Replace an interval's rows, in one table for each read. Raises ExportFailed, Overtaken."""
    with target.transaction():
        if any(_is_ours(target, schema) for schema in _schemas(assignment.export.table or "")):
            raise ExportFailed("this database holds Headrace's own state: nothing is exported there", hint="name another connection")
        _make_ledger(target)
        owned = _owned(target, assignment)
        written = tuple(_replace(target, assignment, portion, around, owned=owned) for portion in portions)
        reached(FaultPoint.EXPORT_COMMITTING)
        with fence.lock_epoch(around.fence, assignment.epoch):
            target.commit()
        reached(FaultPoint.EXPORT_COMMITTED)
    return written


def _schemas(table: str) -> tuple[str, ...]:
    """What stands before the names of other tables that lie where this one does, and where none is named."""
    schema, dot, _ = table.rpartition(".")
    return ("", schema + dot) if dot else ("",)


def _is_ours(target: ExportTarget, schema: str) -> bool:
    return all(target.columns(f"{schema}{name}") is not None for name in _OURS)


def _make_ledger(target: ExportTarget) -> None:
    if target.columns(LEDGER) is None:
        target.execute(
            f"create table if not exists {LEDGER} (consumer varchar(63) not null, asset varchar(63) not null, interval_key varchar(255) not"
            " null, epoch bigint not null, n bigint not null, row_count bigint not null, sha256 varchar(64) not null, exported_at bigint"
            " not null, project varchar(64) not null default '', primary key (consumer, asset, interval_key))"
        )
    elif "project" not in (target.columns(LEDGER) or ()):
        target.execute(f"alter table {LEDGER} add column project varchar(64) not null default ''")


def _owned(target: ExportTarget, assignment: Assignment) -> bool:
    """Whether the target is this project's, so that older rows of another one may be replaced; made so where it is nobody's yet, or
    where a take-over that wasn't used yet says so. Raises ExportFailed where it is another project's."""
    consumer, own, mark = assignment.consumer, assignment.project, target.mark
    if not own:
        return False
    if target.columns(EXPORTERS) is None:
        target.execute(
            f"create table if not exists {EXPORTERS} (consumer varchar(63) not null, take_over varchar(64) not null, project varchar(64)"
            " not null, since bigint not null, primary key (consumer, take_over))"
        )
    known = {str(name): str(project) for name, project in target.execute(
        f"select take_over, project from {EXPORTERS} where consumer = {mark}", (consumer,)
    )}  # fmt: skip
    owner = known.get("")
    if owner == own:
        return True
    taken = bool(assignment.take_over) and assignment.take_over not in known
    if owner is not None and not taken:
        raise ExportFailed(
            f"another project (state {owner[:8]}) exports for {consumer} there; this one's state is {own[:8]}",
            hint=take_over_hint(consumer),
        )
    target.execute(f"delete from {EXPORTERS} where consumer = {mark} and take_over = ''", (consumer,))
    for name in ("", assignment.take_over) if taken else ("",):
        values = ", ".join([mark] * 4)
        target.execute(f"insert into {EXPORTERS} values ({values})", (consumer, name, own, assignment.now_us))
    return taken


def take_over_hint(consumer: str) -> str:
    """What to type where a target is to be this project's from now on."""
    return f"if this project replaces it: {command_line('exports', 'take-over', consumer, '--reason', 'TEXT')}"


def _replace(target: ExportTarget, assignment: Assignment, portion: Portion, around: Surroundings, *, owned: bool) -> Written:
    export = assignment.export
    assert export.table is not None
    table, by = export.table.replace(ASSET_PLACEHOLDER, portion.asset), export.interval_column
    _make_table(target, table, portion, by)
    key = (assignment.consumer, portion.asset, assignment.interval)
    known = target.claim(key)
    ours = known.project == assignment.project or not (known.project or owned)
    if ours and (known.epoch, known.n) > (assignment.epoch, assignment.n):
        message = f"a newer attempt ({known.epoch}.{known.n}) has exported {portion.asset} to {table}"
        if known.project == assignment.project:
            raise fence.WriterFenced(message)
        raise ExportFailed(f"{message}, or one of a state that this project had before", hint=take_over_hint(assignment.consumer))
    counted = target.execute(*_of_interval(target, "select count(*)", table, by, assignment.interval))[0][0]
    counting = _Counting(target, portion, around, assignment.interval if by is not None else None)
    digest = counting.digest() if known.sha256 and known.rows == counted else None
    if digest is None or digest != known.sha256:
        target.execute(*_of_interval(target, "delete", table, by, assignment.interval))
        names = [column.name for column in portion.columns] + ([by] if by is not None else [])
        target.load(table, names, counting.rows())
        digest = counting.sha256
    _keep(target, key, assignment, portion.rows, digest)
    text = assignment.shown.replace(ASSET_PLACEHOLDER, portion.asset)
    return Written(text, portion.asset, counting.size, digest, portion.rows)


def _of_interval(target: ExportTarget, verb: str, table: str, by: str | None, interval: str) -> tuple[str, tuple[str, ...]]:
    """A statement about the rows of an interval; about all of them where no column says which is which."""
    statement = f"{verb} from {target.quoted(table)}"
    return (statement, ()) if by is None else (f"{statement} where {target.column(by)} = {target.mark}", (interval,))


def _make_table(target: ExportTarget, table: str, portion: Portion, by: str | None) -> None:
    """Make the table, or add the columns that it lacks: those of rows that are there stay as they are."""
    names = [column.name for column in portion.columns]
    if by is not None and by.lower() in (name.lower() for name in names):
        raise ExportFailed(f"{portion.asset} has a column {by} of its own", hint="write interval_column: with another name")
    target.check_names(names)
    there = target.columns(table)
    wanted = {column.name: target.type_of(column) for column in portion.columns}
    if there is None:
        own = {**wanted, **({by: "varchar(255) not null"} if by is not None else {})}
        target.execute(f"create table {target.quoted(table)} ({', '.join(f'{target.column(n)} {kind}' for n, kind in own.items())})")
        return
    known = {name.lower() for name in there}
    if by is not None and by.lower() not in known:
        raise ExportFailed(
            f"the table {table} has no column {by}, so the rows of an interval can't be found in it",
            hint=f"name a table that Headrace may make, or add a text column {by}",
        )
    for name, kind in wanted.items():
        if name.lower() not in known:
            target.execute(f"alter table {target.quoted(table)} add column {target.column(name)} {kind}")


def _keep(target: ExportTarget, key: Sequence[str], assignment: Assignment, rows: int, sha256: str) -> None:
    mark = target.mark
    target.execute(
        f"update {LEDGER} set epoch = {mark}, n = {mark}, row_count = {mark}, sha256 = {mark}, exported_at = {mark},"
        f" project = {mark} where consumer = {mark} and asset = {mark} and interval_key = {mark}",
        (assignment.epoch, assignment.n, rows, sha256, assignment.now_us, assignment.project, *key),
    )


class _Counting:
    """The rows of a portion, and what they come to once all of them have been given out."""

    def __init__(self, target: ExportTarget, portion: Portion, around: Surroundings, interval: str | None) -> None:
        self._select = portion.select(target.value_of)
        self._connection, self._bound = around.session.connection, target.bound
        self._more = () if interval is None else (interval,)
        self.sha256 = ""
        self.size = 0

    def digest(self) -> str:
        """The hash of all rows."""
        for _ in self.rows():
            pass
        return self.sha256

    def rows(self) -> Iterator[Sequence[Any]]:
        """Each row with its interval."""
        hashed, self.size = hashlib.sha256(), 0
        result = self._connection.execute(self._select)
        while fetched := result.fetchmany(FETCHED):
            for row in fetched:
                encoded = msgspec.msgpack.encode(row)
                hashed.update(encoded)
                self.size += len(encoded)
                yield (*map(self._bound, row), *self._more)
        self.sha256 = hashed.hexdigest()
