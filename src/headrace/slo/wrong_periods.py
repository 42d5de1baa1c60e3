"""Periods in which a consumer's data was unsound, made from withdrawn data, or an exception.

The store is read once for all consumers; most windows have no such period.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, NamedTuple

from headrace.model.partitions import command_line, partition_argument
from headrace.slo.consumer_states import Wronged
from headrace.slo.declared_promises import WHOLE, Node, Terms
from headrace.slo.obligations import EvaluationContext, Obligation, needed
from headrace.slo.timeline import EVER, Duty, Moments, WrongPeriod, union, without
from headrace.slo.times import time_text
from headrace.slo.unsound import (
    Carry,
    Taint,
    accepted_taints,
    all_of_all,
    spread_taints,
    unsound_taints,
    withdrawn_taints,
)
from headrace.store.queries import exceptions as stored
from headrace.store.queries import incidents, publications
from headrace.store.queries.exceptions import AcceptedPublication
from headrace.store.queries.publications import Visible, Withdrawn
from headrace.store.transaction import Transaction

if TYPE_CHECKING:
    from headrace.model import Project


Speaks = Callable[[str, str], bool]
"""(owner, actor) → whether the actor speaks for the owner."""


class Flaw(NamedTuple):
    """What is known of one publication: it is wrong, or was published as an exception."""

    partition: str
    wronged: Wronged
    cause: str
    """The node with the incident, the exception or the withdrawal."""
    columns: frozenset[str] = frozenset()
    """The affected columns; empty: all."""
    accepted: bool = False
    """Whether it relies on an exception that hasn't lapsed, and isn't wrong."""


class Wrongness:
    """Wrong, accepted and withdrawn data that readers got over a window.

    The store is read once for all consumers; in most windows it has nothing.
    """

    def __init__(
        self, tx: Transaction, context: EvaluationContext, carry: Carry, from_us: int, now_us: int
    ) -> None:
        self._tx, self._context, self._carry = tx, context, carry
        self._from, self._now = from_us, now_us

    @cached_property
    def _unsound(self) -> dict[str, list[Taint]]:
        return spread_taints(
            self._tx,
            self._context,
            unsound_taints(stored.named_wrong(self._tx, self._from)),
            self._carry,
        )

    @cached_property
    def _exceptions(self) -> dict[int, AcceptedPublication]:
        return {
            publication.id: publication
            for publication in stored.accepted_exceptions(self._tx, self._from)
        }

    @cached_property
    def _excepted(self) -> dict[str, list[Taint]]:
        return spread_taints(
            self._tx, self._context, accepted_taints(self._exceptions.values()), all_of_all
        )

    @cached_property
    def _withdrawn(self) -> list[Withdrawn]:
        return publications.all_withdrawn(self._tx)

    @cached_property
    def _made_of_withdrawn(self) -> dict[str, list[Taint]]:
        return spread_taints(self._tx, self._context, withdrawn_taints(self._withdrawn), all_of_all)

    def wrong(self, terms: Terms) -> tuple[WrongPeriod, ...]:
        """Return the periods with wrong data from incidents, lapsed exceptions and withdrawals."""
        nodes = self._context.awaited(terms)
        others = (*self._lapsed(nodes), *self._of_withdrawn(nodes))
        return (*self._by_incidents(nodes), *(wrong for _, wrong in others))

    def _by_incidents(self, nodes: Iterable[Node]) -> Iterator[WrongPeriod]:
        for taint in self._at(nodes, self._unsound):
            if taint.until_us > self._from:
                yield WrongPeriod(
                    taint.from_us,
                    taint.until_us,
                    taint.known_us,
                    taint.incident,
                    taint.withdrawn_us,
                )

    def _lapsed(self, nodes: Iterable[Node]) -> Iterator[tuple[Taint, WrongPeriod]]:
        """Yield the data that still relies on a lapsed exception while readers see it."""
        for taint in self._at(nodes, self._excepted if self._exceptions else {}):
            exception = self._exceptions[taint.exception or 0]
            if exception.until is None or (exception.ended_at or EVER) <= exception.until:
                continue
            ends = min(taint.until_us, EVER if exception.over_at is None else exception.over_at)
            since = max(taint.from_us, exception.until)
            if since < ends and ends > self._from:
                yield taint, WrongPeriod(since, ends, exception.until, exception.incident)

    def _of_withdrawn(self, nodes: Iterable[Node]) -> Iterator[tuple[Taint, WrongPeriod]]:
        """Yield the data made from withdrawn data, from the withdrawal on.

        Earlier exports stay as they are; their state says so.
        """
        for taint in self._at(nodes, self._made_of_withdrawn if self._withdrawn else {}):
            since = max(taint.from_us, taint.known_us)
            if (
                taint.node not in self._context.declared.exports
                and since < taint.until_us
                and taint.until_us > self._from
            ):
                yield taint, WrongPeriod(since, taint.until_us, taint.known_us)

    def by_others(self, terms: Terms, duties: Sequence[Duty], speaks: Speaks) -> Moments:
        """Return the spans in which the newest due interval relied on somebody else's exception.

        Exceptions count as the owner's if `speaks` says that the actor speaks for the owner.
        """
        if not self._exceptions:
            return ()
        excepted = list(self._excepted_by_others(terms, speaks))
        results = []
        for index, duty in enumerate(duties):
            ends = duties[index + 1].due_us if index + 1 < len(duties) else EVER
            results += [
                (max(taint.from_us, duty.due_us), min(taint.until_us, exception_ends, ends))
                for node, taint, exception_ends in excepted
                if self._stands_on(node, terms, duty, taint)
            ]
        return union(results)

    def _excepted_by_others(
        self, terms: Terms, speaks: Speaks
    ) -> Iterator[tuple[Node, Taint, int]]:
        """Yield the data under somebody else's exception, with the exception's end."""
        for node in self._context.awaited(terms):
            for taint in self._excepted.get(node.name, ()):
                exception = self._exceptions[taint.exception or 0]
                if not speaks(terms.owner, exception.actor):
                    yield node, taint, _ends(exception)

    def sound_since(self, terms: Terms, duty: Duty) -> int | None:
        """Return when sound data, as known now, first met an obligation; None if none did."""
        if duty.met_us is None or not self._unsound:
            return duty.met_us
        spans = [
            (taint.from_us, taint.until_us)
            for node in self._context.awaited(terms)
            for taint in self._unsound.get(node.name, ())
            if taint.withdrawn_us == EVER and self._stands_on(node, terms, duty, taint)
        ]
        sound = without(union([(duty.met_us, EVER)]), union(spans))
        return sound[0][0] if sound else None

    def _stands_on(self, node: Node, terms: Terms, duty: Duty | Obligation, taint: Taint) -> bool:
        keys = needed(node, terms, duty.interval, self._context)
        return keys is None or taint.partition in keys

    def _at(self, nodes: Iterable[Node], results: Mapping[str, list[Taint]]) -> Iterable[Taint]:
        return (taint for node in nodes for taint in results.get(node.name, ())) if results else ()

    def now(self) -> dict[str, Wronged]:
        """Return consumer → the earliest cause of wrong data that it can read now.

        Consumers that aren't wrong are left out.
        """
        return {
            consumer: min(wronged, key=_earliest) for consumer, wronged in self._consumers_now()
        }

    def _consumers_now(self) -> Iterator[tuple[str, list[Wronged]]]:
        for terms in self._context.declared.consumers:
            wronged = list(self._readable(self._context.awaited(terms)))
            if wronged:
                yield terms.consumer, wronged

    def _readable(self, nodes: Sequence[Node]) -> Iterator[Wronged]:
        """Yield why data of these nodes that readers can read now is wrong."""
        for wrong in self._by_incidents(nodes):
            known = wrong.known_us <= self._now < wrong.withdrawn_us and self._open(wrong.incident)
            if known and wrong.from_us <= self._now < wrong.until_us:
                yield self._wronged_by_incident(wrong)
        for ways, tell in (
            (self._lapsed(nodes), self._told_lapse),
            (self._of_withdrawn(nodes), self._told_withdrawn),
        ):
            for taint, wrong in ways:
                if wrong.from_us <= self._now < wrong.until_us:
                    yield tell(taint, wrong)

    def touches(self, node: str) -> bool:
        """Return whether `flaws` may yield anything of a node's current publications."""
        ways = (self._unsound, self._excepted if self._exceptions else {}, self._made_of_withdrawn)
        return any(node in taints for taints in ways)

    def flaws(self, node: str, seen: Mapping[str, Visible]) -> Iterator[Flaw]:
        """Yield what is known now of publications of a node, visible now or earlier."""
        for taint in self._unsound.get(node, ()):
            known = taint.known_us <= self._now < taint.withdrawn_us
            if known and _is_of(taint, seen, recovered_us=self._now):
                incident = incidents.get(self._tx, taint.incident or 0)
                why = self._wronged_by_incident(_period(taint, incident=taint.incident))
                cause = node if incident is None else incident.node
                yield Flaw(taint.partition, why, cause, taint.columns)
        for taint in self._excepted.get(node, ()) if self._exceptions else ():
            if _is_of(taint, seen):
                yield from self._of_exception(taint, seen[taint.partition])
        yield from self._flaws_of_withdrawn(node, seen)

    def _of_exception(self, taint: Taint, read: Visible) -> Iterator[Flaw]:
        exception = self._exceptions[taint.exception or 0]
        if self._now < (exception.over_at or EVER):
            lapsed = read.ended_at is None and (exception.until or EVER) <= self._now
            period = WrongPeriod(taint.from_us, EVER, exception.until or EVER, exception.incident)
            why = self._told_lapse(taint, period) if lapsed else _told_exception(exception)
            yield Flaw(taint.partition, why, exception.node, accepted=not lapsed)

    def _flaws_of_withdrawn(self, node: str, seen: Mapping[str, Visible]) -> Iterator[Flaw]:
        for taint in self._made_of_withdrawn.get(node, ()):
            if _is_of(taint, seen):
                why = self._told_withdrawn(taint, _period(taint))
                root = next(item for item in self._withdrawn if item.rows == taint.withdrawn)
                yield Flaw(taint.partition, why, root.node)
        ended = {(node, key, read.ended_at) for key, read in seen.items()}
        for item in self._withdrawn:
            if (item.node, item.partition, item.at) in ended:
                yield Flaw(item.partition, _told_root(item), node)

    def intervals(
        self, terms: Terms, obligations: Sequence[Obligation], wronged: Wronged
    ) -> list[str]:
        """Return the intervals affected by what makes a consumer wrong.

        They are in the order of `obligations`.
        """
        tainted = [
            (node, item)
            for node in self._context.awaited(terms)
            for item in (
                *self._unsound.get(node.name, ()),
                *(self._excepted.get(node.name, ()) if self._exceptions else ()),
            )
            if item.from_us <= self._now < item.until_us
            and item.withdrawn_us > self._now
            and self._of(item) == wronged.incident
        ]
        return [
            duty.interval
            for duty in obligations
            if any(self._stands_on(node, terms, duty, item) for node, item in tainted)
        ]

    def _of(self, taint: Taint) -> int | None:
        """Return the incident behind a taint, also that of a lapsed exception."""
        return (
            taint.incident
            if taint.exception is None
            else self._exceptions[taint.exception].incident
        )

    def spans(self, consumer: str) -> Moments:
        """Return the spans in which a consumer's data was wrong, as known now, by any cause."""
        terms = next(
            terms for terms in self._context.declared.consumers if terms.consumer == consumer
        )
        return union(
            (period.from_us, period.until_us)
            for period in self.wrong(terms)
            if period.withdrawn_us == EVER
        )

    def behind(self) -> frozenset[int]:
        """Return the incidents that make wrong what any consumer can read now."""
        return frozenset(
            item.incident
            for _, wronged in self._consumers_now()
            for item in wronged
            if item.incident is not None
        )

    def replaced_at(self, incident: int) -> int | None:
        """Return when consumers last got a replacement for wrong data of an incident, if ever."""
        ends = (
            taint.until_us
            for terms in self._context.declared.consumers
            for taint in self._at(self._context.awaited(terms), self._unsound)
            if taint.incident == incident
            and taint.withdrawn_us == EVER
            and taint.until_us <= self._now
        )
        return max(ends, default=None)

    def _open(self, number: int | None) -> bool:
        """Return whether an incident still makes data wrong.

        A resolved one doesn't: it is resolved only once none of its wrong data can be read.
        """
        incident = None if number is None else incidents.get(self._tx, number)
        return incident is None or incident.state != "resolved"

    def unsound(self) -> set[tuple[str, str, int]]:
        """Return (node, partition, publication time) of everything known now to be unsound."""
        return {
            (taint.node, taint.partition, taint.from_us)
            for taints in self._unsound.values()
            for taint in taints
            if taint.withdrawn_us == EVER
        }

    def _wronged_by_incident(self, period: WrongPeriod) -> Wronged:
        incident = incidents.get(self._tx, period.incident or 0)
        text = (
            "what can be read is wrong"
            if incident is None
            else f"{incident.label} {incident.node}: {incident.summary}"
        )
        return Wronged(
            period.from_us,
            period.incident,
            text,
            None if period.incident is None else f"headrace incident INC-{period.incident}",
        )

    def _told_lapse(self, stands_on: Taint, period: WrongPeriod) -> Wronged:
        """Return the clause about a lapsed exception with the command that ends it.

        The command renews an exception that is still in force. Otherwise it recomputes or repairs
        what was made from the data or, if the data was withdrawn, withdraws that as well.
        """
        exception = self._exceptions[stands_on.exception or 0]
        at = partition_argument(exception.node, exception.partition)
        since = time_text(period.known_us, self._now, self._context.declared.timezone)
        text = f"{at}: the exception of {exception.actor} lapsed at {since}"
        if period.incident is not None:
            text = f"INC-{period.incident} {text}"
        if exception.ended_at is None:
            command = command_line("quarantine", "accept", at, "--reason", "TEXT", "--until", "T")
            return Wronged(period.from_us, period.incident, text, command)
        derived = partition_argument(stands_on.node, stands_on.partition)
        taken_back = (exception.node, exception.partition) in self._context.facts.withdrawn()
        command = (
            command_line("tick")
            if period.incident is None
            else command_line("fix", f"INC-{period.incident}")
        )
        if taken_back:
            command = command_line("unpublish", derived, "--reason", "TEXT")
        return Wronged(
            period.from_us, period.incident, f"{text}, and {derived} was computed from it", command
        )

    def _told_withdrawn(self, made_of: Taint, period: WrongPeriod) -> Wronged:
        """Return the clause about data made from withdrawn data with the command that ends it.

        The command recomputes the data if that works without the withdrawn rows, else withdraws it.
        If neither is possible, it shows what other data to request.
        """
        root = [item for item in self._withdrawn if item.rows == made_of.withdrawn][-1]
        derived = partition_argument(made_of.node, made_of.partition)
        why = f": {root.reason}" if root.reason else ""
        text = (
            f"{partition_argument(root.node, root.partition)} was withdrawn{why}; {derived} was"
            " computed from it"
        )
        if made_of.removable is None or root.replaced:
            only = () if made_of.partition == WHOLE else ("--partition", made_of.partition)
            return Wronged(
                period.from_us,
                None,
                text,
                command_line("run", made_of.node, *only, "--again", "--reason", "TEXT"),
            )
        node, key = made_of.removable
        if self._context.node(node).accumulating:
            return Wronged(
                period.from_us,
                None,
                text,
                command_line("why", partition_argument(root.node, root.partition)),
            )
        return Wronged(
            period.from_us,
            None,
            text,
            command_line("unpublish", partition_argument(node, key), "--reason", "TEXT"),
        )


