"""While consumers got something that isn't sound, or only by somebody's exception."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property

from headrace.observe.availability.lateness import Duty
from headrace.observe.availability.spans import EVER, Moments, union, without
from headrace.observe.availability.tainted import Carry, Taint, accepted, all_of_all, spread, unsound
from headrace.observe.availability.timeline import Wrong
from headrace.observe.obligations import Scene, needed
from headrace.observe.states import Wronged
from headrace.observe.watched import Node, Terms
from headrace.store.database import Transaction
from headrace.store.queries import incidents
from headrace.store.queries import unsound as stored
from headrace.store.queries.unsound import Excepted

Speaks = Callable[[str, str], bool]
"""(owner, actor) → whether the actor speaks for the owner."""


class Wrongness:
    """What is the matter with what readers got over a window; read from the store once for all consumers, and mostly nothing."""

    def __init__(self, tx: Transaction, scene: Scene, carry: Carry, from_us: int, now_us: int) -> None:
        self._tx, self._scene, self._carry = tx, scene, carry
        self._from, self._now = from_us, now_us

    @cached_property
    def _unsound(self) -> dict[str, list[Taint]]:
        return spread(self._tx, self._scene, unsound(stored.named(self._tx, self._from)), self._carry)

    @cached_property
    def _exceptions(self) -> dict[int, Excepted]:
        return {one.id: one for one in stored.excepted(self._tx, self._from)}

    @cached_property
    def _excepted(self) -> dict[str, list[Taint]]:
        return spread(self._tx, self._scene, accepted(self._exceptions.values()), all_of_all)

    def wrong(self, terms: Terms, duties: Sequence[Duty]) -> tuple[Wrong, ...]:
        """By incidents, and by exceptions that have lapsed."""
        return (*self._by_incidents(terms), *self._lapsed(terms, duties))

    def _by_incidents(self, terms: Terms) -> Iterator[Wrong]:
        for one in self._at(terms, self._unsound):
            if one.until_us > self._from:
                yield Wrong(one.from_us, one.until_us, one.known_us, one.incident, one.withdrawn_us)

    def _lapsed(self, terms: Terms, duties: Sequence[Duty]) -> Iterator[Wrong]:
        """An exception whose time is over makes wrong what stands on it, as long as that is what readers see."""
        for node in self._scene.awaited(terms) if self._exceptions else ():
            found = self._excepted.get(node.name, ())
            for one in found or ():
                exception = self._exceptions[one.exception or 0]
                if exception.until is not None and any(self._stands_on(node, terms, duty, one) for duty in duties):
                    ends = min(one.until_us, _ends(exception))
                    yield Wrong(max(one.from_us, exception.until), ends, exception.until)

    def by_others(self, terms: Terms, duties: Sequence[Duty], speaks: Speaks) -> Moments:
        """While the newest interval that was due stood on an exception of somebody else's than the owner's."""
        if not self._exceptions:
            return ()
        found = []
        for place, duty in enumerate(duties):
            ends = duties[place + 1].due_us if place + 1 < len(duties) else EVER
            for node in self._scene.awaited(terms):
                for one in self._excepted.get(node.name, ()):
                    exception = self._exceptions[one.exception or 0]
                    if not speaks(terms.owner, exception.actor) and self._stands_on(node, terms, duty, one):
                        found.append((max(one.from_us, duty.due_us), min(one.until_us, _ends(exception), ends)))
        return union(found)

    def sound_since(self, terms: Terms, duty: Duty) -> int | None:
        """When an obligation was first met by what is sound, as known now; None for one that wasn't."""
        if duty.met_us is None or not self._unsound:
            return duty.met_us
        spans = [
            (one.from_us, one.until_us)
            for node in self._scene.awaited(terms)
            for one in self._unsound.get(node.name, ())
            if one.withdrawn_us == EVER and self._stands_on(node, terms, duty, one)
        ]
        sound = without(union([(duty.met_us, EVER)]), union(spans))
        return sound[0][0] if sound else None

    def _stands_on(self, node: Node, terms: Terms, duty: Duty, one: Taint) -> bool:
        keys = needed(node, terms, duty.interval, self._scene)
        return keys is None or one.partition in keys

    def _at(self, terms: Terms, found: Mapping[str, list[Taint]]) -> Iterable[Taint]:
        return (one for node in self._scene.awaited(terms) for one in found.get(node.name, ())) if found else ()

    def now(self) -> dict[str, Wronged]:
        """Consumer → what makes wrong what it can read now, the earliest first; those that aren't wrong aren't in it."""
        return {
            consumer: self._told(min(found, key=lambda one: (one.from_us, one.incident or 0)))
            for consumer, found in self._holding().items()
        }

    def behind(self) -> frozenset[int]:
        """The incidents that make wrong what any consumer can read now."""
        return frozenset(one.incident for found in self._holding().values() for one in found if one.incident is not None)

    def replaced_at(self, incident: int) -> int | None:
        """When the last of what an incident makes wrong, and consumers read, was replaced; None where they read nothing of it."""
        ends = (
            one.until_us
            for terms in self._scene.declared.consumers
            for one in self._at(terms, self._unsound)
            if one.incident == incident and one.withdrawn_us == EVER and one.until_us <= self._now
        )
        return max(ends, default=None)

    def _holding(self) -> dict[str, list[Wrong]]:
        found: dict[str, list[Wrong]] = {}
        for terms in self._scene.declared.consumers:
            holding = [
                one
                for one in self._by_incidents(terms)
                if one.from_us <= self._now < one.until_us
                and one.known_us <= self._now
                and one.withdrawn_us > self._now
                and self._open(one.incident)
            ]
            if holding:
                found[terms.consumer] = holding
        return found

    def _open(self, number: int | None) -> bool:
        """What was resolved makes nothing wrong any more: it is resolved only once nothing of it can be read."""
        found = None if number is None else incidents.get(self._tx, number)
        return found is None or found.state != "resolved"

    def unsound(self) -> set[tuple[str, str, int]]:
        """(node, partition, when it was published) of all that isn't sound, as known now."""
        return {(one.node, one.partition, one.from_us) for found in self._unsound.values() for one in found if one.withdrawn_us == EVER}

    def _told(self, one: Wrong) -> Wronged:
        incident = incidents.get(self._tx, one.incident or 0)
        said = "what can be read is wrong" if incident is None else f"{incident.shown} {incident.node}: {incident.summary}"
        return Wronged(one.from_us, one.incident, said)


def _ends(exception: Excepted) -> int:
    """When an exception was over: its data was replaced, or it was renewed."""
    return min(at for at in (exception.ended_at, exception.over_at, EVER) if at is not None)
