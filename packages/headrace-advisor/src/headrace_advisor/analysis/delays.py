"""Where a consumer's waits went: its delay ledgers over a window, added up by cause. Pure."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from headrace.ledger.account import Ledger, share_of
from headrace.ledger.segments import PEOPLE, Segment, SegmentKind
from headrace.model.causes import DATA_CAUSES, CauseKind
from headrace.slo.declared_promises import NodeTraits

QUALITY_CAUSES = {str(kind) for kind in DATA_CAUSES | {CauseKind.POISON_DELIVERY}}
"""Kinds of causes in the data itself."""
_REPAIRED = {SegmentKind.HOLD, SegmentKind.RETRY}
"""Kinds of segments that an incident's cause explains."""
_NAMED_BY_INCIDENT = PEOPLE | {SegmentKind.SOURCE, SegmentKind.RETRY}


class DelayGroup(enum.StrEnum):
    """What a part of a wait was spent on: groups of the ledger's kinds of segments."""

    SOURCE = "source"
    """The delivery wasn't there."""
    QUALITY = "quality"
    """Data was held, rejected or wrong; with the work that was redone because of it."""
    REPAIR = "repair"
    """Code or configuration had to be repaired."""
    RETRY = "retry"
    """Attempts failed and were retried."""
    APPROVAL = "approval"
    PAUSED = "paused"
    CAPACITY = "capacity"
    """No slot or no room in a pool."""
    INGEST = "ingest"
    """Deliveries were read and written."""
    COMPUTE = "compute"
    """Asset code ran."""
    CHECKS = "checks"
    PUBLICATION = "publication"
    EXPORT = "export"
    TRIGGER = "trigger"
    """The data was there, and an asset waited for the time of its trigger."""
    HEADRACE = "headrace"
    """Headrace's own time: not observed, not requested or not dispatched yet, or unknown."""


_GROUPS = {
    SegmentKind.APPROVAL: DelayGroup.APPROVAL,
    SegmentKind.PAUSED: DelayGroup.PAUSED,
    SegmentKind.SOURCE: DelayGroup.SOURCE,
    SegmentKind.AUDIT: DelayGroup.CHECKS,
    SegmentKind.PUBLISH: DelayGroup.PUBLICATION,
    SegmentKind.EXPORT: DelayGroup.EXPORT,
    SegmentKind.HOLD: DelayGroup.REPAIR,
    SegmentKind.RETRY: DelayGroup.RETRY,
}


class DelayIncident(NamedTuple):
    """An incident that explains segments: the kind of its cause, and where that is."""

    node: str
    kind: str
    owner: str


class DelayFacts(NamedTuple):
    """What the segments refer to: incidents by number, declared nodes, and the sources of them."""

    incidents: Mapping[int, DelayIncident]
    traits: Mapping[str, NodeTraits]
    sources: frozenset[str]


class DelayShare(NamedTuple):
    """A part of the waits: its group and kind of segment, the node that caused it, and its owner.

    Of data quality, the owner is that of the data, and `decider` is who could have ended the wait
    with one command, empty if nobody could. `us` are microseconds. Shares of the same waits add up
    to them exactly.
    """

    group: DelayGroup
    kind: SegmentKind
    node: str
    owner: str
    decider: str
    us: int


class Delay(NamedTuple):
    """The waits of one consumer: their number, their sum in microseconds, and its shares."""

    waits: int
    wait_us: int
    shares: tuple[DelayShare, ...]

    def of_group(self, group: DelayGroup) -> list[DelayShare]:
        """Return the shares of one group, the largest first."""
        return [share for share in self.shares if share.group is group]


def delay_of(ledgers: Iterable[Ledger], facts: DelayFacts) -> Delay:
    """Return the sum of ledgers, with the largest share first."""
    counted: Counter[tuple[DelayGroup, SegmentKind, str, str, str]] = Counter()
    waits = wait_us = 0
    for ledger in ledgers:
        waits, wait_us = waits + 1, wait_us + ledger.wait_us
        for segment in ledger.segments:
            awaits_other = segment.lacking in facts.sources
            group = DelayGroup.SOURCE if awaits_other else group_of(segment, facts)
            node = _node(segment, facts)
            owner, decider = _owner(segment, group, node, facts), segment.decider
            counted[group, segment.kind, node, owner, decider] += segment.us
    shares = [DelayShare(*key, us) for key, us in counted.items() if us]
    shares.sort(key=lambda share: (-share.us, *share[:-1]))
    return Delay(waits, wait_us, tuple(shares))


def group_of(segment: Segment, facts: DelayFacts) -> DelayGroup:
    """Return what a segment of a wait was spent on, whatever else was missing as well."""
    if segment.quality:
        return DelayGroup.QUALITY
    if segment.kind in _REPAIRED and (incident := facts.incidents.get(segment.incident)):
        return DelayGroup.QUALITY if incident.kind in QUALITY_CAUSES else DelayGroup.REPAIR
    if segment.awaits_trigger:
        return DelayGroup.TRIGGER
    if segment.kind is SegmentKind.QUEUE:
        return DelayGroup.HEADRACE if segment.free else DelayGroup.CAPACITY
    if segment.kind is SegmentKind.RUN:
        return DelayGroup.INGEST if segment.node in facts.sources else DelayGroup.COMPUTE
    return _GROUPS.get(segment.kind, DelayGroup.HEADRACE)


def _node(segment: Segment, facts: DelayFacts) -> str:
    """Return the node that caused a segment: that of its incident, if one explains it."""
    if segment.lacking:
        return segment.lacking
    incident = facts.incidents.get(segment.incident)
    if incident is not None and incident.node and segment.kind in _NAMED_BY_INCIDENT:
        return incident.node
    return segment.node


def _owner(segment: Segment, group: DelayGroup, node: str, facts: DelayFacts) -> str:
    """Return who is responsible, as in `why`; of data quality always the owner of the data."""
    owners = {number: incident.owner for number, incident in facts.incidents.items()}
    if group is not DelayGroup.QUALITY or segment.lacking:
        return share_of(segment, facts.traits, owners).owner
    return owners.get(segment.incident) or facts.traits.get(node, NodeTraits()).owner


def percents(parts: Sequence[int], whole: int) -> list[str]:
    """Return each part of a whole in percent with two digits; they add up to 100.00 exactly.

    Rounded down, the parts lack some hundredths: those with the largest remainders get them. Zeros
    for a whole of zero.
    """
    if not whole:
        return ["0.00"] * len(parts)
    hundredths = [part * 10_000 // whole for part in parts]
    missing = sum(parts) * 10_000 // whole - sum(hundredths)
    order = sorted(range(len(parts)), key=lambda n: (-(parts[n] * 10_000 % whole), n))
    for n in order[:missing]:
        hundredths[n] += 1
    return [f"{each // 100}.{each % 100:02}" for each in hundredths]
