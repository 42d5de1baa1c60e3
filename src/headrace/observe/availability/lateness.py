"""When a consumer was late, from what was due and when it was met (SEMANTICS §7). Pure.

By `due` it is late while the newest obligation that has fallen due isn't met. Under `max_age` it is late while any is open past its
deadline, and while what can be read, the newest interval with rows before any hole, is too old.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headrace.model.times import Duration
from headrace.observe.availability.spans import EVER, NONE, Moments, outside, union


class Duty(msgspec.Struct, frozen=True):
    """One obligation of a consumer over time: its interval and where that ends, its deadline, and when it was met. Waived ones count
    as met from when that was said."""

    interval: str
    ended_us: int
    due_us: int
    met: Moments
    met_us: int | None = None
    """When it was met first by what is sound; None for one that wasn't, although it may have been waived."""
    waived_us: int | None = None
    rows: bool = True
    """Whether what was read for it has rows: under `max_age` an empty interval makes nothing younger."""

    @property
    def kept(self) -> bool:
        """Whether it was met in time, by what is sound."""
        return self.met_us is not None and self.met_us <= self.due_us

    @property
    def open(self) -> Moments:
        """When it was due and not met."""
        return tuple((max(began, self.due_us), ended) for began, ended in outside(self.met) if ended > self.due_us)


def late_by_due(duties: Sequence[Duty]) -> Moments:
    """While the newest that was due wasn't met. `duties` in the order of their deadlines."""
    results: list[tuple[int, int]] = []
    for place, duty in enumerate(duties):
        next_due = duties[place + 1].due_us if place + 1 < len(duties) else EVER
        results += [(began, min(ended, next_due)) for began, ended in duty.open if began < next_due]
    return union(results)


def late_by_age(duties: Sequence[Duty], max_age: str, timezone: str) -> Moments:
    """While any was open, or what could be read was too old. `duties` in the order of their intervals."""
    if not duties:
        return NONE
    age = Duration.parse(max_age)
    deadlines = [age.after_us(duty.ended_us, timezone) if duty.rows else None for duty in duties]
    results = [span for duty in duties for span in duty.open]
    for began, ended in _eras(duties):
        results += _too_old(duties, deadlines, began, ended)
    return union(results)


def late_by_republishing(published: Sequence[Sequence[int]], max_age: str, timezone: str) -> Moments:
    """Of reads that don't come interval by interval: while the newest publication of one of them was too old. For each read, when it
    was published, oldest first."""
    age = Duration.parse(max_age)
    results = []
    for times in published:
        for place, at in enumerate(times):
            until = times[place + 1] if place + 1 < len(times) else EVER
            results.append((age.after_us(at, timezone), until))
    return union(results)


def _eras(duties: Sequence[Duty]) -> list[tuple[int, int]]:
    """Spans in which nothing that is met ceases to be."""
    cuts = sorted({ended for duty in duties for _, ended in duty.met if ended < EVER})
    return list(zip([-EVER, *cuts], [*cuts, EVER], strict=True))


def _too_old(duties: Sequence[Duty], deadlines: Sequence[int | None], began: int, ended: int) -> list[tuple[int, int]]:
    """Within an era: one interval after the other becomes what can be read, when it and all before it are met."""
    results, reached, deadline = [], began, duties[0].due_us
    for duty, own in zip(duties, deadlines, strict=True):
        met = min((max(start, began) for start, until in duty.met if until > began), default=ended)
        following = min(max(reached, met), ended)
        results.append((max(reached, deadline), following))
        if following == ended:
            return results
        reached, deadline = following, deadline if own is None else own
    return [*results, (max(reached, deadline), ended)]
