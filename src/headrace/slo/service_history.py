"""The stored history of how consumers were served over a window, as `timeline.ServiceHistory`.

Rows that several consumers share (publications, promises, wrong data) are read once per window.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from headrace.model import Grain
from headrace.model.intervals import bounds_us
from headrace.model.times import Duration
from headrace.slo.declared_promises import WHOLE, Node, Terms, began
from headrace.slo.freshness import known_until, sources_of
from headrace.slo.obligations import (
    EMPTY_INTERVALS_MAX,
    EvaluationContext,
    Obligation,
    covered,
    needed,
)
from headrace.slo.read_together import ReadTogether
from headrace.slo.timeline import (
    EVER,
    NONE,
    Duty,
    Moments,
    ServiceHistory,
    Term,
    common,
    outside,
    union,
)
from headrace.slo.wrong_periods import Speaks, Wrongness
from headrace.store.queries import availability as stored
from headrace.store.queries import obligations as kept
from headrace.store.queries.obligations import Promise
from headrace.store.transaction import Transaction


class Gathering:
    """The histories of one window in one transaction; rows that consumers share are read once."""

    def __init__(
        self,
        tx: Transaction,
        context: EvaluationContext,
        wrongness: Wrongness,
        speaks: Speaks,
        from_us: int,
        now_us: int,
    ) -> None:
        self._tx, self._context, self._facts = tx, context, context.facts
        self._wrongness, self._speaks = wrongness, speaks
        self._from, self._now = from_us, now_us
        self._promises = _begun(stored.all_promises(tx))
        self._gaps = stored.observation_gaps(tx, from_us)
        self._over = ReadTogether(
            partial(stored.obligations_over, tx, from_us=from_us, before=EMPTY_INTERVALS_MAX)
        )
        self._first_due = ReadTogether(
            lambda names: stored.first_due(tx, {name: self._since(name) for name in names})
        )
        self._first = ReadTogether(partial(stored.first_publication, tx))
        self._over.expected = [terms.consumer for terms in context.declared.consumers]
        self._first_due.expected = self._over.expected
        self._first.expected = [*context.declared.nodes]
        self._withdrawn = stored.withdrawals_of(
            tx, {*context.declared.nodes, *context.declared.exports}, from_us
        )

    def past(self, terms: Terms, obligations: Sequence[Obligation]) -> ServiceHistory:
        """Return how a consumer was served; `obligations` are its obligations as known now."""
        promises = self._promises.get(terms.consumer, [])
        history = self._past(terms, terms, promises, self._duties(terms, obligations))
        excepted = self._wrongness.by_others(terms, history.duties, self._speaks)
        aged = self._aged(terms, terms, promises, history.duties)
        return msgspec.structs.replace(history, excepted=excepted, **aged)

    def _past(
        self, terms: Terms, read: Terms, promises: Sequence[Promise], duties: tuple[Duty, ...]
    ) -> ServiceHistory:
        """Return the part of a history that all kinds share.

        `terms` are what was promised to the consumer, `read` the terms with the reads to evaluate.
        """
        return ServiceHistory(
            consumer=terms.consumer,
            timezone=terms.timezone,
            terms=_promised(promises),
            duties=duties,
            counted_us=self._counted(terms, promises, duties),
            blind=self._blind(read, promises),
            wrong=self._wrongness.wrong(read),
        )

    def _aged(
        self, terms: Terms, read: Terms, promises: Sequence[Promise], duties: Sequence[Duty]
    ) -> dict[str, Any]:
        """Return the fields that are known only while the reads are declared.

        Reference data doesn't age next to data that comes by interval.
        """
        paced = terms.max_age is None or self._context.has_rhythm(terms)
        return {
            "never": self._never(read, promises, duties),
            "republished": None if paced else self._republished(read),
        }

    def soundly_met_at(self, terms: Terms, obligation: Obligation) -> int | None:
        """Return when sound data, as known now, first met an obligation; None if none did."""
        return (
            None
            if obligation.met_at_us is None
            else self._wrongness.sound_since(terms, self._fresh(terms, obligation))
        )

    def removed(self) -> list[ServiceHistory]:
        """Return the histories of removed consumers that had a promise in the window."""
        declared = {terms.consumer for terms in self._context.declared.consumers}
        removed_promises = [
            promises
            for name, promises in self._promises.items()
            if name not in declared and (promises[-1].until_at or EVER) > self._from
        ]
        return [self._of_removed(promises) for promises in removed_promises]

    def _of_removed(self, promises: Sequence[Promise]) -> ServiceHistory:
        """Return the history as far as the reads still exist; others can't be evaluated."""
        terms = _terms(promises[-1])
        history = self._past(terms, terms, promises, self._duties(terms, ()))
        excepted = self._wrongness.by_others(terms, history.duties, self._speaks)
        promised = union((promise.from_at, promise.until_at or EVER) for promise in promises)
        return msgspec.structs.replace(
            history, excepted=excepted, blind=common(history.blind, promised)
        )

    def of_node(
        self, node: Node, terms: Terms, obligations: Sequence[Obligation]
    ) -> ServiceHistory:
        """Return how a node provided what a consumer needs of it, by the consumer's deadlines."""
        alone = msgspec.structs.replace(terms, consumer="", reads=(node.name,), named=())
        due = {obligation.interval: obligation.due_at_us for obligation in obligations}
        due |= {
            obligation.interval: obligation.due_at for obligation in self._over.of(terms.consumer)
        }
        results = [
            self._covered(node, alone, item, at)
            for item, at in due.items()
            if began(item, terms.per, terms.timezone) is not None
        ]
        ordered = sorted(results, key=lambda duty: (duty.due_us, duty.interval))
        duties = tuple(self._emptied(alone, self._taken_back(alone, ordered)))
        promises = self._promises.get(terms.consumer, [])
        past = self._past(terms, alone, promises, duties)
        aged = self._aged(terms, alone, promises, duties)
        return msgspec.structs.replace(past, consumer=node.name, **aged)

    def _covered(self, node: Node, terms: Terms, interval: str, due_us: int) -> Duty:
        seen = covered(node, terms, interval, self._context)
        met_us = None if seen is None else seen.at_us
        met = NONE if met_us is None else ((met_us, EVER),)
        return Duty(
            interval, bounds_us(interval, terms.per, terms.timezone)[1], due_us, met, met_us
        )

    def _since(self, consumer: str) -> int:
        """Return since when anything was promised to a consumer; `EVER` if nothing was."""
        return min((each.begins_at for each in self._promises.get(consumer, ())), default=EVER)

    def _counted(self, terms: Terms, promises: Sequence[Promise], duties: Sequence[Duty]) -> int:
        """Return the first deadline since anything was promised.

        Data that comes by interval and has no interval yet has no deadline.
        """
        if not promises:
            return EVER
        since = self._since(terms.consumer)
        known = self._first_due.of(terms.consumer)
        fresh = (duty.due_us for duty in duties if since <= duty.due_us <= self._now)
        age = promises[-1].terms.get("max_age")
        if not duties and age and not self._context.has_rhythm(terms):
            # without a rhythm no interval is due: existing data could first be too old then
            return Duration.parse(str(age)).after_us(since, str(promises[-1].terms["timezone"]))
        return min([*([known] if known is not None else []), *fresh], default=EVER)

    def _duties(self, terms: Terms, obligations: Sequence[Obligation]) -> tuple[Duty, ...]:
        now = {obligation.interval: obligation for obligation in obligations}
        duties = [
            self._duty(terms, obligation, now.pop(obligation.interval, None))
            for obligation in self._over.of(terms.consumer)
            if began(obligation.interval, terms.per, terms.timezone) is not None
        ]
        oldest = duties[0].due_us if duties else -EVER
        duties += [
            self._fresh(terms, obligation)
            for obligation in now.values()
            if obligation.due_at_us >= oldest
        ]
        ordered = sorted(duties, key=lambda duty: (duty.due_us, duty.interval))
        return tuple(self._emptied(terms, self._taken_back(terms, ordered)))

    def _duty(
        self, terms: Terms, obligation: kept.StoredObligation, evaluated: Obligation | None
    ) -> Duty:
        """Return a recorded obligation as a duty; its fulfilment may not be recorded yet."""
        met_us = (
            obligation.met_at
            if obligation.met_at is not None
            else evaluated.met_at_us
            if evaluated is not None
            else None
        )
        spans = [(at, EVER) for at in (met_us, obligation.waived_at) if at is not None]
        return Duty(
            obligation.interval,
            bounds_us(obligation.interval, terms.per, terms.timezone)[1],
            obligation.due_at,
            union(spans),
            met_us,
            obligation.waived_at,
        )

    def _fresh(self, terms: Terms, obligation: Obligation) -> Duty:
        met = union([(obligation.met_at_us, EVER)]) if obligation.met_at_us is not None else NONE
        return Duty(
            obligation.interval,
            bounds_us(obligation.interval, terms.per, terms.timezone)[1],
            obligation.due_at_us,
            met,
            obligation.met_at_us,
        )

    def _taken_back(self, terms: Terms, duties: list[Duty]) -> Iterator[Duty]:
        """Reopen duties for the time in which something that they read was withdrawn."""
        awaited = self._context.awaited(terms)
        withdrawn_spans = self._withdrawn_spans({node.name for node in awaited})
        if not withdrawn_spans:
            yield from duties
            return
        for duty in duties:
            holes = union(
                span for node in awaited for span in self._holes(node, terms, duty, withdrawn_spans)
            )
            yield _without(duty, holes)

    def _withdrawn_spans(
        self, nodes: Collection[str]
    ) -> dict[tuple[str, str], list[tuple[int, int]]]:
        """Return (node, partition) → the spans in which it was withdrawn."""
        results: dict[tuple[str, str], list[tuple[int, int]]] = {}
        for withdrawal in self._withdrawn:
            if withdrawal.node in nodes:
                place = withdrawal.node, withdrawal.partition
                until = EVER if withdrawal.until_at is None else withdrawal.until_at
                results.setdefault(place, []).append((withdrawal.at, until))
        return results

    def _holes(
        self,
        node: Node,
        terms: Terms,
        duty: Duty,
        withdrawn_spans: Mapping[tuple[str, str], Sequence[tuple[int, int]]],
    ) -> Iterator[tuple[int, int]]:
        for key in needed(node, terms, duty.interval, self._context) or (WHOLE,):
            yield from withdrawn_spans.get((node.name, key), ())

    def _emptied(self, terms: Terms, duties: Iterable[Duty]) -> Iterator[Duty]:
        """Mark intervals without rows: under `max_age` they don't make the readable data newer."""
        results = list(duties)
        empty = self._empty(terms, results) if terms.max_age is not None and results else {}
        for duty in results:
            rows = duty.met_us is not None and not any(
                self._is_empty(node, terms, duty, keys) for node, keys in empty.items()
            )
            yield msgspec.structs.replace(
                duty, rows=rows, met_us=self._wrongness.sound_since(terms, duty)
            )

    def _empty(self, terms: Terms, duties: Sequence[Duty]) -> dict[str, set[str]]:
        first = min(duty.interval for duty in duties)
        results = {}
        for node in self._context.known_reads(terms):
            if node.partition.grain is not None:
                keys = self._empty_keys(node, terms, first)
                if keys:
                    results[node.name] = keys
        return results

    def _empty_keys(self, node: Node, terms: Terms, interval: str) -> set[str]:
        first = min(needed(node, terms, interval, self._context) or ("",))
        return stored.empty_keys(self._tx, node.name, first, "￿")

    def _is_empty(self, name: str, terms: Terms, duty: Duty, empty: set[str]) -> bool:
        keys = needed(self._context.node(name), terms, duty.interval, self._context)
        return bool(keys) and all(key in empty for key in keys or ())

    def _blind(self, terms: Terms, promises: Sequence[Promise]) -> Moments:
        """Return the spans in which a source of the consumer wasn't observed."""
        reads = self._context.known_reads(terms)
        return union(
            span
            for node in reads
            for span in common(self._unseen(node), _promised_to_have(promises, node.name))
        )

    def _unseen(self, node: Node) -> Moments:
        """Return the spans in which a source of a node wasn't observed.

        A source that was never observed counts only from now on.
        """
        results: list[tuple[int, int]] = []
        for source in sources_of([node], self._context):
            results += self._gaps.get(source.name, ())
            observations = self._facts.observations(source.name)
            until = (
                known_until(observations, self._context.declared.tick_every_us)
                if observations
                else self._now - 1
            )
            results.append((until + 1, EVER))
        return union(results)

    def _never(self, terms: Terms, promises: Sequence[Promise], duties: Sequence[Duty]) -> Moments:
        """Return the spans in which a read had never been published or has nothing left to read.

        A node counts only while it was a promised read, and from the first deadline after it became
        one.
        """
        results: list[tuple[int, int]] = []
        known = self._context.known_reads(terms)
        if len(known) < len(terms.reads):
            return outside(NONE)
        begun = any(duty.met_us is not None and duty.met_us <= self._from for duty in duties)
        for node in known:
            lacking: list[tuple[int, int]] = []
            if self._facts.newest(node.name) is None:
                lacking.append((stored.last_end(self._tx, node.name) or -EVER, EVER))
            if not begun:
                first = self._first.of(node.name)
                lacking += [(-EVER, first)] if first is not None else []
            results += common(
                union(lacking), _due_to_have(_promised_to_have(promises, node.name), duties)
            )
        return union(results)

    def _republished(self, terms: Terms) -> tuple[tuple[tuple[int, int], ...], ...]:
        times = partial(stored.publication_times, self._tx, from_us=self._from)
        if terms.consumer in self._context.declared.exports:
            times = partial(
                stored.exported_times, self._tx, export=terms.consumer, from_us=self._from
            )
        return tuple(tuple(times(node=node.name)) for node in self._context.known_reads(terms))


