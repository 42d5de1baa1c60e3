"""Records promises, the obligations that became due, and when they were met.

An obligation is recorded when it is due, or when its promise changes before that, with the promise
in force. Its deadline and its promise never change afterwards. `met_at` comes from publications,
never from the time of an evaluation. Recording the same twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from headrace.model.times import local_instant_us
from headrace.slo.declared_promises import DeclaredPromises, Terms
from headrace.slo.facts import RecordedObligation
from headrace.slo.obligations import (
    EvaluationContext,
    Obligation,
    due_us,
    obligations_of,
    promised_from,
)
from headrace.slo.stored_facts import StoredFacts
from headrace.store.queries import obligations
from headrace.store.transaction import Transaction


def apply_promises(
    tx: Transaction, old: DeclaredPromises | None, new: DeclaredPromises, now_us: int
) -> None:
    """Put the promises of `new` in force, in the transaction that applies it.

    Obligations that became due before stay under the promises of `old`, the version applied until
    now (None: there is none).
    """
    if old is not None:
        context = EvaluationContext(old, StoredFacts(tx))
        settle_obligations(tx, context, now_us)
        _keep_deadlines(tx, context, new, now_us)
    consumers = {terms.consumer for terms in new.consumers}
    for (consumer,) in tx.execute(
        "select distinct consumer from promise where until_at is null"
    ).fetchall():
        if consumer not in consumers:
            _end(tx, consumer, now_us)
    for terms in new.consumers:
        _put_in_force(tx, terms, now_us)
    _promise_since(tx, new, now_us)


def _keep_deadlines(
    tx: Transaction, context: EvaluationContext, new: DeclaredPromises, now_us: int
) -> None:
    """Record intervals that aren't due yet but would be overdue under the changed promise.

    They keep their old deadline, because nobody can meet a deadline that had passed when it was
    set.
    """
    after = {terms.consumer: terms for terms in new.consumers}
    for was in context.declared.consumers:
        now = after.get(was.consumer)
        if now is None or (now.per, now.timezone) != (was.per, was.timezone):
            continue
        recorded_obligations = context.facts.recorded_obligations(was.consumer)
        overdue_at_once = [
            obligation
            for obligation in obligations_of(recorded_obligations, was, context, now_us)
            if obligation.due_at_us > now_us and due_us(now, obligation.interval) < now_us
        ]
        if overdue_at_once:
            promise_id = _put_in_force(tx, was, now_us)
            _write(tx, was, promise_id, overdue_at_once, recorded_obligations)


def _promise_since(tx: Transaction, new: DeclaredPromises, now_us: int) -> None:
    """Record the obligations that a `since:` in the past adds."""
    context = EvaluationContext(new, StoredFacts(tx))
    for terms in new.consumers:
        current = obligations.promise_in_force(tx, terms.consumer)
        if current is None or current.from_at != now_us or current.begins_at >= now_us:
            continue
        results = [
            obligation
            for obligation in promised_from(current.begins_at, terms, context, None, now_us)
            if obligation.due_at_us <= now_us
            and obligations.get(tx, terms.consumer, obligation.interval) is None
        ]
        _write(tx, terms, current.id, results, ())


def settle_obligations(tx: Transaction, context: EvaluationContext, now_us: int) -> int:
    """Record obligations that became due and when open ones were met; return the rows written."""
    touched = 0
    for terms in context.declared.consumers:
        recorded_obligations = context.facts.recorded_obligations(terms.consumer)
        due = [
            obligation
            for obligation in obligations_of(recorded_obligations, terms, context, now_us)
            if obligation.due_at_us <= now_us
        ]
        promise_id = _put_in_force(tx, terms, now_us)
        touched += _write(tx, terms, promise_id, due, recorded_obligations)
    return touched


def _write(
    tx: Transaction,
    terms: Terms,
    promise_id: int,
    due: list[Obligation],
    recorded_obligations: Iterable[RecordedObligation],
) -> int:
    """Record those of the obligations that are new or newly met; return the rows written."""
    known = {obligation.interval: obligation for obligation in recorded_obligations}
    changed = [
        obligation
        for obligation in due
        if obligation.interval not in known
        or known[obligation.interval].met_at_us != obligation.met_at_us
    ]
    tx.executemany(
        "insert into obligation (consumer, interval, due_at, promise_id, met_at) values (:consumer,"
        " :interval, :due, :promise, :met) on conflict (consumer, interval) do update set met_at ="
        " coalesce(obligation.met_at, excluded.met_at)",
        [
            {
                "consumer": terms.consumer,
                "interval": obligation.interval,
                "due": obligation.due_at_us,
                "promise": promise_id,
                "met": obligation.met_at_us,
            }
            for obligation in changed
        ],
    )
    return len(changed)


def _put_in_force(tx: Transaction, terms: Terms, now_us: int) -> int:
    """Return the id of the promise, which is new if the terms aren't those in force."""
    current = obligations.promise_in_force(tx, terms.consumer)
    new_terms = _recorded_terms(terms)
    if current is not None and current.terms == new_terms:
        return current.id
    if current is not None:
        _end(tx, terms.consumer, now_us)
    return tx.insert(
        "insert into promise (consumer, terms, from_at, begins_at) values (:consumer, :terms, :now,"
        " :begins)",
        {
            "consumer": terms.consumer,
            "terms": msgspec.json.encode(new_terms, order="sorted").decode(),
            "now": now_us,
            "begins": _begins(terms, current, now_us),
        },
    )


def _begins(terms: Terms, before: obligations.Promise | None, now_us: int) -> int:
    """Return when a promise that is put in force now begins.

    An unchanged `since:` has no effect again. A `since:` in the future doesn't interrupt what is
    promised already; until it comes, it can be moved.
    """
    if terms.since is None:
        return now_us
    since_us = local_instant_us(terms.since, terms.timezone)
    if before is None or before.begins_at > now_us:  # nothing is promised yet
        return since_us
    return now_us if before.terms.get("since") == terms.since else min(since_us, now_us)


def _recorded_terms(terms: Terms) -> dict[str, object]:
    """Return the terms to record, without the owner."""
    since = {} if terms.since is None else {"since": terms.since}
    return {
        **since,
        "reads": sorted(terms.reads),
        "per": str(terms.per),
        "timezone": terms.timezone,
        "due": terms.due,
        "max_age": terms.max_age,
        "no_data": terms.no_data.declared(),
    }


def _end(tx: Transaction, consumer: str, now_us: int) -> None:
    tx.execute(
        "update promise set until_at = :now where consumer = :consumer and until_at is null",
        {"now": now_us, "consumer": consumer},
    )
