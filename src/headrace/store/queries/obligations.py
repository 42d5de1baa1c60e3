"""Obligations: one consumer × one interval, with its deadline; met, or not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from headrace.store.database import Transaction

_COLUMNS = "consumer, interval, due_at, promise_id, met_at, waived_at"


class StoredObligation(msgspec.Struct, frozen=True):
    """One obligation. Times are microseconds of the store's clock; `met_at` None: not met yet."""

    consumer: str
    interval: str
    due_at: int
    promise_id: int
    met_at: int | None
    waived_at: int | None


def newest(tx: Transaction, consumer: str, *, limit: int = 100) -> list[StoredObligation]:
    """The newest obligations of a consumer, newest interval first."""
    return _all(
        tx.execute(
            f"select {_COLUMNS} from obligation where consumer = :consumer order by interval desc limit :limit",
            {"consumer": consumer, "limit": limit},
        )
    )


def newest_met(tx: Transaction, consumer: str) -> StoredObligation | None:
    """The newest obligation that was met, or None."""
    row = tx.execute(
        f"select {_COLUMNS} from obligation where consumer = :consumer and met_at is not null order by interval desc limit 1",
        {"consumer": consumer},
    ).fetchone()
    return StoredObligation(*row) if row else None


def unmet(tx: Transaction, consumer: str, *, limit: int = 10_000) -> list[StoredObligation]:
    """The obligations of a consumer that are neither met nor waived, oldest first."""
    return _all(
        tx.execute(
            f"select {_COLUMNS} from obligation where consumer = :consumer and met_at is null and waived_at is null "
            "order by interval limit :limit",
            {"consumer": consumer, "limit": limit},
        )
    )


def get(tx: Transaction, consumer: str, interval: str) -> StoredObligation | None:
    """One obligation; None while it isn't due."""
    row = tx.execute(f"select {_COLUMNS} from obligation where consumer = ? and interval = ?", (consumer, interval)).fetchone()
    return StoredObligation(*row) if row else None


def waive(tx: Transaction, consumer: str, interval: str, now: int) -> None:
    """Nobody waits for it any more; one that was met, and isn't any more, stays known as met then."""
    tx.execute("update obligation set waived_at = ? where consumer = ? and interval = ?", (now, consumer, interval))


def let_go(tx: Transaction, consumers: Iterable[str], interval: str) -> bool:
    """Whether any of these consumers' obligations for an interval was waived."""
    sql = "select 1 from obligation where consumer = ? and interval = ? and waived_at is not null"
    return any(tx.execute(sql, (consumer, interval)).fetchone() is not None for consumer in consumers)


def all_unmet(tx: Transaction, due_by: int, each: int) -> dict[str, list[StoredObligation]]:
    """Of every consumer the newest obligations that were due by then and are neither met nor waived, oldest first."""
    rows = tx.execute(
        f"select {_COLUMNS} from (select {_COLUMNS}, row_number() over (partition by consumer order by interval desc) as place"
        " from obligation where met_at is null and waived_at is null and due_at <= :due) as open_ones where place <= :each"
        " order by consumer, interval",
        {"due": due_by, "each": each},
    )
    results: dict[str, list[StoredObligation]] = {}
    for obligation in _all(rows):
        results.setdefault(obligation.consumer, []).append(obligation)
    return results


def _all(rows: Iterable[tuple[Any, ...]]) -> list[StoredObligation]:
    return [StoredObligation(*row) for row in rows]
