"""For how long the last observation of a source counts (SEMANTICS §7). Pure."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

LOOK_GAP_LEAST_US = 10 * 60 * 1_000_000
"""No observation is too old before ten minutes."""
LOOKS_JUDGED = 20
GAPS_LEAST = 5
"""With fewer gaps between observations their median says nothing of how often a project is run."""
CADENCE_UNKNOWN_US = 26 * 3_600 * 1_000_000
"""The cadence until then: a day, and two hours for a schedule that isn't exact."""

SCHEDULER_SLACK_US = 60 * 1_000_000
"""A scheduler begins a pass within its minute: two passes of a declared cadence are this much further
apart at most, and nothing is unknown in between."""


def known_until(looks: Sequence[int], every_us: int | None = None) -> int:
    """Until when the state of a source is known, from its last observations (newest first, at least
    one). `every_us` is `[run] tick_every`, which says how often the project is run."""
    if every_us:
        return looks[0] + every_us + SCHEDULER_SLACK_US
    return looks[0] + _cadence(looks[:LOOKS_JUDGED])


def _cadence(looks: Sequence[int]) -> int:
    gaps = sorted(later - earlier for later, earlier in itertools.pairwise(looks))
    if len(gaps) < GAPS_LEAST:
        return CADENCE_UNKNOWN_US
    middle = len(gaps) // 2
    median = gaps[middle] if len(gaps) % 2 else (gaps[middle - 1] + gaps[middle]) // 2
    return max(2 * median, LOOK_GAP_LEAST_US)
