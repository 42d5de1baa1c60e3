"""Rows of the state that differ from the event log, for `db check` and its option `--repair`."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

from headrace.access.permissions import ADMINISTER, command
from headrace.model import Refused, UsageError
from headrace.project.parameters import Option
from headrace.project.session import ProjectSession
from headrace.runtime.event_log import DIFFERENCES_MAX, EventLogComparison, compared
from headrace.security.audit import Action, Actor, ActorType, AuditEvent, Object, append
from headrace.security.state import open_state
from headrace.services.database import Difference, DifferenceSource, Finding, Unchecked
from headrace.slo.declared_promises import declared_promises
from headrace.slo.incident_impact import DownstreamIndex
from headrace.store import Lease, Transaction
from headrace.store.clock import last_written
from headrace.store.event_log import comparing
from headrace.store.event_log.comparing import LogDifference
from headrace.store.event_log.replaying import Misfit
from headrace.store.event_recording import CATALOG, HASHED, UNRECORDED
from headrace.store.portable import columns_by_table, copy_order
from headrace.store.queries import partition_states
from headrace.store.transaction import insertion, quoted

# Each row that differs from the event log, and the consumers of data that depends on it.

REPAIR = "headrace db check --repair"
RESTORE = "restore it from a backup: headrace db restore DIR"
SHOWN_CHARACTERS_MAX = 80
_NODE_COLUMNS = ("node", "source", "consumer")


class Readers:
    """Finds the consumers of data that depends on a row."""

    def __init__(self, session: ProjectSession, tx: Transaction) -> None:
        self._reach = (
            DownstreamIndex(declared_promises(session.compiled))
            if session.compiled is not None
            else None
        )
        self._tx = tx
        self._tables: dict[int, str] | None = None

    def of(self, node: str | None) -> list[str]:
        """Return the consumers downstream of a node, or the node itself if it is one."""
        return [] if node is None or self._reach is None else list(self._reach.consumers(node))

    def node(self, table: str, row: dict[str, Any]) -> str | None:
        """Return the node that a row is about."""
        for column in _NODE_COLUMNS:
            if isinstance(row.get(column), str):
                return str(row[column])
        number = row.get("table_id") if table.startswith(CATALOG) else None
        return self._table_names().get(number) if isinstance(number, int) else None

    def _table_names(self) -> dict[int, str]:
        if self._tables is None:
            try:
                rows = self._tx.execute(
                    "select table_id, table_name from ducklake_table"
                ).fetchall()
            except comparing.UNREADABLE:
                rows = []
            self._tables = {number: str(name) for number, name in rows}
        return self._tables


def difference_rows(comparison: EventLogComparison, readers: Readers) -> Iterator[Difference]:
    """Yield all differences as rows of the response."""
    for misfit in comparison.misfits:
        yield _misfit(misfit)
    for table, reason in comparison.unreadable.items():
        yield Difference(
            table=table,
            key={},
            field=None,
            stored=reason,
            expected="a table that can be read",
            source=_source(table),
            consumers=[],
        )
    for difference in comparison.differences:
        yield Difference(
            table=difference.table,
            key={name: _as_json(value) for name, value in difference.key.items()},
            field=difference.field,
            stored=_as_json(difference.stored),
            expected=_as_json(difference.expected),
            source=_source(difference.table),
            consumers=readers.of(readers.node(difference.table, difference.row)),
        )


def unchecked(comparison: EventLogComparison) -> Iterator[Unchecked]:
    """Yield what wasn't compared, and why."""
    for table, why in UNRECORDED.items():
        yield Unchecked(what=table, why=why)
    if comparison.replay is None:
        why = (
            "it is from before there was an event log; the next `headrace tick` writes what it is"
            " compared with from then on"
        )
        yield Unchecked(what="state", why=why)
    elif not comparison.replay.complete:
        why = "what the event log begins with is damaged: there is nothing to compare with"
        yield Unchecked(what="state", why=why)
    elif not comparison.catalog_known:
        why = (
            "DuckLake has changed the catalog by itself (merged or expired files), and the"
            " checkpoint after it isn't written; `headrace db gc` writes it"
        )
        yield Unchecked(what="ducklake_*", why=why)
    counts: dict[str, int] = {}
    for difference in comparison.differences:
        counts[difference.table] = counts.get(difference.table, 0) + 1
    for table, count in counts.items():
        if count >= DIFFERENCES_MAX:
            yield Unchecked(
                what=table, why=f"only its first {DIFFERENCES_MAX:,} differences are listed"
            )


