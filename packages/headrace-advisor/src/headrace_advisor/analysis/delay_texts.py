"""Sentences about where a consumer's waits went. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from headrace.model.times import duration
from headrace_advisor.analysis.delays import Delay, DelayGroup, DelayShare

_PHRASES = {
    DelayGroup.SOURCE: "waiting for deliveries took",
    DelayGroup.QUALITY: "data quality cost",
    DelayGroup.REPAIR: "waiting for repairs of code or configuration took",
    DelayGroup.RETRY: "failed attempts cost",
    DelayGroup.APPROVAL: "waiting for approvals took",
    DelayGroup.PAUSED: "pauses took",
    DelayGroup.CAPACITY: "waiting for slots and pools took",
    DelayGroup.INGEST: "reading deliveries took",
    DelayGroup.COMPUTE: "computing took",
    DelayGroup.CHECKS: "checks took",
    DelayGroup.PUBLICATION: "publication took",
    DelayGroup.EXPORT: "exports took",
    DelayGroup.TRIGGER: "waiting for the time of a trigger took",
    DelayGroup.HEADRACE: "Headrace itself took",
}
GROUPS_SHOWN_MAX = 3
PART_LEAST = 0.01
"""A group with a smaller part of the wait isn't mentioned."""


def delay_sentence(consumer: str, delay: Delay, window: str) -> str:
    """Return what cost a consumer the most, with the owner and node of each part."""
    if not delay.waits:
        return f"nothing was due for {consumer} within {window}: no data"
    obligations = "1 obligation" if delay.waits == 1 else f"{delay.waits:,} obligations"
    if not delay.wait_us:
        return f"{consumer} waited for none of {obligations}"
    totals: Counter[DelayGroup] = Counter()
    for share in delay.shares:
        totals[share.group] += share.us
    parts = [
        f"{_PHRASES[group]} {_percent(us, delay.wait_us)} of it{_where(delay.of_group(group))}"
        for group, us in totals.most_common(GROUPS_SHOWN_MAX)
        if us >= PART_LEAST * delay.wait_us
    ]
    waited = f"{consumer} waited {duration(delay.wait_us)} for {obligations}"
    return f"{waited}: {'; '.join(parts)}"


def _percent(us: int, whole: int) -> str:
    return f"{us * 100 // whole} %"


def _where(shares: Sequence[DelayShare]) -> str:
    """Return which owner and node the largest part of a group's time belongs to.

    And who could have ended it with one command, for how long.
    """
    if shares[0].group is DelayGroup.HEADRACE:
        return ""
    whole = sum(share.us for share in shares)
    nodes: Counter[tuple[str, str]] = Counter()
    for share in shares:
        nodes[share.node, share.owner] += share.us
    (node, owner), most = nodes.most_common(1)[0]
    place = f"{node} ({owner})" if owner else node
    part = "all of it" if most == whole else f"{_percent(most, whole)} of that"
    return f", {part} at {place}{_decided(shares, node)}"


def _decided(shares: Sequence[DelayShare], node: str) -> str:
    deciders: Counter[str] = Counter()
    for share in shares:
        if share.node == node and share.decider not in ("", share.owner):
            deciders[share.decider] += share.us
    if not deciders:
        return ""
    (decider, us), *_ = deciders.most_common(1)
    return f", where {decider} could have decided for {duration(us)}"
