"""Freshness of assets: fresh, behind, stale or never; held or unchecked (SEMANTICS §4). Pure.

Also how long the last observation of a source is valid, since freshness is unknown after that.
"""

from __future__ import annotations

import enum
import itertools
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from functools import lru_cache
from statistics import median

import msgspec

from headrace.model import Grain
from headrace.model.intervals import DAY_US, bounds_us, key_at_us, previous_key, start_us
from headrace.model.partitions import SEPARATOR
from headrace.slo.declared_promises import WHOLE, Node, began
from headrace.slo.facts import PartitionStateFacts
from headrace.slo.obligations import EvaluationContext, paced_inputs
from headrace.store.queries.ingestion import OBSERVATIONS_KEPT

GROWING_INTERVALS = 31
"""Number of the newest intervals to check if the partition keys grow with the data."""
_BEYOND = chr(ord(SEPARATOR) + 1)
_HOUR_US = 3_600_000_000


class FreshnessState(enum.StrEnum):
    """How current an asset is.

    `never`: nothing was ever published. `behind`: expected partitions are missing. `stale`: a
    published partition is stale. `fresh`: the newest expected partition is published and none of
    the others holds.
    """

    FRESH = "fresh"
    BEHIND = "behind"
    STALE = "stale"
    NEVER = "never"


_WORST_LAST = (
    FreshnessState.FRESH,
    FreshnessState.STALE,
    FreshnessState.BEHIND,
    FreshnessState.NEVER,
)


class AssetStateCounts(msgspec.Struct, frozen=True):
    """How many assets are in each state.

    `fresh`, `behind`, `stale` and `never` add up to the number of assets; `quarantined` and
    `unchecked` count some of them again.
    """

    fresh: int = 0
    behind: int = 0
    stale: int = 0
    quarantined: int = 0
    never: int = 0
    unchecked: int = 0


class NodeStates(msgspec.Struct, frozen=True):
    """The states of all sources and assets at one time."""

    states: Mapping[str, FreshnessState]
    counts: AssetStateCounts


def node_states(context: EvaluationContext, now_us: int) -> NodeStates:
    """Return the states of all nodes; `state_cache.StateCache` evaluates only changed nodes."""
    states = freshnesses(context, now_us)
    assets = [node for node in context.declared.nodes.values() if not node.is_source]
    result = Counter(
        states[name] for name in (*(node.name for node in assets), *context.declared.views)
    )
    return NodeStates(
        states,
        asset_state_counts(context, result, sum(unchecked(node, context) for node in assets)),
    )


def asset_state_counts(
    context: EvaluationContext, states: Mapping[FreshnessState, int], newest_unchecked: int
) -> AssetStateCounts:
    """Return the counts from the number of assets in each state, which excludes sources."""
    nodes = context.declared.nodes
    return AssetStateCounts(
        fresh=states.get(FreshnessState.FRESH, 0),
        behind=states.get(FreshnessState.BEHIND, 0),
        stale=states.get(FreshnessState.STALE, 0),
        never=states.get(FreshnessState.NEVER, 0),
        quarantined=sum(
            name in nodes and not nodes[name].is_source
            for name in context.facts.quarantined_nodes()
        ),
        unchecked=newest_unchecked,
    )


def unchecked(node: Node, context: EvaluationContext) -> bool:
    """Return whether the newest partition of a node that readers see is unchecked."""
    newest = context.facts.newest(node.name)
    return newest is not None and newest.verdict == "unchecked"


def freshnesses(context: EvaluationContext, now_us: int) -> dict[str, FreshnessState]:
    """Return the freshness of every source and asset.

    A view is as fresh as the worst of what it reads; one that reads nothing is fresh.
    """
    states: dict[str, FreshnessState] = {}
    stale = context.facts.stale_nodes()
    for node in context.declared.nodes.values():
        states[node.name] = freshness(node, context, states, stale, now_us)
    for view in context.declared.views:
        states[view] = view_freshness(view, context, states)
    return states


def freshness(
    node: Node,
    context: EvaluationContext,
    states: Mapping[str, FreshnessState],
    stale: Collection[str],
    now_us: int,
) -> FreshnessState:
    """Return the freshness of one node.

    `states` holds the freshness of what it reads, `stale` the nodes with a stale published
    partition.
    """
    if context.facts.newest(node.name) is None:
        return FreshnessState.NEVER
    if _behind(node, context, states, now_us):
        return FreshnessState.BEHIND
    return FreshnessState.STALE if node.name in stale else FreshnessState.FRESH