def repairable(comparison: EventLogComparison) -> bool:
    """Whether the log holds everything needed to correct the differing rows."""
    return (
        bool(comparison.differences)
        and not comparison.misfits
        and not comparison.unreadable
        and all(
            difference.repairable and difference.table != "audit"
            for difference in comparison.differences
        )
    )


def findings(differences: list[Difference], *, repair: bool) -> Iterator[Finding]:
    """Yield one finding per table, with its first difference."""
    by_table: dict[str, list[Difference]] = {}
    for difference in differences:
        by_table.setdefault(difference.table, []).append(difference)
    for table, results in by_table.items():
        readers = sorted({name for difference in results for name in difference.consumers})
        count = "1 difference" if len(results) == 1 else f"{len(results):,} differences, the first:"
        read = (
            f"; read by {', '.join(readers[:5])}{' and others' if len(readers) > 5 else ''}"
            if readers
            else ""
        )
        message = f"{count} {_sentence(results[0])}{read}"
        yield Finding(
            severity="error", about=table, message=message, todo=REPAIR if repair else RESTORE
        )


def _sentence(difference: Difference) -> str:
    where = ", ".join(f"{name}={value}" for name, value in difference.key.items())[
        :SHOWN_CHARACTERS_MAX
    ]
    at = f"at {where} " if where else ""
    if difference.field is not None:
        return (
            f"{at}`{difference.field}` is {_short(difference.stored)}, the event log says"
            f" {_short(difference.expected)}"
        )
    if difference.expected is None:
        return f"{at}a row that the event log doesn't have"
    return f"{at}a row is missing" if difference.stored is None else f"{at}{difference.stored}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS_MAX else f"{text[: SHOWN_CHARACTERS_MAX - 1]}…"


def _misfit(misfit: Misfit) -> Difference:
    return Difference(
        table="event_log",
        key={"seq": misfit.seq},
        field=misfit.field,
        stored=misfit.stored,
        expected=misfit.expected,
        source=DifferenceSource.EVENT_LOG,
        consumers=[],
    )


def _source(table: str) -> DifferenceSource:
    if table == "audit":
        return DifferenceSource.AUDIT
    return DifferenceSource.CATALOG if table.startswith(CATALOG) else DifferenceSource.EVENT_LOG


def _as_json(value: object) -> object:
    """Return a value as JSON: bytes as their hash or as hexadecimal digits."""
    if isinstance(value, dict):
        return {name: _as_json(item) for name, item in value.items()}
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if not isinstance(value, bytes | memoryview):
        return value
    data = bytes(value)
    if data.startswith(HASHED):
        return f"sha256:{data[len(HASHED) :].hex()}"
    return data.hex() if len(data) <= SHOWN_CHARACTERS_MAX else f"{len(data):,} bytes"


# `db check --repair`: rewrites differing rows as the event log has them, in one transaction with an
# audit entry.

Change = tuple[str, list[Any]]
"""A statement and its values."""


