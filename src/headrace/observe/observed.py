"""For how long the last observation of a source counts (SEMANTICS §7), and how often somebody looks. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

GAP_LEAST_US = 10 * 60 * 1_000_000
"""No observation is too old before ten minutes."""
OBSERVATIONS_USED = 20
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
    return observations[0] + _cadence(observations[:OBSERVATIONS_USED])


def next_pass(observations: Sequence[int], every_us: int | None = None) -> int:
    """When the project is run again, as often as it was lately, or as `every_us` says."""
    if every_us:
        return observations[0] + every_us + SCHEDULER_SLACK_US
    median = _median_gap(observations[:OBSERVATIONS_USED])
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