def view_freshness(
    view: str, context: EvaluationContext, states: Mapping[str, FreshnessState]
) -> FreshnessState:
    """Return the freshness of a view; `states` holds that of what it reads."""
    return max(
        (states[name] for name in context.declared.views[view]),
        key=_WORST_LAST.index,
        default=FreshnessState.FRESH,
    )


def _behind(
    node: Node, context: EvaluationContext, states: Mapping[str, FreshnessState], now_us: int
) -> bool:
    if node.partition.grain is None:
        at_rest = all(
            _is_terminal(context.facts.partition_state(node.name, key), listed=key != WHOLE)
            for key in _unpaced_keys(node, context)
        )
        return not at_rest or any(
            states[source.name] in (FreshnessState.BEHIND, FreshnessState.NEVER)
            for source in paced_inputs(node, context)
        )
    if node.partition.grows:
        return _incomplete(node, context, now_us)
    return missing(node, context, now_us) > 0


def _unpaced_keys(node: Node, context: EvaluationContext) -> list[str]:
    """Return the known partitions of a node that isn't partitioned by time."""
    if node.partition.whole:
        return [WHOLE]
    if node.partition.key is None:
        return []
    return list(node.partition.values or context.facts.keys(node.name, ""))


def _is_terminal(facts: PartitionStateFacts | None, *, listed: bool) -> bool:
    return not listed if facts is None else facts.state == "published" or facts.stale


def _incomplete(node: Node, context: EvaluationContext, now_us: int) -> bool:
    """Return whether a node whose keys grow with the data lacks any recent partition.

    It does if one of the newest intervals has a known but unpublished key, or no key at all on a
    day when data is expected.
    """
    grain, start = node.partition.grain, context.rhythms[node.name].start_us
    assert grain is not None
    interval = key_at_us(now_us, grain, node.timezone)
    for _ in range(GROWING_INTERVALS):
        interval = previous_key(interval, grain, node.timezone)
        if start is None or start_us(interval, grain, node.timezone) < start:
            return False
        heard = [
            context.facts.partition_state(node.name, f"{interval}{SEPARATOR}{key}")
            for key in context.facts.keys(node.name, interval)
        ]
        off = node.no_data.covers(interval)
        if (not heard and not off) or not all(
            facts is not None and facts.published for facts in heard
        ):
            return True
    return False


def missing(node: Node, context: EvaluationContext, now_us: int) -> int:
    """Return how many expected partitions of a time-partitioned node aren't published.

    Expected are those from its start to the last interval that has ended.
    """
    grain = node.partition.time_grain
    start = context.rhythms[node.name].start_us
    newest = context.facts.newest(node.name)
    if start is None and newest is not None:
        start = began(newest.oldest, grain, node.timezone)
    if start is None:
        return 0
    first, last, ended = _ended(start, now_us, grain, node.timezone)
    if ended == 0:
        return 0
    due = ended - node.no_data.count(first, last)
    listed = len(node.partition.values or ("",))
    beyond = f"{last}{_BEYOND}" if node.partition.key is not None else last
    return max(0, due * listed - context.facts.published_between(node.name, first, beyond))


@lru_cache(maxsize=256)
def _ended(start: int, now_us: int, grain: Grain, timezone: str) -> tuple[str, str, int]:
    """Return the first interval from a start on, the last that has ended, and their number.

    Cached because most nodes have the same arguments.
    """
    first = key_at_us(start, grain, timezone)
    last = previous_key(key_at_us(now_us, grain, timezone), grain, timezone)
    return (
        first,
        last,
        keys_count(first, last, grain, timezone) if start_us(last, grain, timezone) >= start else 0,
    )


def keys_count(first: str, last: str, grain: Grain, timezone: str) -> int:
    """Return the number of partitions between two keys, both included, without a loop.

    The number is exact except in timezones that skipped a day or shift by half an hour.
    """
    start, end = bounds_us(first, grain, timezone)[0], bounds_us(last, grain, timezone)[1]
    match grain:
        case Grain.HOUR:
            return round((end - start) / _HOUR_US)
        case Grain.DAY:
            return (date.fromisoformat(last) - date.fromisoformat(first)).days + 1
        case Grain.WEEK:
            return round((end - start) / (7 * 24 * _HOUR_US))
        case Grain.MONTH:
            return _months(last) - _months(first) + 1
        case Grain.QUARTER:
            return 4 * (int(last[:4]) - int(first[:4])) + int(last[-1]) - int(first[-1]) + 1
        case Grain.YEAR:
            return int(last) - int(first) + 1


def _months(key: str) -> int:
    return 12 * int(key[:4]) + int(key[5:7])


