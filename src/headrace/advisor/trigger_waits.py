"""Assets whose inputs were there, and that waited for the time of their own trigger. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from headrace.ledger.claims import TRIGGER_AWAITED
from headrace.ledger.segments import Segment, SegmentKind
from headrace.model import Asset

WAITS_LEAST = 5
"""A trigger is proposed to go after this many waits for it."""
WAIT_LEAST_US = 60_000_000
"""Shorter waits for a trigger, as a median, aren't worth a change."""
_CRON_FIELDS = 5


class TriggerWait(NamedTuple):
    """The waits of one consumer for the trigger of an asset: their number, and their median."""

    node: str
    cron: str
    waits: int
    median_us: int


def trigger_waits(
    segments: Iterable[Sequence[Segment]], assets: Mapping[str, Asset]
) -> list[TriggerWait]:
    """Return the triggers that several waits were spent on, the longest wait first.

    `segments` are those of each wait. Only triggers count that fire each day and that do nothing
    but delay: without them, the same partitions are computed, as soon as their inputs are there.
    """
    waited: dict[tuple[str, str], list[int]] = {}
    for wait in segments:
        ofs: Counter[tuple[str, str]] = Counter()
        for segment in wait:
            asset = assets.get(segment.node)
            cron = None if asset is None else daily_cron(asset.trigger)
            if cron is not None and _is_awaited(segment, cron):
                ofs[segment.node, cron] += segment.us
        for place, us in ofs.items():
            waited.setdefault(place, []).append(us)
    results = [
        TriggerWait(node, cron, len(us), round(median(us)))
        for (node, cron), us in waited.items()
        if len(us) >= WAITS_LEAST and median(us) >= WAIT_LEAST_US
    ]
    return sorted(results, key=lambda wait: (-wait.median_us, wait.node))


def _is_awaited(segment: Segment, cron: str) -> bool:
    """Whether a segment was spent on the trigger that is declared now."""
    return segment.kind is SegmentKind.SCHEDULE and segment.note == f"{TRIGGER_AWAITED}: {cron}"


def daily_cron(trigger: Mapping[str, Any] | None) -> str | None:
    """Return the cron of a trigger that fires each day and computes all that it missed, or None."""
    if trigger is None or trigger.get("catch_up") is not None:
        return None
    cron = trigger.get("cron")
    fields = cron.split() if isinstance(cron, str) else []
    daily = len(fields) == _CRON_FIELDS and fields[2:] == ["*", "*", "*"]
    return cron if daily else None
