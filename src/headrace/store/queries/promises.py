"""Promises: what each consumer was promised, and from when on."""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.store.database import Transaction


class Promise(msgspec.Struct, frozen=True):
    """One promise; in force from `from_at` until `until_at` (None: still), microseconds of the store's clock. `terms` as JSON.

    `begins_at` is from when on what is due is judged by it: `from_at`, unless `since:` says another time.
    """

    id: int
    consumer: str
    terms: dict[str, Any]
    from_at: int
    until_at: int | None
    begins_at: int


class PromiseStart(msgspec.Struct, frozen=True, gc=False):
    """Since when the promise in force holds (`begins_at`), and since when something is promised without a break."""

    begins_at: int
    unbroken_since: int


def standing(tx: Transaction, consumer: str) -> PromiseStart | None:
    """Since when a consumer is promised something; None: nothing is promised to it."""
    start: PromiseStart | None = None
    ended: int | None = None
    for from_at, until_at, begins_at in tx.execute(
        "select from_at, until_at, begins_at from promise where consumer = ? order by from_at, id", (consumer,)
    ):
        # What was replaced before it began was never promised.
        unbroken = start is not None and ended == from_at and start.unbroken_since <= from_at
        since = min(begins_at, start.unbroken_since) if start is not None and unbroken else begins_at
        start, ended = PromiseStart(begins_at, since), until_at
    return start if ended is None else None


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


_SELECT = "select id, consumer, terms, from_at, until_at, begins_at from promise"


def _promise(result: Any) -> Promise | None:
    row = result.fetchone()
    return None if row is None else Promise(row[0], row[1], msgspec.json.decode(row[2]), row[3], row[4], row[5])
