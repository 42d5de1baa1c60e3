"""Freshness of assets: fresh, behind, stale or never; held or unchecked (SEMANTICS §4). Pure.

Also for how long the last observation of a source counts, since freshness is unknown after that.
"""

from __future__ import annotations

import enum
import itertools
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from functools import lru_cache

import msgspec

from headrace.model import Grain
from headrace.model.intervals import bounds_us, key_at_us, previous_key, start_us
from headrace.model.partitions import SEPARATOR
from headrace.slo.declared_promises import WHOLE, Node, began
from headrace.slo.facts import PartitionStateFacts
from headrace.slo.obligations import EvaluationContext, paced_inputs

HOURS_OF_A_DAY = 24
GROWING_INTERVALS = 31
"""So many of the newest intervals are looked at where keys grow with the data."""
_BEYOND = chr(ord(SEPARATOR) + 1)
_HOUR_US = 3_600_000_000


class FreshnessState(enum.StrEnum):
    """`never`: nothing was ever published. `behind`: expected partitions are missing. `stale`: a published one is.
    `fresh`: the newest expected partition is published, and neither holds."""

    FRESH = "fresh"
    BEHIND = "behind"
    STALE = "stale"
    NEVER = "never"


_WORST_LAST = (FreshnessState.FRESH, FreshnessState.STALE, FreshnessState.BEHIND, FreshnessState.NEVER)


class AssetStateCounts(msgspec.Struct, frozen=True):
    """How many assets are in each state. The first four add up to all; one in quarantine or unchecked is counted there as well."""

    fresh: int = 0
    behind: int = 0
    stale: int = 0
    never: int = 0
    quarantined: int = 0
    unchecked: int = 0


class NodeStates(msgspec.Struct, frozen=True):
    """How all sources and assets stand at a time."""

    states: Mapping[str, FreshnessState]
    counts: AssetStateCounts


def node_states(context: EvaluationContext, now_us: int) -> NodeStates:
    """How they stand, each judged anew; `kept.Kept` says the same of what changed."""
    states = freshnesses(context, now_us)
    assets = [node for node in context.declared.nodes.values() if not node.is_source]
    result = Counter(states[name] for name in (*(node.name for node in assets), *context.declared.views))
    return NodeStates(states, asset_state_counts(context, result, sum(unchecked(node, context) for node in assets)))


def asset_state_counts(context: EvaluationContext, states: Mapping[FreshnessState, int], newest_unchecked: int) -> AssetStateCounts:
    """The counts of all assets, of how many are in each state; sources aren't counted."""
    nodes = context.declared.nodes
    return AssetStateCounts(
        fresh=states.get(FreshnessState.FRESH, 0),
        behind=states.get(FreshnessState.BEHIND, 0),
        stale=states.get(FreshnessState.STALE, 0),
        never=states.get(FreshnessState.NEVER, 0),
        quarantined=sum(name in nodes and not nodes[name].is_source for name in context.facts.quarantined_nodes()),
        unchecked=newest_unchecked,
    )


def unchecked(node: Node, context: EvaluationContext) -> bool:
    """Whether nobody checked the newest that readers see of a node."""
    newest = context.facts.newest(node.name)
    return newest is not None and newest.verdict == "unchecked"


def freshnesses(context: EvaluationContext, now_us: int) -> dict[str, FreshnessState]:
    """The freshness of every source and asset; a view's is the worst of what it reads, and one that reads nothing is fresh."""
    states: dict[str, FreshnessState] = {}
    stale = context.facts.stale_nodes()
    for node in context.declared.nodes.values():
        states[node.name] = freshness(node, context, states, stale, now_us)
    for view in context.declared.views:
        states[view] = view_freshness(view, context, states)
    return states


