"""What has changed since a moment: kinds and names, never data.

`Marks` say how far each table has come; each is one look-up by an index, or over a table that stays small. Two marks that are equal mean
that nothing changed that a document shows.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from headrace.store.database import Transaction

NAMES_MAX = 100
"""So many names are told; more are only said to be more."""


class Marks(msgspec.Struct, frozen=True, array_like=True):
    """How far everything has come."""

    revision: int = 0
    runs: int = 0
    at_work: int = 0
    """Of the runs and attempts that are under way: which they are."""
    versions: int = 0
    audit: int = 0
    incidents: int = 0
    deliveries: int = 0
    quarantine: int = 0
    plans: int = 0


class ChangedNames(NamedTuple):
    """Something of a kind changed; `more` where not all names are told."""

    kind: str
    names: tuple[str, ...]
    more: bool


_MARKS = (
    "select (select coalesce(max(revision), 0) from partition), (select coalesce(max(id), 0) from run), 0,"
    " (select coalesce(max(id), 0) from version), (select coalesce(max(seq), 0) from audit),"
    " (select coalesce(max(id), 0) from incident_event),"
    " (select coalesce(max(id), 0) from delivery), (select coalesce(max(id), 0) from quarantine), 0"
)

_RUNS = "select id from run where id > ? union select run_id from attempt where state in ('queued', 'running')"
_PLANS = "select id from plan where state in ('running', 'paused') union select max(id) from plan"


def marks(tx: Transaction) -> Marks:
    """How far everything has come by now."""
    row = list(tx.execute(_MARKS).fetchone())
    at_work = tx.execute("select id, 0, '' from run where state = 'running' order by id").fetchall()
    at_work += tx.execute("select epoch, n, state from attempt where state in ('queued', 'running') order by epoch, n").fetchall()
    plans = tx.execute("select id, state, steps_done, outcome from plan where state in ('running', 'paused') order by id").fetchall()
    plans += tx.execute("select id, state, 0, '' from plan order by id desc limit 1").fetchall()
    row[2], row[8] = _digest(at_work), _digest(plans)
    return Marks(*row)


def since(tx: Transaction, before: Marks, now: Marks) -> Iterator[ChangedNames]:
    """What changed from one moment to another."""
    if now.revision != before.revision:
        yield _named(tx, "partitions", "select distinct node || '' from partition where revision > ?", before.revision)
    if now.runs != before.runs or now.at_work != before.at_work:
        yield _named(tx, "runs", _RUNS, before.runs)
    if now.versions != before.versions:
        yield _named(tx, "versions", "select id from version where id > ?", before.versions)
    if now.audit != before.audit:
        yield _named(tx, "audit", "select seq from audit where seq > ?", before.audit)
    if now.incidents != before.incidents:
        yield _named(tx, "incidents", "select distinct incident_id from incident_event where id > ?", before.incidents, "INC-")
    if now.deliveries != before.deliveries:
        yield _named(tx, "deliveries", "select distinct source from delivery where id > ?", before.deliveries)
    if now.quarantine != before.quarantine:
        yield _named(tx, "quarantine", "select distinct node from quarantine where id > ?", before.quarantine)
    if now.plans != before.plans:
        yield _named(tx, "backfills", _PLANS, None)


def _named(tx: Transaction, kind: str, sql: str, after: int | None, prefix: str = "") -> ChangedNames:
    rows = tx.execute(f"{sql} limit {NAMES_MAX + 1}", () if after is None else (after,)).fetchall()
    names = sorted(f"{prefix}{name}" for (name,) in rows)
    return ChangedNames(kind, tuple(names[:NAMES_MAX]), len(rows) > NAMES_MAX)


def _digest(rows: Iterable[tuple[object, ...]]) -> int:
    return zlib.crc32(msgspec.msgpack.encode([tuple(row) for row in rows]))
