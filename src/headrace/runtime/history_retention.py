"""Deletes history older than `[retention] history`, in small steps.

History is attempts, runs, deliveries, requests, and recorded events of the core.

Before rows of attempts are deleted, their totals by day are kept (`attempt_day`), and a hash of the
rows is written to the audit trail in the same transaction: an owner of a copy can prove later that
it is the original history.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

import msgspec

from headrace.ledger.frozen import AT_ONCE_MAX, freeze_ledgers
from headrace.plan import Compiled
from headrace.runtime.garbage import RAW_KEPT, SNAPSHOTS_KEPT, RetentionPolicy
from headrace.security.audit import Action, Actor, ActorType, AuditEvent, Object, append
from headrace.store import Store, Transaction
from headrace.store.clock import instant
from headrace.store.queries import applied_versions, retention
from headrace.store.queries.retention import RemovableAttempt

HISTORY_KEPT = "400d"
TOLD = timedelta(days=7)
"""Time for which readers are told of changes to the past; the state before is kept as long."""
ROWS_MAX = 500
"""Most rows of one transaction, because the leader waits for it."""
_HEADRACE = Actor(ActorType.SYSTEM, "headrace")


def retire(store: Store, epoch: int | None, keep: RetentionPolicy, now_us: int) -> dict[str, int]:
    """Delete outdated rows, in transactions of ROWS_MAX rows; return the number by kind."""
    before, removed = cut(keep, now_us), Counter[str]()
    _freeze(store, epoch, before["attempt"], now_us)
    after: tuple[int, int] | None = (0, 0)
    while after is not None:
        with store.write(epoch) as tx:
            after, count = _attempts(tx, before["attempt"], after, now_us)
        removed["attempt"] += count
    for kind in retention.KINDS:
        number: int | None = 0
        while number is not None:
            with store.write(epoch) as tx:
                results = retention.removable_ids(tx, kind, before[kind], number, ROWS_MAX)
                retention.remove_rows(tx, kind, results)
            removed[kind] += len(results)
            number = results[-1] if len(results) == ROWS_MAX else None
    return {kind: count for kind, count in removed.items() if count}


def _freeze(store: Store, epoch: int | None, before: int, now_us: int) -> None:
    """Freeze the delay ledgers of settled obligations before their rows are deleted."""
    with store.read() as tx:
        applied = applied_versions.newest(tx)
    if applied is None:
        return
    compiled, frozen = msgspec.msgpack.decode(applied.compiled, type=Compiled), AT_ONCE_MAX
    while frozen == AT_ONCE_MAX:
        with store.write(epoch) as tx:
            frozen = freeze_ledgers(tx, compiled, before, now_us)


def retirable(tx: Transaction, keep: RetentionPolicy, now_us: int) -> dict[str, int]:
    """Return the number of rows that `retire` would delete, by kind, as a lower bound.

    Rows that only the deleted attempts need aren't counted.
    """
    before, result = cut(keep, now_us), Counter[str]()
    after: tuple[int, int] | None = (0, 0)
    while after is not None:
        going = retention.removable_attempts(tx, before["attempt"], after, ROWS_MAX)
        result["attempt"] += len(going)
        after = going[-1][:2] if len(going) == ROWS_MAX else None
    for kind in retention.KINDS:
        number: int | None = 0
        while number is not None:
            ids = retention.removable_ids(tx, kind, before[kind], number, ROWS_MAX)
            result[kind] += len(ids)
            number = ids[-1] if len(ids) == ROWS_MAX else None
    return {kind: count for kind, count in result.items() if count}


def cut(keep: RetentionPolicy, now_us: int) -> dict[str, int]:
    """Return kind → the time before which rows may be deleted, in microseconds.

    Rows that a lake snapshot still shows are kept, as are deliveries whose bytes are kept.
    """
    history = max(keep.of("history", HISTORY_KEPT), keep.of("snapshots", SNAPSHOTS_KEPT), TOLD)
    raw = max(history, keep.of("raw", RAW_KEPT), keep.longest_raw())
    before = dict.fromkeys(("attempt", *retention.KINDS), now_us - _us(history))
    return before | {"delivery": now_us - _us(raw)}


def _us(span: timedelta) -> int:
    return span // timedelta(microseconds=1)


def _attempts(
    tx: Transaction, before: int, after: tuple[int, int], now_us: int
) -> tuple[tuple[int, int] | None, int]:
    """Delete the attempts of one transaction; return where to continue, and their number.

    The position is None at the end.
    """
    going = retention.removable_attempts(tx, before, after, ROWS_MAX)
    if going:
        append(tx, now_us, _frozen(going, retention.evidence_of(tx, going)))
        retention.summarise_attempts(tx, _by_day(going))
        retention.remove_attempts(tx, going)
    return (going[-1].epoch, going[-1].n) if len(going) == ROWS_MAX else None, len(going)


def _frozen(going: Sequence[RemovableAttempt], rows: Sequence[tuple[object, ...]]) -> AuditEvent:
    digest = hashlib.sha256(msgspec.json.encode([list(row) for row in rows])).hexdigest()
    first, last = f"{going[0].epoch}.{going[0].n}", f"{going[-1].epoch}.{going[-1].n}"
    details = {
        "attempts": len(going),
        "rows": len(rows),
        "first": first,
        "last": last,
        "sha256": digest,
    }
    return AuditEvent(
        action=Action.HISTORY_RETIRED,
        actor=_HEADRACE,
        object=Object("history", f"{first}-{last}"),
        after=details,
    )


def _by_day(going: Sequence[RemovableAttempt]) -> list[tuple[str, str, str, int, int]]:
    count, took = Counter[tuple[str, str, str]](), Counter[tuple[str, str, str]]()
    for attempt in going:
        key = (attempt.node, instant(attempt.finished_at).date().isoformat(), attempt.state)
        count[key] += 1
        took[key] += max(0, attempt.finished_at - (attempt.started_at or attempt.finished_at))
    return [(*key, count[key], took[key]) for key in sorted(count)]
