"""How one consumer was served over time, as known now or as known then (SEMANTICS §7). Pure.

Promises, met obligations and wrong data become spans of states; `availability` computes the
figures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec

from headrace.model.times import Duration
from headrace.slo.consumer_states import ConsumerState

# Sets of points in time: sorted, disjoint, half-open spans of integer microseconds.

Moments = tuple[tuple[int, int], ...]
"""Spans (from, until): sorted, disjoint and not empty."""
NONE: Moments = ()
EVER = 1 << 62
"""Later than every point in time."""


def union(spans: Iterable[tuple[int, int]]) -> Moments:
    """Return the points in time that are in any of the spans."""
    results: list[tuple[int, int]] = []
    for began, ended in sorted(spans):
        if ended <= began:
            continue
        if results and began <= results[-1][1]:
            results[-1] = (results[-1][0], max(results[-1][1], ended))
        else:
            results.append((began, ended))
    return tuple(results)


def common(item: Moments, other: Moments) -> Moments:
    """Return the points in time that are in both sets."""
    results, first, second = [], 0, 0
    while first < len(item) and second < len(other):
        began, ended = max(item[first][0], other[second][0]), min(item[first][1], other[second][1])
        if began < ended:
            results.append((began, ended))
        if item[first][1] <= other[second][1]:
            first += 1
        else:
            second += 1
    return tuple(results)


def without(item: Moments, other: Moments) -> Moments:
    """Return the points in time of `item` that aren't in `other`."""
    return common(item, outside(other))


def outside(spans: Moments) -> Moments:
    """Return the points in time that aren't in the spans."""
    edges = [-EVER, *(edge for span in spans for edge in span), EVER]
    return tuple(
        (began, ended)
        for began, ended in zip(edges[::2], edges[1::2], strict=True)
        if began < ended
    )


def length(spans: Sequence[tuple[int, int]]) -> int:
    """Return the total length of spans in microseconds."""
    return sum(ended - began for began, ended in spans)


def holds(spans: Moments, at_us: int) -> bool:
    """Return whether a point in time is in the spans."""
    return any(began <= at_us < ended for began, ended in spans)


# When a consumer was late: while any obligation is open past its deadline. Under `max_age` also
# while the newest readable interval with rows, before any gap, is too old.


class Duty(msgspec.Struct, frozen=True):
    """One obligation of a consumer over time: its interval, deadline, and when it was met.

    `ended_us` is the end of the interval. A waived obligation counts as met from when it was
    waived.
    """

    interval: str
    ended_us: int
    due_us: int
    met: Moments
    met_us: int | None = None
    """When sound data first met it; None if none did, even if it was waived."""
    waived_us: int | None = None
    rows: bool = True
    """Whether its data has rows: under `max_age` an empty interval doesn't make data newer."""

    @property
    def met_in_time(self) -> bool:
        """Whether sound data met it in time."""
        return self.met_us is not None and self.met_us <= self.due_us

    @property
    def open(self) -> Moments:
        """The spans in which it was due and not met."""
        return tuple(
            (max(began, self.due_us), ended)
            for began, ended in outside(self.met)
            if ended > self.due_us
        )


def late_by_age(duties: Sequence[Duty], max_age: str, timezone: str) -> Moments:
    """Return the spans in which any obligation was open or the readable data was too old.

    `duties` are in the order of their intervals.
    """
    if not duties:
        return NONE
    age = Duration.parse(max_age)
    deadlines = [age.after_us(duty.ended_us, timezone) if duty.rows else None for duty in duties]
    results = [span for duty in duties for span in duty.open]
    for began, ended in _eras(duties):
        results += _too_old(duties, deadlines, began, ended)
    return union(results)


def late_by_republishing(
    published: Sequence[Sequence[tuple[int, int]]], max_age: str, timezone: str
) -> Moments:
    """Return the spans in which the newest publication of any read was too old.

    For reads without intervals; `published` says of each read's publications when they could be
    read and when they were published, oldest first.
    """
    age = Duration.parse(max_age)
    results = []
    for times in published:
        for place, (_, at) in enumerate(times):
            until = times[place + 1][0] if place + 1 < len(times) else EVER
            results.append((age.after_us(at, timezone), until))
    return union(results)


def _eras(duties: Sequence[Duty]) -> list[tuple[int, int]]:
    """Return the spans in which no met obligation becomes unmet again."""
    cuts = sorted({ended for duty in duties for _, ended in duty.met if ended < EVER})
    return list(zip([-EVER, *cuts], [*cuts, EVER], strict=True))


