"""Writes down what was promised, what became due, and when it was met.

An obligation is written when it is due, with the promise in force, and neither its deadline nor its promise ever
changes afterwards. `met_at` comes from publications, never from the time at which somebody looked. Writing the same
twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from headrace.observe.facts import StoreWorld
from headrace.observe.obligations import Obligation, Scene, obligations_of
from headrace.observe.watched import Terms, Watched
from headrace.observe.world import Kept
from headrace.store.database import Transaction
from headrace.store.queries import promises


def promise(tx: Transaction, old: Watched | None, new: Watched, now_us: int) -> None:
    """Put the promises of `new` in force, in the transaction that applies it. What became due before stays under the
    promises of `old`, which is what was applied until now (None: nothing)."""
    if old is not None:
        settle(tx, Scene(old, StoreWorld(tx)), now_us)
    consumers = {terms.consumer for terms in new.consumers}
    for (consumer,) in tx.execute("select distinct consumer from promise where until_at is null").fetchall():
        if consumer not in consumers:
            _end(tx, consumer, now_us)
    for terms in new.consumers:
        _put_in_force(tx, terms, now_us)


def settle(tx: Transaction, scene: Scene, now_us: int) -> int:
    """Write the obligations that became due, and when those that were open were met; how many rows were touched."""
    touched = 0
    for terms in scene.declared.consumers:
        promise_id = _put_in_force(tx, terms, now_us)
        kept = scene.world.kept(terms.consumer)
        due = [one for one in obligations_of(kept, terms, scene, now_us) if one.due_at_us <= now_us]
        touched += _write(tx, terms, promise_id, due, {one.interval: one for one in kept})
    return touched


def _write(tx: Transaction, terms: Terms, promise_id: int, due: list[Obligation], kept: Mapping[str, Kept]) -> int:
    changed = [one for one in due if one.interval not in kept or kept[one.interval].met_at_us != one.met_at_us]
    tx.executemany(
        "insert into obligation (consumer, interval, due_at, promise_id, met_at) values (:consumer, :interval, :due, :promise, :met) "
        "on conflict (consumer, interval) do update set met_at = coalesce(obligation.met_at, excluded.met_at)",
        [
            {"consumer": terms.consumer, "interval": one.interval, "due": one.due_at_us, "promise": promise_id, "met": one.met_at_us}
            for one in changed
        ],
    )
    return len(changed)


def _put_in_force(tx: Transaction, terms: Terms, now_us: int) -> int:
    """The promise's id; a new one if the terms aren't those in force."""
    current = promises.in_force(tx, terms.consumer)
    said = _said(terms)
    if current is not None and current.terms == said:
        return current.id
    if current is not None:
        _end(tx, terms.consumer, now_us)
    cursor = tx.execute(
        "insert into promise (consumer, terms, from_at) values (:consumer, :terms, :now)",
        {"consumer": terms.consumer, "terms": msgspec.json.encode(said, order="sorted").decode(), "now": now_us},
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def _said(terms: Terms) -> dict[str, object]:
    """What was promised, without who is told about it."""
    return {
        "reads": sorted(terms.reads),
        "per": str(terms.per),
        "timezone": terms.timezone,
        "due": terms.due,
        "max_age": terms.max_age,
        "no_data": terms.no_data.said(),
    }


def _end(tx: Transaction, consumer: str, now_us: int) -> None:
    tx.execute("update promise set until_at = :now where consumer = :consumer and until_at is null", {"now": now_us, "consumer": consumer})
