"""Obligations and promises of consumers, and export targets that this state has taken over."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from headrace.store.queries.partition_states import LAST_KEY
from headrace.store.transaction import Transaction, json_list

# One obligation is one consumer and one interval with its deadline, met or not.

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
    """Return the newest obligations of a consumer, newest interval first."""
    return _all(
        tx.execute(
            f"select {_COLUMNS} from obligation where consumer = :consumer order by interval desc"
            " limit :limit",
            {"consumer": consumer, "limit": limit},
        )
    )


def recorded(
    tx: Transaction, consumers: Sequence[str], *, limit: int
) -> dict[str, list[StoredObligation]]:
    """Return each consumer's unmet obligations, the newest ones, and the newest that was met.

    They are ordered by deadline. `limit` is the number of newest ones; the unmet ones are the
    oldest 10,000.
    """
    unmet, met = " and o.met_at is null and o.waived_at is null", " and o.met_at is not null"
    each = (
        f"select {_COLUMNS} from json_each(:consumers) cross join obligation o where consumer ="
        " value"
    )
    of = "(select i.interval from obligation i where i.consumer = value"
    rows = tx.execute(
        f"{each}{unmet} and interval <= coalesce({of}{unmet.replace('o.', 'i.')} order by interval"
        f" limit 1 offset 9999), :end) union {each} and interval >= coalesce({of} order by interval"
        f" desc limit 1 offset :others), '') union {each}{met} and interval = {of}"
        f"{met.replace('o.', 'i.')} order by interval desc limit 1)",
        {"consumers": json_list(consumers), "others": limit - 1, "end": LAST_KEY},
    )
    results: dict[str, list[StoredObligation]] = {consumer: [] for consumer in consumers}
    for obligation in sorted(_all(rows), key=lambda each: (each.due_at, each.interval)):
        results[obligation.consumer].append(obligation)
    return results


def unmet(tx: Transaction, consumer: str, *, limit: int = 10_000) -> list[StoredObligation]:
    """Return a consumer's obligations that are neither met nor waived, oldest first."""
    return _all(
        tx.execute(
            f"select {_COLUMNS} from obligation where consumer = :consumer and met_at is null and"
            " waived_at is null order by interval limit :limit",
            {"consumer": consumer, "limit": limit},
        )
    )


def get(tx: Transaction, consumer: str, interval: str) -> StoredObligation | None:
    """Return one obligation; None while it isn't due."""
    row = tx.execute(
        f"select {_COLUMNS} from obligation where consumer = ? and interval = ?",
        (consumer, interval),
    ).fetchone()
    return StoredObligation(*row) if row else None


def waive(tx: Transaction, consumer: str, interval: str, now: int) -> None:
    """Waive an obligation; one that was met earlier, and isn't any more, keeps that time."""
    tx.execute(
        "update obligation set waived_at = ? where consumer = ? and interval = ?",
        (now, consumer, interval),
    )


def any_waived(tx: Transaction, consumers: Iterable[str], interval: str) -> bool:
    """Return whether any of these consumers' obligations for an interval was waived."""
    sql = "select 1 from obligation where consumer = ? and interval = ? and waived_at is not null"
    return any(
        tx.execute(sql, (consumer, interval)).fetchone() is not None for consumer in consumers
    )


def all_unmet(tx: Transaction, due_by: int, each: int) -> dict[str, list[StoredObligation]]:
    """Return each consumer's newest open obligations due by a time, oldest first.

    Open means neither met nor waived; `each` limits their number per consumer.
    """
    rows = tx.execute(
        f"select {_COLUMNS} from (select {_COLUMNS}, row_number() over (partition by consumer order"
        " by interval desc) as place from obligation where met_at is null and waived_at is null"
        " and due_at <= :due) as open_ones where place <= :each order by consumer, interval",
        {"due": due_by, "each": each},
    )
    results: dict[str, list[StoredObligation]] = {}
    for obligation in _all(rows):
        results.setdefault(obligation.consumer, []).append(obligation)
    return results