def freshness(
    node: Node, context: EvaluationContext, states: Mapping[str, FreshnessState], stale: Collection[str], now_us: int
) -> FreshnessState:
    """One node's, where that of what it reads is `found`; `stale` are the nodes of which a published partition is."""
    if context.facts.newest(node.name) is None:
        return FreshnessState.NEVER
    if _behind(node, context, states, now_us):
        return FreshnessState.BEHIND
    return FreshnessState.STALE if node.name in stale else FreshnessState.FRESH


def view_freshness(view: str, context: EvaluationContext, states: Mapping[str, FreshnessState]) -> FreshnessState:
    """A view's, where that of what it reads is `found`."""
    return max((states[name] for name in context.declared.views[view]), key=_WORST_LAST.index, default=FreshnessState.FRESH)


def _behind(node: Node, context: EvaluationContext, states: Mapping[str, FreshnessState], now_us: int) -> bool:
    if node.partition.grain is None:
        at_rest = all(_is_terminal(context.facts.standing(node.name, key), listed=key != WHOLE) for key in _unpaced_keys(node, context))
        return not at_rest or any(
            states[source.name] in (FreshnessState.BEHIND, FreshnessState.NEVER) for source in paced_inputs(node, context)
        )
    if node.partition.key is not None and node.partition.values is None:
        return _incomplete(node, context, now_us)
    return missing(node, context, now_us) > 0


def _unpaced_keys(node: Node, context: EvaluationContext) -> list[str]:
    """The partitions of a node that isn't cut by time, as far as they are known."""
    if node.partition.whole:
        return [WHOLE]
    if node.partition.key is None:
        return []
    return list(node.partition.values or context.facts.keys(node.name, ""))


def _is_terminal(facts: PartitionStateFacts | None, *, listed: bool) -> bool:
    return not listed if facts is None else facts.state == "published" or facts.stale


def _incomplete(node: Node, context: EvaluationContext, now_us: int) -> bool:
    """Of keys that grow with the data: whether one that was heard of for one of the newest intervals isn't published, or none was."""
    grain, start = node.partition.grain, context.rhythms[node.name].start_us
    assert grain is not None
    moment = key_at_us(now_us, grain, node.timezone)
    for _ in range(GROWING_INTERVALS):
        moment = previous_key(moment, grain, node.timezone)
        if start is None or start_us(moment, grain, node.timezone) < start:
            return False
        heard = [context.facts.standing(node.name, f"{moment}{SEPARATOR}{key}") for key in context.facts.keys(node.name, moment)]
        off = node.no_data.covers(moment, grain, node.timezone)
        if (not heard and not off) or not all(facts is not None and facts.published for facts in heard):
            return True
    return False


def missing(node: Node, context: EvaluationContext, now_us: int) -> int:
    """How many expected partitions of a node cut by time aren't published: from its start to the last that has ended."""
    grain = node.partition.grain
    assert grain is not None
    start = context.rhythms[node.name].start_us
    newest = context.facts.newest(node.name)
    if start is None and newest is not None:
        start = began(newest.oldest, grain, node.timezone)
    if start is None:
        return 0
    first, last, ended = _ended(start, now_us, grain, node.timezone)
    if ended == 0:
        return 0
    due = ended - _free(node, grain, first, last)
    listed = len(node.partition.values or ("",))
    beyond = f"{last}{_BEYOND}" if node.partition.key is not None else last
    return max(0, due * listed - context.facts.published_between(node.name, first, beyond))


@lru_cache(maxsize=256)
def _ended(start: int, now_us: int, grain: Grain, timezone: str) -> tuple[str, str, int]:
    """The first interval from a start on, the last that has ended, and how many that are. Most nodes ask the same."""
    first = key_at_us(start, grain, timezone)
    last = previous_key(key_at_us(now_us, grain, timezone), grain, timezone)
    return first, last, keys_count(first, last, grain, timezone) if start_us(last, grain, timezone) >= start else 0


