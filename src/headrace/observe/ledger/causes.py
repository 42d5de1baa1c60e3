"""The causes of a wait: what kept the partitions that it needs from being there, whichever attempts ended it. Pure.

The critical path ends with attempts, and which of several attempts of one repair came last is chance. So the time until the last
obstacle was gone isn't taken from the path alone: of all partitions whose obstacle ended then, or that waited because of the same
incident, the one that tells most is chosen, by what their rows said before the repair.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from headrace.observe.ledger.inputs import Place
from headrace.observe.ledger.path import Path
from headrace.observe.ledger.segments import Kind, Segment, clipped, merged

_RANK = {Kind.HOLD: 0, Kind.APPROVAL: 1, Kind.PAUSED: 2, Kind.SOURCE: 3}
"""Kinds that no attempt of Headrace's ends, what tells most of them first."""


class Evidence(NamedTuple):
    """What kept one partition from being there until `to_us`; `there_us` is when it was there, None while it isn't."""

    place: Place
    kind: Kind
    incident: int
    from_us: int
    to_us: int
    there_us: int | None

    @property
    def order(self) -> tuple[int, int, str, str]:
        """What tells most first, then what began first."""
        return (_RANK[self.kind], self.from_us, *self.place)


def settled(
    segments: Sequence[Segment], path: Path, places: Sequence[Place], there: Callable[[Place], int | None], from_us: int, to_us: int
) -> list[Segment]:
    """The segments of a path, with what kept all of `places` waiting in place of what was before its last obstacle ended. `places`
    are those that weren't there at `from_us`."""
    last = _last(segments)
    if last is None:
        return list(segments)
    found = [one for place in places if (one := _evidence(path, place, there(place), from_us, to_us)) is not None]
    chosen = min((one for one in found if _same(one, last)), key=lambda one: one.order, default=None)
    if chosen is None or chosen.place == (last.node, last.partition):
        return list(segments)
    until = min(chosen.to_us, last.to_us)
    before = path.back(chosen.place, from_us, chosen.there_us or to_us, there=chosen.there_us is not None)
    return merged([*clipped(before, from_us, until), *clipped(segments, until, to_us)])


def _same(one: Evidence, last: Segment) -> bool:
    """Whether it is of one cause with the path's last obstacle, or was over at once with it."""
    if one.incident and one.incident == last.incident:
        return one.to_us >= last.from_us
    return one.to_us == last.to_us


def _evidence(path: Path, place: Place, there_us: int | None, from_us: int, to_us: int) -> Evidence | None:
    """The last obstacle in a partition's own rows."""
    if there_us is not None and there_us <= from_us:
        return None
    until = to_us if there_us is None else min(there_us, to_us)
    last = _last(path.alone(place, from_us, until, there=there_us is not None))
    return None if last is None else Evidence(place, last.kind, last.incident, last.from_us, last.to_us, there_us)


def _last(segments: Sequence[Segment]) -> Segment | None:
    """The last obstacle, as one with those of the same cause before it: attempts in between didn't end it."""
    last: Segment | None = None
    for one in reversed(segments):
        if one.kind not in _RANK:
            continue
        if last is None:
            last = one
        elif (one.kind, one.incident, one.node, one.partition) == (last.kind, last.incident, last.node, last.partition):
            last = msgspec.structs.replace(last, from_us=one.from_us)
        else:
            break
    return last