@command("db repair", ADMINISTER)
def repair(
    session: ProjectSession,
    reason: Annotated[str, Option("--reason", metavar="TEXT", help="why, for the audit trail")],
) -> int:
    """Correct all rows that differ, and return the number of differences.

    Raise Refused while a leader runs, or if the log lacks what is needed.
    """
    if session.store is None:
        raise UsageError("there is no state yet", hint="headrace tick makes it")
    with open_state(session.root, session.settings) as store:
        lease = Lease.take(store, f"{session.actor} (process {os.getpid()})")
        if lease is None:
            raise Refused(
                "a leader runs, and goes on from what it has read",
                hint="stop it, then headrace db check --repair",
            )
        try:
            with store.read() as tx, compared(tx, session.folders) as comparison:
                if not comparison.differences:
                    return 0
                _refuse(comparison)
                deletes, writes = _changes(tx, comparison)
            with store.write(lease.epoch, durable=True) as tx:
                for sql, values in (*deletes, *writes):
                    tx.unrecorded(sql, values)
                partition_states.drop_checkpoint(tx)  # the checkpoint may derive from wrong rows
                append(tx, last_written(tx), _event(session, comparison.differences, reason))
            return len(comparison.differences)
        finally:
            lease.release()


def _refuse(comparison: EventLogComparison) -> None:
    if not repairable(comparison):
        raise Refused(
            "the event log doesn't have all that is needed to repair what differs",
            hint=f"headrace db check lists it; {RESTORE}",
        )


def _event(session: ProjectSession, differences: list[LogDifference], reason: str) -> AuditEvent:
    counts: dict[str, int] = {}
    for difference in differences:
        counts[difference.table] = counts.get(difference.table, 0) + 1
    thing = Object("state", "event_log")
    actor = Actor(ActorType.PERSON, session.actor)
    return AuditEvent(
        action=Action.STATE_REPAIRED, actor=actor, object=thing, reason=reason, after=counts
    )


def _changes(tx: Transaction, comparison: EventLogComparison) -> tuple[list[Change], list[Change]]:
    """Return the deletions (children first), and the insertions and updates (parents first)."""
    assert comparison.replay is not None
    types = columns_by_table(tx)
    rank = {name: number for number, name in enumerate(copy_order(tx))}
    deletes: list[Change] = []
    writes: list[Change] = []
    done: set[tuple[str, str]] = set()
    for difference in sorted(comparison.differences, key=lambda entry: rank.get(entry.table, 0)):
        kinds = types[difference.table]
        if difference.field is not None and _is_keyed(
            comparison.replay.connection, difference.table
        ):
            where, values = _where(difference.key)
            text = (
                f"update {quoted(difference.table)} set {quoted(difference.field)} = ? where"
                f" {where}"
            )
            writes.append((text, [_typed(difference.expected, kinds[difference.field]), *values]))
        elif (difference.table, repr(difference.key)) not in done:
            done.add((difference.table, repr(difference.key)))
            where, values = _where(difference.key)
            deletes.append((f"delete from {quoted(difference.table)} where {where}", values))
            rows = _expected(comparison.replay.connection, difference.table, kinds, where, values)
            writes += [(insertion(difference.table, list(kinds)), row) for row in rows]
    return deletes[::-1], writes


def _expected(
    connection: sqlite3.Connection, table: str, kinds: dict[str, str], where: str, values: list[Any]
) -> Iterable[list[Any]]:
    listed = ", ".join(quoted(column) for column in kinds)
    sql = f"select {listed} from {quoted(table)} where {where}"
    for row in connection.execute(sql, values):
        yield [_typed(value, kind) for value, kind in zip(row, kinds.values(), strict=True)]


def _where(key: dict[str, Any]) -> tuple[str, list[Any]]:
    parts = [
        f"{quoted(name)} is null" if value is None else f"{quoted(name)} = ?"
        for name, value in key.items()
    ]
    return " and ".join(parts), [value for value in key.values() if value is not None]


def _typed(value: Any, kind: str) -> Any:
    return bool(value) if kind == "boolean" and value is not None else value


def _is_keyed(connection: sqlite3.Connection, table: str) -> bool:
    rows = connection.execute(
        "select 1 from pragma_table_info(?) where pk > 0", (table,)
    ).fetchall()
    return bool(rows)
