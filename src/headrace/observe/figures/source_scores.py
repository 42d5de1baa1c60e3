"""What a source is worth and how far it can be relied on: utility, stability, quality; never blended into one. Pure.

Shares are lower bounds of what the deliveries show (Wilson's, 95 %), so that few good deliveries don't make a good score.
"""

from __future__ import annotations

import math

import msgspec

DELIVERIES_LEAST = 10
"""With fewer nothing is scored."""
WINDOW = "90d"
_Z = 1.959963984540054


class SourceDeliveries(msgspec.Struct, frozen=True):
    """What a source delivered over a window. `expected` counts the intervals that were due, `on_time` those of them whose first delivery
    came by when it was promised, `changed` the deliveries whose schema or format was another, or that restated what was sound."""

    source: str
    owner: str
    deliveries: int
    expected: int
    on_time: int
    missing: int
    changed: int
    rows_accepted: int
    rows_refused: int
    rows_missing: int
    """Estimated: as many for each missing interval as the median delivery has."""
    consumers: int
    reads: int


class SourceScore(msgspec.Struct, frozen=True):
    """Between 0 and 1; None with fewer than DELIVERIES_LEAST deliveries."""

    stability: float | None
    quality: float | None


def score(deliveries: SourceDeliveries) -> SourceScore:
    """Stability: on time, and without a change. Quality: rows accepted of those that were or should have been delivered."""
    if deliveries.deliveries < DELIVERIES_LEAST:
        return SourceScore(None, None)
    punctual = lower_bound(deliveries.on_time / deliveries.expected, deliveries.expected) if deliveries.expected else 1.0
    steady = lower_bound((deliveries.deliveries - deliveries.changed) / deliveries.deliveries, deliveries.deliveries)
    rows = deliveries.rows_accepted + deliveries.rows_refused + deliveries.rows_missing
    accepted = lower_bound(deliveries.rows_accepted / rows, deliveries.deliveries + deliveries.missing) if rows else 0.0
    return SourceScore(punctual * steady, accepted)


def lower_bound(share: float, n: int) -> float:
    """Of the true share, where so many of n were seen."""
    spread = _Z * math.sqrt(share * (1 - share) / n + _Z * _Z / (4 * n * n))
    return max(0.0, (share + _Z * _Z / (2 * n) - spread) / (1 + _Z * _Z / n))
