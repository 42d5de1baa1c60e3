"""`db check --repair`: rows that aren't as the event log says are written again as it says, in one transaction with an audit entry."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from typing import Any

from headrace.govern.audit import Action, Actor, ActorType, AuditEvent, Object, append
from headrace.govern.state import open_state
from headrace.model import Refused, UsageError
from headrace.operations.db.differences import RESTORE, repairable
from headrace.operations.session import ProjectSession
from headrace.run.event_log import EventLogComparison, compared
from headrace.store import Lease, Transaction
from headrace.store.clock import last_written
from headrace.store.event_log.comparing import LogDifference
from headrace.store.portable import columns_by_table, copy_order
from headrace.store.queries import standings
from headrace.store.transaction import insertion, quoted

Change = tuple[str, list[Any]]
"""A statement and its values."""


def repair(session: ProjectSession, reason: str) -> int:
    """Put right all rows that differ; how many differences there were.

    Refused while a leader runs, and where the log doesn't have what is missing."""
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
                standings.drop_checkpoint(tx)  # it may be of rows that were wrong
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
    return AuditEvent(action=Action.STATE_REPAIRED, actor=actor, object=thing, reason=reason, after=counts)


def _changes(tx: Transaction, comparison: EventLogComparison) -> tuple[list[Change], list[Change]]:
    """What is deleted, children before their parents, and what is written, the other way round."""
    assert comparison.replay is not None
    types = columns_by_table(tx)
    rank = {name: number for number, name in enumerate(copy_order(tx))}
    deletes: list[Change] = []
    writes: list[Change] = []
    done: set[tuple[str, str]] = set()
    for difference in sorted(comparison.differences, key=lambda given: rank.get(given.table, 0)):
        kinds = types[difference.table]
        if difference.field is not None and _is_keyed(comparison.replay.connection, difference.table):
            where, values = _where(difference.key)
            text = f"update {quoted(difference.table)} set {quoted(difference.field)} = ? where {where}"
            writes.append((text, [_typed(difference.expected, kinds[difference.field]), *values]))
        elif (difference.table, repr(difference.key)) not in done:
            done.add((difference.table, repr(difference.key)))
            where, values = _where(difference.key)
            deletes.append((f"delete from {quoted(difference.table)} where {where}", values))
            rows = _expected(comparison.replay.connection, difference.table, kinds, where, values)
            writes += [(insertion(difference.table, list(kinds)), row) for row in rows]
    return deletes[::-1], writes


def _expected(connection: sqlite3.Connection, table: str, kinds: dict[str, str], where: str, values: list[Any]) -> Iterable[list[Any]]:
    listed = ", ".join(quoted(column) for column in kinds)
    sql = f"select {listed} from {quoted(table)} where {where}"
    for row in connection.execute(sql, values):
        yield [_typed(value, kind) for value, kind in zip(row, kinds.values(), strict=True)]


def _where(key: dict[str, Any]) -> tuple[str, list[Any]]:
    parts = [f"{quoted(name)} is null" if value is None else f"{quoted(name)} = ?" for name, value in key.items()]
    return " and ".join(parts), [value for value in key.values() if value is not None]


def _typed(value: Any, kind: str) -> Any:
    return bool(value) if kind == "boolean" and value is not None else value


def _is_keyed(connection: sqlite3.Connection, table: str) -> bool:
    rows = connection.execute("select 1 from pragma_table_info(?) where pk > 0", (table,)).fetchall()
    return bool(rows)