# How long the last observation of a source is valid (SEMANTICS §7): `[run] tick_every` plus slack,
# else twice the median gap between the last observations, and no less than their usual long gap.

GAP_LEAST_US = 10 * 60 * 1_000_000
"""An observation is valid for at least ten minutes."""
GAPS_OF_MEDIAN = 20
GAPS_LEAST = 5
"""With fewer gaps between observations, their median isn't used."""
LEARNT_US = 4 * DAY_US
"""Gaps aren't learnt from fewer than OBSERVATIONS_KEPT observations that don't span this: a gap
that comes each night hasn't come three times."""
CADENCE_UNKNOWN_US = 26 * 3_600 * 1_000_000
"""The validity until then: a day, plus two hours for a schedule that isn't exact."""

TOLERANCE_US = 10 * 60 * 1_000_000
"""An observation that is late by at most ten minutes isn't missing."""

SCHEDULER_SLACK_US = 60 * 1_000_000
"""Slack for external schedulers, which start a pass within its minute.

Two passes at the declared cadence are at most this much further apart, and nothing is unknown in
between.
"""


def sources_of(reads: Sequence[Node], context: EvaluationContext) -> list[Node]:
    """Return the sources upstream of these nodes, in topological order."""
    above = context.declared.upstream(node.name for node in reads)
    return sorted(
        (node for node in above if node.is_source), key=lambda node: context.places[node.name]
    )


def undelivered(reads: Sequence[Node], context: EvaluationContext) -> list[str]:
    """Return the sources upstream that deliver by interval and have no delivery and no start."""
    rhythms = context.rhythms
    return [
        source.name
        for source in sources_of(reads, context)
        if rhythms[source.name].has and rhythms[source.name].start_us is None
    ]


def known_until(observations: Sequence[int], every_us: int | None = None) -> int:
    """Return until when the state of a source is known.

    `observations` are newest first and not empty; `every_us` is `[run] tick_every`.
    """
    return observations[0] + (
        every_us + SCHEDULER_SLACK_US if every_us else _validity(observations)
    )


def next_pass(observations: Sequence[int], every_us: int | None = None) -> int:
    """Return when the project is expected to run next: after `every_us`, else the median gap."""
    learnt_us = CADENCE_UNKNOWN_US if len(observations) <= GAPS_LEAST else _median(observations)
    return observations[0] + (every_us + SCHEDULER_SLACK_US if every_us else learnt_us)


def _validity(observations: Sequence[int]) -> int:
    """Return how long the newest observation is valid.

    Two passes each morning have a long gap every day: one that came three times is usual.
    """
    usual = usual_gap(observations)
    if usual is None:
        return CADENCE_UNKNOWN_US
    return max(2 * _median(observations), usual + usual // USUAL_SLACK, GAP_LEAST_US)


def usual_gap(observations: Sequence[int]) -> int | None:
    """Return the longest gap between observations that is usual; None with too few of them."""
    number = len(observations)
    if number <= GAPS_LEAST or (
        number < OBSERVATIONS_KEPT and observations[0] - observations[-1] < LEARNT_US
    ):
        return None
    return _gaps(observations)[-USUAL_TIMES]


def _gaps(observations: Sequence[int]) -> list[int]:
    """Return the times between observations, in ascending order."""
    return sorted(later - earlier for later, earlier in itertools.pairwise(observations))


def _median(observations: Sequence[int]) -> int:
    """Return the median of the newest gaps."""
    return int(median(_gaps(observations[: GAPS_OF_MEDIAN + 1])))


USUAL_OVER_US = 7 * DAY_US
USUAL_TIMES = 3
"""A gap that occurred this many times in the last seven days counts as usual."""
USUAL_SLACK = 10
"""A usual gap may be longer by a tenth."""


def usual_break(breaks: Mapping[int, int]) -> int:
    """Return the third-longest gap between observations in the last seven days.

    It is in microseconds and counts as the usual cadence. `breaks` maps the end of each gap to its
    length. With too few gaps the result is a day, the cadence of a project that runs daily.
    """
    newest = sorted(breaks.items(), reverse=True)
    lately = [length for ended, length in newest if ended > newest[0][0] - USUAL_OVER_US]
    if len(lately) < USUAL_TIMES:
        lately = [length for _, length in newest[:USUAL_TIMES]]
    return sorted(lately, reverse=True)[USUAL_TIMES - 1] if len(lately) >= USUAL_TIMES else DAY_US


def next_observation(last: int, pace: int, arrived: int) -> int:
    """Return the time of the first observation that would see what came at `arrived`.

    Observations happen at `last` and then every `pace` microseconds.
    """
    return last + max(1, -(-(arrived - last) // pace)) * pace