def _free(node: Node, grain: Grain, first: str, last: str) -> int:
    """How many of the intervals aren't due by the node's calendar; of weeks and more, none."""
    if node.no_data.none or grain not in (Grain.HOUR, Grain.DAY):
        return 0
    days = node.no_data.count(date.fromisoformat(first[:10]), date.fromisoformat(last[:10]))
    return days if grain is Grain.DAY else days * HOURS_OF_A_DAY


def keys_count(first: str, last: str, grain: Grain, timezone: str) -> int:
    """How many partitions there are from one to another, both included, without counting them one by one.

    (Exact but for zones that skipped a day or move by half an hour.)
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


# For how long the last observation of a source counts (SEMANTICS §7), and how often observations
# are made: as `[run] tick_every` says, else twice the median gap between the last observations.

GAP_LEAST_US = 10 * 60 * 1_000_000
"""No observation is too old before ten minutes."""
OBSERVATIONS_FOR_CADENCE_MAX = 20
GAPS_LEAST = 5
"""With fewer gaps between observations their median says nothing of how often a project is run."""
CADENCE_UNKNOWN_US = 26 * 3_600 * 1_000_000
"""The cadence until then: a day, and two hours for a schedule that isn't exact."""

TOLERANCE_US = 10 * 60 * 1_000_000
"""A look that is late by no more than that isn't missing."""

SCHEDULER_SLACK_US = 60 * 1_000_000
"""A scheduler begins a pass within its minute: two passes of a declared cadence are this much further
apart at most, and nothing is unknown in between."""


def known_until(observations: Sequence[int], every_us: int | None = None) -> int:
    """Until when the state of a source is known, from its last observations (newest first, at least
    one). `every_us` is `[run] tick_every`, which says how often the project is run."""
    if every_us:
        return observations[0] + every_us + SCHEDULER_SLACK_US
    return observations[0] + _cadence(observations[:OBSERVATIONS_FOR_CADENCE_MAX])


def next_pass(observations: Sequence[int], every_us: int | None = None) -> int:
    """When the project is run again, as often as it was lately, or as `every_us` says."""
    if every_us:
        return observations[0] + every_us + SCHEDULER_SLACK_US
    median = _median_gap(observations[:OBSERVATIONS_FOR_CADENCE_MAX])
    return observations[0] + (CADENCE_UNKNOWN_US if median is None else median)


def _cadence(observations: Sequence[int]) -> int:
    median = _median_gap(observations)
    return CADENCE_UNKNOWN_US if median is None else max(2 * median, GAP_LEAST_US)


def _median_gap(observations: Sequence[int]) -> int | None:
    """The median time between two observations; None while there are too few."""
    gaps = sorted(later - earlier for later, earlier in itertools.pairwise(observations))
    if len(gaps) < GAPS_LEAST:
        return None
    middle = len(gaps) // 2
    return gaps[middle] if len(gaps) % 2 else (gaps[middle - 1] + gaps[middle]) // 2


DAY_US = 24 * 3_600 * 1_000_000
USUAL_OVER_US = 7 * DAY_US
USUAL_TIMES = 3
"""A break between two looks that came so often in the last seven days is how the project is run."""


def usual_break(breaks: Mapping[int, int]) -> int:
    """How long nobody usually looks. `breaks` holds when each break between two looks ended, and how long
    it was. A day where there were too few of them, which is as seldom as a daily project is run."""
    newest = sorted(breaks.items(), reverse=True)
    lately = [length for ended, length in newest if ended > newest[0][0] - USUAL_OVER_US]
    if len(lately) < USUAL_TIMES:
        lately = [length for _, length in newest[:USUAL_TIMES]]
    return sorted(lately, reverse=True)[USUAL_TIMES - 1] if len(lately) >= USUAL_TIMES else DAY_US


def next_observation(last: int, pace: int, arrived: int) -> int:
    """When somebody who looked at `last`, and again at the usual pace, would see what arrived then."""
    return last + max(1, -(-(arrived - last) // pace)) * pace
