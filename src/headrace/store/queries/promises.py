"""Promises: what each consumer was promised, and from when on."""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.store.database import Transaction


class Promise(msgspec.Struct, frozen=True):
    """One promise; in force from `from_at` until `until_at` (None: still), microseconds of the store's clock. `terms` as JSON."""

    id: int
    consumer: str
    terms: dict[str, Any]
    from_at: int
    until_at: int | None


def in_force(tx: Transaction, consumer: str) -> Promise | None:
    """What a consumer is promised now, or None."""
    return _promise(
        tx.execute(f"{_SELECT} where consumer = :consumer and until_at is null order by from_at desc limit 1", {"consumer": consumer})
    )


def at(tx: Transaction, consumer: str, at_us: int) -> Promise | None:
    """What a consumer was promised at a time, or None."""
    return _promise(
        tx.execute(
            f"{_SELECT} where consumer = :consumer and from_at <= :at and (until_at is null or until_at > :at) "
            "order by from_at desc limit 1",
            {"consumer": consumer, "at": at_us},
        )
    )


_SELECT = "select id, consumer, terms, from_at, until_at from promise"


def _promise(found: Any) -> Promise | None:
    row = found.fetchone()
    return None if row is None else Promise(row[0], row[1], msgspec.json.decode(row[2]), row[3], row[4])