def _too_old(
    duties: Sequence[Duty], deadlines: Sequence[int | None], began: int, ended: int
) -> list[tuple[int, int]]:
    """Return the spans of an era in which the readable data was too old.

    An interval becomes readable when it and all before it are met.
    """
    results, reached, deadline = [], began, duties[0].due_us
    for duty, own_deadline in zip(duties, deadlines, strict=True):
        met = min((max(start, began) for start, until in duty.met if until > began), default=ended)
        following = min(max(reached, met), ended)
        results.append((max(reached, deadline), following))
        if following == ended:
            return results
        reached, deadline = following, deadline if own_deadline is None else own_deadline
    return [*results, (max(reached, deadline), ended)]


class Term(msgspec.Struct, frozen=True):
    """The terms of a promise over a span: by `due`, or under a `max_age`."""

    from_us: int
    until_us: int
    max_age: str | None = None


class WrongPeriod(msgspec.Struct, frozen=True):
    """A span in which readers got unsound data, known since `known_us`.

    `incident` is the incident that names it; None: a lapsed exception or withdrawn data.
    """

    from_us: int
    until_us: int
    known_us: int
    incident: int | None = None
    withdrawn_us: int = EVER
    """When the incident stopped covering it: the data was only reported wrong, never wrong."""


class ServiceHistory(msgspec.Struct, frozen=True):
    """Everything needed to say how a consumer was served.

    `duties` are in the order of their deadlines; `counted_us` is the first deadline, from which
    time counts.
    """

    consumer: str
    timezone: str
    terms: tuple[Term, ...]
    duties: tuple[Duty, ...] = ()
    counted_us: int = EVER
    blind: Moments = NONE
    """While a source wasn't observed."""
    never: Moments = NONE
    """While something that the consumer reads had never been published."""
    wrong: tuple[WrongPeriod, ...] = ()
    excepted: Moments = NONE
    """While its data relied on an exception of somebody other than its owner."""
    republished: tuple[tuple[tuple[int, int], ...], ...] | None = None
    """When each publication of each read could be read, and when it was published.

    None if any of the reads comes by interval.
    """

    def promised(self, from_us: int, until_us: int) -> list[Duty]:
        """Return the obligations that fell due in a window."""
        return [
            duty
            for duty in self.duties
            if self.counted_us <= duty.due_us and from_us < duty.due_us <= until_us
        ]


class ServicePeriod(msgspec.Struct, frozen=True):
    """The state of a consumer over a span."""

    from_us: int
    until_us: int
    state: ConsumerState


def counted(past: ServiceHistory, from_us: int, until_us: int) -> Moments:
    """Return the counted part of a window: from the first deadline, while anything is promised."""
    promised = union((term.from_us, term.until_us) for term in past.terms)
    return common(promised, union([(max(from_us, past.counted_us), until_us)]))


def timeline(
    past: ServiceHistory, from_us: int, until_us: int, *, then: bool = False
) -> list[ServicePeriod]:
    """Return the states of a consumer over the counted part of a window.

    States are as known now or, with `then`, as known at each point in time.
    """
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
    """Return the spans in which readers got unsound data.

    With `then`, return only the part in which that was known.
    """
    if then:
        return union(
            (max(period.from_us, period.known_us), min(period.until_us, period.withdrawn_us))
            for period in past.wrong
        )
    return union(
        (period.from_us, period.until_us) for period in past.wrong if period.withdrawn_us == EVER
    )


def late(past: ServiceHistory) -> Moments:
    """Return the spans in which the consumer was late by the promise then in force."""
    results: list[tuple[int, int]] = []
    known: dict[str | None, Moments] = {}
    for term in past.terms:
        if term.max_age not in known:
            known[term.max_age] = _late_under(past, term.max_age)
        results += common(known[term.max_age], ((term.from_us, term.until_us),))
    return union(results)


def _late_under(past: ServiceHistory, max_age: str | None) -> Moments:
    if max_age is None:
        return union(span for duty in past.duties for span in duty.open)
    if past.republished is not None:
        return late_by_republishing(past.republished, max_age, past.timezone)
    return late_by_age(past.duties, max_age, past.timezone)


def moments(spans: Iterable[ServicePeriod], holds: Callable[[ConsumerState], bool]) -> Moments:
    """Return the points in time of the spans whose state satisfies `holds`."""
    return union((span.from_us, span.until_us) for span in spans if holds(span.state))
