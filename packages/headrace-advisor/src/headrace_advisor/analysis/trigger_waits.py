"""Assets whose inputs were there, and that waited for the time of their own trigger. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from headrace.extension import Asset
from headrace.ledger.segments import TRIGGER_AWAITED, Segment

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
    crons = {name: daily_cron(asset.trigger) for name, asset in assets.items()}
    waited: dict[str, list[int]] = {}
    for wait in segments:
        for node, us in _awaited(wait, crons).items():
            waited.setdefault(node, []).append(us)
    results = [
        TriggerWait(node, crons[node] or "", len(us), round(median(us)))
        for node, us in waited.items()
        if len(us) >= WAITS_LEAST and median(us) >= WAIT_LEAST_US
    ]
    return sorted(results, key=lambda wait: (-wait.median_us, wait.node))


def _awaited(wait: Sequence[Segment], crons: Mapping[str, str | None]) -> Counter[str]:
    """Return node → the microseconds of a wait that its trigger took, as it is declared now."""
    awaited: Counter[str] = Counter()
    for segment in wait:
        cron = crons.get(segment.node)
        if cron and segment.awaits_trigger and segment.note == f"{TRIGGER_AWAITED}: {cron}":
            awaited[segment.node] += segment.us
    return awaited


def daily_cron(trigger: Mapping[str, Any] | None) -> str | None:
    """Return the cron of a trigger that fires each day and computes all that it missed, or None."""
    if trigger is None or trigger.get("catch_up") is not None:
        return None
    cron = trigger.get("cron")
    fields = cron.split() if isinstance(cron, str) else []
    daily = len(fields) == _CRON_FIELDS and fields[2:] == ["*", "*", "*"]
    return cron if daily else None
