"""How one consumer was served over time: spans of states, as known now or as known then (SEMANTICS §7). Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from headrace.observe.availability.lateness import Duty, late_by_age, late_by_due, late_by_republishing
from headrace.observe.availability.spans import EVER, NONE, Moments, common, outside, union
from headrace.observe.states import ConsumerState


class Term(msgspec.Struct, frozen=True):
    """What was promised from one moment to another: by `due`, or under a `max_age`."""

    from_us: int
    until_us: int
    max_age: str | None = None


class WrongPeriod(msgspec.Struct, frozen=True):
    """While readers got something that isn't sound; `known_us` is since when that is known, `incident` what it is put down to (None:
    an exception that had lapsed)."""

    from_us: int
    until_us: int
    known_us: int
    incident: int | None = None
    withdrawn_us: int = EVER
    """From when on the incident was said not to cover it: then it never was wrong, although it had been said to be."""


class ServiceHistory(msgspec.Struct, frozen=True):
    """All that says how a consumer was served. `duties` come in the order of their deadlines; `counted_us` is from when on it counts:
    its first deadline."""

    consumer: str
    timezone: str
    terms: tuple[Term, ...]
    duties: tuple[Duty, ...] = ()
    counted_us: int = EVER
    blind: Moments = NONE
    """While nobody looked."""
    never: Moments = NONE
    """While something that it reads had never been published."""
    wrong: tuple[WrongPeriod, ...] = ()
    excepted: Moments = NONE
    """While what it got stood on an exception that somebody else than its owner had made."""
    republished: tuple[tuple[int, ...], ...] | None = None
    """Where none of its reads comes interval by interval: when each was published."""

    def promised(self, from_us: int, until_us: int) -> list[Duty]:
        """The obligations that fell due in a window."""
        return [duty for duty in self.duties if self.counted_us <= duty.due_us and from_us < duty.due_us <= until_us]


class ServicePeriod(msgspec.Struct, frozen=True):
    """How a consumer was served from one moment to another."""

    from_us: int
    until_us: int
    state: ConsumerState


def counted(past: ServiceHistory, from_us: int, until_us: int) -> Moments:
    """The moments of a window that count: since the first deadline, while anything was promised."""
    promised = union((term.from_us, term.until_us) for term in past.terms)
    return common(promised, union([(max(from_us, past.counted_us), until_us)]))


def timeline(past: ServiceHistory, from_us: int, until_us: int, *, then: bool = False) -> list[ServicePeriod]:
    """The states of a consumer over what counts of a window, as known now; with `then`, as known at each moment itself."""
    left = counted(past, from_us, until_us)
    periods: list[ServicePeriod] = []
    for state, moments in _states(past, then=then):
        periods += [ServicePeriod(began, ended, state) for began, ended in common(left, moments)]
        left = common(left, outside(moments))
    periods += [ServicePeriod(began, ended, ConsumerState.SERVED) for began, ended in left]
    return sorted(periods, key=lambda period: period.from_us)


def _states(past: ServiceHistory, *, then: bool) -> Iterable[tuple[ConsumerState, Moments]]:
    yield ConsumerState.UNKNOWN, past.blind
    yield ConsumerState.NEVER, past.never
    yield ConsumerState.WRONG, wrong(past, then=then)
    yield ConsumerState.LATE, late(past)


def wrong(past: ServiceHistory, *, then: bool = False) -> Moments:
    """While what readers got wasn't sound; with `then` only from when that was known."""
    if then:
        return union((max(period.from_us, period.known_us), min(period.until_us, period.withdrawn_us)) for period in past.wrong)
    return union((period.from_us, period.until_us) for period in past.wrong if period.withdrawn_us == EVER)


def late(past: ServiceHistory) -> Moments:
    """While it was late by the promise that was in force."""
    results: list[tuple[int, int]] = []
    known: dict[str | None, Moments] = {}
    for term in past.terms:
        if term.max_age not in known:
            known[term.max_age] = _late_under(past, term.max_age)
        results += common(known[term.max_age], ((term.from_us, term.until_us),))
    return union(results)


def _late_under(past: ServiceHistory, max_age: str | None) -> Moments:
    if max_age is None:
        return late_by_due(past.duties)
    if past.republished is not None:
        return late_by_republishing(past.republished, max_age, past.timezone)
    return late_by_age(past.duties, max_age, past.timezone)


def moments(spans: Iterable[ServicePeriod], holds: Callable[[ConsumerState], bool]) -> Moments:
    """The moments of those spans whose state is meant."""
    return union((span.from_us, span.until_us) for span in spans if holds(span.state))