def _terms(promise: Promise) -> Terms:
    """Return the last terms of a removed consumer; its owner is no longer known."""
    recorded_terms = promise.terms
    return Terms(
        promise.consumer,
        "",
        tuple(recorded_terms["reads"]),
        Grain(recorded_terms["per"]),
        str(recorded_terms["timezone"]),
        recorded_terms.get("due"),
        recorded_terms.get("max_age"),
    )


def _promised_to_have(promises: Sequence[Promise], read: str) -> Moments:
    """Return the spans in which a read was promised; all time if no promise names it."""
    mine = [promise for promise in promises if read in promise.terms["reads"]]
    return (
        union((promise.begins_at, _until(promise)) for promise in mine) if mine else outside(NONE)
    )


def _due_to_have(promised: Moments, duties: Sequence[Duty]) -> Moments:
    """Return the promised spans from their first deadline on; unchanged if no interval is due."""
    if not duties:
        return promised
    return union(
        (min((duty.due_us for duty in duties if duty.due_us >= began), default=EVER), ended)
        for began, ended in promised
    )


def _begun(promises: Mapping[str, Sequence[Promise]]) -> dict[str, list[Promise]]:
    """Drop promises that were replaced or ended before their `since:`: they never held."""
    results: dict[str, list[Promise]] = {}
    for consumer, every in promises.items():
        if begun := [promise for promise in every if promise.begins_at < _until(promise)]:
            results[consumer] = begun
    return results


