"""Numbers that rise from interval to interval: ids that count on, cumulative counts. That they go on
rising as fast as before is no news, however far the newest known interval lies back.

History that is loaded at once is judged while the newest intervals before one aren't published yet,
so a rise is measured per interval and not per known partition.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

KNOWN_MIN = 3
"""So many partitions show a rise."""
MOSTLY = 0.9
"""This part of the steps goes up, and in the sum they go up by this part of all ways."""
FASTER = 4.0
"""… and up to so many times the longest step so far is the same rise."""


def goes_on(places: Sequence[float], values: Sequence[float], place: float, value: float) -> bool:
    """Whether `value` at `place` carries a rise on. `places` count intervals; values aren't
    logarithms."""
    if len(values) < KNOWN_MIN or place <= places[-1]:
        return False
    pairs = itertools.pairwise(zip(places, values, strict=True))
    steps = [(b - a) / (q - p) for (p, a), (q, b) in pairs if q > p]
    up = sum(step for step in steps if step > 0)
    down = -sum(step for step in steps if step < 0)
    rising = sum(step > 0 for step in steps) >= MOSTLY * len(steps) and down <= (1 - MOSTLY) * up
    if not steps or not up or not rising:
        return False
    return 0 <= (value - values[-1]) / (place - places[-1]) <= FASTER * max(steps)
