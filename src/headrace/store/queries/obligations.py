"""Obligations: one consumer × one interval, with its deadline; met, or not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from headrace.store.database import Transaction

_COLUMNS = "consumer, interval, due_at, promise_id, met_at, waived_at"


class Obligation(msgspec.Struct, frozen=True):
    """One obligation. Times are microseconds of the store's clock; `met_at` None: not met yet."""

    consumer: str
    interval: str
    due_at: int
    promise_id: int
    met_at: int | None
    waived_at: int | None


def newest(tx: Transaction, consumer: str, *, limit: int = 100) -> list[Obligation]:
    """The newest obligations of a consumer, newest interval first."""
    return _all(
        tx.execute(
            f"select {_COLUMNS} from obligation where consumer = :consumer order by interval desc limit :limit",
            {"consumer": consumer, "limit": limit},
        )
    )


def newest_met(tx: Transaction, consumer: str) -> Obligation | None:
    """The newest obligation that was met, or None."""
    row = tx.execute(
        f"select {_COLUMNS} from obligation where consumer = :consumer and met_at is not null order by interval desc limit 1",
        {"consumer": consumer},
    ).fetchone()
    return Obligation(*row) if row else None


def unmet(tx: Transaction, consumer: str, *, limit: int = 10_000) -> list[Obligation]:
    """The obligations of a consumer that are neither met nor waived, oldest first."""
    return _all(
        tx.execute(
            f"select {_COLUMNS} from obligation where consumer = :consumer and met_at is null and waived_at is null "
            "order by interval limit :limit",
            {"consumer": consumer, "limit": limit},
        )
    )


def _all(rows: Iterable[tuple[Any, ...]]) -> list[Obligation]:
    return [Obligation(*row) for row in rows]