def _promised(promises: Sequence[Promise]) -> tuple[Term, ...]:
    """Return the spans in which something was promised, with their terms.

    A `since:` in the past extends a promise back over time without another promise.
    """
    terms = [
        _term(promise, (max(promise.from_at, promise.begins_at), _until(promise)))
        for promise in promises
    ]
    covered_spans = union((promise.from_at, _until(promise)) for promise in promises)
    for promise in promises:
        earlier = (
            common(((promise.begins_at, promise.from_at),), outside(covered_spans))
            if promise.begins_at < promise.from_at
            else NONE
        )
        terms += [_term(promise, span) for span in earlier]
        covered_spans = union([*covered_spans, *earlier])
    return tuple(sorted(terms, key=lambda term: term.from_us))


def _term(promise: Promise, span: tuple[int, int]) -> Term:
    max_age = promise.terms.get("max_age")
    return Term(*span, None if max_age is None else str(max_age))


def _until(promise: Promise) -> int:
    return EVER if promise.until_at is None else promise.until_at


def _without(duty: Duty, holes: Moments) -> Duty:
    if not holes:
        return duty
    met = union(
        (max(began, start), min(ended, end))
        for began, ended in duty.met
        for start, end in outside(holes)
        if start < ended and began < end
    )
    waived = [] if duty.waived_us is None else [(duty.waived_us, EVER)]
    return msgspec.structs.replace(duty, met=union([*met, *waived]))
