"""How long what nobody looks at is known: twice the median gap between the last looks, at least ten minutes (SEMANTICS §7). Pure."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

LOOK_GAP_LEAST_US = 10 * 60 * 1_000_000
"""A look is never too old before ten minutes."""
LOOKS_JUDGED = 20


def known_until(looks: Sequence[int]) -> int:
    """Until when it is known how a source stands, from its last looks, newest first; there is at least one."""
    return looks[0] + max(2 * _median_gap(looks[:LOOKS_JUDGED]), LOOK_GAP_LEAST_US)


def _median_gap(looks: Sequence[int]) -> int:
    gaps = sorted(later - earlier for later, earlier in itertools.pairwise(looks))
    if not gaps:
        return 0
    middle = len(gaps) // 2
    return gaps[middle] if len(gaps) % 2 else (gaps[middle - 1] + gaps[middle]) // 2