def _all(rows: Iterable[tuple[Any, ...]]) -> list[StoredObligation]:
    return [StoredObligation(*row) for row in rows]


# Promises to consumers, with their start.


class Promise(msgspec.Struct, frozen=True):
    """One promise, in force from `from_at` until `until_at` (None: still). `terms` is JSON.

    Obligations from `begins_at` on are evaluated by it: `from_at`, unless `since:` is declared.
    Times are microseconds of the store's clock.
    """

    id: int
    consumer: str
    terms: dict[str, Any]
    from_at: int
    until_at: int | None
    begins_at: int


class PromiseStart(msgspec.Struct, frozen=True, gc=False):
    """Start of the promise in force (`begins_at`), and of the unbroken series of promises."""

    begins_at: int
    unbroken_since: int


def promise_starts(tx: Transaction, consumers: Sequence[str]) -> dict[str, PromiseStart | None]:
    """Return the start of each consumer's promise; None without a promise."""
    spans: dict[str, list[tuple[int, int | None, int]]] = {consumer: [] for consumer in consumers}
    for consumer, *span in tx.execute(
        "select consumer, from_at, until_at, begins_at from promise where consumer in (select value"
        " from json_each(?)) order by from_at, id",
        (json_list(consumers),),
    ):
        spans[consumer].append((span[0], span[1], span[2]))
    return {consumer: _start(of_consumer) for consumer, of_consumer in spans.items()}


def _start(spans: Iterable[tuple[int, int | None, int]]) -> PromiseStart | None:
    start: PromiseStart | None = None
    ended: int | None = None
    for from_at, until_at, begins_at in spans:
        # A promise that was replaced before it began doesn't count.
        unbroken = start is not None and ended == from_at and start.unbroken_since <= from_at
        since = (
            min(begins_at, start.unbroken_since) if start is not None and unbroken else begins_at
        )
        start, ended = PromiseStart(begins_at, since), until_at
    return start if ended is None else None


def promise_in_force(tx: Transaction, consumer: str) -> Promise | None:
    """Return a consumer's promise in force, or None."""
    return _promise(
        tx.execute(
            f"{_SELECT} where consumer = :consumer and until_at is null order by from_at desc"
            " limit 1",
            {"consumer": consumer},
        )
    )


_SELECT = "select id, consumer, terms, from_at, until_at, begins_at from promise"


def _promise(result: Any) -> Promise | None:
    row = result.fetchone()
    return (
        None
        if row is None
        else Promise(row[0], row[1], msgspec.json.decode(row[2]), row[3], row[4], row[5])
    )


def rename_read(tx: Transaction, node: str, new_name: str) -> None:
    """Let all promises, past ones too, read a renamed node by its new name.

    The past is evaluated by what a promise named, and what was published has the new name.
    """
    rows = tx.execute("select id, terms from promise order by id").fetchall()
    for number, text in rows:
        terms = msgspec.json.decode(text)
        if node in terms["reads"]:
            reads = [new_name if read == node else read for read in terms["reads"]]
            terms = {**terms, "reads": sorted(reads)}
            changed = msgspec.json.encode(terms, order="sorted").decode()
            tx.execute("update promise set terms = ? where id = ?", (changed, number))


# Each take-over of a consumer's export target has a unique name, which is stored in `meta`.

_PREFIX = "exports.take_over."
"""Prefix of the key in `meta`; the consumer's name follows."""


def newest_take_over(tx: Transaction, consumer: str) -> str:
    """Return the name of the newest take-over of a consumer's target; empty without one."""
    row = tx.execute("select value from meta where key = ?", (_PREFIX + consumer,)).fetchone()
    return "" if row is None else str(row[0])


def record_take_over(tx: Transaction, consumer: str) -> None:
    """Record that this state takes over the consumer's target."""
    tx.execute(
        "insert into meta (key, value) values (?, ?) on conflict (key) do update set value ="
        " excluded.value",
        (_PREFIX + consumer, uuid.uuid4().hex),
    )