def _period(taint: Taint, incident: int | None = None) -> WrongPeriod:
    return WrongPeriod(taint.from_us, EVER, taint.known_us, incident)


def _is_of(taint: Taint, seen: Mapping[str, Visible], *, recovered_us: int = 0) -> bool:
    """Return whether a taint is of a publication among `seen`, and didn't end before it did."""
    publication = seen.get(taint.partition)
    if publication is None:
        return False
    ends = EVER if publication.ended_at is None else publication.ended_at
    over = taint.until_us <= recovered_us and taint.until_us < ends
    return publication.published_at <= taint.from_us < ends and not over


def _told_exception(exception: AcceptedPublication) -> Wronged:
    at = partition_argument(exception.node, exception.partition)
    text = f"{at} was accepted as an exception by {exception.actor}: {exception.reason}"
    return Wronged(exception.published_at, None, text, command_line("quarantine", at))


def _told_root(item: Withdrawn) -> Wronged:
    at, why = (
        partition_argument(item.node, item.partition),
        f": {item.reason}" if item.reason else "",
    )
    return Wronged(item.at, None, f"{at} was withdrawn since{why}", command_line("read", at))


def _earliest(item: Wronged) -> tuple[int, int]:
    return item.since_us, item.incident or 0


def _ends(exception: AcceptedPublication) -> int:
    """Return when an exception ended: its data was replaced, or it was renewed."""
    return min(at for at in (exception.ended_at, exception.over_at, EVER) if at is not None)


# Who speaks for an owner: an exception counts as the owner's only if its actor is the owner or one
# of its contacts.


def speaks_for(project: Project) -> Speaks:
    """Return a function that says whether an actor speaks for an owner."""
    return partial(_speaks, owner_voices(project))


def owner_voices(project: Project) -> dict[str, frozenset[str]]:
    """Return owner → its own name and its contacts, which speak for it."""
    results = {}
    for name, owner in project.owners.items():
        addresses = [contact.partition(":")[2] or contact for contact in owner.contact]
        known = (name, *addresses, *(address.partition("@")[0] for address in addresses))
        results[name] = frozenset(item.casefold() for item in known)
    return results


def _speaks(known: Mapping[str, Collection[str]], owner: str, actor: str) -> bool:
    """Return whether an actor speaks for an owner; an unknown actor doesn't."""
    return actor.casefold() in known.get(owner, {owner.casefold()})
